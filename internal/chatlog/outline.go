package chatlog

import "forward/internal/jsonscan"

const (
	minRepeat  = 256     // bytes of a value, or of a run of elements, from which it is referred to
	maxLevels  = 8       // levels of a line that are searched: messages, content, block, its content, …
	maxOutline = 1 << 14 // values of a line that are compared; a line with more is written whole
)

// item is a value in the text of a line that may repeat.
type item struct {
	sum        digest
	start, end int32 // its bytes in the text, without the name of a member
	next       int32 // index of the next item that is not inside of it
	gap        int32 // bytes between an element and the next: a comma, with a space or without; 0 for other
}

// outline lists the values of an object that are long enough to be referred to,
// and the elements of its members whatever their length, each before those
// inside of it. ok is false if there are too many.
func outline(text []byte) (items []item, ok bool) {
	o := outliner{text: jsonscan.UnsafeString(text)}
	o.list(0, 0)
	return o.items, len(o.items) <= maxOutline
}

type outliner struct {
	text  string // valid JSON
	items []item
}

// list appends the values of the object or array at i, and returns the offset
// behind it.
func (o *outliner) list(i, depth int) int {
	array := o.text[i] == '['
	i = skipSpace(o.text, i+1)
	if c := o.text[i]; c == ']' || c == '}' {
		return i + 1
	}
	for {
		if !array {
			i = skipSpace(o.text, closingQuote(o.text, i)+1)
			i = skipSpace(o.text, i+1)
		}
		n := len(o.items)
		o.items = append(o.items, item{start: int32(i)})
		end := o.value(i, depth+1)
		comma := skipSpace(o.text, end)
		last := o.text[comma] != ','
		next := comma + 1
		if !last {
			next = skipSpace(o.text, next)
		}
		if end-i < minRepeat && !(array && depth == 1) {
			o.items = o.items[:n]
		} else {
			found := &o.items[n]
			found.end = int32(end)
			found.next = int32(len(o.items))
			if gap := o.text[end:next]; array && !last && (gap == "," || gap == ", ") {
				found.gap = int32(len(gap))
			}
		}
		if last {
			return next
		}
		i = next
	}
}

// value appends the values inside of the one at i, and returns the offset
// behind it.
func (o *outliner) value(i, depth int) int {
	switch c := o.text[i]; {
	case c == '"':
		return closingQuote(o.text, i) + 1
	case c != '{' && c != '[':
		for i < len(o.text) && scalarByte(o.text[i]) {
			i++
		}
		return i
	case depth < maxLevels && len(o.items) <= maxOutline:
		return o.list(i, depth)
	}
	return closingBracket(o.text, i) + 1
}

// closingBracket returns the offset of the bracket that closes the one at i.
func closingBracket(text string, i int) int {
	for open := 0; ; i++ {
		switch text[i] {
		case '"':
			i = closingQuote(text, i)
		case '{', '[':
			open++
		case '}', ']':
			open--
			if open == 0 {
				return i
			}
		}
	}
}

func skipSpace(text string, i int) int {
	for text[i] == ' ' || text[i] == '\t' || text[i] == '\n' || text[i] == '\r' {
		i++
	}
	return i
}

// scalarByte reports whether a byte is part of a number, true, false or null.
func scalarByte(c byte) bool { return alphanumeric(c) || c == '-' || c == '+' || c == '.' }
