// Package tokens counts the tokens of a prompt before it is sent, for limits that are in tokens.
//
// The vocabularies are tiktoken-go's, embedded, because by default it downloads them in the first request. The counting
// is ours, because tiktoken-go's is quadratic in the length of a run without spaces: 200 KB of one letter take it half a
// minute, which would let one request stop a core. Here a hand-written splitter cuts the text into pieces, one lookup
// answers for nearly all of them, and a heap merges the others in O(n log n). The counts are those of tiktoken-go's
// EncodeOrdinary, to the token; the tests hold the two side by side. Special tokens like <|endoftext|> are counted as the
// text that they are in a user's mouth.
//
// Prompt counts a whole request, of every operation and dialect, and what it may be answered; Completion counts an answer
// that came without usage. Both walk the JSON where it is and allocate nothing for an ordinary request. They follow the
// providers' published rules, and where there are none, counts that the providers' APIs were seen to answer.
//
// A text above MaxExact bytes is sampled, so that no request costs more than counting MaxExact bytes does: 2 ms for prose
// and about 60 ms for the worst text known. Models of other makers are counted as o200k_base, which is a fair guess and
// no more. Where an answer carries the provider's own usage, that is the truth and this package is not asked.
package tokens

import (
	"sync"
	"unicode/utf8"
	"unsafe"
)

// Encoding names a vocabulary of OpenAI together with the rules by which it cuts a text into pieces.
type Encoding string

// The encodings of OpenAI's text models, the newest first.
const (
	O200kBase  Encoding = "o200k_base"
	Cl100kBase Encoding = "cl100k_base"
	P50kBase   Encoding = "p50k_base"
	R50kBase   Encoding = "r50k_base"
)

// MaxExact is the length in bytes up to which counts are exact. Longer texts are sampled.
const MaxExact = 256 << 10

// Count returns the number of tokens of text for model. It is exact if ForModel knows the model and text has at most
// MaxExact bytes; above that it is sampled, with an error of 0.5 % root mean square and 2 % at worst on the mixtures of
// prose, Chinese and code that were tried. Equal texts have equal counts. A text made to hide its tokens between the
// samples can be counted far too low, so settle by what the provider reports. It fails for no text and no model. The first
// use of an encoding loads its vocabulary, 12 ms; see Warm.
func Count(model, text string) int {
	enc, _ := ForModel(model)
	// The bytes are only read, and not kept; a copy of each prompt would be garbage of its size.
	return CountBytes(enc, unsafe.Slice(unsafe.StringData(text), len(text)))
}

// CountBytes is Count for a text and an encoding at hand. An encoding that is none of the constants counts as O200kBase.
func CountBytes(enc Encoding, text []byte) int {
	load, ok := vocabularies[enc]
	if !ok {
		load = vocabularies[O200kBase]
	}
	if len(text) > MaxExact {
		return sample(load(), text)
	}
	return load().count(valid(text))
}

// Estimate returns about how many tokens a text has, by its length alone: a token for each four bytes, rounded up. For
// o200k_base that is 6 to 11 % too many for English prose, up to 20 % too few for Chinese and for code, half of the truth
// for random letters and digits, and many times the truth for runs of spaces. It is the last resort, where even a
// sampled count is too dear.
func Estimate(text string) int {
	return (len(text) + 3) / 4
}

// Warm loads the vocabularies of today's models in the background and returns at once, so that no request waits for them.
// Older vocabularies are loaded by the first text that needs them. It may be called more than once.
func Warm() {
	go func() {
		vocabularies[O200kBase]()
		vocabularies[Cl100kBase]()
	}()
}

// vocabularies loads each encoding once, at first use. The table itself never changes.
var vocabularies = map[Encoding]func() *vocabulary{
	O200kBase:  lazily(O200kBase, splitO200k),
	Cl100kBase: lazily(Cl100kBase, splitCl100k),
	P50kBase:   lazily(P50kBase, splitP50k),
	R50kBase:   lazily(R50kBase, splitP50k),
}

// runes is the class table that all encodings share.
var runes = sync.OnceValue(newClasses)

// lazily returns a function that loads enc at its first call. It panics if the embedded file is broken, which only a
// broken build can cause and every test of this package would show.
func lazily(enc Encoding, split splitter) func() *vocabulary {
	return sync.OnceValue(func() *vocabulary {
		tokens, err := unpack(enc)
		if err != nil {
			panic(err)
		}
		return newVocabulary(tokens, split, runes())
	})
}

// valid returns text as valid UTF-8: the same bytes if they are, otherwise a copy in which each invalid byte is U+FFFD,
// which is what tiktoken-go reads in its place.
func valid(text []byte) []byte {
	if utf8.Valid(text) {
		return text
	}
	return []byte(string([]rune(string(text))))
}
