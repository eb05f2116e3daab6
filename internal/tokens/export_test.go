package tokens

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"path"
	"strings"
	"sync"
	"unicode"

	"forward/internal/dialect"
)

// CountBytes counts a text that is not sampled.
func CountBytes(enc Encoding, text []byte) int {
	return vocabularies[enc]().count(valid(text))
}

// Loader is tiktoken-go's BpeLoader over the embedded vocabularies, for the
// oracles of the tests.
type Loader struct{}

// LoadTiktokenBpe returns the ranks of the encoding whose file the URL names,
// like ".../o200k_base.tiktoken".
func (Loader) LoadTiktokenBpe(url string) (map[string]int, error) {
	tokens, err := unpack(Encoding(strings.TrimSuffix(path.Base(url), ".tiktoken")))
	if err != nil {
		return nil, err
	}
	ranks := make(map[string]int, len(tokens))
	for rank, token := range tokens {
		if token != "" {
			ranks[token] = rank
		}
	}
	return ranks, nil
}

// CountAll counts without the bound of MaxExact, for tests of the counter's
// growth and of the sampling error.
func CountAll(enc Encoding, text string) int {
	return vocabularies[enc]().count(valid([]byte(text)))
}

// Pairs returns a vocabulary of all bytes and all pairs of bytes.
func Pairs() []string {
	all := make([]string, 0, 256+1<<16)
	for a := range 256 {
		all = append(all, string([]byte{byte(a)}))
	}
	for pair := range 1 << 16 {
		// An order without a pattern, so that the pairs of a piece are joined
		// here and there.
		mixed := uint16(pair * 40503)
		all = append(all, string([]byte{byte(mixed >> 8), byte(mixed)}))
	}
	return all
}

var pairCounters = sync.OnceValue(func() map[Encoding]*vocabulary {
	counters := make(map[Encoding]*vocabulary)
	for enc, split := range map[Encoding]splitter{O200kBase: splitO200k, Cl100kBase: splitCl100k, P50kBase: splitP50k} {
		counters[enc] = newVocabulary(Pairs(), split, runes())
	}
	return counters
})

// CountPairs counts text with the splitter of enc and the vocabulary Pairs.
func CountPairs(enc Encoding, text string) int {
	return pairCounters()[enc].count(valid([]byte(text)))
}

// LookAlike returns another word of 16 letters with the same key in the hash
// table of enc as token, which has 16 bytes.
func LookAlike(enc Encoding, token string) (alike string, ok bool) {
	v := vocabularies[enc]()
	want, _ := v.hash([]byte(token))
	random := rand.New(rand.NewPCG(1, 2))
	word := make([]byte, 16)
	for range 1 << 24 {
		for i := range 8 {
			word[i] = byte('a' + random.IntN(26))
		}
		// The last eight bytes are xored into the state before the last fold,
		// so they can undo what the first ones did.
		state := fold(16^binary.LittleEndian.Uint64(word), hashMid)
		target := fold(16^binary.LittleEndian.Uint64([]byte(token)), hashMid) ^ binary.LittleEndian.Uint64([]byte(token[8:]))
		binary.LittleEndian.PutUint64(word[8:], state^target)
		if isLetters(word[8:]) {
			got, _ := v.hash(word)
			return string(word), got == want
		}
	}
	return "", false
}

func isLetters(b []byte) bool {
	for _, c := range b {
		if c |= 0x20; c < 'a' || c > 'z' {
			return false
		}
	}
	return true
}

// CheckClasses compares the class table with the unicode package, rune by rune.
func CheckClasses() error {
	c := runes()
	for r := range rune(len(c)) {
		for _, want := range []struct {
			bit uint8
			is  bool
		}{
			{upper, unicode.In(r, unicode.Lu, unicode.Lt)},
			{lower, unicode.Is(unicode.Ll, r)},
			{caseless, unicode.In(r, unicode.Lm, unicode.Lo)},
			{mark, unicode.Is(unicode.M, r)},
			{number, unicode.Is(unicode.N, r)},
			{space, unicode.IsSpace(r)},
			{newline, r == '\r' || r == '\n'},
		} {
			if got := c[r]&want.bit != 0; got != want.is {
				return fmt.Errorf("%U: class bit %#x is %v, want %v", r, want.bit, got, want.is)
			}
		}
	}
	return nil
}

// ClassEdges returns every rune whose class differs from the rune before it,
// and that one.
func ClassEdges() []rune {
	var edges []rune
	c := runes()
	for r := rune(1); int(r) < len(c); r++ {
		if c[r] != c[r-1] {
			edges = append(edges, r-1, r)
		}
	}
	return edges
}

// Load builds the vocabulary of enc again.
func Load(enc Encoding) {
	lazily(enc, splitO200k)()
}

// Work returns how many bytes Prompt cuts into pieces to count a request, each
// as often as it does, and how many tokens the request has if all of its text
// is counted.
func Work(op dialect.Operation, model, json string) (bytes int, all int64) {
	read := func(exact int) int64 {
		t := newTally(model, len(json))
		if exact > 0 {
			t.exact = exact
		}
		v := t.vocabulary
		t.vocabulary = &vocabulary{classes: v.classes, pairs: v.pairs, slots: v.slots, tokens: v.tokens, longest: v.longest}
		t.vocabulary.scratch.New = func() any { return new(scratch) }
		t.vocabulary.split = func(c *classes, text []byte, i int) int {
			end := v.split(c, text, i)
			bytes += end - i
			return end
		}
		r := request{tally: t, model: baseName(model), answers: 1, prompts: 1}
		r.read(op, json)
		return t.total()
	}
	all = read(1 << 40)
	bytes = 0
	read(0)
	return bytes, all
}

// Function returns how the definition of a tool is written for the model.
func Function(tool string) string { return string(appendFunction(nil, tool)) }

// ImageSize reads the size of an image in base64.
func ImageSize(data string) (width, height int64, ok bool) {
	s, ok := imageSize(data)
	return s.width, s.height, ok
}
