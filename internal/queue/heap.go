package queue

// heap is a binary heap whose items know their place in it, so that any of them can be moved or removed.
type heap[T any] struct {
	items []*T
	less  func(a, b *T) bool
	place func(*T) *int // where an item keeps its place; -1: it is not in the heap
}

// first returns the least item, nil when there is none.
func (h *heap[T]) first() *T {
	if len(h.items) == 0 {
		return nil
	}
	return h.items[0]
}

func (h *heap[T]) push(x *T) {
	h.items = append(h.items, x)
	*h.place(x) = len(h.items) - 1
	h.up(len(h.items) - 1)
}

// remove does nothing when x is not there.
func (h *heap[T]) remove(x *T) {
	i, last := *h.place(x), len(h.items)-1
	if i < 0 {
		return
	}
	h.swap(i, last)
	h.items[last] = nil
	h.items = h.items[:last]
	*h.place(x) = -1
	if i < last {
		h.fix(h.items[i])
	}
}

// fix moves x after it has changed.
func (h *heap[T]) fix(x *T) {
	if i := *h.place(x); !h.up(i) {
		h.down(i)
	}
}

func (h *heap[T]) up(i int) (moved bool) {
	for i > 0 {
		parent := (i - 1) / 2
		if !h.less(h.items[i], h.items[parent]) {
			break
		}
		h.swap(i, parent)
		i, moved = parent, true
	}
	return moved
}

func (h *heap[T]) down(i int) {
	for {
		least := i
		for child := 2*i + 1; child <= 2*i+2 && child < len(h.items); child++ {
			if h.less(h.items[child], h.items[least]) {
				least = child
			}
		}
		if least == i {
			return
		}
		h.swap(i, least)
		i = least
	}
}

func (h *heap[T]) swap(i, j int) {
	h.items[i], h.items[j] = h.items[j], h.items[i]
	*h.place(h.items[i]), *h.place(h.items[j]) = i, j
}

// kept is for how many items memory is kept when there are none.
const kept = 64

// clear forgets all items. Their places are void.
func (h *heap[T]) clear() {
	clear(h.items)
	if h.items = h.items[:0]; cap(h.items) > kept {
		h.items = nil
	}
}
