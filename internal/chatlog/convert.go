package chatlog

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/schollz/progressbar/v3"
	"github.com/tidwall/gjson"
)

// ConvertOptions says what to convert and how.
type ConvertOptions struct {
	Inputs   []string  // files and directories; empty: Dir
	Dir      string    // where the gateway writes its chat logs; "" means Log
	Format   string    // one of KnownFormat; "" means openai-forward
	Filter   Filter    // which exchanges; the zero value: all
	Progress io.Writer // a terminal to draw a progress bar on; nil: none
}

// Summary counts what a conversion read and wrote.
type Summary struct {
	Exchanges  int      // written
	Unanswered int      // of those, how many have no result line
	Omitted    int      // exchanges that the format has no use for: training data needs a whole answer
	Filtered   int      // exchanges that the filter left out
	Orphans    int      // result lines without a request
	Skipped    int      // lines that are torn, too long or no chat log, and compressed files that end too early
	Files      []string // read, in that order
}

// Convert reads chat logs, those of [Log] and those of every version of openai-forward, and writes the exchanges in them to
// w in the order of their time. Two lines make an exchange by their uid, wherever they are: in another file, in another
// order, before or after a rotation. Lines that are no chat log are counted and skipped.
//
// It reads twice, once for an index and once for the text, so what it needs of memory does not grow with the size of the
// logs but with the number of exchanges, about 150 bytes each, and a few copies of the longest line. Compressed
// logs (.gz, .zst) are unpacked into temporary files, one after the other, for the time of the conversion.
//
// The formats:
//
//   - openai-forward: an array of objects with the eight fields of openai-forward's README. Each message is
//     {role: content}; what else a message has (tool_calls, tool_call_id, name, …) follows in the same object, content that is
//     a list of parts stays one and content null stays null. functions is what the request had as functions or
//     tools. assistant is the text, or the tool calls as JSON, or null.
//   - jsonl: one exchange a line, all fields of the request and then all of the result.
//   - openai-ft: lines for OpenAI's fine-tuning, {"messages":[…,answer],"tools":[…]}. Only whole answers.
//   - sharegpt: {"id","conversations":[{"from","value"}]} with system, human, gpt, function_call and observation. Only whole answers.
//   - csv: a table with a header. Text that a spreadsheet would take for a formula gets a ' before it.
func Convert(ctx context.Context, w io.Writer, o ConvertOptions) (Summary, error) {
	c := converter{ctx: ctx, index: newIndex(), progress: o.Progress}
	defer c.close()
	f, ok := formats[cmp.Or(o.Format, "openai-forward")]
	if !ok {
		return Summary{}, fmt.Errorf("converting chat logs: unknown format %q", o.Format)
	}
	inputs := o.Inputs
	if len(inputs) == 0 {
		inputs = []string{cmp.Or(o.Dir, defaultDir)}
	}
	files, err := findLogs(inputs)
	if err != nil {
		return Summary{}, err
	}
	if err := c.read(files); err != nil {
		return c.summary, err
	}
	if err := c.write(w, f, o.Filter.begin()); err != nil {
		return c.summary, fmt.Errorf("converting chat logs: %w", err)
	}
	return c.summary, nil
}

// KnownFormat reports whether Convert can write a format.
func KnownFormat(name string) bool { _, ok := formats[name]; return ok }

// converter is the state of one conversion.
type converter struct {
	ctx      context.Context
	sources  []*source
	index    *index
	summary  Summary
	progress io.Writer
	bar      *progressbar.ProgressBar
}

func (c *converter) close() {
	for _, s := range c.sources {
		s.close()
	}
}

// read makes the index of all files.
func (c *converter) read(files []string) error {
	var total int64
	for _, path := range files {
		if info, err := os.Stat(path); err == nil {
			total += info.Size()
		}
	}
	c.begin("reading", total, true)
	for _, path := range files {
		s, damaged, err := openSource(c.ctx, path, c.advance)
		if err != nil {
			return err
		}
		c.sources = append(c.sources, s)
		c.summary.Files = append(c.summary.Files, path)
		if damaged {
			c.summary.Skipped++
		}
		if err := c.scan(s); err != nil {
			return fmt.Errorf("reading chat log %s: %w", path, err)
		}
	}
	c.finish()
	return nil
}

