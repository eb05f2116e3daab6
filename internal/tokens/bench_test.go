package tokens_test

import (
	"encoding/json"
	"strings"
	"testing"

	"forward/internal/dialect"
	"forward/internal/tokens"
)

// BenchmarkCount counts each corpus, and beside it tiktoken-go in the same run.
// Compare the ratio, not the numbers.
func BenchmarkCount(b *testing.B) {
	for _, name := range corpora {
		text := corpus(b, name)
		for _, enc := range encodings[:2] {
			b.Run(name+"/"+string(enc)+"/forward", func(b *testing.B) {
				raw := []byte(text)
				b.SetBytes(int64(len(text)))
				b.ReportAllocs()
				for b.Loop() {
					tokens.CountBytes(enc, raw)
				}
			})
			b.Run(name+"/"+string(enc)+"/tiktoken-go", func(b *testing.B) {
				b.SetBytes(int64(len(text)))
				b.ReportAllocs()
				for b.Loop() {
					oracles[enc].EncodeOrdinary(text)
				}
			})
		}
	}
}

// BenchmarkAttack counts the texts on which tiktoken-go is quadratic: whole (a
// bound that Count never reaches), and as Count does, sampled.
func BenchmarkAttack(b *testing.B) {
	for _, c := range []struct{ name, unit string }{{"letter", "a"}, {"Han", "的"}, {"space", " "}, {"underline", "_"}} {
		text := strings.Repeat(c.unit, 1<<20/len(c.unit))
		b.Run(c.name+"/1MB/whole", func(b *testing.B) {
			b.SetBytes(int64(len(text)))
			for b.Loop() {
				tokens.CountAll(tokens.O200kBase, text)
			}
		})
		b.Run(c.name+"/1MB/Count", func(b *testing.B) {
			b.SetBytes(int64(len(text)))
			b.ReportAllocs()
			for b.Loop() {
				tokens.Count("gpt-4o", text)
			}
		})
		b.Run(c.name+"/1MB/Prompt", func(b *testing.B) {
			body := mustScan(b, []byte(`{"messages":[{"role":"user","content":"`+text+`"}]}`))
			b.SetBytes(int64(len(text)))
			b.ReportAllocs()
			for b.Loop() {
				tokens.Prompt(dialect.Chat, "gpt-4o", body)
			}
		})
		b.Run(c.name+"/256KiB/Count", func(b *testing.B) {
			b.SetBytes(tokens.MaxExact)
			b.ReportAllocs()
			for b.Loop() {
				tokens.Count("gpt-4o", text[:tokens.MaxExact])
			}
		})
	}
}

// BenchmarkChat is what admission of an ordinary request pays: 1.5 KB of text.
func BenchmarkChat(b *testing.B) {
	text := corpus(b, "english")[:1500]
	b.SetBytes(int64(len(text)))
	b.ReportAllocs()
	for b.Loop() {
		tokens.Count("gpt-4o-mini", text)
	}
}

// BenchmarkLoad is the cost of the first use of an encoding.
func BenchmarkLoad(b *testing.B) {
	for _, enc := range encodings[:2] {
		b.Run(string(enc), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				tokens.Load(enc)
			}
		})
	}
}

// BenchmarkPrompt is what admission of a chat request of 1.5 KB pays: all of
// it, from the body to the demand. Scan is beside it because the forward itself
// cannot do without.
func BenchmarkPrompt(b *testing.B) {
	for _, c := range []struct {
		name  string
		op    dialect.Operation
		model string
		raw   []byte
	}{
		{"chat", dialect.Chat, "gpt-4o-mini", chatBody(b, 1500)},
		{"messages", dialect.Messages, "claude-sonnet-4-5", chatBody(b, 1500)},
		{"chat 100 KB", dialect.Chat, "gpt-4o-mini", chatBody(b, 100_000)},
		{"picture 1 MB", dialect.Chat, "gpt-4o-mini", []byte(`{"messages":[{"role":"user","content":[{"type":"image_url","image_url":{"url":"data:image/png;base64,` +
			strings.Repeat("iVBORw0KGgoA", 1<<20/12) + `"}}]}]}`)},
	} {
		b.Run(c.name+"/prompt", func(b *testing.B) {
			body := mustScan(b, c.raw)
			b.SetBytes(int64(len(c.raw)))
			b.ReportAllocs()
			for b.Loop() {
				tokens.Prompt(c.op, c.model, body)
			}
		})
		b.Run(c.name+"/bound", func(b *testing.B) {
			body := mustScan(b, c.raw)
			b.SetBytes(int64(len(c.raw)))
			b.ReportAllocs()
			for b.Loop() {
				tokens.Bound(c.op, c.model, body)
			}
		})
		b.Run(c.name+"/scan", func(b *testing.B) {
			b.SetBytes(int64(len(c.raw)))
			b.ReportAllocs()
			for b.Loop() {
				mustScan(b, c.raw)
			}
		})
	}
}

// chatBody is a chat request of about size bytes: a system message and turns of
// prose with line breaks and quotes.
func chatBody(t testing.TB, size int) []byte {
	t.Helper()
	text := corpus(t, "english")
	type message struct {
		Role    string `json:"role"`
		Content string `json:"content"`
	}
	var messages []message
	for n := 0; n < size-150; {
		from := n % (len(text) - 500)
		m := message{Role: []string{"system", "user", "assistant"}[len(messages)%3], Content: text[from:][:min(400, size-150-n)]}
		messages = append(messages, m)
		n += len(m.Content)
	}
	raw, err := json.Marshal(map[string]any{"model": "gpt-4o-mini", "messages": messages, "max_tokens": 100, "temperature": 0.7})
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func mustScan(t testing.TB, raw []byte) *dialect.Body {
	t.Helper()
	body, err := dialect.Scan(raw)
	if err != nil {
		t.Fatal(err)
	}
	return body
}
