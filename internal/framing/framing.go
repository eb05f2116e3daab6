// Package framing cuts the bodies of streamed answers into events without
// changing a byte.
//
// Answers are relayed as they came and read on the side, so a reader has to
// know where one event ends and the next one starts, wherever the network has
// cut them, and may neither delay nor copy more than it must. A [Splitter] is
// fed with bytes and returns raw events; all of them and the pending rest
// together are the input. A [Framing] reads a raw event: its name and its data.
// What the data means is up to the dialects.
package framing

import (
	"bytes"
	"strings"

	"forward/internal/jsonscan"
)

// Framing is the way in which a body is divided into events.
type Framing int

const (
	SSE   Framing = iota // server-sent events (HTML standard, section 9.2)
	Lines                // one JSON value a line
	Bare                 // server-sent events of one line each, from servers that leave out the blank lines
)

// Event is one event of a stream. Only server-sent events have a name, and
// their data may be several lines joined by a newline.
type Event struct {
	Name string
	Data []byte
}

// Parse reads a raw event. ok is false when it has no data, as comments and
// blank lines have none. The end of the event may be missing. The data aliases
// raw unless it has several lines.
func (f Framing) Parse(raw []byte) (ev Event, ok bool) {
	if f == Lines {
		data := bytes.TrimSpace(raw)
		return Event{Data: data}, len(data) > 0
	}
	return parseSSE(raw)
}

func parseSSE(raw []byte) (ev Event, ok bool) {
	raw = bytes.TrimPrefix(raw, []byte("\xEF\xBB\xBF"))
	lines := 0
	for pos, lf := 0, -1; pos < len(raw); {
		if lf < pos { // searched once for many lines that end with CR
			if lf = bytes.IndexByte(raw[pos:], '\n'); lf < 0 {
				lf = len(raw)
			} else {
				lf += pos
			}
		}
		end, next := lf, lf+1
		if cr := bytes.IndexByte(raw[pos:lf], '\r'); cr >= 0 {
			end, next = pos+cr, pos+cr+1 // CRLF leaves an empty line, which means nothing here
		}
		name, value, _ := bytes.Cut(raw[pos:end], []byte{':'})
		pos = next
		if len(value) > 0 && value[0] == ' ' {
			value = value[1:]
		}
		switch string(name) {
		case "event":
			ev.Name = string(value)
		case "data":
			lines++
			if lines == 1 {
				ev.Data = value
				continue
			}
			if lines == 2 { // no longer a part of raw
				ev.Data = append(make([]byte, 0, len(ev.Data)+len(value)+len(raw)-min(pos, len(raw))+1), ev.Data...)
			}
			ev.Data = append(append(ev.Data, '\n'), value...)
		}
	}
	return ev, lines > 0
}

// Each calls f with the events of a whole stream until it returns false. The
// last event may lack its end. ok is that of Parse.
func (f Framing) Each(stream []byte, visit func(raw []byte, ev Event, ok bool) bool) {
	s := Splitter{Framing: f, buf: stream}
	for {
		raw, more := s.Next()
		if !more {
			raw = s.Pending()
		}
		if len(raw) > 0 {
			if ev, ok := f.Parse(raw); !visit(raw, ev, ok) {
				return
			}
		}
		if !more {
			return
		}
	}
}

// Append appends an event without a name to dst. data must not have a line
// break.
func (f Framing) Append(dst, data []byte) []byte {
	if f == Lines {
		return append(append(dst, data...), '\n')
	}
	dst = append(dst, "data: "...)
	return append(append(dst, data...), "\n\n"...)
}

// StartsSSE reports whether a body is server-sent events by how it starts: with
// a field or a comment. sure is false as long as more of it may change that.
func StartsSSE(body []byte) (is, sure bool) {
	body = bytes.TrimLeft(bytes.TrimPrefix(body, []byte("\xEF\xBB\xBF")), " \t\r\n")
	for _, field := range []string{":", "data:", "event:", "id:", "retry:"} {
		n := min(len(field), len(body))
		if string(body[:n]) == field[:n] {
			return n == len(field), n == len(field)
		}
	}
	return false, true
}

// IsBare reports whether server-sent events without an end are lines of [Bare]:
// at least n whole lines of data, and the first of them is JSON by itself.
func IsBare(pending []byte, n int) bool {
	first := []byte(nil)
	for ; n > 0; n-- {
		end := bytes.IndexByte(pending, '\n')
		data, isData := bytes.CutPrefix(pending[:max(end, 0)], []byte("data:"))
		if !isData {
			return false
		}
		if first == nil {
			first = bytes.TrimSpace(data)
		}
		pending = pending[end+1:]
	}
	return len(first) > 0 && first[0] == '{' && jsonscan.Valid(first)
}

// Of returns the framing of a body by its content type.
func Of(contentType string) (f Framing, ok bool) {
	for f, name := range contentTypes {
		if strings.HasPrefix(contentType, name) {
			return Framing(f), true
		}
	}
	return 0, false
}

// ContentType returns the media type of a body.
func (f Framing) ContentType() string { return contentTypes[f] }

var contentTypes = [...]string{SSE: "text/event-stream", Lines: "application/x-ndjson", Bare: "text/event-stream"}
