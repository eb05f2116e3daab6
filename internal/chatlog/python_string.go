package chatlog

import (
	"bytes"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// atString reports whether a string starts here, with or without a prefix.
func (p *literal) atString() bool {
	_, _, ok := p.prefix()
	return ok
}

// prefix reads the prefix of a string without moving: r, b and u in the
// combinations that Python allows. n is its length.
func (p *literal) prefix() (n int, kind string, ok bool) {
	for n < 3 && p.at+n < len(p.src) {
		c := p.src[p.at+n]
		if c == '\'' || c == '"' {
			kind = strings.ToLower(string(p.src[p.at : p.at+n]))
			switch kind {
			case "", "r", "b", "u", "br", "rb":
				return n, kind, true
			}
			return 0, "", false
		}
		n++
	}
	return 0, "", false
}

// text reads a string and those that follow it directly, which Python joins.
// The result is valid until the next call.
func (p *literal) text() ([]byte, error) {
	p.scratch = p.scratch[:0]
	for {
		n, kind, ok := p.prefix()
		if !ok {
			break
		}
		p.at += n
		if err := p.quoted(strings.Contains(kind, "r"), strings.Contains(kind, "b")); err != nil {
			return nil, err
		}
		p.space()
	}
	return p.scratch, nil
}

// quoted reads one string after its prefix into scratch.
func (p *literal) quoted(raw, isBytes bool) error {
	quote := p.src[p.at : p.at+1]
	if triple := bytes.Repeat(quote, 3); bytes.HasPrefix(p.src[p.at:], triple) {
		quote = triple
	}
	p.at += len(quote)
	stops := "\\\n" + string(quote[:1])
	for {
		// Everything up to the next special byte is copied at once.
		n := bytes.IndexAny(p.src[p.at:], stops)
		if n < 0 {
			p.at = len(p.src)
			return p.fail("string without end")
		}
		p.scratch = append(p.scratch, p.src[p.at:p.at+n]...)
		p.at += n
		switch c := p.src[p.at]; {
		case bytes.HasPrefix(p.src[p.at:], quote):
			p.at += len(quote)
			return nil
		case c == '\n' && len(quote) == 1:
			return p.fail("string broken by a line end")
		case c == '\\' && p.at+1 == len(p.src):
			return p.fail("string without end")
		case c == '\\' && raw:
			p.scratch = append(p.scratch, c, p.src[p.at+1])
			p.at += 2
		case c == '\\':
			p.at++
			if err := p.escape(isBytes); err != nil {
				return err
			}
		default: // a quote or a line end inside triple quotes
			p.scratch = append(p.scratch, c)
			p.at++
		}
	}
}

// escape reads what follows a backslash.
func (p *literal) escape(isBytes bool) error {
	c := p.src[p.at]
	p.at++
	if i := strings.IndexByte("abfnrtv\\'\"", c); i >= 0 {
		p.scratch = append(p.scratch, "\a\b\f\n\r\t\v\\'\""[i])
		return nil
	}
	switch {
	case c == '\n':
	case c == 'x':
		return p.code(2)
	case c == 'u' && !isBytes:
		return p.code(4)
	case c == 'U' && !isBytes:
		return p.code(8)
	case c == 'N' && !isBytes:
		return p.fail("character by name") // repr never writes one
	case '0' <= c && c <= '7':
		r := rune(c - '0')
		for n := 1; n < 3 && '0' <= p.peek() && p.peek() <= '7'; n++ {
			r = r<<3 | rune(p.peek()-'0')
			p.at++
		}
		p.scratch = utf8.AppendRune(p.scratch, r)
	default: // Python keeps unknown escapes
		p.scratch = append(p.scratch, '\\', c)
	}
	return nil
}

// code reads n hexadecimal digits as a character. A surrogate pair becomes one
// character, and half a pair is dropped, as in openai-forward's converter:
// UTF-8 cannot encode it.
func (p *literal) code(n int) error {
	r, ok := p.hex(n)
	if !ok || r > utf8.MaxRune {
		return p.fail("malformed escape")
	}
	if !utf16.IsSurrogate(r) {
		p.scratch = utf8.AppendRune(p.scratch, r)
		return nil
	}
	if bytes.HasPrefix(p.src[p.at:], []byte(`\u`)) {
		back := p.at
		p.at += 2
		if low, ok := p.hex(4); ok {
			if joined := utf16.DecodeRune(r, low); joined != utf8.RuneError {
				p.scratch = utf8.AppendRune(p.scratch, joined)
				return nil
			}
		}
		p.at = back
	}
	return nil
}

func (p *literal) hex(n int) (rune, bool) {
	if p.at+n > len(p.src) {
		return 0, false
	}
	v, err := strconv.ParseUint(string(p.src[p.at:p.at+n]), 16, 32)
	if err != nil {
		return 0, false
	}
	p.at += n
	return rune(v), true
}
