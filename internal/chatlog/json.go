package chatlog

import (
	"strconv"
	"strings"

	"github.com/tidwall/gjson"

	"forward/internal/jsonscan"
)

// prettyDepth is the depth below which indented JSON continues without line
// ends. The indentation of nested lists grows with the square of their depth,
// and the client chooses the depth.
const prettyDepth = 64

// appendOneLine appends valid JSON byte for byte, without the white space
// between its tokens if that contains line ends.
func appendOneLine(dst []byte, raw string) []byte {
	if strings.IndexByte(raw, '\n') < 0 && strings.IndexByte(raw, '\r') < 0 {
		return append(dst, raw...)
	}
	return jsonscan.AppendCompact(dst, raw)
}

// layout defines how JSON is spread over lines.
type layout struct {
	indent string // of one level; "" writes one line without spaces
	level  int    // of the first line of the value
}

// in returns the layout of the members of a value.
func (l layout) in() layout {
	l.level++
	if l.level > prettyDepth {
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

// appendValue appends v with its strings spelled by jsonscan.AppendString and
// its numbers as they are. A value that does not exist is null.
func appendValue(dst []byte, v gjson.Result, l layout) []byte {
	switch {
	case !v.Exists():
		return append(dst, "null"...)
	case v.Type == gjson.String:
		return jsonscan.AppendString(dst, v.Str)
	case v.IsArray():
		o := newArray(dst, l)
		v.ForEach(func(_, item gjson.Result) bool {
			o.next()
			o.dst = appendValue(o.dst, item, o.layout)
			return true
		})
		return o.end()
	case v.IsObject():
		o := newObject(dst, l)
		v.ForEach(func(k, item gjson.Result) bool {
			o.value(k.Str, item)
			return true
		})
		return o.end()
	}
	return append(dst, v.Raw...)
}

// object appends the members of a JSON object or array one after the other. The
// methods that take a name are for objects.
type object struct {
	dst    []byte
	layout layout // of the members
	open   byte   // '{' or '['
	n      int    // members so far
}

func newObject(dst []byte, l layout) *object { return &object{dst: dst, layout: l.in(), open: '{'} }

func newArray(dst []byte, l layout) *object { return &object{dst: dst, layout: l.in(), open: '['} }

// next starts a member.
func (o *object) next() {
	if o.n == 0 {
		o.dst = append(o.dst, o.open)
	} else {
		o.dst = append(o.dst, ',')
	}
	o.n++
	o.dst = o.layout.line(o.dst)
}

// end closes the object; '[' and ']' are two apart, as are the braces.
func (o *object) end() []byte {
	if o.n == 0 {
		return append(o.dst, o.open, o.open+2)
	}
	outer := o.layout
	outer.level--
	return append(outer.line(o.dst), o.open+2)
}

// key starts a member with a name; its value is appended to dst.
func (o *object) key(name string) {
	o.next()
	o.dst = o.layout.colon(jsonscan.AppendString(o.dst, name))
}

func (o *object) value(name string, v gjson.Result) {
	o.key(name)
	o.dst = appendValue(o.dst, v, o.layout)
}

// raw appends a member whose value is JSON already.
func (o *object) raw(name, text string) {
	o.key(name)
	o.dst = append(o.dst, text...)
}

func (o *object) text(name, s string) {
	o.key(name)
	o.dst = jsonscan.AppendString(o.dst, s)
}

func (o *object) textOrNull(name, s string) {
	if s == "" {
		o.raw(name, "null")
	} else {
		o.text(name, s)
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
