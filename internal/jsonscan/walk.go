package jsonscan

import (
	"bytes"
	"strings"

	"github.com/tidwall/gjson"
)

// A Walker visits the members of an object or the items of an array of valid
// JSON, in order:
//
//	for w := jsonscan.Walk(data); w.Next(); {
//		use(w.Key, w.Value())
//	}
//
// gjson's ForEach does the same, but looks at each byte of a value once for
// every level above it, takes half a kilobyte of stack at each, and unescapes
// the strings that it passes. A Walker reads only what its user asks for: with
// [Walker.Enter] and [Walker.Leave] a tree is read in one pass.
//
// The zero value visits nothing. A Walker is for one goroutine; it may be
// copied to look ahead.
type Walker struct {
	Key                  string // of the current member, unescaped; "" in an array
	KeyStart, ValueStart int    // offsets of the current key and value in the text

	data          []byte
	keyEnd        int
	at            int // where the next element starts, once the current one is passed
	object, array bool
	passed        bool // whether at is behind the current value
}

// Walk returns a Walker before the first element of data. It visits nothing if
// data is neither an object nor an array.
func Walk(data []byte) Walker { return walk(data, skipSpace(data, 0)) }

// WalkString is [Walk] of a string.
func WalkString(text string) Walker { return Walk(bytesOf(text)) }

// WalkValue is [Walk] of a gjson value.
func WalkValue(v gjson.Result) Walker { return WalkString(v.Raw) }

// walk returns a Walker over the value that starts at data[i].
func walk(data []byte, i int) Walker {
	w := Walker{data: data, at: i + 1, passed: true}
	switch at(data, i) {
	case '{':
		w.object = true
	case '[':
		w.array = true
	default:
		w.at = len(data)
	}
	return w
}

// Next moves to the next element and reports whether there is one.
func (w *Walker) Next() bool {
	i := skipSpace(w.data, w.End())
	if at(w.data, i) == ',' {
		i = skipSpace(w.data, i+1)
	}
	w.at = i
	if c := at(w.data, i); c == 0 || c == '}' || c == ']' {
		return false
	}
	if w.object {
		if at(w.data, i) != '"' {
			return false
		}
		w.KeyStart = i
		w.keyEnd = skipString(w.data, i+1)
		w.Key = w.rawKey()
		if strings.IndexByte(w.Key, '\\') < 0 {
			w.Key = Inner(w.Key)
		} else {
			w.Key = gjson.Parse(w.Key).Str
		}
		colon := skipSpace(w.data, w.keyEnd)
		i = skipSpace(w.data, min(colon+1, len(w.data)))
	}
	w.ValueStart = i
	w.passed = false
	return true
}

func (w *Walker) rawKey() string { return UnsafeString(w.data[w.KeyStart:w.keyEnd]) }

// First returns the first byte of the current value, which determines its type.
func (w *Walker) First() byte { return at(w.data, w.ValueStart) }

// Raw returns the current value as it is written.
func (w *Walker) Raw() string { return UnsafeString(w.data[w.ValueStart:w.End()]) }

// Value parses the current value.
func (w *Walker) Value() gjson.Result { return gjson.Parse(w.Raw()) }

// End returns the offset at which the current value ends.
func (w *Walker) End() int {
	if !w.passed {
		w.at = skipValue(w.data, w.ValueStart)
		w.passed = true
	}
	return w.at
}

// Enter returns a Walker over the elements of the current value.
func (w *Walker) Enter() Walker { return walk(w.data, w.ValueStart) }

// Leave moves behind the current value, whose elements inside has visited to
// the end. Without it the next call to Next reads the value once more.
func (w *Walker) Leave(inside *Walker) {
	if inside.ValueStart > 0 { // 0 if the value had no elements
		w.at = inside.at + 1
		w.passed = true
	}
}

// skipValue returns the end of the value that starts at data[i]. It does not
// recurse.
func skipValue(data []byte, i int) int {
	switch at(data, i) {
	case '"':
		return skipString(data, i+1)
	case '{', '[':
		for depth := 0; i < len(data); i++ {
			switch data[i] {
			case '"':
				i = skipString(data, i+1) - 1
			case '{', '[':
				depth++
			case '}', ']':
				if depth--; depth == 0 {
					return i + 1
				}
			}
		}
		return len(data)
	}
	for i < len(data) && !strings.ContainsRune(",]} \t\r\n", rune(data[i])) {
		i++
	}
	return i
}

// skipString returns the end of the string whose text starts at data[i], after
// its first quote. A quote ends the string if an even number of backslashes
// stands before it.
func skipString(data []byte, i int) int {
	for start := i; ; {
		n := bytes.IndexByte(data[min(i, len(data)):], '"')
		if n < 0 {
			return len(data)
		}
		quote := i + n
		slash := quote
		for slash > start && data[slash-1] == '\\' {
			slash--
		}
		i = quote + 1
		if (quote-slash)%2 == 0 {
			return i
		}
	}
}
