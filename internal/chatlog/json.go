package chatlog

import (
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/tidwall/gjson"
)

// prettyDepth is the depth below which indented JSON goes on without line ends: the indentation of nested lists grows with
// the square of their depth, and it is the client who decides how deep they are.
const prettyDepth = 64

// appendString appends s as a JSON string in which only what must be escaped is: no \u003c, no \u4f60.
func appendString[T ~string | ~[]byte](dst []byte, s T) []byte {
	const hex = "0123456789abcdef"
	dst = append(dst, '"')
	from := 0
	for i := 0; i < len(s); {
		c := s[i]
		if c >= 0x20 && c != '"' && c != '\\' && c < utf8.RuneSelf {
			i++
			continue
		}
		if c >= utf8.RuneSelf {
			// The longest rune has 4 bytes; a conversion of so few does not allocate.
			if r, n := utf8.DecodeRuneInString(string(s[i:min(i+utf8.UTFMax, len(s))])); r != utf8.RuneError || n > 1 {
				i += n
				continue
			}
		}
		dst = append(dst, s[from:i]...)
		switch {
		case c >= utf8.RuneSelf:
			dst = append(dst, "\uFFFD"...)
		case c == '"' || c == '\\':
			dst = append(dst, '\\', c)
		case c == '\n':
			dst = append(dst, '\\', 'n')
		case c == '\r':
			dst = append(dst, '\\', 'r')
		case c == '\t':
			dst = append(dst, '\\', 't')
		default:
			dst = append(dst, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
		}
		i++
		from = i
	}
	dst = append(dst, s[from:]...)
	return append(dst, '"')
}

// appendOneLine appends valid JSON byte for byte, but without the white space between its tokens if there are line ends
// in it. (Inside of strings JSON has none.)
func appendOneLine(dst []byte, raw string) []byte {
	if strings.IndexByte(raw, '\n') < 0 && strings.IndexByte(raw, '\r') < 0 {
		return append(dst, raw...)
	}
	inString := false
	for i := 0; i < len(raw); i++ {
		c := raw[i]
		switch {
		case inString && c == '\\':
			dst = append(dst, c)
			i++
			c = raw[i]
		case c == '"':
			inString = !inString
		case !inString && (c == ' ' || c == '\t' || c == '\n' || c == '\r'):
			continue
		}
		dst = append(dst, c)
	}
	return dst
}

// layout says how appendValue spreads JSON over lines.
type layout struct {
	indent string // of one level; "" writes one line without spaces
	level  int    // of the value's first line
}

// in returns the layout of what is inside of a value.
func (l layout) in() layout {
	if l.level++; l.level > prettyDepth {
		l.indent = ""
	}
	return l
}

// line appends a line end and the indentation of the level.
func (l layout) line(dst []byte) []byte {
	if l.indent == "" {
		return dst
	}
	dst = append(dst, '\n')
	for range l.level {
		dst = append(dst, l.indent...)
	}
	return dst
}

func (l layout) colon(dst []byte) []byte {
	if l.indent == "" {
		return append(dst, ':')
	}
	return append(dst, ':', ' ')
}

// appendValue appends v with its strings spelled by appendString and its numbers as they are; a value that is not there is null.
func appendValue(dst []byte, v gjson.Result, l layout) []byte {
	switch {
	case !v.Exists():
		return append(dst, "null"...)
	case v.Type == gjson.String:
		return appendString(dst, v.Str)
	case !v.IsObject() && !v.IsArray():
		return append(dst, v.Raw...)
	}
	o := newObject(dst, l)
	if o.open = '{'; v.IsArray() {
		o.open = '['
	}
	v.ForEach(func(k, item gjson.Result) bool {
		if o.open == '[' {
			o.next()
			o.dst = appendValue(o.dst, item, o.layout)
		} else {
			o.value(k.Str, item)
		}
		return true
	})
	return o.end()
}

// object appends the members of a JSON object or array one after the other.
type object struct {
	dst    []byte
	layout layout // of the members
	open   byte   // '{' or '['
	n      int    // members so far
}

func newObject(dst []byte, l layout) *object { return &object{dst: dst, layout: l.in(), open: '{'} }

func (o *object) next() {
	if o.n++; o.n == 1 {
		o.dst = append(o.dst, o.open)
	} else {
		o.dst = append(o.dst, ',')
	}
	o.dst = o.layout.line(o.dst)
}

// key begins a member.
func (o *object) key(name string) {
	o.next()
	o.dst = o.layout.colon(appendString(o.dst, name))
}

func (o *object) value(name string, v gjson.Result) {
	o.key(name)
	o.dst = appendValue(o.dst, v, o.layout)
}

func (o *object) text(name, s string) {
	o.key(name)
	o.dst = appendString(o.dst, s)
}

// end closes what next opened; '[' and ']' are two apart, as are the braces.
func (o *object) end() []byte {
	if o.n == 0 {
		return append(o.dst, o.open, o.open+2)
	}
	outer := o.layout
	outer.level--
	return append(outer.line(o.dst), o.open+2)
}

func (o *object) textOrNull(name, s string) {
	if o.key(name); s == "" {
		o.dst = append(o.dst, "null"...)
	} else {
		o.dst = appendString(o.dst, s)
	}
}

func (o *object) int(name string, n int) {
	o.key(name)
	o.dst = strconv.AppendInt(o.dst, int64(n), 10)
}

func (o *object) bool(name string, b bool) {
	o.key(name)
	o.dst = strconv.AppendBool(o.dst, b)
}
