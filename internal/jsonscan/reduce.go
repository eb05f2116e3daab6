package jsonscan

import (
	"bytes"
	"strconv"
)

// A Reducer makes small objects of large ones as they come: of each object at
// the top it keeps the members with certain names, there and in the objects one
// level down, and drops everything else. It reads JSON of any size in constant
// memory: one value or many, an array of them, lines, the data of server-sent
// events, with anything between them.
//
// An array at the top is passed through, so its objects are at the top as well.
// The objects in an array one level down become members of their own with the
// array's name. What is no JSON is skipped up to the next bracket, and a line
// break in a string ends the value, so the remains of a broken value do not
// hide the next one.
//
// Set the exported fields first. Not safe for concurrent use.
type Reducer struct {
	Names map[string]bool   // of the members to keep
	Count map[string]bool   // of the arrays at the top that become their number of items
	Max   int               // bytes of one value that is kept; longer ones are dropped
	Each  func(data []byte) // takes an object, which is valid until it returns

	brackets
	mode    mode
	isKey   bool   // the current string is a key
	escaped bool   // the next byte of the string is escaped
	key     []byte // of the current member, as it is written
	outer   []byte // of the member at the top that is open
	counts  int    // the depth in the array that is counted; 0: none is
	items   int    // of it

	out     []byte // the object so far
	inside  bool   // out has an object one level down that is open
	keeping bool   // the current value is kept
	before  int    // the length of out without it
	opened  bool   // inside was set for it
	start   int    // where it starts in out
	until   int    // the depth at which it ends
}

// mode is what may come next.
type mode byte

const (
	between mode = iota // anything, up to a bracket
	anyKey
	colon
	anyValue
	after // a comma or the end
	inString
	inScalar
)

// Write reads the next bytes. It never fails.
func (r *Reducer) Write(p []byte) (int, error) {
	f := finder{p: p, quote: -1, slash: -1, line: -1}
	for i := 0; i < len(p); {
		switch r.mode {
		case between:
			n := bytes.IndexAny(p[i:], "{[")
			if n < 0 {
				return len(p), nil
			}
			i += n + 1
			r.open(p[i-1])
		case inString:
			i = r.text(&f, i)
		case inScalar:
			n := i
			for n < len(p) && isScalar(p[n]) {
				n++
			}
			r.keep(p[i:n])
			i = n
			if n < len(p) {
				r.endValue()
			}
		default:
			if r.token(p[i]) {
				i++
			}
		}
	}
	return len(p), nil
}

// Close ends the input. An object that was cut short is reduced to its members
// that are whole.
func (r *Reducer) Close() error {
	r.reset()
	return nil
}

// finder finds what ends a run of text in p. It looks at each byte once for
// each of these.
type finder struct {
	p                  []byte
	quote, slash, line int
}

// next returns the first place of c at or behind i, and len(p) if there is
// none. known is what it returned before.
func (f *finder) next(i, known int, c byte) int {
	if known >= i {
		return known
	}
	n := bytes.IndexByte(f.p[i:], c)
	if n < 0 {
		return len(f.p)
	}
	return i + n
}

// text reads on in a string and returns where it goes on.
func (r *Reducer) text(f *finder, i int) int {
	if r.escaped {
		r.escaped = false
		r.keep(f.p[i : i+1])
		return i + 1
	}
	f.quote = f.next(i, f.quote, '"')
	f.slash = f.next(i, f.slash, '\\')
	f.line = f.next(i, f.line, '\n')
	end := min(f.quote, f.slash, f.line)
	if end == len(f.p) {
		r.keep(f.p[i:])
		return end
	}
	if end == f.line {
		r.reset()
		return end
	}
	r.keep(f.p[i:end])
	switch {
	case end == f.slash:
		r.keep(f.p[end : end+1])
		r.escaped = true
	case r.isKey:
		r.isKey = false
		r.copy('"')
		r.mode = colon
	default:
		r.copy('"')
		r.endValue()
	}
	return end + 1
}

// token reads a byte that is in no string and no scalar. It reports false if
// the byte is to be read again.
func (r *Reducer) token(c byte) bool {
	switch {
	case c == ' ' || c == '\n' || c == '\r' || c == '\t':
		r.copy(c)
	case (c == '}' || c == ']') && r.mode != colon && r.object() == (c == '}'):
		r.close(c)
	case r.mode == anyKey && c == '"':
		r.copy(c)
		r.isKey = true
		r.key = r.key[:0]
		r.mode = inString
	case r.mode == colon && c == ':':
		r.copy(c)
		r.mode = anyValue
		r.startMember()
	case r.mode == after && c == ',':
		r.copy(c)
		r.mode = anyValue
		if r.object() {
			r.mode = anyKey
		}
	case r.mode == anyValue && (c == '{' || c == '['):
		r.open(c)
	case r.mode == anyValue && c == '"':
		r.item()
		r.copy(c)
		r.mode = inString
	case r.mode == anyValue && isScalar(c):
		r.item()
		r.mode = inScalar
		return false
	default:
		r.reset()
		return c != '{' && c != '['
	}
	return true
}

// isScalar reports whether a byte may be in a number or a literal.
func isScalar(c byte) bool {
	return isDigit(c) || ('a' <= c && c <= 'z') || ('A' <= c && c <= 'Z') || c == '-' || c == '+' || c == '.'
}

// item notes that a value starts in an array.
func (r *Reducer) item() {
	if r.depth == r.counts {
		r.items++
	}
}

// open reads an opening bracket.
func (r *Reducer) open(c byte) {
	if r.depth == MaxDepth {
		r.reset()
		return
	}
	r.item()
	r.copy(c)
	member := r.depth == r.arrays+1
	r.push(c)
	r.mode = anyKey
	switch {
	case c == '[':
		r.mode = anyValue
		if member && !r.keeping && r.Count[string(r.outer)] {
			r.counts = r.depth
			r.items = 0
		}
	case r.depth == r.arrays+1:
		r.out = append(r.out[:0], '{')
	}
}

// close reads a closing bracket that fits.
func (r *Reducer) close(c byte) {
	r.copy(c)
	if r.depth == r.counts {
		r.member(r.outer)
		r.out = strconv.AppendInt(r.out, int64(r.items), 10)
		r.counts = 0
	}
	if c == '}' && !r.keeping {
		if r.depth == r.arrays+1 {
			r.flush()
		} else if r.depth <= r.arrays+3 {
			r.leave()
		}
	}
	r.pop()
	r.endValue()
}
