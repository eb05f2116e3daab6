package queue

import (
	"math/bits"
	"slices"
	"sort"
	"time"
)

// minute is the period of all buckets, and so the time in which an empty one fills.
const minute = int64(time.Minute)

// maxCharge bounds what one correction can take, in time of refill: an upstream that claims an absurd usage must not close
// a line for longer.
const maxCharge = 60 * minute

// maxDips bounds the memory of a bucket for late refunds.
const maxDips = 64

// bucket holds up to limit units, starts full and gains limit units a minute without steps. It is kept as the one number
// that says all of it: when it will be full again. What is taken from it is measured in the time its refill takes, rounded down to a
// nanosecond, so that the moment at which n units are there is known exactly and without looking again.
//
// A bucket also remembers as much of its past as late corrections need. A correction says what should have been taken
// long ago, and the bucket then stands as if that had been taken: what would have spilled over since is lost. All
// times are nanoseconds on the line's clock. The zero bucket has no limit.
type bucket struct {
	limit   int64
	full    int64 // when it is full again; before now: it is, and has been spilling since then
	spilled int64 // refill that found it full, in time
	learned int64 // what the provider's answers have taken, in time
	cushion int64 // by how much we stay below what the provider says, in time
	raised  int64 // when the cushion was raised, or lowered
	takes   int64 // how many there were
	last    int64 // when the last was
	dips    []dip // ascending in both fields
}

// dip says that right before a take only lack was missing to a full bucket, and never less after it.
type dip struct{ take, lack int64 }

// mark is where a bucket stood right after a take.
type mark struct{ take, lack, spilled, learned, limit int64 }

// cost is the time of refill for n units.
func (b *bucket) cost(n int64) int64 {
	if b.limit <= 0 || n <= 0 {
		return 0
	}
	if n/b.limit >= 1e7 { // beyond it the product of the next line no longer fits; it is 19 years
		return 1e7 * minute
	}
	hi, lo := bits.Mul64(uint64(n), uint64(minute))
	q, _ := bits.Div64(hi, lo, uint64(b.limit))
	return int64(q)
}

// ready says when, at now or later, n units are there. It may be asked for more than the bucket can ever hold; then it is
// the moment until which as much will have been refilled.
func (b *bucket) ready(now, n int64) int64 {
	if b.limit <= 0 {
		return now
	}
	return max(now, max(b.full, now)+b.cost(n)-minute)
}

// left is how many units are there, below zero in debt.
func (b *bucket) left(now int64) int64 {
	lack := max(b.full-now, 0)
	whole, rest := lack/minute, lack%minute
	hi, lo := bits.Mul64(uint64(rest), uint64(b.limit))
	q, r := bits.Div64(hi, lo, uint64(minute))
	if r > 0 {
		q++
	}
	return b.limit - whole*b.limit - int64(q)
}

// take takes n units, whether they are there or not.
func (b *bucket) take(now, n int64) mark {
	if b.limit <= 0 {
		return mark{}
	}
	b.spill(now)
	if now > b.last || b.takes == 0 { // nothing can spill between takes at one instant
		b.remember(b.full - now)
	}
	b.last = now
	b.full += b.cost(n)
	b.takes++
	return mark{take: b.takes, lack: b.full - now, spilled: b.spilled, learned: b.learned, limit: b.limit}
}

// spill brings a bucket that has been full up to now.
func (b *bucket) spill(now int64) {
	if b.full < now {
		b.spilled += now - b.full
		b.full = now
	}
}

// remember notes a dip, and forgets those that say less than it does.
func (b *bucket) remember(lack int64) {
	for len(b.dips) > 0 && b.dips[len(b.dips)-1].lack >= lack {
		b.dips = b.dips[:len(b.dips)-1]
	}
	if len(b.dips) == maxDips {
		b.merge()
	}
	b.dips = append(b.dips, dip{b.takes, lack})
}

// merge makes one of neighbours that are alike, so that at most half of the dips remain. It says the less favourable of them.
func (b *bucket) merge() {
	alike := (b.dips[maxDips-1].lack-b.dips[0].lack)/(maxDips/2-1) + 1
	last := 0
	for _, d := range b.dips[1:] {
		if d.lack < b.dips[last].lack+alike {
			b.dips[last].take = d.take
		} else {
			last++
			b.dips[last] = d
		}
	}
	b.dips = b.dips[:last+1]
}

// giveBack undoes a part, cost long, of the take at m. Had it not been taken, the bucket would have been fuller since, and
// once it is full nothing can be added: so no more comes back than was ever missing in between.
func (b *bucket) giveBack(now int64, m mark, cost int64) {
	m, known := b.today(m)
	if !known || cost <= 0 {
		return
	}
	b.spill(now)
	cost = min(cost, b.full-now)
	since := sort.Search(len(b.dips), func(i int) bool { return b.dips[i].take >= m.take })
	if since < len(b.dips) {
		cost = min(cost, b.dips[since].lack)
	}
	b.full -= cost
	for i := since; i < len(b.dips); i++ {
		b.dips[i].lack -= cost
	}
	if since < len(b.dips) {
		from := since
		for from > 0 && b.dips[from-1].lack >= b.dips[since].lack {
			from--
		}
		b.dips = slices.Delete(b.dips, from, since)
	}
}

// charge takes cost more, as if at m. What has spilled since would have gone into the gap, so it pays for it.
func (b *bucket) charge(now int64, m mark, cost int64) {
	m, known := b.today(m)
	if !known || cost <= 0 {
		return
	}
	b.spill(now)
	cost = min(cost, maxCharge)
	paid := min(max(b.spilled-m.spilled, 0), cost)
	b.spilled -= paid
	b.full += cost - paid
}

// learn lowers the bucket if the provider, after the take at m, had only remaining units left and we believed in more.
// Answers to other requests may have told of the same gap already: it is taken once.
func (b *bucket) learn(now int64, m mark, remaining int64) {
	m, known := b.today(m)
	if !known {
		return
	}
	if past := now - b.raised; past > maxCushion {
		b.cushion -= b.cushion * min(past, cushionLife) / cushionLife
		b.raised = now
	}
	gap := b.cost(b.limit-min(max(remaining, 0), b.limit)) + b.cushion - m.lack - (b.learned - m.learned)
	if gap <= 0 {
		return
	}
	b.learned += gap
	b.charge(now, m, gap)
}

// The cushion is what may have been used without our knowing when a request arrives, by others who share the allowance. Each
// refusal of the provider doubles it, and it fades with time. It costs no throughput, for what is left in the
// provider's bucket is not lost, but it makes bursts smaller.
const (
	minCushion  = int64(500 * time.Millisecond)
	maxCushion  = int64(10 * time.Second)
	cushionLife = 30 * minute
)

// refused says that the provider found less than we did. Nothing is in the bucket before and at the given time.
func (b *bucket) refused(now, until int64) {
	if b.limit <= 0 {
		return
	}
	b.spill(now)
	b.cushion = min(max(2*b.cushion, minCushion), maxCushion)
	b.raised = now
	if gap := until + minute - b.full; gap > 0 {
		b.learned += gap
		b.full += gap
	}
}
