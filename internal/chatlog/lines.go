package chatlog

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"time"

	"github.com/tidwall/gjson"

	"forward/internal/jsonscan"
)

// maxLine bounds what is read as one line, in bytes. The gateway parses bodies
// of 32 MiB by default.
const maxLine = 256 << 20

// lineReader cuts a stream into lines. It skips a line longer than max without
// holding it.
type lineReader struct {
	r    *bufio.Reader
	max  int
	at   int64 // offset of what is read next
	held []byte
}

// rawLine is a line of a stream without its end.
type rawLine struct {
	text   []byte // valid until the next line is read
	offset int64
	whole  bool // false for a line longer than the reader's bound
}

func newLineReader(r io.Reader, max int) *lineReader {
	return &lineReader{r: bufio.NewReaderSize(r, 256<<10), max: max}
}

// next returns the next line. The error is io.EOF after the last one, or that
// of the reader.
func (l *lineReader) next() (rawLine, error) {
	line := rawLine{offset: l.at, whole: true}
	l.held = l.held[:0]
	for {
		part, err := l.r.ReadSlice('\n')
		l.at += int64(len(part))
		if err == nil && len(l.held) == 0 && line.whole && len(part) <= l.max { // most lines fit the buffer
			line.text = bytes.TrimRight(part, "\r\n")
			return line, nil
		}
		line.whole = line.whole && len(l.held)+len(part) <= l.max
		if line.whole {
			l.held = append(l.held, part...)
		} else {
			l.held = l.held[:0]
		}
		switch {
		case errors.Is(err, bufio.ErrBufferFull):
		case err == nil, err == io.EOF && l.at > line.offset:
			line.text = bytes.TrimRight(l.held, "\r\n")
			return line, nil
		default:
			return line, err
		}
	}
}

// parser reads lines of chat logs, JSON or Python literals. It owns the buffer
// in which literals become JSON. The zero value is ready to use.
type parser struct{ buf []byte }

// line reads one line as a JSON object, which is valid as long as line is, and
// until the next call.
func (p *parser) line(line []byte) (gjson.Result, bool) {
	line = bytes.TrimPrefix(bytes.TrimSpace(line), []byte("\xEF\xBB\xBF"))
	if len(line) == 0 || line[0] != '{' {
		return gjson.Result{}, false
	}
	if !valid(line) {
		var err error
		if p.buf, err = appendLiteral(p.buf[:0], line); err != nil {
			return gjson.Result{}, false
		}
		line = p.buf
	}
	return jsonscan.View(line), true
}

// valid reports whether line is JSON, at any depth: logs of other programs may
// nest deeper than the gateway accepts. gjson's check is three times as fast as
// encoding/json's, but it recurses without a bound.
func valid(line []byte) bool {
	if bytes.Count(line, []byte{'{'})+bytes.Count(line, []byte{'['}) > 10_000 {
		return json.Valid(line)
	}
	return gjson.ValidBytes(line)
}

// kind is the role of a line in its exchange. A line that Convert wrote as
// jsonl is request and result at once.
type kind struct {
	uid             string
	request, result bool
	at              int64 // in seconds of the writer's local clock; 0 if the line has no time
}

// kindOf returns the kind of a line, with neither request nor result set for
// one that is no part of a chat log.
func kindOf(v gjson.Result) (k kind) {
	var messages, answer bool
	v.ForEach(func(key, value gjson.Result) bool {
		switch key.Str {
		case "uid":
			k.uid = value.String()
		case "operation":
			messages = messages || converses(value.Str)
		case "messages":
			messages = true
		case "assistant":
			answer = true
		case "is_tool_calls", "is_function_call":
			// Some versions wrote no assistant if the stream broke.
			answer = true
		case "datetime":
			if t, err := time.Parse(time.DateTime, value.Str); err == nil {
				k.at = t.Unix()
			}
		}
		return true
	})
	if k.uid != "" {
		k.request = messages
		k.result = answer
	}
	return k
}
