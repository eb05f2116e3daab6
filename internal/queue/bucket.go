package queue

import (
	"math/bits"
	"slices"
	"sort"
	"time"
)

// minute is the period of all buckets, and so the time in which an empty one
// fills up.
const minute = int64(time.Minute)

// maxCharge bounds what one correction takes, in time of refill: an upstream
// that reports an absurd usage must not close a queue for longer.
const maxCharge = 60 * minute

// maxDips bounds the memory of a bucket for late refunds.
const maxDips = 64

// The margin is what others who share the allowance may have used without the
// gateway's knowledge when a request arrives. Each refusal of the provider
// doubles it, and it fades with time. It costs no throughput, because what is
// left in the provider's bucket is not lost, but it makes bursts smaller.
const (
	minMargin  = int64(500 * time.Millisecond)
	maxMargin  = int64(10 * time.Second)
	marginLife = 30 * minute
)

// bucket holds up to limit units, starts full and gains limit units a minute,
// continuously. Its state is one number: the time at which it is full again.
// What is taken is measured in the time of its refill, rounded down to a
// nanosecond, so the time at which n units are available is known exactly.
//
// A bucket also remembers as much of its past as late corrections need. A
// correction reports what should have been taken long ago, and the bucket then
// stands as if that had been taken: what would have spilled over since is lost.
// All times are nanoseconds on the clock of the queue. The zero bucket has no
// limit.
type bucket struct {
	limit    int64
	full     int64 // when it is full again; a time in the past: since then it has been spilling
	spilled  int64 // refill that found the bucket full, in time
	learned  int64 // what answers of the provider have taken, in time
	margin   int64 // by how much the bucket stays below what the provider reports, in time
	marginAt int64 // when the margin was changed
	takes    int64 // their number
	lastTake int64
	dips     []dip // ascending in both fields
}

// dip records that right before a take only lack was missing to a full bucket,
// and never less after it.
type dip struct{ take, lack int64 }

// mark is the state of a bucket right after a take.
type mark struct{ take, lack, spilled, learned, limit int64 }

// cost returns the time of refill of n units.
func (b *bucket) cost(n int64) int64 {
	if b.limit <= 0 || n <= 0 {
		return 0
	}
	if n/b.limit >= 1e7 { // the product of the next lines would not fit; it is 19 years
		return 1e7 * minute
	}
	hi, lo := bits.Mul64(uint64(n), uint64(minute))
	q, _ := bits.Div64(hi, lo, uint64(b.limit))
	return int64(q)
}

// ready returns when n units are available, at now or later. For more than the
// bucket can hold it is the time until which as much will have been refilled.
func (b *bucket) ready(now, n int64) int64 {
	if b.limit <= 0 {
		return now
	}
	return max(now, max(b.full, now)+b.cost(n)-minute)
}

// left returns how many units are available, below zero in debt.
func (b *bucket) left(now int64) int64 {
	lack := max(b.full-now, 0)
	whole := lack / minute
	rest := lack % minute
	hi, lo := bits.Mul64(uint64(rest), uint64(b.limit))
	q, r := bits.Div64(hi, lo, uint64(minute))
	if r > 0 {
		q++
	}
	return b.limit - whole*b.limit - int64(q)
}

