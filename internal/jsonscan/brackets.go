package jsonscan

// brackets are those that are open.
type brackets struct {
	objects [MaxDepth/64 + 1]uint64 // which of them are objects
	depth   int
	arrays  int // that the object at the top is in
}

// object reports whether the innermost one is an object.
func (b *brackets) object() bool {
	return b.depth > 0 && b.objectAt(b.depth)
}

// push opens a bracket.
func (b *brackets) push(c byte) {
	b.depth++
	if c == '{' {
		b.objects[b.depth>>6] |= 1 << (b.depth & 63)
		return
	}
	b.objects[b.depth>>6] &^= 1 << (b.depth & 63)
	if b.depth == b.arrays+1 {
		b.arrays++
	}
}

// pop closes one.
func (b *brackets) pop() {
	b.depth--
	b.arrays = min(b.arrays, b.depth)
}

// objectAt reports whether the bracket at a depth is an object's.
func (b *brackets) objectAt(depth int) bool { return b.objects[depth>>6]&(1<<(depth&63)) != 0 }
