package chatlog

import (
	"cmp"
	"crypto/sha256"
	"hash/maphash"
	"slices"

	"github.com/tidwall/gjson"
)

// place is the position of a line: its source, first byte and length. The zero
// place stands for no line.
type place struct {
	offset int64
	length int32
	source int32
}

// entry is one exchange of the index.
type entry struct {
	request, result place
	at              int64  // when it started, in seconds
	sum             uint64 // of the request line
}

// index joins lines to exchanges by uid. It holds the places of the lines and
// not their text: 48 bytes an exchange and as many for its uid.
type index struct {
	entries []entry
	byUID   map[[16]byte]int32 // the latest exchange of each uid
	seed    maphash.Seed
}

func newIndex() *index {
	return &index{byUID: make(map[[16]byte]int32), seed: maphash.MakeSeed()}
}

// add indexes the line at p and reports whether it is part of a chat log.
// before is the time of the previous line, which counts for a line without a
// time.
func (x *index) add(v gjson.Result, line []byte, p place, before int64) (at int64, ok bool) {
	k := kindOf(v)
	if !k.request && !k.result {
		return before, false
	}
	id := idOf(k.uid)
	at = cmp.Or(k.at, before)
	if k.request {
		x.request(id, p, at, maphash.Bytes(x.seed, line))
	}
	if k.result {
		x.result(id, p)
	}
	return at, true
}

// latest returns the place of the last request line with a uid so far, or the
// zero place if there is none.
func (x *index) latest(uid string) place {
	if i, known := x.byUID[idOf(uid)]; known {
		return x.entries[i].request
	}
	return place{}
}

// idOf returns what the index holds of a uid.
func idOf(uid string) [16]byte {
	sum := sha256.Sum256([]byte(uid))
	return [16]byte(sum[:])
}

// request adds an exchange. uids of openai-forward can collide, so another
// request with a known uid is another exchange, unless it is a copy of the same
// line from a file that was given twice.
func (x *index) request(id [16]byte, p place, at int64, sum uint64) {
	if i, known := x.byUID[id]; known {
		e := &x.entries[i]
		if e.request.length == 0 { // its result came first: files can be in any order
			e.request = p
			e.at = at
			e.sum = sum
			return
		}
		if e.sum == sum {
			return
		}
	}
	x.byUID[id] = int32(len(x.entries))
	x.entries = append(x.entries, entry{request: p, at: at, sum: sum})
}

// result adds an answer to its exchange. The last of several counts, as in
// openai-forward.
func (x *index) result(id [16]byte, p place) {
	i, known := x.byUID[id]
	if !known {
		i = int32(len(x.entries))
		x.byUID[id] = i
		x.entries = append(x.entries, entry{})
	}
	x.entries[i].result = p
}

// exchanges returns the exchanges that have a request, by time and else in the
// order in which they were found, and the number of results without a request.
// The index must not be used afterwards.
func (x *index) exchanges() (es []entry, orphans int) {
	x.byUID = nil
	all := len(x.entries)
	es = slices.DeleteFunc(x.entries, func(e entry) bool { return e.request.length == 0 })
	slices.SortStableFunc(es, func(a, b entry) int { return cmp.Compare(a.at, b.at) })
	return es, all - len(es)
}
