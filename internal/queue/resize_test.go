package queue

import (
	"testing"

	"pgregory.net/rapid"
)

// What is taken stays taken, and what comes back later comes back, as if the
// limit had always been the new one, up or down. Time stands still, so nothing
// refills.
func TestWhatIsTakenIsTakenOfTheNewLimit(t *testing.T) {
	type take struct {
		mark mark
		n    int64
	}
	rapid.Check(t, func(t *rapid.T) {
		const now = 5 * minute
		limits := rapid.Int64Range(1000, 1_000_000)
		b := &bucket{limit: limits.Draw(t, "limit")}
		var taken int64
		var takes []take
		for range rapid.IntRange(1, 30).Draw(t, "steps") {
			switch step := rapid.SampledFrom([]string{"take", "settle", "change"}).Draw(t, "step"); {
			case step == "take" && taken < b.limit:
				n := rapid.Int64Range(1, b.limit-taken).Draw(t, "n")
				takes, taken = append(takes, take{b.take(now, n), n}), taken+n
			case step == "settle" && len(takes) > 0:
				i := rapid.IntRange(0, len(takes)-1).Draw(t, "which")
				used := rapid.Int64Range(0, 2*takes[i].n).Draw(t, "used")
				if more := b.cost(used) - b.cost(takes[i].n); more > 0 {
					b.charge(now, takes[i].mark, more)
				} else {
					b.giveBack(now, takes[i].mark, -more)
				}
				taken += used - takes[i].n
				takes = append(takes[:i], takes[i+1:]...)
			case step == "change":
				b.resize(now, max(taken, limits.Draw(t, "limit")))
			}
			if off := b.left(now) - (b.limit - taken); off < -60 || off > 60 { // each step rounds
				t.Fatalf("%d are left of %d, and %d are taken", b.left(now), b.limit, taken)
			}
		}
	})
}

func TestALimitThatComesOrGoesLeavesNoDebt(t *testing.T) {
	const now = 5 * minute
	b := &bucket{}
	before := b.take(now, 7)
	b.resize(now, 100)
	b.giveBack(now, before, b.cost(7)) // of what was never counted
	if b.left(now) != 100 {
		t.Errorf("%d are left of a new limit, want 100", b.left(now))
	}
	m := b.take(now, 60)
	b.resize(now, 0)
	b.giveBack(now, m, b.cost(60))
	b.resize(now, 50)
	if b.left(now) != 50 || b.ready(now, 50) != now {
		t.Errorf("%d are left of a limit that came back, want 50", b.left(now))
	}
}
