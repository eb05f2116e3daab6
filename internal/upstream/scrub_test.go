package upstream_test

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/iotest"

	"pgregory.net/rapid"

	"forward/internal/keys"
	"forward/internal/upstream"
)

// pieces reads as the given pieces, one a Read, and then ends with err.
type pieces struct {
	parts  []string
	err    error
	closed bool
}

func (p *pieces) Read(b []byte) (int, error) {
	for len(p.parts) > 0 && p.parts[0] == "" {
		p.parts = p.parts[1:]
	}
	if len(p.parts) == 0 {
		return 0, p.err
	}
	n := copy(b, p.parts[0])
	p.parts[0] = p.parts[0][n:]
	return n, nil
}

func (p *pieces) Close() error { p.closed = true; return nil }

// scrub returns what comes out of a scrubber for the parts, read with a buffer
// of size bytes.
func scrub(t interface {
	Helper()
	Fatal(...any)
}, size int, secrets []keys.Secret, parts ...string) string {
	t.Helper()
	s := upstream.NewScrubber(&pieces{parts: parts, err: io.EOF}, secrets...)
	var out bytes.Buffer
	b := make([]byte, size)
	for {
		n, err := s.Read(b)
		out.Write(b[:n])
		if err == io.EOF {
			return out.String()
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

const secret = "sk-abcabcabd-012"

func TestScrubberAtEverySplit(t *testing.T) {
	mask := strings.Repeat("*", len(secret))
	s := []keys.Secret{keys.NewSecret(secret)}
	for name, test := range map[string]struct{ in, want string }{
		"in the middle":       {"you sent " + secret + ", which", "you sent " + mask + ", which"},
		"at the start":        {secret + "!", mask + "!"},
		"at the end":          {"x" + secret, "x" + mask},
		"alone":               {secret, mask},
		"twice":               {secret + secret, mask + mask},
		"after a false start": {"sk-abcabcsk-sk-abcabcabd-01" + secret + "sk-", "sk-abcabcsk-sk-abcabcabd-01" + mask + "sk-"},
		"never whole":         {"sk-abcabcabd-01", "sk-abcabcabd-01"},
		"nothing like it":     {"data: {\"x\":1}\n\n", "data: {\"x\":1}\n\n"},
		"empty":               {"", ""},
		"in another case":     {strings.ToUpper(secret), strings.ToUpper(secret)},
	} {
		for size := range 40 {
			for i := 0; i <= len(test.in); i++ {
				for j := i; j <= len(test.in); j++ {
					if got := scrub(t, size+1, s, test.in[:i], test.in[i:j], test.in[j:]); got != test.want {
						t.Fatalf("%s: cut at %d and %d, read by %d: %q, want %q", name, i, j, size+1, got, test.want)
					}
				}
			}
		}
	}
}

func TestScrubberOfSeveralSecrets(t *testing.T) {
	s := []keys.Secret{keys.NewSecret("sk-abcdefgh"), keys.NewSecret("sk-abcdefghij-longer"), keys.NewSecret("AIza0123456789abcdef"), {}}
	in := "a sk-abcdefghij-longer b AIza0123456789abcdef c sk-abcdefghi d sk-abcdefghAIza0123456789abcdef AIza0123456789"
	want := "a ******************** b ******************** c ***********i d ******************************* AIza0123456789"
	if got := scrub(t, 4096, s, in); got != want {
		t.Errorf("got  %q\nwant %q", got, want)
	}
	for i := range in {
		got := scrub(t, 7, s, in[:i], in[i:])
		for _, k := range s {
			if !k.IsZero() && strings.Contains(got, k.Reveal()) || len(got) != len(in) {
				t.Errorf("cut at %d: %q", i, got)
			}
		}
	}
}

// TestScrubberChangesNothingElse compares with strings.ReplaceAll over random
// texts made of bits of the secret.
func TestScrubberChangesNothingElse(t *testing.T) {
	const small = "aab-aab1aab2" // overlaps with itself
	rapid.Check(t, func(t *rapid.T) {
		parts := rapid.SliceOf(rapid.SampledFrom([]string{"a", "aab", "aab-aab1", "-", small, small[:11], small[1:], "x", "\n", "1aab2"})).Draw(t, "parts")
		size := rapid.IntRange(1, 80).Draw(t, "size")
		in := strings.Join(parts, "")
		want := strings.ReplaceAll(in, small, strings.Repeat("*", len(small)))
		if got := scrub(t, size, []keys.Secret{keys.NewSecret(small)}, parts...); got != want {
			t.Fatalf("read by %d: %q became %q, want %q", size, parts, got, want)
		}
	})
}

// TestScrubberHoldsNothingBack wants every event of a stream as soon as it is
// there: only what may be the start of a secret waits.
func TestScrubberHoldsNothingBack(t *testing.T) {
	events := []string{"data: one\n\n", "data: sk-ab", "\n\n", "data: task-", "xs\n\n"}
	given := []string{"data: one\n\n", "data: ", "sk-ab\n\n", "data: ta", "sk-xs\n\n"}
	s := upstream.NewScrubber(&pieces{parts: events, err: io.EOF}, keys.NewSecret(secret))
	b := make([]byte, 4096)
	for _, want := range given {
		if n, err := s.Read(b); string(b[:n]) != want || err != nil {
			t.Errorf("read %q, %v; want %q", b[:n], err, want)
		}
	}
}

func TestScrubberPassesErrorsAndCloses(t *testing.T) {
	broken := errors.New("connection reset")
	body := &pieces{parts: []string{"data: sk-abc"}, err: broken}
	s := upstream.NewScrubber(body, keys.NewSecret(secret))
	got, err := io.ReadAll(s)
	if string(got) != "data: sk-abc" || err != broken {
		t.Errorf("%q, %v", got, err)
	}
	if _, err := s.Read(make([]byte, 9)); err != broken {
		t.Errorf("once more: %v", err)
	}
	if n, err := s.Read(nil); n != 0 || err != nil {
		t.Errorf("nothing asked for: %d, %v", n, err)
	}
	if s.Close() != nil || !body.closed {
		t.Error("the body was not closed")
	}
	for name, r := range map[string]io.Reader{"data with error": iotest.DataErrReader(strings.NewReader("x" + secret + "y")), "byte by byte": iotest.OneByteReader(strings.NewReader("x" + secret + "y"))} {
		got, err := io.ReadAll(upstream.NewScrubber(io.NopCloser(r), keys.NewSecret(secret)))
		if string(got) != "x"+strings.Repeat("*", len(secret))+"y" || err != nil {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
}

func TestSecretsThatCouldBeWordsAreNotLookedFor(t *testing.T) {
	for text, want := range map[string]bool{
		"EMPTY": false, "ollama": false, "lm-studio": false, "not-needed": false, "sk-1": false, "12345": false, "": false,
		"sk-canary": true, "password1": true, "correct-horse-battery": true, "AIza0123456789": true,
	} {
		in := "the key is " + text + ", you know"
		hidden := "the key is " + strings.Repeat("*", len(text)) + ", you know"
		expect := in
		if want {
			expect = hidden
		}
		if got := scrub(t, 100, []keys.Secret{keys.NewSecret(text)}, in); got != expect {
			t.Errorf("%q", got)
		}
		h := http.Header{"X-Echo": {in, "other"}, "Etag": {text}}
		upstream.ScrubHeader(h, keys.NewSecret(text))
		if h["X-Echo"][0] != expect || h["X-Echo"][1] != "other" {
			t.Errorf("%q", h)
		}
	}
}

func BenchmarkScrubber(b *testing.B) {
	text := []byte(strings.Repeat(`data: {"id":"chatcmpl-1","object":"chat.completion.chunk","choices":[{"index":0,"delta":{"content":"risk-free tasks"}}]}`+"\n\n", 8192))
	buffer := make([]byte, 32<<10)
	for name, s := range map[string][]keys.Secret{"without": nil, "with": {keys.NewSecret("sk-proj-" + strings.Repeat("a1B2", 39))}} {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(text)))
			b.ReportAllocs()
			for b.Loop() {
				r := upstream.NewScrubber(io.NopCloser(bytes.NewReader(text)), s...)
				for {
					if _, err := r.Read(buffer); err != nil {
						break
					}
				}
			}
		})
	}
}
