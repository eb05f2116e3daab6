package dialect

import (
	"cmp"
	"slices"
)

// CallKey identifies one of several tool calls while they come in pieces.
type CallKey struct {
	Index    int64 // -1: the delta names none
	ID, Name string
}

type keyed interface{ key() *CallKey }

func (k *CallKey) key() *CallKey { return k }

// FindCall returns the call that delta d continues, if there is one. By the
// protocol the index alone decides. Some compatible servers send each call
// whole and without an index, though, and others give all of them index 0.
func FindCall[T keyed](calls []T, d CallKey) (found T, ok bool) {
	for _, t := range slices.Backward(calls) {
		k := t.key()
		if d.Index >= 0 && k.Index != d.Index {
			continue
		}
		if k.otherThan(d) {
			break
		}
		k.ID = either(k.ID, d.ID)
		k.Name = either(k.Name, d.Name)
		return t, true
	}
	return found, false
}

// otherThan reports whether d starts another call than the one it seems to
// continue: it has an id of its own and, as there are servers that make up a
// new id for every delta, a name again.
func (k *CallKey) otherThan(d CallKey) bool {
	named := d.Name != "" && k.Name != ""
	return d.ID != "" && k.ID != "" && d.ID != k.ID && (named || d.Index < 0)
}

// Start returns the key of a new call, the nth of its answer.
func (k CallKey) Start(n int) CallKey {
	if k.Index < 0 {
		k.Index = int64(n)
	}
	return CallKey{Index: k.Index, ID: clip(k.ID, maxName), Name: clip(k.Name, maxName)}
}

func sortCalls[T keyed](calls []T) {
	slices.SortStableFunc(calls, func(x, y T) int { return cmp.Compare(x.key().Index, y.key().Index) })
}
