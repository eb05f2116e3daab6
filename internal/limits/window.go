package limits

import "time"

const (
	// exactMoves is the largest limit whose admissions a moving window remembers one by one, at 8 bytes each.
	exactMoves = 10_000
	// sliceCount is into how many slices a moving window with a larger limit divides its period.
	sliceCount = 100
)

// window counts what was admitted in the window of one rate. Times are nanoseconds on the store's clock.
type window struct {
	rate    Rate
	used    int64 // 0: the window is closed and expires means nothing
	expires int64 // when used is 0 again
	moves   *moves
}

// moves remembers, of a moving window, when what was admitted leaves it: one by one, or slice by slice with counts.
type moves struct {
	leaves []int64 // ascending
	counts []int64 // beside leaves; nil: each stands for one
	head   int     // those before it have left
}

// slice returns how long a moving window takes admissions for simultaneous, 0 when it knows each by itself.
func (r Rate) slice() int64 {
	if r.Limit <= exactMoves {
		return 0
	}
	return max(int64(r.Period)/sliceCount, 1)
}

// look says how the window stands for n more, after what is over has left it.
func (w *window) look(now, n int64) Window {
	latest := now + int64(w.rate.Period)
	if w.moves != nil {
		latest += w.rate.slice()
	}
	if w.expires > latest { // the clock was set back; nobody is to wait longer than a period for it
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
	left := Window{Rate: w.rate, Remaining: w.rate.Limit - w.used}
	if w.used > 0 {
		left.Reset = time.Duration(w.expires - now)
	}
	switch {
	case n <= left.Remaining:
	case n > w.rate.Limit: // never
		left.Wait = w.rate.Period
	case w.moves != nil:
		left.Wait = time.Duration(w.moves.free(n-left.Remaining) - now)
	default:
		left.Wait = left.Reset
	}
	left.Remaining = max(left.Remaining, 0) // below it when the limit was lowered
	return left
}

// count admits n, for which look has found room.
func (w *window) count(s Strategy, now, n int64) {
	end := now + int64(w.rate.Period)
	if s == MovingWindow {
		if w.moves == nil {
			w.moves = &moves{}
		}
		if slice := w.rate.slice(); slice > 0 {
			end = floor(now, slice) + slice + int64(w.rate.Period)
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

// floor rounds down to a multiple of unit, also below zero.
func floor(n, unit int64) int64 {
	rest := n % unit
	if rest < 0 {
		rest += unit
	}
	return n - rest
}

func (m *moves) at(i int) int64 {
	if m.counts == nil {
		return 1
	}
	return m.counts[i]
}

// drop forgets what has left by now and returns how much it was.
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
		if n -= m.at(i); n <= 0 {
			return m.leaves[i]
		}
	}
	return 0
}

func (m *moves) add(end, n int64) {
	// Not before half has left: moving everything for one free place would cost the whole window each time.
	if len(m.leaves) == cap(m.leaves) && 2*m.head >= len(m.leaves) {
		m.shift()
	}
	for range n {
		m.leaves = append(m.leaves, end)
	}
}

func (m *moves) addSlice(end, n int64) {
	if last := len(m.leaves) - 1; last >= m.head && m.leaves[last] == end {
		m.counts[last] += n
		return
	}
	if len(m.leaves) == cap(m.leaves) && 2*m.head >= len(m.leaves) {
		m.shift()
	}
	m.leaves, m.counts = append(m.leaves, end), append(m.counts, n)
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
