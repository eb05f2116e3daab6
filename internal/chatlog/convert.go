package chatlog

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/tidwall/gjson"
)

// ConvertOptions configure [Convert]. The zero value converts the logs in the
// directory Log.
type ConvertOptions struct {
	Inputs   []string  // files and directories; empty means Dir
	Dir      string    // where the gateway writes its chat logs; "" means Log
	Format   string    // one that KnownFormat accepts; "" means openai-forward
	Filter   Filter    // selects exchanges
	Progress io.Writer // a terminal to draw a progress bar on; nil means none
}

// Summary counts what a conversion read and wrote.
type Summary struct {
	Exchanges  int            // written
	Unanswered int            // written without a result line
	Omitted    int            // not fit for the format: training data needs a whole answer
	Reasons    map[string]int // why they are not, and how many
	Filtered   int            // not selected by the filter
	Folded     int            // turns of a conversation that goes on in a later one
	Orphans    int            // result lines without a request
	Lost       int            // left out because an earlier line that they refer to is missing or was changed
	Skipped    int            // lines that are torn, too long or no chat log, and compressed files that end too early
	Files      []string       // read, in that order
}

// Convert reads chat logs, of [Log] and of every version of openai-forward, and
// writes their exchanges to w by time. Two lines with one uid are an exchange,
// wherever they are: in different files, in any order, before or after a
// rotation. Lines that are no chat log are counted and skipped.
//
// The logs are read twice, once for an index and once for the text, so the
// memory needed grows with the number of exchanges (about 300 bytes each) and
// with the longest line, not with the size of the logs. Compressed logs (.gz,
// .zst) are unpacked into temporary files for the time of the conversion.
//
// The formats:
//
//   - openai-forward: an array of objects with the eight fields of
//     openai-forward's README. Each message is {role: content}, followed by what
//     else it has (tool_calls, tool_call_id, name, …); content stays a list of
//     parts or null where it is one. functions is the functions or tools of the
//     request. assistant is the text, or the tool calls as JSON, or null.
//   - jsonl: one exchange a line, all fields of the request and then all of the
//     result.
//   - log: the two lines of each exchange, byte for byte, with what they refer to
//     in its place.
//   - openai-ft: lines for OpenAI's fine-tuning, {"messages":[…,answer],
//     "tools":[…]}. Only whole answers.
//   - sharegpt: {"id","conversations":[{"from","value"}]} with system, human,
//     gpt, function_call and observation. Only whole answers.
//   - csv: a table with a header. Text that a spreadsheet would take for a
//     formula gets a ' before it.
func Convert(ctx context.Context, w io.Writer, o ConvertOptions) (Summary, error) {
	c := converter{ctx: ctx, index: newIndex(), restorer: newRestorer(), progress: progress{w: o.Progress}}
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
	if err := c.write(w, f, o.Filter.start()); err != nil {
		return c.summary, fmt.Errorf("converting chat logs: %w", err)
	}
	return c.summary, nil
}

// KnownFormat reports whether Convert can write a format.
func KnownFormat(name string) bool {
	_, ok := formats[name]
	return ok
}

// converter is the state of one conversion.
type converter struct {
	ctx      context.Context
	sources  []*source
	index    *index
	restorer *restorer
	summary  Summary
	progress progress
}

func (c *converter) close() {
	for _, s := range c.sources {
		s.close()
	}
}

// read indexes all files.
func (c *converter) read(files []string) error {
	var total int64
	for _, path := range files {
		if info, err := os.Stat(path); err == nil {
			total += info.Size()
		}
	}
	c.progress.start("reading", total, true)
	for _, path := range files {
		s, damaged, err := openSource(c.ctx, path, c.progress.advance)
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
	c.progress.finish()
	return nil
}

// scan indexes the lines of the newest source.
func (c *converter) scan(s *source) error {
	counted := c.progress.advance
	if s.spooled {
		counted = func(int) {} // its bytes were counted while it was unpacked
	}
	lines := newLineReader(&countingReader{r: s.file, ctx: c.ctx, counted: counted}, maxLine)
	var p parser
	var at int64
	for {
		line, err := lines.next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if line.whole && len(line.text) == 0 {
			continue
		}
		v, ok := p.line(line.text)
		if ok && line.whole {
			found := place{offset: line.offset, length: int32(len(line.text)), source: int32(len(c.sources) - 1)}
			if refs, ok := referencesOf(line.text); ok {
				refs.uids(func(uid string) { c.restorer.bases[found] = append(c.restorer.bases[found], c.index.latest(uid)) })
			}
			at, ok = c.index.add(v, line.text, found, at)
		}
		if !ok || !line.whole {
			c.summary.Skipped++
		}
	}
}

// write writes the indexed exchanges.
func (c *converter) write(w io.Writer, f format, filter *filtering) error {
	entries, orphans := c.index.exchanges()
	c.summary.Orphans = orphans
	c.restorer.sources = c.sources
	lines := lineLoader{restorer: c.restorer}
	var folded map[int]struct{}
	if filter.Dedupe {
		var err error
		if folded, err = c.fold(entries, &lines, filter); err != nil {
			return err
		}
	}
	c.progress.start("writing", int64(len(entries)), false)
	out := bufio.NewWriterSize(w, 256<<10)
	out.WriteString(f.open)
	var buf []byte
	for i, e := range entries {
		if i%256 == 0 && c.ctx.Err() != nil {
			return c.ctx.Err()
		}
		c.progress.advance(1)
		if _, ok := folded[i]; ok {
			c.summary.Folded++
			continue
		}
		x, err := lines.exchange(e)
		if errors.Is(err, errLost) {
			c.summary.Lost++
			continue
		}
		if err != nil {
			return err
		}
		if !filter.takes(x, e.at) {
			c.summary.Filtered++
			continue
		}
		var reason string
		if buf, reason = f.append(buf[:0], x); reason != "" {
			c.omit(reason)
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
	c.progress.finish()
	return out.Flush()
}

// What bounds the reasons that a summary counts apart: clients name the types
// of items.
const (
	maxReasons = 20
	maxReason  = 64 // bytes
)

// omit counts an exchange that the format has no place for.
func (c *converter) omit(reason string) {
	c.summary.Omitted++
	if c.summary.Reasons == nil {
		c.summary.Reasons = make(map[string]int)
	}
	if _, known := c.summary.Reasons[reason]; !known && (len(c.summary.Reasons) >= maxReasons || len(reason) > maxReason) {
		reason = "other"
	}
	c.summary.Reasons[printable(strings.Clone(reason))]++ // it may be a part of a buffer
}

// lineLoader reads indexed lines again, whole. What it returns is valid until
// the next call.
type lineLoader struct {
	restorer        *restorer
	request, result loadBuffer
}

type loadBuffer struct {
	parser parser
	buf    []byte
}

func (l *lineLoader) exchange(e entry) (x exchange, err error) {
	x.request, err = l.request.line(l.restorer, e.request)
	if err == nil && e.result.length > 0 {
		x.result, err = l.result.line(l.restorer, e.result)
	}
	return x, err
}

func (l *loadBuffer) line(r *restorer, p place) (v gjson.Result, err error) {
	if l.buf, err = r.line(l.buf, p); err != nil {
		return v, err
	}
	if _, ok := referencesOf(l.buf); ok {
		if l.buf, err = r.appendLine(l.buf[:0], p); err != nil {
			return v, err
		}
	}
	v, ok := l.parser.line(l.buf)
	if !ok {
		return v, fmt.Errorf("%s changed while it was read", r.sources[p.source].file.Name())
	}
	return v, nil
}
