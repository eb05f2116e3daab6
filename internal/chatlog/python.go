package chatlog

import (
	"errors"
	"fmt"
	"math/big"
	"strings"
)

// maxNesting bounds how deep a Python literal may nest; Python's own parser stops at 200 brackets.
const maxNesting = 1000

var errLiteral = errors.New("not a Python literal")

// appendLiteral reads one Python literal, as repr writes it and ast.literal_eval reads it, and appends the same value as
// JSON: dict in its order, list and tuple as arrays, str of every prefix and quoting, bytes as Latin-1 text, None, True,
// False and numbers. Keys that are no strings become what Python's json module makes of them. nan and inf, which repr writes
// but JSON cannot say, become null. Anything else, also after the literal, is an error.
func appendLiteral(dst, src []byte) ([]byte, error) {
	p := literal{src: src, dst: dst}
	p.space()
	if err := p.value(0); err != nil {
		return dst, err
	}
	if p.space(); p.at < len(p.src) {
		return dst, p.fail("text after the end")
	}
	return p.dst, nil
}

// literal is the state of one reading.
type literal struct {
	src     []byte
	at      int
	dst     []byte
	scratch []byte // of the string being read
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
	case c == '+' || c == '-' || c == '.' || '0' <= c && c <= '9':
		return p.number()
	case p.atString():
		s, err := p.text()
		if err == nil {
			p.dst = appendString(p.dst, s)
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
		if p.space(); p.peek() == '}' {
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
		if p.space(); p.peek() != ':' {
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
			p.dst = appendString(p.dst, s)
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

// separator steps over a comma, or stays before the closing bracket.
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

// sequence reads the values up to a closing bracket as an array. It returns how many there were and whether the last one
// was followed by a comma.
func (p *literal) sequence(closing byte, depth int) (n int, comma bool, err error) {
	p.at++
	p.dst = append(p.dst, '[')
	for ; ; n++ {
		if p.space(); p.peek() == closing {
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

// tuple reads (), (1,) and (1, 2) as arrays, and (1) as the value that it is in Python.
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
	for c := p.peek(); c == '_' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9'; c = p.peek() {
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

func (p *literal) number() error {
	start := p.at
	out := p.dst
	if c := p.peek(); c == '+' || c == '-' {
		if p.at++; c == '-' {
			out = append(out, '-')
		}
		p.space()
		if c := p.peek(); c == 'i' || c == 'n' { // -inf, -nan
			return p.name()
		}
	}
	from := p.at
	for p.at < len(p.src) {
		c := p.src[p.at]
		exponent := (c == '+' || c == '-') && p.at > from && p.src[p.at-1]|0x20 == 'e' && !isRadix(p.src[from:p.at])
		if !exponent && c != '.' && c != '_' && !alphanumeric(c) {
			break
		}
		p.at++
	}
	out, ok := appendNumber(out, string(p.src[from:p.at]))
	if !ok {
		p.at = start
		return p.fail("malformed number")
	}
	p.dst = out
	return nil
}

func alphanumeric(c byte) bool {
	return '0' <= c && c <= '9' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
}

// isRadix reports whether a number begins with 0x, 0o or 0b.
func isRadix(text []byte) bool {
	return len(text) > 1 && text[0] == '0' && strings.IndexByte("xXoObB", text[1]) >= 0
}

// appendNumber appends an unsigned Python number as JSON spells it. The digits of decimal numbers stay as they are.
func appendNumber(dst []byte, text string) ([]byte, bool) {
	if strings.HasSuffix(text, "_") || strings.Contains(text, "__") || strings.Contains(text, "_.") || strings.Contains(text, "._") ||
		strings.HasPrefix(text, "_") {
		return dst, false
	}
	if isRadix([]byte(text)) {
		if len(text) > 1<<10 { // its conversion takes quadratic time
			return dst, false
		}
		n, ok := new(big.Int).SetString(text, 0)
		if !ok {
			return dst, false
		}
		return n.Append(dst, 10), true
	}
	text = strings.ReplaceAll(text, "_", "")
	mantissa, exponent, hasExponent := strings.Cut(strings.ToLower(text), "e")
	whole, fraction, hasPoint := strings.Cut(mantissa, ".")
	if !digits(whole) || !digits(fraction) || whole == "" && fraction == "" {
		return dst, false
	}
	if whole = strings.TrimLeft(whole, "0"); whole == "" {
		whole = "0"
	} else if len(whole) < len(mantissa) && mantissa[0] == '0' && !hasPoint && !hasExponent {
		return dst, false // 007 is no number in Python
	}
	dst = append(dst, whole...)
	if hasPoint {
		dst = append(append(dst, '.'), fraction...)
		if fraction == "" {
			dst = append(dst, '0')
		}
	}
	if hasExponent {
		unsigned := strings.TrimPrefix(strings.TrimPrefix(exponent, "+"), "-")
		if unsigned == "" || len(exponent)-len(unsigned) > 1 || !digits(unsigned) {
			return dst, false
		}
		dst = append(append(dst, 'e'), exponent...)
	}
	return dst, true
}

func digits(s string) bool {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return true
}
