package queue

import (
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestBucket(t *testing.T) {
	for _, limit := range []int64{1, 2, 7, 200, 3500, 40_000, 90_000, 30_000_000, maxUnits} {
		b := bucket{limit: limit}
		now := int64(5 * time.Hour)
		if at := b.ready(now, limit); at != now || b.left(now) != limit {
			t.Errorf("%d: it does not start full: %d left", limit, b.left(now))
		}
		for range min(limit, 5000) {
			if b.ready(now, 1) != now {
				t.Fatalf("%d: it holds less than a minute", limit)
			}
			b.take(now, 1)
		}
		b.take(now, limit-min(limit, 5000))
		if each := minute / limit; each > 0 {
			at := b.ready(now, 1)
			if wait := at - now; wait < each-5001 || wait > each {
				t.Errorf("%d: the next is there after %d ns, want %d", limit, wait, each)
			}
			if b.ready(at-1, 1) != at || b.ready(at, 1) != at || b.ready(at+1, 1) != at+1 {
				t.Errorf("%d: the moment changes as it comes near", limit)
			}
		}
		if n := b.left(now + minute/2); n < limit/2 || n > limit/2+1+limit/minute {
			t.Errorf("%d: after half a minute %d are left", limit, n)
		}
		if b.left(now+10*minute) != limit {
			t.Errorf("%d: it holds more than a minute", limit)
		}
	}
	var none bucket
	none.take(0, 1<<60)
	if none.ready(7, 1<<60) != 7 {
		t.Error("without a limit there is one")
	}
}

// TestLateCorrections compares a bucket whose takes are corrected later with
// one that knew the numbers from the start. Once everything is corrected they
// must be equal, however much has spilled in between. Where more was used than
// reserved, the former may only be less full: of two charges each may lack what
// the other one has found spilled.
func TestLateCorrections(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		type request struct {
			at, reserved, used int64
			mark               mark
		}
		late, knowing := bucket{limit: 60_000}, bucket{limit: 60_000}
		downward, upward := rapid.Bool().Draw(r, "only refunds"), rapid.Bool().Draw(r, "only charges")
		var open []request
		var done []request
		now := int64(0)
		for range rapid.IntRange(1, 200).Draw(r, "steps") {
			now += rapid.Int64Range(0, 3*minute/10).Draw(r, "pause")
			if len(open) > 0 && rapid.Bool().Draw(r, "correct") {
				i := rapid.IntRange(0, len(open)-1).Draw(r, "which")
				q := open[i]
				open = append(open[:i], open[i+1:]...)
				late.giveBack(now, q.mark, late.cost(q.reserved-q.used))
				late.charge(now, q.mark, late.cost(q.used-q.reserved))
				done = append(done, q)
				continue
			}
			q := request{at: now, reserved: rapid.Int64Range(0, 60_000).Draw(r, "reserved")}
			if late.ready(now, q.reserved) > now {
				continue
			}
			q.used = rapid.Int64Range(0, q.reserved).Draw(r, "used")
			if !downward && (upward || rapid.Bool().Draw(r, "charge")) {
				q.used = q.reserved + rapid.Int64Range(0, 30_000).Draw(r, "more")
			}
			q.mark = late.take(now, q.reserved)
			open = append(open, q)
		}
		for _, q := range open {
			late.giveBack(now, q.mark, late.cost(q.reserved-q.used))
			late.charge(now, q.mark, late.cost(q.used-q.reserved))
		}
		all := append(done, open...)
		for i := range all { // in the order in which they were taken
			least := i
			for j := i; j < len(all); j++ {
				if all[j].mark.take < all[least].mark.take {
					least = j
				}
			}
			all[i], all[least] = all[least], all[i]
			knowing.take(all[i].at, all[i].used)
		}
		late.spill(now)
		knowing.spill(now)
		if late.full < knowing.full || downward && late.full != knowing.full {
			r.Fatalf("corrected it is full in %v, and knowing it from the start in %v", time.Duration(late.full-now), time.Duration(knowing.full-now))
		}
	})
}

// TestManyDips bounds the memory of a bucket, at the price of refunds that may
// be too small and never too large.
func TestManyDips(t *testing.T) {
	late, knowing := bucket{limit: 60_000}, bucket{limit: 60_000}
	var marks []mark
	for i := range int64(2000) {
		marks = append(marks, late.take(i, 20))
		knowing.take(i, 10)
	}
	if len(late.dips) > maxDips {
		t.Errorf("%d dips are kept", len(late.dips))
	}
	for _, m := range marks {
		late.giveBack(3000, m, late.cost(10))
	}
	if few := knowing.full - late.full; few > 0 || few < -3*time.Second.Nanoseconds() {
		t.Errorf("refunds differ by %v", time.Duration(few))
	}
}
