package jsonscan

import (
	"bytes"
)

// maxKey bounds the names that are compared, in bytes.
const maxKey = 64

// startMember is called between a name and its value.
func (r *Reducer) startMember() {
	if r.keeping || r.counts > 0 {
		return
	}
	level := r.depth - r.arrays
	if level == 1 {
		r.outer = append(r.outer[:0], r.key...)
	}
	// An object at the third level is one level down if it is in an array.
	inner := level == 2 || (level == 3 && !r.objectAt(r.depth-1))
	if (level != 1 && !inner) || !r.named(r.key) || len(r.outer) > maxKey {
		return
	}
	r.keeping = true
	r.until = r.depth
	r.before = len(r.out)
	r.opened = inner && !r.inside
	if r.opened {
		r.member(r.outer)
		r.out = append(r.out, '{')
		r.inside = true
	}
	r.member(r.key)
	r.start = len(r.out)
}

func (r *Reducer) named(key []byte) bool {
	if bytes.IndexByte(key, '\\') >= 0 {
		return r.Names[Unescape(string(key))]
	}
	return r.Names[string(key)]
}

// member writes the name of a member.
func (r *Reducer) member(key []byte) {
	if r.out[len(r.out)-1] != '{' {
		r.out = append(r.out, ',')
	}
	r.out = append(append(append(r.out, '"'), key...), '"', ':')
}

// keep takes bytes of the current value, or of the current name.
func (r *Reducer) keep(p []byte) {
	switch {
	case r.keeping:
		r.out = append(r.out, p[:min(len(p), max(r.start+r.Max+1-len(r.out), 0))]...)
	case r.isKey:
		r.key = append(r.key, p[:min(len(p), max(maxKey+1-len(r.key), 0))]...)
	}
}

// copy takes a byte of the current value.
func (r *Reducer) copy(c byte) {
	if r.keeping && len(r.out)-r.start <= r.Max {
		r.out = append(r.out, c)
	}
}

// endValue is called behind a value.
func (r *Reducer) endValue() {
	r.mode = after
	if r.depth == 0 {
		r.mode = between
	}
	if !r.keeping || r.depth != r.until {
		return
	}
	r.keeping = false
	if len(r.out)-r.start > r.Max {
		r.drop()
	}
	if len(r.out) > 2*r.Max {
		r.flush()
		r.out = append(r.out, '{')
	}
}

// drop takes back the value that was being kept.
func (r *Reducer) drop() {
	r.out = r.out[:r.before]
	if r.opened {
		r.inside = false
	}
}

// leave closes the object one level down.
func (r *Reducer) leave() {
	if r.inside {
		r.out = append(r.out, '}')
		r.inside = false
	}
}

// flush passes the object on.
func (r *Reducer) flush() {
	r.leave()
	if len(r.out) > 1 {
		r.Each(append(r.out, '}'))
	}
	r.out = r.out[:0]
}

// reset forgets the brackets that are open, and passes on what was whole.
func (r *Reducer) reset() {
	if r.keeping {
		r.drop()
	}
	r.keeping = false
	r.counts = 0
	if len(r.out) > 0 {
		r.flush()
	}
	r.depth = 0
	r.arrays = 0
	r.isKey = false
	r.escaped = false
	r.mode = between
}
