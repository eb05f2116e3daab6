package form

import (
	"bufio"
	"bytes"
	"mime"
	"net/textproto"
	"net/url"
	"strings"
)

// parts is the syntax of multipart/form-data.
type parts struct {
	delimiter string
	state     state
	eol       string // how lines end: as the first one does
	rest      []byte // what was written and not read
}

// state is where in the form the next byte is.
type state int

const (
	atStart   state = iota // before the first delimiter
	inHeader               // of a part
	inContent              // of a part
	atEnd                  // after the last delimiter
)

func (f *parts) write(s *Scanner, p []byte) {
	f.rest = append(f.rest, p...)
	data := f.rest
	for s.err == nil {
		n, more := f.step(s, data)
		data = data[n:]
		if !more {
			break
		}
	}
	f.rest = append(f.rest[:0], data...)
}

// close implements syntax. A form ends with its last delimiter.
func (f *parts) close(s *Scanner) {
	if f.state != atEnd {
		s.err = ErrCut
	}
}

// step reads n bytes of data. more reports whether it can go on with what
// follows; if not, it needs further data.
func (f *parts) step(s *Scanner, data []byte) (n int, more bool) {
	switch f.state {
	case inHeader:
		return f.header(s, data)
	case atEnd:
		if len(bytes.Trim(data, "\r\n")) > 0 {
			s.err = ErrUnclear // a server may read on
		}
		return len(data), false
	}
	at := bytes.Index(data, []byte(f.delimiter))
	if at < 0 {
		// The end may be the start of a delimiter, with the line end before it.
		n = max(len(data)-len(f.delimiter)-2, 0)
		f.content(s, data[:n])
		return n, false
	}
	after := data[at+len(f.delimiter):]
	if len(after) < 2 {
		n = max(at-2, 0)
		f.content(s, data[:n])
		return n, false
	}
	return f.delimit(s, data[:at], after)
}

// content takes bytes before a delimiter.
func (f *parts) content(s *Scanner, p []byte) {
	if f.state == inContent {
		s.take(p)
	} else if len(p) > 0 {
		s.err = ErrUnclear // a preamble, which no client sends
	}
}

// delimit reads a delimiter: before is what stands before it, and after the
// bytes behind it.
func (f *parts) delimit(s *Scanner, before, after []byte) (n int, more bool) {
	n = len(before) + len(f.delimiter)
	last := bytes.HasPrefix(after, []byte("--"))
	if f.state == atStart {
		if !last && len(bytes.Trim(before, "\r\n")) == 0 {
			f.eol = "\r\n"
			if after[0] == '\n' {
				f.eol = "\n"
			}
			before = nil
		} else {
			s.err = ErrUnclear
			return n, false
		}
	} else {
		content, ok := bytes.CutSuffix(before, []byte(f.eol))
		if !ok {
			s.err = ErrUnclear
			return n, false
		}
		s.take(content)
		s.end(func(value string) string { return value })
	}
	switch {
	case last:
		f.state = atEnd
		s.ended = true
		return n + 2, true
	case bytes.HasPrefix(after, []byte(f.eol)):
		f.state = inHeader
		return n + len(f.eol), true
	}
	s.err = ErrUnclear
	return n, false
}

// header reads the header of a part. Its first line may be the empty one.
func (f *parts) header(s *Scanner, data []byte) (n int, more bool) {
	if bytes.HasPrefix(data, []byte(f.eol)) {
		f.state = inContent // without a name
		return len(f.eol), true
	}
	blank := f.eol + f.eol
	end := bytes.Index(data, []byte(blank))
	if end < 0 || end > maxHeader {
		if len(data) > maxHeader {
			s.err = ErrUnclear
		}
		return 0, false
	}
	n = end + len(blank)
	f.state = inContent
	name, file, err := nameOf(data[:n])
	if err != nil {
		s.err = err
		return n, false
	}
	s.start(name, !file || Names(name, "model"))
	return n, true
}

// nameOf returns the name of a part. One without a name is no field; one whose
// header names it in two ways, or whose value is encoded, can be read in more
// than one way.
func nameOf(header []byte) (name string, file bool, err error) {
	head := header[:len(header)-2]
	if bytes.Contains(head, []byte("\n\n")) || bytes.Contains(head, []byte("\n\r\n")) {
		return "", false, ErrUnclear // for a server that takes any line end, the value starts earlier
	}
	h, err := textproto.NewReader(bufio.NewReader(bytes.NewReader(header))).ReadMIMEHeader()
	if err != nil || len(h["Content-Disposition"]) > 1 {
		return "", false, ErrUnclear
	}
	disposition := h.Get("Content-Disposition")
	lower := strings.ToLower(disposition)
	if strings.Contains(strings.ReplaceAll(lower, "filename*", ""), "name*") {
		return "", false, ErrUnclear // RFC 7578, section 4.2 forbids it; some servers decode it
	}
	_, params, err := mime.ParseMediaType(disposition)
	if err != nil { // names of files are spelled in many ways
		if strings.Contains(lower, "model") {
			return "", false, ErrUnclear
		}
		return "", true, nil
	}
	name = params["name"]
	_, file = params["filename"]
	encoding := strings.ToLower(h.Get("Content-Transfer-Encoding"))
	plain := encoding == "" || encoding == "7bit" || encoding == "8bit" || encoding == "binary"
	if Names(name, "model") && !plain {
		return "", false, ErrUnclear
	}
	return name, file, nil
}

// Names reports whether a server may take the name of a field for that of a
// parameter, or for one of a list of them.
func Names(name, parameter string) bool {
	plain, err := url.PathUnescape(name)
	if err == nil {
		name = plain
	}
	name, _, _ = strings.Cut(name, "[")
	name = strings.TrimSpace(name)
	return strings.EqualFold(name, parameter) || strings.EqualFold(name, parameter+"s")
}
