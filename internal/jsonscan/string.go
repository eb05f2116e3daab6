package jsonscan

import (
	"strings"
	"unicode/utf16"
	"unicode/utf8"
	"unsafe"
)

// AppendString appends s as a JSON string. Unlike encoding/json and gjson it
// escapes only what RFC 8259 demands, so <, > and & stay as they are. Each byte
// that is not part of valid UTF-8 becomes U+FFFD.
func AppendString(dst []byte, s string) []byte {
	if !utf8.ValidString(s) {
		s = string([]rune(s))
	}
	text := bytesOf(s)
	dst = append(dst, '"')
	for i := 0; ; i++ {
		end := skipPlain(text, i)
		dst = append(dst, text[i:end]...)
		if end == len(text) {
			return append(dst, '"')
		}
		dst = appendEscape(dst, rune(text[end]))
		i = end
	}
}

// appendEscape appends the escape of a quote, a backslash, a control character
// or half a surrogate pair.
func appendEscape(dst []byte, r rune) []byte {
	switch r {
	case '"', '\\':
		return append(dst, '\\', byte(r))
	case '\n':
		return append(dst, '\\', 'n')
	case '\r':
		return append(dst, '\\', 'r')
	case '\t':
		return append(dst, '\\', 't')
	}
	return appendHexEscape(dst, r)
}

func appendHexEscape(dst []byte, r rune) []byte {
	const hex = "0123456789abcdef"
	return append(dst, '\\', 'u', hex[r>>12&15], hex[r>>8&15], hex[r>>4&15], hex[r&15])
}

// AppendCompact appends valid JSON as it is, without the white space between
// its tokens.
func AppendCompact(dst []byte, raw string) []byte {
	text := bytesOf(raw)
	for i := 0; i < len(text); {
		end := i + 1
		switch text[i] {
		case ' ', '\t', '\n', '\r':
			i = end
			continue
		case '"':
			end = skipString(text, end)
		}
		dst = append(dst, text[i:end]...)
		i = end
	}
	return dst
}

// IsString, IsObject and IsArray report whether raw, which is valid JSON
// without white space around it or empty, is a value of that type.
func IsString(raw string) bool { return raw != "" && raw[0] == '"' }
func IsObject(raw string) bool { return raw != "" && raw[0] == '{' }
func IsArray(raw string) bool  { return raw != "" && raw[0] == '[' }

// Inner returns what stands between the quotes of a JSON string, still escaped,
// and "" for any other value.
func Inner(raw string) string {
	if len(raw) < 2 || raw[0] != '"' {
		return ""
	}
	return raw[1 : len(raw)-1]
}

// Unquote returns the text of a valid JSON string. ok is false if the text is
// not Unicode: if the string holds bytes that are not UTF-8 or half a surrogate
// pair, for which gjson returns U+FFFD.
func Unquote(raw string) (s string, ok bool) {
	escaped := Inner(raw)
	if !utf8.ValidString(escaped) {
		return "", false
	}
	for rest := escaped; ; {
		i := strings.IndexByte(rest, '\\')
		if i < 0 {
			return Unescape(escaped), true
		}
		r, n := readEscape(rest[i:])
		if utf16.IsSurrogate(r) {
			return "", false
		}
		rest = rest[i+n:]
	}
}

// Unescape returns the text of an escaped string, which is copied only if it
// holds an escape.
func Unescape(escaped string) string {
	if strings.IndexByte(escaped, '\\') < 0 {
		return escaped
	}
	return string(AppendUnescaped(nil, escaped))
}

// AppendUnescaped appends the text of an escaped string, or of a part of one: a
// backslash at its end is appended as it is. Half a surrogate pair becomes
// U+FFFD (RFC 8259, section 8.2, leaves open what it means).
func AppendUnescaped(dst []byte, escaped string) []byte {
	for {
		i := strings.IndexByte(escaped, '\\')
		if i < 0 || i+1 == len(escaped) {
			return append(dst, escaped...)
		}
		r, n := readEscape(escaped[i:])
		dst = utf8.AppendRune(append(dst, escaped[:i]...), r)
		escaped = escaped[i+n:]
	}
}

// readEscape returns the character and the length of the escape at the start of
// s, which has at least two bytes. Two escapes that form a surrogate pair are
// read as one. Half a pair is returned as it is, a malformed \u escape as
// U+FFFD.
func readEscape(s string) (r rune, n int) {
	switch c := s[1]; c {
	case 'b':
		return '\b', 2
	case 'f':
		return '\f', 2
	case 'n':
		return '\n', 2
	case 'r':
		return '\r', 2
	case 't':
		return '\t', 2
	case 'u':
	default:
		return rune(c), 2
	}
	r, n = readUnit(s)
	if utf16.IsSurrogate(r) && strings.HasPrefix(s[n:], `\u`) {
		low, m := readUnit(s[n:])
		if pair := utf16.DecodeRune(r, low); pair != utf8.RuneError {
			return pair, n + m
		}
	}
	return r, n
}

// readUnit reads the UTF-16 code unit of the \u escape at the start of s.
func readUnit(s string) (r rune, n int) {
	if len(s) < 6 {
		return utf8.RuneError, len(s)
	}
	for _, c := range []byte(s[2:6]) {
		switch {
		case isDigit(c):
			c -= '0'
		case isHex(c):
			c = c | 0x20 - 'a' + 10
		default:
			return utf8.RuneError, 2
		}
		r = r<<4 | rune(c)
	}
	return r, 6
}

// bytesOf returns s as bytes without a copy. They must not be written to.
func bytesOf(s string) []byte { return unsafe.Slice(unsafe.StringData(s), len(s)) }
