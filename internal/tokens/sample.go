package tokens

import "unicode/utf8"

// Text beyond MaxExact is cut into sampleWindows equal stretches, and
// sampleBytes of each are counted, which is MaxExact together. Many small
// windows err less than few large ones on texts of mixed kinds (Go's own
// source, 0.3 to 3 MB: 0.5 % root mean square with 512, 0.8 % with 128), until
// their edges weigh.
const (
	sampleWindows = 512
	sampleBytes   = MaxExact / sampleWindows
)

// sampler chooses the windows of the text beyond MaxExact. Each window is
// somewhere in its stretch and not at its start, because texts often repeat
// with a period (rows, records) that could coincide with the stretches. The
// places depend on nothing but the length of the request, so that equal
// requests have equal counts.
type sampler struct {
	stretch       int    // bytes of text per window
	random        uint64 // state of the generator
	passed        int    // bytes of text seen
	start         int    // of the next window, counted like passed
	open          int    // bytes that the current window still takes
	number        int    // of the next window
	tokens, bytes int64  // in all windows
}

// newSampler returns the sampler for a request of size bytes.
func newSampler(size int) sampler {
	w := sampler{stretch: max(size/sampleWindows, sampleBytes), random: uint64(size)}
	w.move()
	return w
}

// sample adds a text and counts only its parts in windows. A window
// may reach over several texts.
func (t *tally) sample(s string, escaped bool) {
	w := &t.windows
	for s != "" {
		if w.open == 0 {
			gap := max(w.start-w.passed, 0)
			if gap >= len(s) {
				w.passed += len(s)
				return
			}
			gap = edge(s, gap)
			w.passed += gap
			s = s[gap:]
			w.open = sampleBytes
		}
		take := edge(s, min(w.open, len(s)))
		w.tokens += t.count(s[:take], escaped)
		w.bytes += int64(take)
		w.passed += take
		s = s[take:]
		w.open = max(w.open-take, 0)
		if w.open == 0 {
			w.move()
		}
	}
}

// move chooses the next window, somewhere in its stretch.
func (w *sampler) move() {
	w.random = w.random*6364136223846793005 + 1442695040888963407
	w.start = w.number*w.stretch + int((w.random>>32)*uint64(w.stretch-sampleBytes+1)>>32)
	w.number++
}

// edge is wordStart for a place that may be the end.
func edge(s string, i int) int {
	if i <= 0 || i >= len(s) {
		return min(max(i, 0), len(s))
	}
	return wordStart(bytesOf(s), i)
}

// wordStart returns the first place at or shortly after i where a piece may
// start, so that the edge of a window does not split a word and count it as
// two: before a space, or else before a rune.
func wordStart(text []byte, i int) int {
	const near = 32
	end := min(i+near, len(text))
	for j := max(i, 1); j < end; j++ {
		if text[j] == ' ' && text[j-1] != ' ' {
			return j
		}
	}
	for j := i; j < min(i+utf8.UTFMax, len(text)); j++ {
		if utf8.RuneStart(text[j]) {
			return j
		}
	}
	return i
}