// scan takes the lines of the newest source into the index.
func (c *converter) scan(s *source) error {
	counted := c.advance
	if s.spooled {
		counted = func(int) {} // it was, when it was unpacked
	}
	lines := newLineReader(&countingReader{r: s.file, ctx: c.ctx, counted: counted}, maxLine)
	var p parser
	var at int64
	for {
		line, offset, whole, err := lines.next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if whole && len(line) == 0 {
			continue
		}
		v, ok := p.line(line)
		if ok && whole {
			at, ok = c.index.add(v, line, place{offset: offset, length: int32(len(line)), source: int32(len(c.sources) - 1)}, at)
		}
		if !ok || !whole {
			c.summary.Skipped++
		}
	}
}

// write writes the exchanges of the index.
func (c *converter) write(w io.Writer, f format, wanted *filtering) error {
	entries, orphans := c.index.exchanges()
	c.summary.Orphans = orphans
	c.begin("writing", int64(len(entries)), false)
	out := bufio.NewWriterSize(w, 256<<10)
	out.WriteString(f.open)
	var request, result reading
	var buf []byte
	for i, e := range entries {
		if i%256 == 0 && c.ctx.Err() != nil {
			return c.ctx.Err()
		}
		var x exchange
		var err error
		if x.request, err = request.line(c.sources, e.request); err != nil {
			return err
		}
		if e.result.length > 0 {
			if x.result, err = result.line(c.sources, e.result); err != nil {
				return err
			}
		}
		c.advance(1)
		if !wanted.takes(x, e.at) {
			c.summary.Filtered++
			continue
		}
		var ok bool
		if buf, ok = f.append(buf[:0], x); !ok {
			c.summary.Omitted++
			continue
		}
		if c.summary.Exchanges > 0 {
			out.WriteString(f.between)
		}
		if _, err := out.Write(buf); err != nil {
			return err
		}
		c.summary.Exchanges++
		if !x.result.Exists() {
			c.summary.Unanswered++
		}
	}
	if c.summary.Exchanges > 0 {
		out.WriteString(f.close)
	} else {
		out.WriteString(f.empty)
	}
	c.finish()
	return out.Flush()
}

// reading reads lines again and keeps the buffers for the next one.
type reading struct {
	parser parser
	buf    []byte
}

func (r *reading) line(sources []*source, p place) (gjson.Result, error) {
	if cap(r.buf) < int(p.length) {
		r.buf = make([]byte, p.length)
	}
	r.buf = r.buf[:p.length]
	s := sources[p.source]
	if _, err := s.file.ReadAt(r.buf, p.offset); err != nil {
		return gjson.Result{}, fmt.Errorf("reading %s again: %w", s.file.Name(), err)
	}
	v, ok := r.parser.line(r.buf)
	if !ok {
		return v, fmt.Errorf("%s changed while it was read", s.file.Name())
	}
	return v, nil
}

// begin draws an empty bar.
func (c *converter) begin(what string, total int64, inBytes bool) {
	if c.progress == nil || total == 0 {
		return
	}
	c.bar = progressbar.NewOptions64(total, progressbar.OptionSetWriter(c.progress), progressbar.OptionSetDescription(what),
		progressbar.OptionThrottle(100*time.Millisecond), progressbar.OptionShowBytes(inBytes), progressbar.OptionShowCount(),
		progressbar.OptionSetWidth(30), progressbar.OptionClearOnFinish(), progressbar.OptionSetPredictTime(true))
}

func (c *converter) advance(n int) {
	if c.bar != nil {
		c.bar.Add(n)
	}
}

func (c *converter) finish() {
	if c.bar != nil {
		c.bar.Finish()
		c.bar = nil
	}
}
