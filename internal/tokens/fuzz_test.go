package tokens_test

import (
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// grains are what random texts are made of: each kind of rune the expressions
// distinguish, what they treat in its own way, and some ordinary words, so that
// whole words, merges and splits all happen.
var grains = []string{
	"a", "b", "e", "z", "A", "Z", "É", "ß", "ǅ", "ʰ", "的", "中文", "日", "한", "ん", "ก", "\u0301", "\u20dd", "\ufe0f",
	"0", "7", "123", "½", "Ⅷ", "٣", " ", " ", "  ", "\t", "\n", "\r", "\r\n", "\v", "\u00a0", "\u0085", "\u2028", "\u3000",
	"'", "'s", "'S", "'t", "'re", "'VE", "'m", "'lL", "'d", "ſ", "’", ".", ",", "!", "/", "//", "-", "_", "==", "(", "\"", "<|", "|>", "$",
	"😀", "👍🏽", "\u200d", "\ufffd", "\ufeff", "\x00", "\x7f", "\xff", "\xe4\xb8", "\xed\xa0\x80",
	"the", " the", "Hello", " world", "HTTP", "Server", "function", "ization", " 北京", "return", "https", "<|endoftext|>",
}

func TestRandomTexts(t *testing.T) {
	text := rapid.OneOf(
		rapid.Map(rapid.SliceOfN(rapid.SampledFrom(grains), 0, 60), func(s []string) string { return strings.Join(s, "") }),
		rapid.Map(rapid.SliceOfN(rapid.SampledFrom(grains[:12]), 0, 200), func(s []string) string { return strings.Join(s, "") }),
		rapid.StringMatching(`[a-z]{0,200}|[A-Za-z0-9+/]{0,300}|[\p{Han}]{0,100}|[ \n\t]{0,50}[a-zA-Z]{0,5}`),
		rapid.String(),
		rapid.Map(rapid.SliceOf(rapid.Byte()), func(b []byte) string { return string(b) }),
	)
	rapid.Check(t, func(t *rapid.T) {
		check(t, text.Draw(t, "text"))
	})
}

func FuzzCount(f *testing.F) {
	for _, grain := range grains {
		f.Add(grain + " x" + grain)
	}
	for _, name := range corpora {
		for line := range strings.Lines(corpus(f, name)) {
			f.Add(line)
		}
	}
	f.Fuzz(func(t *testing.T, text string) {
		if len(text) > 4<<10 {
			text = text[:4<<10] // the oracle is quadratic
		}
		check(t, text)
	})
}
