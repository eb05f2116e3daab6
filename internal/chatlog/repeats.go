package chatlog

import (
	"fmt"
	"hash/crc32"
	"hash/maphash"
	"strconv"

	"forward/internal/jsonscan"
)

const (
	minSaved      = 1 << 10 // bytes that must repeat for a line to refer to others
	maxRemembered = 1 << 16 // values of one generation of a memory; it holds two
)

// placeholder stands in a line where a value or a run of elements repeats.
const placeholder = "null"

// repeatsField is the last member of a line that refers to others. A client's
// own member of this name is in extra.
const repeatsField = `,"repeats":{"sum":"`

// memory knows the values of the lines that were written lately, by their
// digests, and writes a line with references to them:
//
//	{"system":null,"messages":[null,{"role":"user","content":"new"}],…,"uid":"2",…,
//	 "repeats":{"sum":"89abcdef","from":["1",10,10,4096,26,4118,60000]}}
//
// A name of a request (its uid) is followed by places in three numbers: the
// offset of a null in this line, the offset in the whole line of that request
// of what stands there, and its length. sum is the checksum (CRC-32C) of the
// whole line. What is referred to is in the same file and from the same caller,
// so that no file and no caller's lines need others.
//
// Two generations bound what is held: when the younger one is full, the older
// one is dropped. What is forgotten is written once more. The zero memory is
// not ready to use. It belongs to the goroutine of the writer.
type memory struct {
	seeds    [2]maphash.Seed
	young    generation
	old      generation
	segments uint64
	runs     []run  // buffer
	places   []byte // buffer
}

// digest identifies a value of a caller in a segment.
type digest [2]uint64

type generation struct {
	values map[digest]remembered
	lines  map[string]*known // by uid
	size   int               // items of its lines
}

// remembered is an item of a line.
type remembered struct {
	line *known
	item int32
}

// known is a line that was written.
type known struct {
	uid   string
	stale bool // another line has its uid
	items []item
}

// run is a part of a line that repeats: the bytes from start on are those of
// another line from offset on.
type run struct {
	from          *known
	start, offset int32
	length        int32
}

func newMemory() *memory {
	m := &memory{seeds: [2]maphash.Seed{maphash.MakeSeed(), maphash.MakeSeed()}}
	m.young = newGeneration()
	m.old = newGeneration()
	return m
}

func newGeneration() generation {
	return generation{values: make(map[digest]remembered), lines: make(map[string]*known)}
}

// segment returns a number for a file, or a part of one, whose lines may refer
// to each other.
func (m *memory) segment() uint64 {
	m.segments++
	return m.segments
}

// append appends a line with references in place of what was written before in
// the segment, and remembers it.
func (m *memory) append(dst []byte, n line, segment uint64) []byte {
	if n.uid == "" || len(n.text) < minSaved || len(n.text) > maxLine {
		return append(dst, n.text...)
	}
	items, ok := outline(n.text)
	if !ok {
		return append(dst, n.text...)
	}
	c := comparison{
		memory: m,
		text:   n.text,
		items:  items,
		salt:   digest{maphash.String(m.seeds[0], n.caller), segment},
		line:   &known{uid: n.uid, items: make([]item, 0, len(items))},
	}
	m.runs = m.runs[:0]
	c.compare(0, int32(len(items)), 1)
	m.remember(c.line)
	saved := 0
	for _, r := range m.runs {
		if r.length >= minRepeat {
			saved += int(r.length)
		}
	}
	if saved < minSaved {
		return append(dst, n.text...)
	}
	return m.refer(dst, n.text)
}

