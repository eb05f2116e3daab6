package tokens_test

import (
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/pkoukk/tiktoken-go"
	tiktoken_loader "github.com/pkoukk/tiktoken-go-loader"

	"forward/internal/tokens"
)

var encodings = []tokens.Encoding{tokens.O200kBase, tokens.Cl100kBase, tokens.P50kBase, tokens.R50kBase}

// oracles holds tiktoken-go's own encoders, which take long to build.
var oracles = make(map[tokens.Encoding]*tiktoken.Tiktoken)

// patterns are tiktoken-go's expressions, which it doesn't export; p50k_base's
// is r50k_base's too.
var patterns = map[tokens.Encoding]string{
	tokens.O200kBase: strings.Join([]string{
		`[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?`,
		`[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?`,
		`\p{N}{1,3}`, ` ?[^\s\p{L}\p{N}]+[\r\n/]*`, `\s*[\r\n]+`, `\s+(?!\S)`, `\s+`,
	}, "|"),
	tokens.Cl100kBase: `(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+`,
	tokens.P50kBase:   `'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+`,
}

// pairOracles cut by the patterns and know nothing but pairs of bytes; see
// check.
var pairOracles = make(map[tokens.Encoding]*tiktoken.Tiktoken)

// network refuses and counts what tiktoken-go's default loader, or anything
// else, would fetch.
type network struct{ calls atomic.Int32 }

func (n *network) RoundTrip(*http.Request) (*http.Response, error) {
	n.calls.Add(1)
	return nil, errors.New("no network in these tests")
}

var cut = new(network)

func TestMain(m *testing.M) {
	http.DefaultTransport = cut
	tiktoken.SetBpeLoader(tokens.Loader{})
	for _, enc := range encodings {
		tk, err := tiktoken.GetEncoding(string(enc))
		if err != nil {
			panic(err)
		}
		oracles[enc] = tk
	}
	ranks := make(map[string]int)
	for rank, token := range tokens.Pairs() {
		ranks[token] = rank
	}
	for enc, pattern := range patterns {
		bpe, err := tiktoken.NewCoreBPE(ranks, nil, pattern)
		if err != nil {
			panic(err)
		}
		pairOracles[enc] = tiktoken.NewTiktoken(bpe, nil, nil)
	}
	os.Exit(m.Run())
}

// check compares the count of text with tiktoken-go's in all encodings. Equal
// counts don't prove equal pieces, since two ways to cut a word often have as
// many tokens; so check also counts with vocabularies that consist of all pairs
// of bytes, where nearly every piece of odd length costs one token more than
// its half and a misplaced cut shows.
func check(t interface {
	Helper()
	Errorf(format string, args ...any)
}, text string) {
	t.Helper()
	for _, enc := range encodings {
		if got, want := tokens.CountBytes(enc, []byte(text)), len(oracles[enc].EncodeOrdinary(text)); got != want {
			t.Errorf("%s: %d tokens, tiktoken-go has %d in %.300q", enc, got, want, text)
		}
	}
	for enc, oracle := range pairOracles {
		if got, want := tokens.CountPairs(enc, text), len(oracle.EncodeOrdinary(text)); got != want {
			t.Errorf("%s: %d pairs, tiktoken-go has %d in %.300q", enc, got, want, text)
		}
	}
}

func corpus(t testing.TB, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", name+".txt"))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

var corpora = []string{"english", "chinese", "code", "emoji"}

func TestCountEqualsTiktokenOnCorpora(t *testing.T) {
	for _, name := range corpora {
		t.Run(name, func(t *testing.T) {
			text := corpus(t, name)
			check(t, text)
			for line := range strings.Lines(text) {
				check(t, line)
				check(t, strings.ToUpper(line))
				check(t, strings.ReplaceAll(line, " ", ""))
			}
		})
	}
}

// TestKnownCounts pins the numbers in OpenAI's cookbook ("How to count tokens
// with tiktoken"), so that we and the oracle can't be wrong together.
func TestKnownCounts(t *testing.T) {
	for _, c := range []struct {
		name, model, text string
		want              int
	}{
		{"cookbook, gpt-4", "gpt-4", "tiktoken is great!", 6},
		{"cookbook, gpt-4o", "gpt-4o", "tiktoken is great!", 6},
		{"cookbook, r50k", "davinci", "antidisestablishmentarianism", 5},
		{"cookbook, cl100k", "gpt-4", "antidisestablishmentarianism", 6},
		{"cookbook, cl100k sum", "gpt-3.5-turbo", "2 + 2 = 4", 7},
		{"cookbook, o200k birthday", "gpt-4o", "お誕生日おめでとう", 8},
		{"cookbook, cl100k birthday", "gpt-4", "お誕生日おめでとう", 9},
		{"cookbook, p50k birthday", "text-davinci-003", "お誕生日おめでとう", 14},
		{"empty", "gpt-4o", "", 0},
		{"special token is text", "gpt-4o", "<|endoftext|>", 7},
		{"unknown model", "claude-sonnet-4-5", "hello world", 2},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := tokens.Count(c.model, c.text); got != c.want {
				t.Errorf("Count(%q, %q) = %d, want %d", c.model, c.text, got, c.want)
			}
		})
	}
}

