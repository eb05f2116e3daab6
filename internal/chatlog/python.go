package chatlog

import (
	"errors"
	"fmt"
	"strings"

	"forward/internal/jsonscan"
)

// maxNesting bounds how deep a Python literal may nest. Python's own parser
// stops at 200 brackets.
const maxNesting = 1000

var errLiteral = errors.New("not a Python literal")

// appendLiteral reads one Python literal, as repr writes and ast.literal_eval
// reads it, and appends the same value as JSON: dict in its order, list and
// tuple as arrays, str of every prefix and quoting, bytes as Latin-1 text,
// None, True, False and numbers. Keys other than strings become what Python's
// json module makes of them. nan and inf, which repr writes and JSON lacks,
// become null. Anything else, also after the literal, is an error.
func appendLiteral(dst, src []byte) ([]byte, error) {
	p := literal{src: src, dst: dst}
	p.space()
	if err := p.value(0); err != nil {
		return dst, err
	}
	p.space()
	if p.at < len(p.src) {
		return dst, p.fail("text after the end")
	}
	return p.dst, nil
}

// literal is the state of reading one.
type literal struct {
	src     []byte
	at      int
	dst     []byte
	scratch []byte // text of the string being read
}

func (p *literal) fail(reason string) error {
	return fmt.Errorf("%w: %s at byte %d", errLiteral, reason, p.at)
}

func (p *literal) space() {
	for p.at < len(p.src) && strings.IndexByte(" \t\r\n\f", p.src[p.at]) >= 0 {
		p.at++
	}
}

// peek returns the byte at the current place, 0 at the end.
func (p *literal) peek() byte {
	if p.at < len(p.src) {
		return p.src[p.at]
	}
	return 0
}

func (p *literal) value(depth int) error {
	if depth > maxNesting {
		return p.fail("nested too deep")
	}
	switch c := p.peek(); {
	case c == '{':
		return p.dict(depth)
	case c == '[':
		_, _, err := p.sequence(']', depth)
		return err
	case c == '(':
		return p.tuple(depth)
	case c == '+' || c == '-' || c == '.' || ('0' <= c && c <= '9'):
		return p.number()
	case p.atString():
		s, err := p.text()
		if err == nil {
			p.dst = jsonscan.AppendString(p.dst, jsonscan.UnsafeString(s))
		}
		return err
	default:
		return p.name()
	}
}

func (p *literal) dict(depth int) error {
	p.at++
	p.dst = append(p.dst, '{')
	for n := 0; ; n++ {
		p.space()
		if p.peek() == '}' {
			p.at++
			p.dst = append(p.dst, '}')
			return nil
		}
		if n > 0 {
			p.dst = append(p.dst, ',')
		}
		if err := p.key(); err != nil {
			return err
		}
		p.space()
		if p.peek() != ':' {
			return p.fail("no colon after a key")
		}
		p.at++
		p.dst = append(p.dst, ':')
		p.space()
		if err := p.value(depth + 1); err != nil {
			return err
		}
		if _, err := p.separator('}'); err != nil {
			return err
		}
	}
}

// key appends a key of a dict as a JSON string.
func (p *literal) key() error {
	if p.atString() {
		s, err := p.text()
		if err == nil {
			p.dst = jsonscan.AppendString(p.dst, jsonscan.UnsafeString(s))
		}
		return err
	}
	if c := p.peek(); c == '{' || c == '[' || c == '(' {
		return p.fail("a key that is not a plain value")
	}
	p.dst = append(p.dst, '"')
	if err := p.value(0); err != nil {
		return err
	}
	p.dst = append(p.dst, '"')
	return nil
}

// separator skips a comma, or stops before the closing bracket.
func (p *literal) separator(closing byte) (comma bool, err error) {
	p.space()
	switch p.peek() {
	case ',':
		p.at++
		return true, nil
	case closing:
		return false, nil
	}
	return false, p.fail("no comma between values")
}

// sequence reads the values up to a closing bracket as an array. It returns
// their number and whether a comma followed the last one.
func (p *literal) sequence(closing byte, depth int) (n int, comma bool, err error) {
	p.at++
	p.dst = append(p.dst, '[')
	for ; ; n++ {
		p.space()
		if p.peek() == closing {
			p.at++
			p.dst = append(p.dst, ']')
			return n, comma, nil
		}
		if n > 0 {
			p.dst = append(p.dst, ',')
		}
		if err := p.value(depth + 1); err != nil {
			return n, comma, err
		}
		if comma, err = p.separator(closing); err != nil {
			return n, comma, err
		}
	}
}

// tuple reads (), (1,) and (1, 2) as arrays, and (1) as the value that it is in
// Python.
func (p *literal) tuple(depth int) error {
	start := len(p.dst)
	n, comma, err := p.sequence(')', depth)
	if err == nil && n == 1 && !comma {
		p.dst = append(p.dst[:start], p.dst[start+1:len(p.dst)-1]...)
	}
	return err
}

// name reads the words that are values.
func (p *literal) name() error {
	start := p.at
	for c := p.peek(); c == '_' || alphanumeric(c); c = p.peek() {
		p.at++
	}
	switch string(p.src[start:p.at]) {
	case "None", "nan", "inf":
		p.dst = append(p.dst, "null"...)
	case "True":
		p.dst = append(p.dst, "true"...)
	case "False":
		p.dst = append(p.dst, "false"...)
	default:
		p.at = start
		return p.fail("unknown word")
	}
	return nil
}
