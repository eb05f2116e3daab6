package tokens

import (
	"strings"
	"sync"
	"unicode/utf8"
	"unsafe"

	"forward/internal/jsonscan"
)

// tally adds up a prompt. Text is counted as it comes: exactly for the first MaxExact bytes, which is nearly always all,
// and then in windows spread over the rest, so that no request costs more than about two texts of MaxExact do, however
// it splits its text.
type tally struct {
	vocabulary *vocabulary
	percent    int64 // tokens of the model per hundred of the vocabulary
	words      int64 // tokens of text, of the vocabulary
	fixed      int64 // tokens of the model that are no text: separators, images
	inexact    bool  // something was estimated
	room       int   // bytes of text that will be counted exactly
	bytes      bool  // each byte of text counts as a token, see Bound

	windows sampler
	plain   []byte // what is being counted, unescaped
	render  []byte // function definitions
}

// sampler chooses the windows of the text beyond MaxExact, by the rules of sample.
type sampler struct {
	stretch       int    // bytes of text per window
	random        uint64 // state of the generator
	passed        int    // bytes of text seen
	start         int    // of the next window, counted like passed
	open          int    // bytes that the current window still takes
	number        int    // of the next window
	tokens, bytes int64  // in all windows
}

var tallies = sync.Pool{New: func() any { return new(tally) }}

// maxScratch is the most memory in bytes that a tally keeps for the next request.
const maxScratch = 64 << 10

// newTally returns a tally for a model whose request has size bytes. It must be released.
func newTally(model string, size int) *tally {
	enc, known := ForModel(model)
	t := newBound(model)
	t.bytes, t.inexact = false, !known
	t.vocabulary = vocabularies[enc]()
	t.room = MaxExact
	t.windows = sampler{stretch: max(size/sampleWindows, sampleBytes), random: uint64(size)}
	t.windows.move()
	return t
}

// newBound returns a tally of bytes, which needs no vocabulary. It must be released.
func newBound(model string) *tally {
	t := tallies.Get().(*tally)
	*t = tally{percent: percent(model), bytes: true, inexact: true, plain: t.plain[:0], render: t.render[:0]}
	return t
}

func (t *tally) release() {
	if cap(t.plain)+cap(t.render) <= maxScratch {
		tallies.Put(t)
	}
}

// total returns the tokens of all that was added.
func (t *tally) total() int64 {
	words := t.words
	if over := int64(t.windows.passed); over > 0 {
		tokens, bytes := t.windows.tokens, t.windows.bytes
		if bytes == 0 { // the rest ended before its first window
			tokens, bytes = t.words, MaxExact
		}
		words += int64(float64(tokens)*float64(over)/float64(bytes) + 0.5)
	}
	return max((words*t.percent+50)/100+t.fixed, 0)
}

// string adds a JSON string; other values add nothing.
func (t *tally) string(value string) {
	if jsonscan.IsString(value) {
		t.text(jsonscan.Inner(value), true)
	}
}

// raw adds JSON as the text that it is.
func (t *tally) raw(json string) { t.text(json, false) }

// text adds a text, escaped as in a JSON string or not.
func (t *tally) text(s string, escaped bool) {
	if t.bytes {
		t.words += t.count(s, escaped)
		return
	}
	if len(s) > t.room {
		head := 0
		if t.room > 0 {
			head = edge(s, t.room)
			t.words += t.count(s[:head], escaped)
		}
		t.room, t.inexact = 0, true
		t.sample(s[head:], escaped)
		return
	}
	t.room -= len(s)
	t.words += t.count(s, escaped)
}

// sample adds a text of which only what lies in windows is counted. A window may reach over several texts.
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
		if w.open = max(w.open-take, 0); w.open == 0 {
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

// count returns the tokens of s in the vocabulary.
func (t *tally) count(s string, escaped bool) int64 {
	switch {
	case s == "":
		return 0
	case t.bytes && utf8.ValidString(s):
		return int64(len(s)) // no token has less than a byte, and no escape is shorter than what it stands for
	case t.bytes:
		return 3 * int64(len(s)) // U+FFFD, which stands for what is invalid, has three
	}
	if escaped && strings.IndexByte(s, '\\') >= 0 {
		t.plain = jsonscan.AppendUnescaped(t.plain[:0], s)
		return int64(t.vocabulary.count(valid(t.plain)))
	}
	return int64(t.vocabulary.count(valid(bytesOf(s))))
}

// bytesOf views a string as bytes, which must only be read.
func bytesOf(s string) []byte { return unsafe.Slice(unsafe.StringData(s), len(s)) }

// view looks at bytes as a string; they must not change as long as it is held.
func view(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }

// add adds a number of tokens that are no text.
func (t *tally) add(tokens int64) { t.fixed = sum(t.fixed, tokens) }

// maxTokens is what larger numbers of tokens are taken for. It is far above any real one, and sums of some of them do
// not overflow.
const maxTokens = 1 << 53

func sum(a, b int64) int64 { return min(a+b, maxTokens) }

// times multiplies two numbers that are not negative.
func times(a, b int64) int64 {
	if a != 0 && b > maxTokens/a {
		return maxTokens
	}
	return a * b
}

// ceil divides rounding up; a is not negative.
func ceil(a, b int64) int64 { return (a + b - 1) / b }