// refer appends a line with references in place of the runs.
func (m *memory) refer(dst, text []byte) []byte {
	start := len(dst)
	from := 0
	m.places = m.places[:0]
	var last *known
	for _, r := range m.runs {
		if r.length < minRepeat {
			continue
		}
		dst = append(dst, text[from:r.start]...)
		from = int(r.start + r.length)
		if r.from != last {
			m.places = append(m.places, ',')
			m.places = jsonscan.AppendString(m.places, r.from.uid)
			last = r.from
		}
		for _, number := range [...]int{len(dst) - start, int(r.offset), int(r.length)} {
			m.places = append(m.places, ',')
			m.places = strconv.AppendInt(m.places, int64(number), 10)
		}
		dst = append(dst, placeholder...)
	}
	dst = append(dst, text[from:len(text)-len("}\n")]...)
	dst = append(dst, repeatsField...)
	dst = fmt.Appendf(dst, `%08x","from":[`, checksum(text[:len(text)-1]))
	dst = append(dst, m.places[1:]...)
	return append(dst, "]}}\n"...)
}

// checksum is that of a whole line without its line end.
func checksum(text []byte) uint32 { return crc32.Checksum(text, castagnoli) }

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// remember makes a line one that others can refer to.
func (m *memory) remember(n *known) {
	if m.young.size += len(n.items); m.young.size > maxRemembered {
		m.old = m.young
		m.young = newGeneration()
		m.young.size = len(n.items)
	}
	for _, g := range [...]generation{m.young, m.old} {
		if before := g.lines[n.uid]; before != nil {
			before.stale = true
		}
	}
	m.young.lines[n.uid] = n
	for i := range n.items {
		sum := n.items[i].sum
		if sum != (digest{}) && m.young.values[sum].line != n {
			m.young.values[sum] = remembered{n, int32(i)}
		}
	}
}

// find returns where a value was written last.
func (m *memory) find(sum digest) (remembered, bool) {
	for _, g := range [...]generation{m.young, m.old} {
		if r, ok := g.values[sum]; ok && !r.line.stale {
			return r, true
		}
	}
	return remembered{}, false
}

// comparison finds what repeats in one line.
type comparison struct {
	*memory
	text  []byte
	items []item
	salt  digest
	line  *known
	at    remembered // of the last item, if the last run may go on behind it
}

// compare compares the items from first to before last, which are members or
// elements of one value, and what is inside of them.
func (c *comparison) compare(first, last int32, depth int) {
	c.at = remembered{}
	for i := first; i < last; i = c.items[i].next {
		found := c.items[i]
		inside := i + 1
		index := len(c.line.items)
		c.line.items = append(c.line.items, found)
		// The conversation itself grows with each turn.
		if grows := depth == 1 && c.text[found.start] == '['; !grows {
			found.sum = c.sum(c.text[found.start:found.end])
			if c.repeats(found) {
				inside = found.next
			}
		}
		if inside < found.next {
			c.compare(inside, found.next, depth+1)
			c.at = remembered{}
		}
		c.line.items[index].sum = found.sum
		c.line.items[index].next = int32(len(c.line.items))
	}
}

func (c *comparison) sum(value []byte) digest {
	return digest{maphash.Bytes(c.seeds[0], value) ^ c.salt[0], maphash.Bytes(c.seeds[1], value) ^ c.salt[1]}
}

// repeats reports whether a value was written before. It makes the last run
// longer if what is behind that in the other line is the value, and else starts
// a run.
func (c *comparison) repeats(v item) bool {
	if c.at.line != nil {
		before := c.at.line.items[c.at.item]
		r := &c.runs[len(c.runs)-1]
		if int(before.next) < len(c.at.line.items) {
			next := c.at.line.items[before.next]
			if next.sum == v.sum && before.gap > 0 && next.start == before.end+before.gap && c.follows(v.start, r.start+r.length, before.gap) {
				r.length = v.end - r.start
				c.at.item = before.next
				return true
			}
		}
	}
	found, ok := c.find(v.sum)
	c.at = found
	if ok {
		c.runs = append(c.runs, run{found.line, v.start, found.line.items[found.item].start, v.end - v.start})
	}
	return ok
}

// follows reports whether a value follows directly behind a run, with a gap as
// in the other line: the last item has the same.
func (c *comparison) follows(start, end, gap int32) bool {
	return start == end+gap && (gap == 1 || c.text[end+1] == ' ')
}
