package limits

import "time"

const (
	// exactMoves is the largest limit with which a moving window remembers each
	// admission, at 8 bytes each.
	exactMoves = 10_000
	// sliceCount is into how many slices a moving window with a larger limit
	// divides its period.
	sliceCount = 100
)

// window counts what was admitted in the window of one rate. Times are
// nanoseconds on the clock of the store.
type window struct {
	rate    Rate
	used    int64 // 0: the window is closed, and expires has no meaning
	expires int64 // when used is 0 again
	moves   *moves
}

// moves holds the times at which admissions leave a moving window, each by
// itself or counted by slices.
type moves struct {
	leaves []int64 // ascending
	counts []int64 // of leaves; nil: each is 1
	head   int     // those before it have left
}

// slice returns how long a moving window takes admissions for simultaneous, 0
// if it knows each by itself.
func (r Rate) slice() int64 {
	if r.Limit <= exactMoves {
		return 0
	}
	return max(int64(r.Period)/sliceCount, 1)
}

// open reports whether the window counts anything.
func (w *window) open(now int64) bool { return w.used > 0 && w.expires > now }

// look returns the state of the window for n more, after what is over has left
// it.
func (w *window) look(now, n int64) Window {
	latest := now + int64(w.rate.Period)
	if w.moves != nil {
		latest += w.rate.slice()
	}
	if w.expires > latest { // the clock was set back; that must cost no caller more than a period
		w.expires = latest
		if w.moves != nil {
			w.moves.cap(latest)
		}
	}
	if w.moves != nil {
		w.used -= w.moves.drop(now)
	} else if w.expires <= now {
		w.used = 0
	}
	left := w.rate.Limit - w.used
	state := Window{Rate: w.rate, Remaining: max(left, 0)} // left is negative when the limit was lowered
	if w.used > 0 {
		state.Reset = time.Duration(w.expires - now)
	}
	switch {
	case n <= left:
	case n > w.rate.Limit: // never
		state.Wait = w.rate.Period
	case w.moves != nil:
		state.Wait = time.Duration(w.moves.free(n-left) - now)
	default:
		state.Wait = state.Reset
	}
	return state
}

// count admits n, for which look has found space.
func (w *window) count(s Strategy, now, n int64) {
	end := now + int64(w.rate.Period)
	if s == MovingWindow {
		if w.moves == nil {
			w.moves = &moves{}
		}
		if slice := w.rate.slice(); slice > 0 {
			end = roundDown(now, slice) + slice + int64(w.rate.Period)
			w.moves.addSlice(end, n)
		} else {
			w.moves.add(end, n)
		}
	}
	if w.used == 0 || s != FixedWindow {
		w.expires = end
	}
	w.used += n
}

// roundDown returns the multiple of unit at or below n, also below zero.
func roundDown(n, unit int64) int64 {
	rest := n % unit
	if rest < 0 {
		rest += unit
	}
	return n - rest
}

// at returns how many admissions the i-th entry stands for.
func (m *moves) at(i int) int64 {
	if m.counts == nil {
		return 1
	}
	return m.counts[i]
}

// drop forgets what has left by now, and returns how much it was.
func (m *moves) drop(now int64) (n int64) {
	for m.head < len(m.leaves) && m.leaves[m.head] <= now {
		n += m.at(m.head)
		m.head++
	}
	if m.head == len(m.leaves) {
		m.shift()
	}
	return n
}

// free returns when n will have left.
func (m *moves) free(n int64) int64 {
	for i := m.head; i < len(m.leaves); i++ {
		n -= m.at(i)
		if n <= 0 {
			return m.leaves[i]
		}
	}
	return 0
}

// add appends n admissions that leave at end.
func (m *moves) add(end, n int64) {
	m.makeSpace()
	for range n {
		m.leaves = append(m.leaves, end)
	}
}

// addSlice adds n admissions to the slice that leaves at end.
func (m *moves) addSlice(end, n int64) {
	if last := len(m.leaves) - 1; last >= m.head && m.leaves[last] == end {
		m.counts[last] += n
		return
	}
	m.makeSpace()
	m.leaves = append(m.leaves, end)
	m.counts = append(m.counts, n)
}

// makeSpace shifts a full slice, but not before half of it has left: to move
// all for one free place would cost the whole window each time.
func (m *moves) makeSpace() {
	if len(m.leaves) == cap(m.leaves) && 2*m.head >= len(m.leaves) {
		m.shift()
	}
}

// shift moves what is left to the front.
func (m *moves) shift() {
	m.leaves = m.leaves[:copy(m.leaves, m.leaves[m.head:])]
	if m.counts != nil {
		m.counts = m.counts[:copy(m.counts, m.counts[m.head:])]
	}
	m.head = 0
}

// cap lets nothing leave later than latest.
func (m *moves) cap(latest int64) {
	for i := len(m.leaves) - 1; i >= m.head && m.leaves[i] > latest; i-- {
		m.leaves[i] = latest
	}
}