// take takes n units, available or not.
func (b *bucket) take(now, n int64) mark {
	if b.limit <= 0 {
		return mark{}
	}
	b.spill(now)
	if now > b.lastTake || b.takes == 0 { // nothing spills between takes at one instant
		b.remember(b.full - now)
	}
	b.lastTake = now
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

// remember adds a dip, and forgets those that it covers.
func (b *bucket) remember(lack int64) {
	for len(b.dips) > 0 && b.dips[len(b.dips)-1].lack >= lack {
		b.dips = b.dips[:len(b.dips)-1]
	}
	if len(b.dips) == maxDips {
		b.merge()
	}
	b.dips = append(b.dips, dip{b.takes, lack})
}

// merge joins neighbors that are alike to the less favorable of them, so that
// at most half of the dips remain.
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

// giveBack undoes a part of the take at m. Without it the bucket would have
// been fuller since, and a full bucket gains nothing: so no more comes back
// than was ever missing in between.
func (b *bucket) giveBack(now int64, m mark, cost int64) {
	m, ok := b.convert(m)
	if !ok || cost <= 0 {
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

// charge takes cost more, as if at m. What has spilled since would have gone
// into the gap, so it pays for it.
func (b *bucket) charge(now int64, m mark, cost int64) {
	m, ok := b.convert(m)
	if !ok || cost <= 0 {
		return
	}
	b.spill(now)
	cost = min(cost, maxCharge)
	paid := min(max(b.spilled-m.spilled, 0), cost)
	b.spilled -= paid
	b.full += cost - paid
}

// learn lowers the bucket if the provider, after the take at m, had fewer units
// left than the bucket. Answers to other requests may have reported the same
// gap already: it is taken once.
func (b *bucket) learn(now int64, m mark, remaining int64) {
	m, ok := b.convert(m)
	if !ok {
		return
	}
	if past := now - b.marginAt; past > maxMargin {
		b.margin -= b.margin * min(past, marginLife) / marginLife
		b.marginAt = now
	}
	used := b.cost(b.limit - min(max(remaining, 0), b.limit))
	gap := used + b.margin - m.lack - (b.learned - m.learned)
	if gap > 0 {
		b.learned += gap
		b.charge(now, m, gap)
	}
}

// refused reports that the provider found less than the bucket had. Nothing is
// available until the given time, nor at it.
func (b *bucket) refused(now, until int64) {
	if b.limit <= 0 {
		return
	}
	b.spill(now)
	b.margin = min(max(2*b.margin, minMargin), maxMargin)
	b.marginAt = now
	if gap := until + minute - b.full; gap > 0 {
		b.learned += gap
		b.full += gap
	}
}

// resize applies another limit. What was taken of the old limit is taken of the
// new one, up to all of it: no request waits longer than for an empty bucket
// because a limit was lowered.
func (b *bucket) resize(now, limit int64) {
	if limit == b.limit {
		return
	}
	if b.limit <= 0 || limit <= 0 {
		*b = bucket{limit: limit, takes: b.takes}
		return
	}
	b.spill(now)
	lack := b.full - now
	most := max(lack, minute)
	b.full = now + min(rescale(lack, b.limit, limit), most)
	for i, d := range b.dips {
		b.dips[i].lack = min(rescale(d.lack, b.limit, limit), most)
	}
	b.spilled = rescale(b.spilled, b.limit, limit)
	b.learned = rescale(b.learned, b.limit, limit)
	b.margin = rescale(b.margin, b.limit, limit)
	b.limit = limit
}

// convert returns a mark in times of the current limit. It reports false when
// there was no limit, or is none now.
func (b *bucket) convert(m mark) (mark, bool) {
	if b.limit <= 0 || m.limit <= 0 {
		return m, false
	}
	if m.limit != b.limit {
		m.lack = rescale(m.lack, m.limit, b.limit)
		m.spilled = rescale(m.spilled, m.limit, b.limit)
		m.learned = rescale(m.learned, m.limit, b.limit)
		m.limit = b.limit
	}
	return m, true
}

// rescale returns the time in which a bucket of limit after gains what a bucket
// of limit before gains in t. Both limits are above zero.
func rescale(t, before, after int64) int64 {
	const most = never / 4 // longer than any of our clocks runs
	if t < 0 {
		return -rescale(-t, before, after)
	}
	hi, lo := bits.Mul64(uint64(t), uint64(before))
	if hi >= uint64(after) {
		return most
	}
	q, _ := bits.Div64(hi, lo, uint64(after))
	return int64(min(q, uint64(most)))
}
