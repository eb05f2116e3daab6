// Package form reads the fields of a form while its bytes pass: a
// multipart/form-data body (RFC 7578) or an application/x-www-form-urlencoded
// one, in pieces of any size, however long the files in it are.
//
// mime/multipart pulls a body and parts with what it was given, so a body can
// not go on untouched beside it, and it reads a form in one of the ways in
// which servers do. A model rule has to hold for every way. So the reader here
// is pushed the bytes, keeps small values only, and reports a form that servers
// may read differently: see [Scanner.Err]. No boundary occurs in a form but at
// the start of a part, which is what RFC 2046, section 5.1.1 demands and what
// the random boundaries of clients make sure of.
package form

import (
	"bytes"
	"errors"
	"mime"
	"net/url"
	"strings"
)

const (
	maxName   = 256       // bytes of a name; of a longer one no field is kept
	maxValue  = 64 << 10  // bytes of a value; a longer one is not kept
	maxValues = 256 << 10 // bytes of all values
	maxFields = 1000      // fields that are kept
	maxHeader = 16 << 10  // bytes of the header of a part
)

// Errors of [Scanner.Err].
var (
	ErrUnclear = errors.New("the form can be read in more than one way")
	ErrCut     = errors.New("the form ends too early")
)

// Field is one field of a form. The value of a file, or one that is too long,
// is not kept.
type Field struct {
	Name, Value string
	Kept        bool // Value is the whole value
}

// Scanner reads a form that is written to it. Make it with [New]; it is for one
// goroutine.
type Scanner struct {
	fields []Field
	err    error
	ended  bool // the end of the form was read
	size   int  // bytes of the kept values
	syntax syntax
	open   bool // a field is being read
	field  Field
	value  []byte // of the open field
}

// syntax is how a form is written.
type syntax interface {
	write(s *Scanner, p []byte)
	close(s *Scanner)
}

// New returns a scanner for a body with this Content-Type, and nil if that is
// not the type of a form.
func New(contentType string) *Scanner {
	kind, _, _ := strings.Cut(contentType, ";")
	switch strings.ToLower(strings.TrimSpace(kind)) {
	case "application/x-www-form-urlencoded":
		return &Scanner{syntax: &pairs{}}
	case "multipart/form-data":
		_, params, err := mime.ParseMediaType(contentType)
		s := &Scanner{syntax: &parts{delimiter: "--" + params["boundary"]}}
		if err != nil || params["boundary"] == "" {
			s.err = ErrUnclear
		}
		return s
	}
	return nil
}

// Write reads the next bytes of the form. It never fails; see Err.
func (s *Scanner) Write(p []byte) (int, error) {
	if s.err == nil && len(p) > 0 {
		s.syntax.write(s, p)
	}
	return len(p), nil
}

// Close reports to the scanner that the form has no more bytes.
func (s *Scanner) Close() error {
	if s.err == nil {
		s.syntax.close(s)
	}
	return s.err
}

// Fields returns the fields that were read so far, in their order.
func (s *Scanner) Fields() []Field { return s.fields }

// Ended reports whether the form is complete.
func (s *Scanner) Ended() bool { return s.ended }

// Err returns why the form is not read any further: it is no valid form, or one
// that servers may read in different ways.
func (s *Scanner) Err() error { return s.err }

// start starts a field.
func (s *Scanner) start(name string, kept bool) {
	s.open = true
	s.field = Field{Name: name, Kept: kept && len(name) <= maxName}
	s.value = s.value[:0]
}

// take appends to the value of the open field.
func (s *Scanner) take(p []byte) {
	if !s.open || !s.field.Kept {
		return
	}
	if len(s.value)+len(p) > maxValue || s.size+len(s.value)+len(p) > maxValues {
		s.field.Kept = false
		return
	}
	s.value = append(s.value, p...)
}

// end ends the open field.
func (s *Scanner) end(decode func(string) string) {
	if !s.open {
		return
	}
	s.open = false
	if len(s.fields) == maxFields {
		s.err = ErrUnclear // the next one may be any
		return
	}
	if s.field.Kept {
		s.field.Value = decode(string(s.value))
		s.size += len(s.value)
	}
	s.fields = append(s.fields, s.field)
}

// pairs is the syntax of application/x-www-form-urlencoded: names and values
// with & between the pairs. Some servers take a semicolon for it too.
type pairs struct {
	name   []byte
	inside bool // a value
}

func (f *pairs) write(s *Scanner, p []byte) {
	for len(p) > 0 {
		ends := "&;"
		if !f.inside {
			ends = "&;="
		}
		i := bytes.IndexAny(p, ends)
		n := i
		if i < 0 {
			n = len(p)
		}
		if f.inside {
			s.take(p[:n])
		} else if len(f.name) <= maxName {
			f.name = append(f.name, p[:min(n, maxName+1)]...)
		}
		if i < 0 {
			return
		}
		if p[i] == '=' {
			f.inside = true
			s.start(unescape(string(f.name)), true)
		} else {
			f.pair(s)
		}
		p = p[i+1:]
	}
}

// close implements syntax.
func (f *pairs) close(s *Scanner) {
	f.pair(s)
	s.ended = true
}

// pair ends a pair. One without = is a name.
func (f *pairs) pair(s *Scanner) {
	if !f.inside && len(f.name) > 0 {
		s.start(unescape(string(f.name)), true)
	}
	s.end(unescape)
	f.inside = false
	f.name = f.name[:0]
}

// unescape decodes a name or a value; one with a wrong escape stays as it is.
func unescape(text string) string {
	plain, err := url.QueryUnescape(text)
	if err != nil {
		return text
	}
	return plain
}
