package dialect

import (
	"bytes"
	"strings"
	"unsafe"

	"github.com/tidwall/gjson"
)

// parts goes through the members of an object or the items of an array, which must be valid JSON. It is for what is read of every
// answer: gjson's ForEach does the same, but looks at each byte of a value once for every level at which it stands, and takes
// half a kilobyte of stack at each.
type parts struct {
	data   []byte
	i      int // where to go on, behind the value once it is passed
	object bool
	key    string // of an object's member

	keyAt, valueAt int // where the two begin in data
	passed         bool
}

// partsOf has no parts to go through if v is neither an object nor an array.
func partsOf(v gjson.Result) parts {
	data := unsafe.Slice(unsafe.StringData(v.Raw), len(v.Raw))
	return partsAt(data, 0)
}

// partsAt goes through the value that begins at i.
func partsAt(data []byte, i int) parts {
	p := parts{data: data, i: i + 1, passed: true}
	switch at(data, i) {
	case '{':
		p.object = true
	case '[':
	default:
		p.i = len(data)
	}
	return p
}

// next goes to the next part, and reports whether there is one.
func (p *parts) next() bool {
	i := space(p.data, p.pass())
	if at(p.data, i) == ',' {
		i = space(p.data, i+1)
	}
	p.i = i
	if c := at(p.data, i); c == 0 || c == '}' || c == ']' {
		return false
	}
	if p.object {
		end := skipString(p.data, i+1)
		p.keyAt = i
		if p.key = unsafeString(p.data[i:end]); strings.IndexByte(p.key, '\\') < 0 {
			p.key = p.key[1 : len(p.key)-1]
		} else {
			p.key = gjson.Parse(p.key).Str
		}
		i = space(p.data, space(p.data, end)+1) // behind the colon
	}
	p.valueAt, p.passed = i, false
	return true
}

// pass goes behind the value and returns where that is.
func (p *parts) pass() int {
	if !p.passed {
		p.i, p.passed = skipValue(p.data, p.valueAt), true
	}
	return p.i
}

// inside goes through the value's own parts. When they are through, leave saves passing the value once more.
func (p *parts) inside() parts { return partsAt(p.data, p.valueAt) }

// leave goes behind the value whose parts are through.
func (p *parts) leave(inside *parts) {
	if inside.valueAt > 0 { // or the value is empty, or no object and no array
		p.i, p.passed = inside.i+1, true
	}
}

// raw is the value as it is written.
func (p *parts) raw() string { return unsafeString(p.data[p.valueAt:p.pass()]) }

// value parses the value.
func (p *parts) value() gjson.Result { return gjson.Parse(p.raw()) }

// first is the byte with which the value begins, by which its type is told.
func (p *parts) first() byte { return at(p.data, p.valueAt) }

// skipValue returns where the value ends that begins at i.
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

// skipString returns where the string ends whose inside begins at i, behind its quote: the first one that has an even number of
// backslashes before it.
func skipString(data []byte, i int) int {
	for begin := i; ; {
		n := bytes.IndexByte(data[min(i, len(data)):], '"')
		if n < 0 {
			return len(data)
		}
		quote, slash := i+n, i+n
		for slash > begin && data[slash-1] == '\\' {
			slash--
		}
		if i = quote + 1; (quote-slash)%2 == 0 {
			return i
		}
	}
}
