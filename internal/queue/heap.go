package queue

import "container/heap"

// keptCapacity is how many items a structure may have had whose memory is kept
// once it is empty.
const keptCapacity = 64

// indexedHeap is a container/heap whose items know their place in it, so that
// each of them can be moved or removed.
type indexedHeap[T any] struct {
	items []*T
	less  func(a, b *T) bool
	place func(*T) *int // where an item keeps its place; -1: it is not in the heap
}

// Len, Less, Swap, Push and Pop implement heap.Interface.
func (h *indexedHeap[T]) Len() int           { return len(h.items) }
func (h *indexedHeap[T]) Less(i, j int) bool { return h.less(h.items[i], h.items[j]) }

func (h *indexedHeap[T]) Swap(i, j int) {
	a := h.items[i]
	b := h.items[j]
	h.items[i] = b
	h.items[j] = a
	*h.place(b) = i
	*h.place(a) = j
}

func (h *indexedHeap[T]) Push(x any) {
	item := x.(*T)
	*h.place(item) = len(h.items)
	h.items = append(h.items, item)
}

func (h *indexedHeap[T]) Pop() any {
	last := len(h.items) - 1
	item := h.items[last]
	*h.place(item) = -1
	h.items[last] = nil
	h.items = h.items[:last]
	return item
}

// first returns the least item, nil when there is none.
func (h *indexedHeap[T]) first() *T {
	if len(h.items) == 0 {
		return nil
	}
	return h.items[0]
}

func (h *indexedHeap[T]) push(item *T) { heap.Push(h, item) }

// fix moves an item that has changed to its place.
func (h *indexedHeap[T]) fix(item *T) { heap.Fix(h, *h.place(item)) }

// remove does nothing when the item is not in the heap.
func (h *indexedHeap[T]) remove(item *T) {
	if i := *h.place(item); i >= 0 {
		heap.Remove(h, i)
	}
}

// clear forgets all items. Their places are void.
func (h *indexedHeap[T]) clear() {
	if cap(h.items) > keptCapacity {
		h.items = nil
		return
	}
	clear(h.items)
	h.items = h.items[:0]
}
