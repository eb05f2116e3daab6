package cache

import (
	"bytes"
	"unicode/utf16"
	"unicode/utf8"
)

// text reads a string with its quotes. Bytes that need no escape are copied in runs, as they are even if they are not
// UTF-8.
func (c *canonicaliser) text() error {
	c.at++
	c.out = append(c.out, '"')
	for {
		run := c.at
		for c.at < len(c.in) && c.in[c.at] >= ' ' && c.in[c.at] != '"' && c.in[c.at] != '\\' {
			c.at++
		}
		c.out = append(c.out, c.in[run:c.at]...)
		switch c.peek() {
		case '"':
			c.at++
			c.out = append(c.out, '"')
			return nil
		case '\\':
			if err := c.escape(); err != nil {
				return err
			}
		default:
			return c.invalid()
		}
	}
}

// escape reads one escape, or two that make a surrogate pair, and writes the character the shortest way.
func (c *canonicaliser) escape() error {
	c.at++
	switch b := c.peek(); b {
	case '"', '\\', '/':
		c.put(rune(b))
	case 'b':
		c.put('\b')
	case 'f':
		c.put('\f')
	case 'n':
		c.put('\n')
	case 'r':
		c.put('\r')
	case 't':
		c.put('\t')
	case 'u':
		r, ok := hex4(c.in[c.at+1:])
		if !ok {
			return c.invalid()
		}
		if rest := c.in[c.at+5:]; utf16.IsSurrogate(r) && bytes.HasPrefix(rest, []byte(`\u`)) {
			if low, ok := hex4(rest[2:]); ok && utf16.DecodeRune(r, low) != utf8.RuneError {
				r = utf16.DecodeRune(r, low)
				c.at += 6
			}
		}
		c.put(r)
		c.at += 4
	default:
		return c.invalid()
	}
	c.at++
	return nil
}

func (c *canonicaliser) put(r rune) {
	switch {
	case r == '"' || r == '\\':
		c.out = append(c.out, '\\', byte(r))
	case r < ' ' || utf16.IsSurrogate(r):
		const digits = "0123456789abcdef"
		c.out = append(c.out, '\\', 'u', digits[r>>12&15], digits[r>>8&15], digits[r>>4&15], digits[r&15])
	default:
		c.out = utf8.AppendRune(c.out, r)
	}
}

func hex4(b []byte) (rune, bool) {
	if len(b) < 4 {
		return 0, false
	}
	var r rune
	for _, d := range b[:4] {
		switch {
		case '0' <= d && d <= '9':
			r = r<<4 | rune(d-'0')
		case 'a' <= d|0x20 && d|0x20 <= 'f':
			r = r<<4 | rune(d|0x20-'a'+10)
		default:
			return 0, false
		}
	}
	return r, true
}

// plain takes the quotes and the few escapes of a canonical string off. Half a surrogate pair keeps its escape.
func plain(quoted []byte) string {
	s := quoted[1 : len(quoted)-1]
	if bytes.IndexByte(s, '\\') < 0 {
		return string(s)
	}
	out := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		if s[i] != '\\' {
			out = append(out, s[i])
			continue
		}
		i++
		if r, ok := hex4(s[i+1:]); s[i] == 'u' && ok && !utf16.IsSurrogate(r) {
			out = utf8.AppendRune(out, r)
			i += 4
		} else if s[i] == 'u' {
			out = append(out, '\\', 'u')
		} else {
			out = append(out, s[i])
		}
	}
	return string(out)
}
