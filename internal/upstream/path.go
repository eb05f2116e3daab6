package upstream

import "strings"

// ErrPath is why CheckPath refuses a path. Its text is fit for clients.
type ErrPath struct{ Reason string }

// Error returns the reason as a sentence.
func (e *ErrPath) Error() string { return "The path of the request " + e.Reason + "." }

// maxEscaping is how many layers of percent-encoding CheckPath takes off. Each
// hop on the way decodes at most once, and deeper nesting has no honest use.
const maxEscaping = 3

// CheckPath refuses an escaped path that another server could read as a
// different one than the gateway matched, limited and logged: dot segments
// (raw, encoded, encoded twice, or with a path parameter as in "..;"),
// backslashes and control bytes. An encoded slash and an empty segment are no
// reason: they are forwarded as they are. The error is an *ErrPath.
func CheckPath(escaped string) error {
	if !strings.HasPrefix(escaped, "/") {
		return &ErrPath{"does not start with a slash"}
	}
	if strings.HasPrefix(escaped, "//") {
		return &ErrPath{"starts with two slashes"} // a URL parser takes what follows for a host
	}
	layer := escaped
	for depth := 0; ; depth++ {
		if reason := checkLayer(layer); reason != "" {
			return &ErrPath{reason}
		}
		if !strings.Contains(layer, "%") {
			return nil
		}
		decoded, broken := decode(layer)
		switch {
		case broken && depth == 0:
			return &ErrPath{"contains a % that is not followed by two hexadecimal digits"}
		case decoded == layer: // only literal percent signs are left
			return nil
		case depth == maxEscaping:
			return &ErrPath{"is percent-encoded too many times"}
		}
		layer = decoded
	}
}

// checkLayer returns what is wrong with a path from which some layers of
// escapes were taken off, or "".
func checkLayer(p string) string {
	segment := 0 // where the current segment starts
	for i := 0; i <= len(p); i++ {
		if i == len(p) || p[i] == '/' {
			if dots(p[segment:i]) {
				return "contains a . or .. segment"
			}
			segment = i + 1
			continue
		}
		switch c := p[i]; {
		case c == '\\':
			return `contains a backslash`
		case c < ' ' || c == 0x7f:
			return "contains a control character"
		case c == 0xc0 || c == 0xc1:
			// Never part of UTF-8, except in the overlong spellings of ASCII
			// that careless decoders take for "." and "/".
			return "contains a byte that is not UTF-8"
		}
	}
	return ""
}

// dots reports whether a segment is . or .., perhaps with a path parameter:
// servers that know those (";jsessionid=…") cut them off before they resolve
// the dots.
func dots(segment string) bool {
	segment, _, _ = strings.Cut(segment, ";")
	return segment == "." || segment == ".."
}

// decode takes one layer of percent-encoding off and leaves a percent sign that
// starts no escape as it is; broken reports that there was one.
func decode(p string) (decoded string, broken bool) {
	var b strings.Builder
	b.Grow(len(p))
	for i := 0; i < len(p); i++ {
		if p[i] != '%' {
			b.WriteByte(p[i])
			continue
		}
		hi, lo := -1, -1
		if i+2 < len(p) {
			hi = unhex(p[i+1])
			lo = unhex(p[i+2])
		}
		if hi < 0 || lo < 0 {
			broken = true
			b.WriteByte('%')
			continue
		}
		b.WriteByte(byte(hi<<4 | lo))
		i += 2
	}
	return b.String(), broken
}

// unhex returns the value of a hexadecimal digit, or -1.
func unhex(c byte) int {
	switch {
	case '0' <= c && c <= '9':
		return int(c - '0')
	case 'a' <= c && c <= 'f':
		return int(c-'a') + 10
	case 'A' <= c && c <= 'F':
		return int(c-'A') + 10
	}
	return -1
}
