package framing_test

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	"forward/internal/framing"

	"github.com/google/go-cmp/cmp"
)

// transcripts are streams in every framing that the standard allows.
var transcripts = map[string]string{
	"LF":             "data: a\n\ndata: b\n\n",
	"CRLF":           "data: a\r\n\r\nevent: x\r\ndata: b\r\n\r\n",
	"CR":             "data: a\r\rdata: b\r\r",
	"mixed":          "data: a\n\r\ndata: b\r\ndata: c\r\n\rdata: d\r\n\n\n",
	"BOM":            "\xEF\xBB\xBFdata: a\n\n",
	"comments":       ": hello\n\n:\n\n: x\ndata: a\n: y\n\n",
	"multi-line":     "data: {\ndata:  \"a\":1\ndata\ndata: }\n\n",
	"fields":         "id: 1\nretry: 5\nevent:ping\ndata:a\nunknown: x\n\n",
	"no data":        "event: ping\n\nid: 3\n\ndata: [DONE]\n\n",
	"unfinished":     "data: a\n\ndata: [DONE]",
	"blank lines":    "\n\n\ndata: a\n\n\n\n",
	"no space":       "data:a\n\ndata:  two\n\n",
	"NUL and colons": "data: a:b: c\x00\n\n",
	"empty":          "",
}

var wantEvents = map[string][]framing.Event{
	"LF":             {{"", []byte("a")}, {"", []byte("b")}},
	"CRLF":           {{"", []byte("a")}, {"x", []byte("b")}},
	"CR":             {{"", []byte("a")}, {"", []byte("b")}},
	"mixed":          {{"", []byte("a")}, {"", []byte("b\nc")}, {"", []byte("d")}},
	"BOM":            {{"", []byte("a")}},
	"comments":       {{"", []byte("a")}},
	"multi-line":     {{"", []byte("{\n \"a\":1\n\n}")}},
	"fields":         {{"ping", []byte("a")}},
	"no data":        {{"", []byte("[DONE]")}},
	"unfinished":     {{"", []byte("a")}, {"", []byte("[DONE]")}},
	"blank lines":    {{"", []byte("a")}},
	"no space":       {{"", []byte("a")}, {"", []byte(" two")}},
	"NUL and colons": {{"", []byte("a:b: c\x00")}},
}

// split feeds pieces and returns the raw events, the rest among them, and the
// parsed ones.
func split(pieces ...[]byte) (raw []string, events []framing.Event) {
	var s framing.Splitter
	take := func(p []byte) {
		raw = append(raw, string(p))
		if ev, ok := framing.SSE.Parse(p); ok {
			ev.Data = bytes.Clone(ev.Data)
			events = append(events, ev)
		}
	}
	for _, p := range pieces {
		s.Feed(p)
		for {
			p, ok := s.Next()
			if !ok {
				break
			}
			take(p)
		}
	}
	if len(s.Pending()) > 0 {
		take(s.Pending())
	}
	return raw, events
}

// singles cuts p into its bytes.
func singles(p []byte) (out [][]byte) {
	for i := range p {
		out = append(out, p[i:i+1])
	}
	return out
}

