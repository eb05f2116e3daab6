package chatlog

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"time"

	"github.com/tidwall/gjson"
)

// maxLine bounds what is read as one line, in bytes. The gateway parses bodies of 32 MiB by default.
const maxLine = 256 << 20

// lineReader cuts a stream into lines, each with its offset. A line beyond max is passed over without being held.
type lineReader struct {
	r    *bufio.Reader
	max  int
	at   int64 // offset of what is read next
	held []byte
}

func newLineReader(r io.Reader, max int) *lineReader {
	return &lineReader{r: bufio.NewReaderSize(r, 256<<10), max: max}
}

// next returns a line without its end, and where it begins. The line is valid until the following call. whole is false
// for a line that was too long to be held. The error is io.EOF after the last line, or what the reader said.
func (l *lineReader) next() (line []byte, offset int64, whole bool, err error) {
	l.held, offset, whole = l.held[:0], l.at, true
	for {
		part, err := l.r.ReadSlice('\n')
		l.at += int64(len(part))
		if err == nil && len(l.held) == 0 && whole && len(part) <= l.max { // most lines fit the buffer
			return bytes.TrimRight(part, "\r\n"), offset, true, nil
		}
		if whole = whole && len(l.held)+len(part) <= l.max; whole {
			l.held = append(l.held, part...)
		} else {
			l.held = l.held[:0]
		}
		switch {
		case errors.Is(err, bufio.ErrBufferFull):
		case err == nil, err == io.EOF && l.at > offset:
			return bytes.TrimRight(l.held, "\r\n"), offset, whole, nil
		default:
			return nil, offset, whole, err
		}
	}
}

// parser reads lines of chat logs, JSON or Python text. It holds the buffer in which Python text becomes JSON.
type parser struct{ buf []byte }

// line reads one line as a JSON object, which is valid as long as line is, and until the next call.
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
	return view(line), true
}

// valid reports whether line is JSON. gjson's check is three times as fast as encoding/json's, but it recurses as deep as the
// JSON does, and a stack can only be so long.
func valid(line []byte) bool {
	if bytes.Count(line, []byte{'{'})+bytes.Count(line, []byte{'['}) > 10_000 {
		return json.Valid(line)
	}
	return gjson.ValidBytes(line)
}

// kind is what a line says of an exchange; an exchange that convert wrote as jsonl is both.
type kind struct {
	uid             string
	request, result bool
	at              int64 // seconds, as the clock on the wall of the writer showed them; 0 if the line has no time
}

// kindOf tells what a line of a chat log is; neither request nor result is what does not belong into one.
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
		case "is_tool_calls", "is_function_call": // the lines of some versions have no assistant when the stream broke
			answer = true
		case "datetime":
			if t, err := time.Parse(time.DateTime, value.Str); err == nil {
				k.at = t.Unix()
			}
		}
		return true
	})
	if k.uid != "" {
		k.request, k.result = messages, answer
	}
	return k
}
