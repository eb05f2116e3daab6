package tokens

import (
	"strings"
	"sync"
	"unicode/utf8"
	"unsafe"

	"forward/internal/jsonscan"
)

// tally adds up a prompt. Text is counted as it comes: exactly for the first
// MaxExact bytes, which is nearly always all of it, and then in windows spread
// over the rest, so that no request costs more than about two texts of MaxExact
// do, in whatever texts it is split.
type tally struct {
	vocabulary *vocabulary
	percent    int64 // tokens of the model per hundred of the vocabulary
	words      int64 // tokens of text, of the vocabulary
	fixed      int64 // tokens of the model other than text: separators, images
	inexact    bool  // something was estimated
	exact      int   // bytes of text that will still be counted exactly
	bytes      bool  // each byte of text counts as a token, see Bound

	windows sampler
	plain   []byte // what is being counted, unescaped
	render  []byte // function definitions
}

var tallies = sync.Pool{New: func() any { return new(tally) }}

// maxScratch is the most memory in bytes that a tally keeps for the next
// request.
const maxScratch = 64 << 10

// newTally returns a tally for a model whose request has size bytes. It must be
// released.
func newTally(model string, size int) *tally {
	enc, known := ForModel(model)
	t := newBound(model)
	t.bytes, t.inexact = false, !known
	t.vocabulary = vocabularies[enc]()
	t.exact = MaxExact
	t.windows = newSampler(size)
	return t
}

// newBound returns a tally of bytes, which needs no vocabulary. It must be
// released.
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
	if len(s) > t.exact {
		head := 0
		if t.exact > 0 {
			head = edge(s, t.exact)
			t.words += t.count(s[:head], escaped)
		}
		t.exact = 0
		t.inexact = true
		t.sample(s[head:], escaped)
		return
	}
	t.exact -= len(s)
	t.words += t.count(s, escaped)
}

// count returns the tokens of s in the vocabulary.
func (t *tally) count(s string, escaped bool) int64 {
	switch {
	case s == "":
		return 0
	case t.bytes && utf8.ValidString(s):
		return int64(len(s)) // no token has less than a byte, and no escape is shorter than what it stands for
	case t.bytes:
		return 3 * int64(len(s)) // an invalid byte counts as U+FFFD, which has three
	}
	if escaped && strings.IndexByte(s, '\\') >= 0 {
		t.plain = jsonscan.AppendUnescaped(t.plain[:0], s)
		return int64(t.vocabulary.count(valid(t.plain)))
	}
	return int64(t.vocabulary.count(valid(bytesOf(s))))
}

// bytesOf returns a string as bytes without a copy. They must not be written
// to.
func bytesOf(s string) []byte { return unsafe.Slice(unsafe.StringData(s), len(s)) }

// view returns bytes as a string without a copy. They must not change while the
// string is in use.
func view(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }

// add adds a number of tokens other than text.
func (t *tally) add(tokens int64) { t.fixed = sum(t.fixed, tokens) }

// maxTokens is the largest number of tokens that is returned. It is far above
// any real one, and sums of some of them do not overflow.
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