// TestSplitterCorners are the places where a hand-written splitter and a
// backtracking expression part ways.
func TestSplitterCorners(t *testing.T) {
	for name, text := range map[string]string{
		"newline between spaces":           "a  \n  \n  b",
		"cr, lf and both":                  "a\r\n\r\n \r \n\tb",
		"two spaces before a word":         "a  b   c",
		"spaces at the end":                "a   ",
		"other spaces before a word":       "a\u00a0\u3000b\u2028c\u0085d",
		"capitals then lower":              "HTTPServer ABCdEF aBC",
		"capitals, caseless, capitals":     "ABʰCD ABʰCDe A的B",
		"mark before capitals":             "\u0301ABC \u0301ABCd \u0301\u0301AB",
		"mark alone":                       " \u0301 \u0301's",
		"symbol before capitals":           "$ABC $ABc .A",
		"title case":                       "ǅ ǅa aǅ",
		"contractions":                     "I'm YOU'RE he'LL x'Ll y'lL don'tx 'tis 's 'S ''s 'r 'l 'v '",
		"nearly contractions":              "x'rl x'le x'vl x're1 x'lll x'a x'",
		"contraction after a mark's word":  "\u0301A's",
		"long s":                           "it'ſ IT'ſ",
		"slashes after symbols":            "a://b//\n//\r\n/c !!/\n",
		"numbers of all kinds":             "1234567 ½¾Ⅷ٣٤٥٦ 12a34",
		"space before numbers and symbols": " 123 !? \u00a0!",
		"trailing apostrophe":              "dogs'",
		"emoji with joiners":               "👩🏽‍🚀👨‍👩‍👧‍👦🏳️‍🌈 x",
		"invalid bytes":                    "a\xffb\xc3\x28\xe4\xb8 \xed\xa0\x80 \xf4\x90\x80\x80\x80",
		"nul and control bytes":            "a\x00\x00b\x1b[0m\x7f",
		"byte order mark":                  "\ufeffabc",
		"above the short merge":            strings.Repeat("qx", 40),
		"special tokens":                   "<|endoftext|><|im_start|>",
	} {
		t.Run(name, func(t *testing.T) { check(t, text) })
	}
}

func TestClassesAreUnicodes(t *testing.T) {
	if err := tokens.CheckClasses(); err != nil {
		t.Error(err)
	}
}

// TestEveryKindOfRune puts each rune at the edge of a class between words,
// spaces and itself.
func TestEveryKindOfRune(t *testing.T) {
	var text strings.Builder
	for i, r := range tokens.ClassEdges() {
		if raceEnabled && i/200%8 != 0 {
			continue
		}
		s := string(r)
		text.WriteString("x" + s + "Y" + s + s + " Z" + s + "'s " + s + "1" + s + "\n" + s + "AB")
		if i%200 == 199 {
			check(t, text.String())
			text.Reset()
		}
	}
	check(t, text.String())
}

// TestLongRunsAreCountedInTime would run into the test binary's time-out, not
// just its own bound, if counting were quadratic: tiktoken-go needs a quarter
// of an hour for the first text alone.
func TestLongRunsAreCountedInTime(t *testing.T) {
	for name, unit := range map[string]string{
		"one letter": "a", "capitals": "A", "spaces": " ", "newlines": "\n", "Han": "的", "emoji": "😀", "underlines": "_",
		"mixed spaces": " \n\t", "marks": "\u0301", "digits": "7", "capital and caseless": "Aʰ", "apostrophes": "'",
		"special token": "<|endoftext|>", "invalid": "\xff", "symbols and newlines": "/\n",
	} {
		t.Run(name, func(t *testing.T) {
			for _, enc := range encodings {
				size := 1 << 20
				if enc != tokens.O200kBase || raceEnabled {
					size = 1 << 16 // the same merge: this is for the differences of the splitters
				}
				text := strings.Repeat(unit, size/len(unit))
				start := time.Now()
				if n := tokens.CountAll(enc, text); n < len(text)/128 || n > 3*len(text) {
					t.Errorf("%s: %d tokens", enc, n)
				}
				if took := time.Since(start); took > 20*time.Second {
					t.Errorf("%s: %v", enc, took)
				}
			}
			check(t, strings.Repeat(unit, 600/len(unit)))
		})
	}
}

