package tokens_test

import (
	"strings"
	"testing"

	"forward/internal/tokens"
)

// BenchmarkCount counts each corpus, and beside it tiktoken-go in the same run. Compare the ratio, not the numbers.
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

// BenchmarkAttack counts the texts on which tiktoken-go is quadratic: whole (a bound that Count never reaches), and as
// Count does, sampled.
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
