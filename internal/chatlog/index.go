package chatlog

import (
	"cmp"
	"crypto/sha256"
	"hash/maphash"
	"slices"

	"github.com/tidwall/gjson"
)

// place is where a line is: in which source, from which byte, how long. The zero place is none.
type place struct {
	offset int64
	length int32
	source int32
}

// entry is one exchange of the index.
type entry struct {
	request, result place
	at              int64  // when it began, in seconds
	sum             uint64 // of the request line
}

// index joins lines to exchanges by uid. It holds where they are and not what they say: 48 bytes an exchange and as many
// again for the uid, whatever the length of the lines.
type index struct {
	entries []entry
	byUID   map[[16]byte]int32 // the latest exchange of each uid
	seed    maphash.Seed
}

func newIndex() *index {
	return &index{byUID: make(map[[16]byte]int32), seed: maphash.MakeSeed()}
}

// add takes up the line at p and reports whether it belongs into a chat log. before is the time of the line before it, which
// counts for lines that have none.
func (x *index) add(v gjson.Result, line []byte, p place, before int64) (at int64, ok bool) {
	k := kindOf(v)
	if !k.request && !k.result {
		return before, false
	}
	sum := sha256.Sum256([]byte(k.uid))
	id := [16]byte(sum[:])
	if at = k.at; at == 0 {
		at = before
	}
	if k.request {
		x.request(id, p, at, maphash.Bytes(x.seed, line))
	}
	if k.result {
		x.result(id, p)
	}
	return at, true
}

// request adds an exchange. openai-forward's uids can collide, so another request with the uid of an earlier one is another
// exchange; only a copy of the same line, from a file that is there twice, is not.
func (x *index) request(id [16]byte, p place, at int64, sum uint64) {
	if i, known := x.byUID[id]; known {
		e := &x.entries[i]
		if e.request.length == 0 { // its result came first: files can be in any order
			e.request, e.at, e.sum = p, at, sum
			return
		}
		if e.sum == sum {
			return
		}
	}
	x.byUID[id] = int32(len(x.entries))
	x.entries = append(x.entries, entry{request: p, at: at, sum: sum})
}

// result adds an answer to its exchange. Of several the last one counts, as it did in openai-forward.
func (x *index) result(id [16]byte, p place) {
	i, known := x.byUID[id]
	if !known {
		i = int32(len(x.entries))
		x.byUID[id] = i
		x.entries = append(x.entries, entry{})
	}
	x.entries[i].result = p
}

// exchanges returns what has a request, in the order of time and else as it was found, and how many results have none. The
// index is of no more use after that.
func (x *index) exchanges() (es []entry, orphans int) {
	x.byUID = nil
	all := len(x.entries)
	es = slices.DeleteFunc(x.entries, func(e entry) bool { return e.request.length == 0 })
	slices.SortStableFunc(es, func(a, b entry) int { return cmp.Compare(a.at, b.at) })
	return es, all - len(es)
}
