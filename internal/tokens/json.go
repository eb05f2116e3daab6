package tokens

import (
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// cursor walks the members of an object or the elements of an array once, without copying or decoding them. What it
// walks has passed dialect.Scan, so it is valid; on anything else it ends early, but it neither panics nor loops.
//
// gjson would do the same, but it unescapes each string that it passes into a new one, also a picture of 20 MB whose
// slashes are escaped.
type cursor struct {
	json string
	at   int

	key   string // of a member, unescaped
	value string // as it is spelled
}

// walk returns a cursor before the first element of json, which holds none unless it is an object or an array.
func walk(json string) cursor {
	if json == "" || json[0] != '{' && json[0] != '[' {
		return cursor{}
	}
	return cursor{json: json, at: 1}
}

// next moves to the next element and reports whether there is one.
func (c *cursor) next() bool {
	i := c.skip(c.at)
	if i >= len(c.json) || c.json[i] == '}' || c.json[i] == ']' {
		return false
	}
	if c.json[0] == '{' {
		if c.json[i] != '"' {
			return false
		}
		end := endOfString(c.json, i)
		c.key = plain(inner(c.json[i:end]))
		if i = c.skip(end); i >= len(c.json) {
			return false
		}
	}
	end := endOfValue(c.json, i)
	c.value, c.at = c.json[i:end], end
	return end > i
}

// skip returns the next place that is no white space and no separator.
func (c *cursor) skip(i int) int {
	for i < len(c.json) && (c.json[i] <= ' ' || c.json[i] == ',' || c.json[i] == ':') {
		i++
	}
	return i
}

// endOfValue returns the end of the value that begins at json[i]. It does not recurse.
func endOfValue(json string, i int) int {
	switch json[i] {
	case '"':
		return endOfString(json, i)
	case '{', '[':
		for depth := 0; i < len(json); i++ {
			switch json[i] {
			case '"':
				i = endOfString(json, i) - 1
			case '{', '[':
				depth++
			case '}', ']':
				if depth--; depth == 0 {
					return i + 1
				}
			}
		}
		return len(json)
	}
	for i < len(json) && json[i] > ' ' && json[i] != ',' && json[i] != ']' && json[i] != '}' {
		i++
	}
	return i
}

// endOfString returns the place after the closing quote of the string that opens at json[i].
func endOfString(json string, i int) int {
	for from := i + 1; ; {
		n := strings.IndexByte(json[from:], '"')
		if n < 0 {
			return len(json)
		}
		quote := from + n
		slashes := 0
		for quote-slashes > from && json[quote-slashes-1] == '\\' {
			slashes++
		}
		if from = quote + 1; slashes%2 == 0 {
			return from
		}
	}
}

// isString, isObject and isArray tell what a value is.
func isString(value string) bool { return value != "" && value[0] == '"' }
func isObject(value string) bool { return value != "" && value[0] == '{' }
func isArray(value string) bool  { return value != "" && value[0] == '[' }

// inner returns what stands between the quotes of a string, still escaped, and "" for any other value.
func inner(value string) string {
	if len(value) < 2 || value[0] != '"' {
		return ""
	}
	return value[1 : len(value)-1]
}

// plain returns the text of an escaped string, which is copied only if there is something to unescape.
func plain(escaped string) string {
	if strings.IndexByte(escaped, '\\') < 0 {
		return escaped
	}
	return string(appendPlain(nil, escaped))
}

// appendPlain appends the text of an escaped string. It takes parts of one, too: an escape that is cut off stands for
// itself. Half a pair of surrogates becomes U+FFFD (RFC 8259, section 8.2, leaves open what it means).
func appendPlain(dst []byte, escaped string) []byte {
	for {
		i := strings.IndexByte(escaped, '\\')
		if i < 0 || i+1 == len(escaped) {
			return append(dst, escaped...)
		}
		dst = append(dst, escaped[:i]...)
		c := escaped[i+1]
		escaped = escaped[i+2:]
		switch c {
		case 'n':
			c = '\n'
		case 't':
			c = '\t'
		case 'r':
			c = '\r'
		case 'b':
			c = '\b'
		case 'f':
			c = '\f'
		case 'u':
			var r rune
			r, escaped = unit(escaped)
			if utf16.IsSurrogate(r) && strings.HasPrefix(escaped, `\u`) {
				low, rest := unit(escaped[2:])
				if both := utf16.DecodeRune(r, low); both != utf8.RuneError {
					r, escaped = both, rest
				}
			}
			dst = utf8.AppendRune(dst, r)
			continue
		}
		dst = append(dst, c)
	}
}

// unit reads the four hexadecimal digits of a \u escape.
func unit(s string) (r rune, rest string) {
	if len(s) < 4 {
		return utf8.RuneError, ""
	}
	for _, c := range []byte(s[:4]) {
		switch {
		case '0' <= c && c <= '9':
			c -= '0'
		case 'a' <= c|0x20 && c|0x20 <= 'f':
			c = c | 0x20 - 'a' + 10
		default:
			return utf8.RuneError, s
		}
		r = r<<4 | rune(c)
	}
	return r, s[4:]
}
