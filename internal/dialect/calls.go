package dialect

import (
	"cmp"
	"slices"
)

// callKey tells the tool calls of one answer apart while they come in pieces.
type callKey struct {
	index    int64 // of a delta -1: it names none
	id, name string
}

type keyed interface{ key() *callKey }

func (k *callKey) key() *callKey { return k }

// findCall returns the call that delta d continues, if there is one. By the protocol the index alone decides. Some
// compatible servers send each call whole and without an index, though, and others give all of them index 0.
func findCall[T keyed](calls []T, d callKey) (found T, ok bool) {
	for _, t := range slices.Backward(calls) {
		k := t.key()
		if d.index >= 0 && k.index != d.index {
			continue
		}
		if k.otherThan(d) {
			break
		}
		k.id, k.name = either(k.id, d.id), either(k.name, d.name)
		return t, true
	}
	return found, false
}

// otherThan reports whether d begins another call than the one it seems to continue: it has an id of its own and, as
// there are servers that make up a new id for every delta, a name again.
func (k *callKey) otherThan(d callKey) bool {
	named := d.name != "" && k.name != ""
	return d.id != "" && k.id != "" && d.id != k.id && (named || d.index < 0)
}

// begin returns the key of a new call, the nth of its answer.
func (k callKey) begin(n int) callKey {
	if k.index < 0 {
		k.index = int64(n)
	}
	return callKey{index: k.index, id: clip(k.id, maxName), name: clip(k.name, maxName)}
}

func sortCalls[T keyed](calls []T) {
	slices.SortStableFunc(calls, func(x, y T) int { return cmp.Compare(x.key().index, y.key().index) })
}