func TestNothingIsDownloaded(t *testing.T) {
	before := cut.calls.Load()
	for _, enc := range encodings {
		tokens.CountBytes(enc, []byte("hello"))
	}
	tokens.Count("no-such-model", "hello")
	if n := cut.calls.Load() - before; n != 0 {
		t.Fatalf("counting made %d calls to the network", n)
	}
	// The trap works: the loader that tiktoken-go would use by default falls
	// into it.
	t.Setenv("TIKTOKEN_CACHE_DIR", t.TempDir())
	if _, err := tiktoken.NewDefaultBpeLoader().LoadTiktokenBpe("https://example.com/o200k_base.tiktoken"); err == nil {
		t.Error("the default loader got a vocabulary")
	}
	if n := cut.calls.Load() - before; n != 1 {
		t.Errorf("the default loader made %d calls, want 1", n)
	}
}

// TestLoaderHasTheWholeVocabulary compares the packed files with those that
// they were made from.
func TestLoaderHasTheWholeVocabulary(t *testing.T) {
	for _, enc := range encodings {
		url := "https://openaipublic.blob.core.windows.net/encodings/" + string(enc) + ".tiktoken"
		got, err := tokens.Loader{}.LoadTiktokenBpe(url)
		if err != nil {
			t.Fatal(err)
		}
		want, err := tiktoken_loader.NewOfflineLoader().LoadTiktokenBpe(url)
		if err != nil {
			t.Fatal(err)
		}
		if len(got) != len(want) {
			t.Errorf("%s: %d tokens, want %d", enc, len(got), len(want))
		}
		for token, rank := range want {
			if got[token] != rank {
				t.Fatalf("%s: %q has rank %d, want %d", enc, token, got[token], rank)
			}
		}
	}
	if _, err := (tokens.Loader{}).LoadTiktokenBpe("https://example.com/none.tiktoken"); err == nil {
		t.Error("an unknown vocabulary was loaded")
	}
}

// TestLookAlikeIsNoToken looks up a word made to have the hash of a token:
// users can read this code.
func TestLookAlikeIsNoToken(t *testing.T) {
	const token = " internationally"
	if n := tokens.CountBytes(tokens.Cl100kBase, []byte(token)); n != 1 {
		t.Fatalf("%q has %d tokens, want 1", token, n)
	}
	alike, ok := tokens.LookAlike(tokens.Cl100kBase, token)
	if !ok {
		t.Fatal("no look-alike found")
	}
	check(t, alike)
}

func TestConcurrentCounts(t *testing.T) {
	tokens.Warm()
	texts := []string{strings.Repeat("的", 3000), strings.Repeat("a", 5000), corpus(t, "code"), corpus(t, "emoji")}
	want := make([]int, len(texts))
	for i, text := range texts {
		want[i] = tokens.Count("gpt-4o", text)
	}
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			tokens.Warm()
			for range 10 {
				got := make([]int, len(texts))
				for i, text := range texts {
					got[i] = tokens.Count("gpt-4o", text)
				}
				if d := cmp.Diff(want, got); d != "" {
					t.Errorf("counts changed under load:\n%s", d)
				}
			}
		})
	}
	wg.Wait()
}

func TestCountingDoesNotAllocate(t *testing.T) {
	for name, text := range map[string]string{
		"english": corpus(t, "english"), "chinese": corpus(t, "chinese"), "long run": strings.Repeat("a", 1<<14),
		"sampled": strings.Repeat(corpus(t, "code"), 100),
	} {
		tokens.Count("gpt-4o", text) // fills the pool
		if n := testing.AllocsPerRun(20, func() { tokens.Count("gpt-4o", text) }); n >= 1 && !raceEnabled {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}

// TestNoLookBeyondTheText counts a text that lies in a larger buffer, whose
// rest is written meanwhile: with -race this fails if counting reads ahead of
// its text.
func TestNoLookBeyondTheText(t *testing.T) {
	buffer := []byte("hello worldly wisdom")
	text, rest := buffer[:11], buffer[11:]
	tokens.CountBytes(tokens.O200kBase, text) // loaded now, so that nothing orders the two below
	var wg sync.WaitGroup
	wg.Go(func() { copy(rest, "y wizards") })
	if got, want := tokens.CountBytes(tokens.O200kBase, text), 2; got != want {
		t.Errorf("%d tokens in %q, want %d", got, text, want)
	}
	wg.Wait()
}
