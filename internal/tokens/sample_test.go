package tokens_test

import (
	"strings"
	"testing"

	"forward/internal/tokens"
)

func TestLongTextsAreSampled(t *testing.T) {
	if raceEnabled {
		t.Skip("arithmetic in one goroutine, and slow under the race detector")
	}
	all := make([]string, len(corpora))
	for i, name := range corpora {
		all[i] = corpus(t, name)
	}
	mixed := strings.Repeat(strings.Join(all, "\n"), 80) // 1.2 MB
	lumps := strings.Repeat(all[0], 60) + strings.Repeat(all[1], 150) + strings.Repeat(all[2], 60)
	for _, c := range []struct {
		name, text string
		within     float64 // of the exact count
	}{
		{"mixed", mixed, 0.02},
		{"lumps", lumps, 0.02},
		{"english", strings.Repeat(all[0], 300), 0.01},
		{"chinese", strings.Repeat(all[1], 300), 0.005},
		{"code", strings.Repeat(all[2], 300), 0.02},
		{"one letter", strings.Repeat("a", 1<<20), 0.005},
		{"Han", strings.Repeat("的", 1<<19), 0.005},
		{"spaces", strings.Repeat(" ", 1<<20), 0.01},
		{"invalid", strings.Repeat("\xff", 1<<19), 0.005},
		{"in step with the stretches", strings.Repeat(strings.Repeat("a", 512)+strings.Repeat(" x9", 512), 512), 0.1},
		{"just above", mixed[:tokens.MaxExact+1], 0.02},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, want := tokens.Count("gpt-4o", c.text), tokens.CountAll(tokens.O200kBase, c.text)
			off := float64(got)/float64(want) - 1
			t.Logf("%d bytes: %d tokens, %d exactly: %+.2f %%", len(c.text), got, want, 100*off)
			if off > c.within || off < -c.within {
				t.Errorf("%d tokens, want %d within %.1f %%", got, want, 100*c.within)
			}
			if again := tokens.Count("gpt-4o", strings.Clone(c.text)); again != got {
				t.Errorf("counted again: %d, then %d", got, again)
			}
		})
	}
	exact := mixed[:tokens.MaxExact]
	if got, want := tokens.Count("gpt-4o", exact), tokens.CountAll(tokens.O200kBase, exact); got != want {
		t.Errorf("%d bytes: %d tokens, want exactly %d", len(exact), got, want)
	}
}