func TestSplitterReadsEveryFraming(t *testing.T) {
	for name, in := range transcripts {
		t.Run(name, func(t *testing.T) {
			raw, events := split([]byte(in))
			if strings.Join(raw, "") != in {
				t.Errorf("raw events are %q, the input was %q", raw, in)
			}
			if diff := cmp.Diff(wantEvents[name], events); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestSplitterAtEveryByteBoundary(t *testing.T) {
	for name, in := range transcripts {
		t.Run(name, func(t *testing.T) {
			want, _ := split([]byte(in))
			for i := range in {
				for j := i; j <= len(in); j++ {
					if got, _ := split([]byte(in[:i]), []byte(in[i:j]), []byte(in[j:])); !cmp.Equal(got, want) {
						t.Fatalf("cut at %d and %d: %q, want %q", i, j, got, want)
					}
				}
			}
			if got, _ := split(singles([]byte(in))...); !cmp.Equal(got, want) {
				t.Fatalf("byte by byte: %q, want %q", got, want)
			}
		})
	}
}

func TestSplitterKeepsWhatIsPending(t *testing.T) {
	var s framing.Splitter
	s.Feed([]byte("data: a\n\ndata: b"))
	if raw, ok := s.Next(); !ok || string(raw) != "data: a\n\n" {
		t.Fatalf("got %q", raw)
	}
	if raw, ok := s.Next(); ok {
		t.Fatalf("got %q", raw)
	}
	if got := string(s.Pending()); got != "data: b" {
		t.Errorf("pending %q", got)
	}
	s.Reset()
	if len(s.Pending()) != 0 {
		t.Error("pending after Reset")
	}
}

// TestLongEventsTakeLinearTime measures no time: at quadratic cost 8 MB fed by
// 512 bytes would take minutes.
func TestLongEventsTakeLinearTime(t *testing.T) {
	for name, line := range map[string]string{
		"one line": strings.Repeat("x", 8<<20), "short lines": strings.Repeat("x\ndata:", 1<<20),
		"lines of CR": strings.Repeat("x\rdata:", 1<<20), "lines of CRLF": strings.Repeat("x\r\ndata:", 1<<20),
	} {
		t.Run(name, func(t *testing.T) {
			in := []byte("data: " + line + "\n\ndata: [DONE]\n\n")
			var pieces [][]byte
			for rest := in; len(rest) > 0; rest = rest[min(512, len(rest)):] {
				pieces = append(pieces, rest[:min(512, len(rest))])
			}
			raw, events := split(pieces...)
			if len(raw) != 2 || len(events) != 2 || strings.Join(raw, "") != string(in) {
				t.Errorf("%d raw events, %d events", len(raw), len(events))
			}
		})
	}
	raw, _ := split([]byte(strings.Repeat("data: x\r\r", 1<<20)))
	if len(raw) != 1<<20 {
		t.Errorf("%d events that end with CR", len(raw))
	}
}

func TestLinesAreEvents(t *testing.T) {
	in := "{\"a\":1}\n\n{\"b\":\"\\n\"}\r\n{\"done\":true}"
	want := []string{`{"a":1}`, `{"b":"\n"}`, `{"done":true}`}
	for size := 1; size <= len(in); size++ {
		var got []string
		raw := ""
		s := framing.Splitter{Framing: framing.Lines}
		take := func(p []byte) {
			raw += string(p)
			if ev, ok := framing.Lines.Parse(p); ok {
				got = append(got, string(ev.Data))
			}
		}
		for rest := []byte(in); len(rest) > 0; rest = rest[min(size, len(rest)):] {
			s.Filled(copy(s.Space(size), rest[:min(size, len(rest))]))
			for p, ok := s.Next(); ok; p, ok = s.Next() {
				take(p)
			}
		}
		take(s.Pending())
		if diff := cmp.Diff(want, got); diff != "" || raw != in {
			t.Fatalf("in pieces of %d bytes: %q\n%s", size, raw, diff)
		}
	}
	if got := framing.Lines.Append(nil, []byte("{}")); string(got) != "{}\n" {
		t.Errorf("appended %q", got)
	}
}

func FuzzSplitter(f *testing.F) {
	for _, in := range transcripts {
		f.Add([]byte(in), uint(3), uint(5))
	}
	f.Fuzz(func(t *testing.T, in []byte, a, b uint) {
		want, events := split(in)
		if strings.Join(want, "") != string(in) {
			t.Fatalf("%q became %q", in, want)
		}
		i := int(a % uint(len(in)+1))
		j := i + int(b%uint(len(in)-i+1))
		got, again := split(in[:i], in[i:j], in[j:])
		if !cmp.Equal(got, want) || !cmp.Equal(events, again) {
			t.Fatalf("%q cut at %d and %d: %q, want %q", in, i, j, got, want)
		}
		if got, _ := split(singles(in)...); !cmp.Equal(got, want) {
			t.Fatalf("%q byte by byte: %q, want %q", in, got, want)
		}
	})
}

// TestDrop: an event whose bytes are dropped ends where it does otherwise.
func TestDrop(t *testing.T) {
	for _, in := range []string{"data: a\n\ndata: b\n\n", "a\r\n\r\nb\r\n\r\n", "a\r\rb\r\r", "a\n\r\nb\r\n\n", "\n\n\r\r\n", "a\rb\n\nc\r\n", "x\n\ny"} {
		for _, framed := range []framing.Framing{framing.SSE, framing.Lines, framing.Bare} {
			ends := func(drop bool) (ends []int) {
				s := framing.Splitter{Framing: framed}
				dropped, at := 0, 0
				for i := range in {
					s.Feed([]byte(in[i : i+1]))
					for raw, ok := s.Next(); ok; raw, ok = s.Next() {
						at += len(raw) + dropped
						dropped = 0
						ends = append(ends, at)
					}
					if drop {
						n := len(s.Pending())
						dropped += n - s.Drop()
					}
				}
				return ends
			}
			if want, got := ends(false), ends(true); !slices.Equal(want, got) {
				t.Errorf("%q in framing %d ends at %v, want %v", in, framed, got, want)
			}
		}
	}
}

func TestStartsSSE(t *testing.T) {
	for in, want := range map[string][2]bool{
		"data: {}": {true, true}, "event: a": {true, true}, "id: 1": {true, true}, ": hello": {true, true}, "retry: 1": {true, true}, "\xEF\xBB\xBF\r\n data:": {true, true},
		"": {}, " \n": {}, "da": {}, "event": {}, "{": {false, true}, "dato": {false, true}, "1\n00:00": {false, true}, "WEBVTT": {false, true},
	} {
		if is, sure := framing.StartsSSE([]byte(in)); is != want[0] || sure != want[1] {
			t.Errorf("%q: %v, %v", in, is, sure)
		}
	}
}

func TestIsBare(t *testing.T) {
	for in, want := range map[string]int{"data: {}\ndata: {}\n": 2, "data: {}\n": 1, "data: {}": 0, "data: {\ndata: }\n": 0, "event: a\ndata: {}\n": 0, "data: a\ndata: b\n": 0, "": 0} {
		for n := 1; n <= 3; n++ {
			if got := framing.IsBare([]byte(in), n); got != (n <= want) {
				t.Errorf("%q, %d lines: %v", in, n, got)
			}
		}
	}
}
