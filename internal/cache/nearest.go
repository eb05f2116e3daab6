package cache

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
)

const (
	nearestEntries = 10_000   // looked at for one question
	nearestBytes   = 64 << 20 // of their records
	nearestFields  = 5        // named
	nearestName    = 80       // bytes of one name
)

// Nearest returns in which fields a question that was missed differs from the
// most similar one that has an answer: the names of the fields, such as
// temperature or messages[1].content, and never their contents. ok is false if
// there is none on the same route and for the same operation. Only answers that
// the question could have got are compared: those of its Scope and imported
// ones. ok without names means that the questions are the same and differ in a
// private part of the key: the address of the upstream, or a credential.
//
// It reads up to 10,000 entries, so it is for gateways that answer from the
// cache alone, where a miss is the end. One search runs at a time; a call
// meanwhile returns false.
func (c *Cache) Nearest(ctx context.Context, q *Question) (differing []string, ok bool) {
	if !c.nearest.TryLock() {
		return nil, false
	}
	defer c.nearest.Unlock()
	asked := q.compared()
	var best comparison
	entries, bytes := 0, int64(0)
	err := c.store.each(ctx, func(h item) bool {
		entries++
		bytes += int64(len(h.record))
		if entries > nearestEntries || bytes > nearestBytes {
			return false
		}
		other, err := c.question(h)
		if err != nil || !q.comparableTo(other) {
			return true
		}
		if found := compare(asked, other.compared()); !ok || found.before(best) {
			best = found
			ok = true
		}
		return true
	})
	return best.names(), ok && err == nil
}

// comparableTo reports whether q could have got the answer to other.
func (q *Question) comparableTo(other *Question) bool {
	return other.Route == q.Route && other.Operation == q.Operation &&
		(other.Scope == q.Scope || other.Scope == Imported)
}

// question reads the question of an entry, with its body.
func (c *Cache) question(h item) (*Question, error) {
	if h.entry != nil {
		return &h.entry.Question, nil
	}
	r, err := open(h.key, h.record)
	if err != nil {
		return nil, err
	}
	return &r.info.Question, c.codec.asked(r, &r.info.Question)
}

// comparison is how two questions differ.
type comparison struct {
	differing []field
	equal     int64 // bytes in the other fields
}

// before reports whether c is the smaller difference: fewer fields, then more
// bytes in common.
func (c comparison) before(b comparison) bool {
	return cmp.Or(
		cmp.Compare(len(c.differing), len(b.differing)),
		cmp.Compare(b.equal, c.equal),
		slices.CompareFunc(c.differing, b.differing, func(a, b field) int { return cmp.Compare(a.path, b.path) })) < 0
}

func compare(asked, other []field) comparison {
	rest := make(map[string][]field, len(other))
	for _, f := range other {
		rest[f.path] = append(rest[f.path], f) // JSON may have a name twice
	}
	var c comparison
	for _, f := range asked {
		same := rest[f.path]
		if len(same) > 0 {
			rest[f.path] = same[1:]
		}
		if len(same) > 0 && same[0].digest == f.digest && same[0].size == f.size {
			c.equal += f.size
		} else {
			c.differing = append(c.differing, f)
		}
	}
	for _, f := range other { // in their order
		if left := rest[f.path]; len(left) > 0 {
			c.differing = append(c.differing, f)
			rest[f.path] = left[1:]
		}
	}
	return c
}

// names returns the names of the fields, shortened to what an error message can
// hold.
func (c comparison) names() []string {
	var names []string
	for i, f := range c.differing {
		if i == nearestFields {
			return append(names, fmt.Sprintf("%d more", len(c.differing)-i))
		}
		name := f.path
		if len(name) > nearestName {
			name = strings.ToValidUTF8(name[:nearestName], "") + "…"
		}
		names = append(names, name)
	}
	return names
}
