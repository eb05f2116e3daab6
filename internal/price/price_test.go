package price_test

import (
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"

	"forward/internal/dialect"
	"forward/internal/dialect/anthropic"
	"forward/internal/dialect/gemini"
	"forward/internal/dialect/openai"
	"forward/internal/price"

	"pgregory.net/rapid"
)

// mustUsage reads a usage object the way the gateway does: out of a whole
// answer, by its dialect.
func mustUsage(t testing.TB, d *dialect.Dialect, op dialect.Operation, body string) dialect.Usage {
	t.Helper()
	var a dialect.Answer
	if err := d.Body(op, &a, []byte(body)); err != nil || a.Usage == nil {
		t.Fatalf("no usage in %s: %v", body, err)
	}
	return *a.Usage
}

func openAIUsage(t testing.TB, u string) dialect.Usage {
	return mustUsage(t, openai.Dialect, dialect.Chat, `{"id":"x","object":"chat.completion","model":"m","choices":[{"index":0,"message":{"role":"assistant","content":"a"},"finish_reason":"stop"}],"usage":`+u+`}`)
}

func anthropicUsage(t testing.TB, u string) dialect.Usage {
	return mustUsage(t, anthropic.Dialect, dialect.Messages, `{"id":"x","type":"message","role":"assistant","model":"m","content":[{"type":"text","text":"a"}],"stop_reason":"end_turn","usage":`+u+`}`)
}

func geminiUsage(t testing.TB, u string) dialect.Usage {
	return mustUsage(t, gemini.Dialect, dialect.Generate, `{"candidates":[{"content":{"parts":[{"text":"a"}],"role":"model"},"finishReason":"STOP","index":0}],"usageMetadata":`+u+`}`)
}

// TestCostByHand has usage objects as the providers' documentation shows them,
// and their costs worked out by hand.
func TestCostByHand(t *testing.T) {
	table := mustTable(t)
	for _, c := range []struct {
		name, provider, model string
		usage                 dialect.Usage
		served                string
		want                  price.Money
		lines                 []string
	}{
		{
			name: "prompt caching of OpenAI", provider: "openai", model: "gpt-4o-2024-08-06",
			usage: openAIUsage(t, `{"prompt_tokens":2006,"completion_tokens":300,"total_tokens":2306,"prompt_tokens_details":{"cached_tokens":1920,"audio_tokens":0},"completion_tokens_details":{"reasoning_tokens":0,"audio_tokens":0,"accepted_prediction_tokens":0,"rejected_prediction_tokens":0}}`),
			// 86 × 2.50 + 1920 × 1.25 + 300 × 10.00 millionths of a dollar =
			// 215 + 2400 + 3000
			want:  5_615_000,
			lines: []string{"86 input × $2.50/M = $0.000215", "1920 cached_read × $1.25/M = $0.0024", "300 output × $10.00/M = $0.003"},
		},
		{
			name: "reasoning of OpenAI", provider: "openai", model: "o3-mini-2025-01-31",
			usage: openAIUsage(t, `{"prompt_tokens":75,"completion_tokens":1186,"total_tokens":1261,"prompt_tokens_details":{"cached_tokens":0},"completion_tokens_details":{"reasoning_tokens":1024}}`),
			// 75 × 1.10 + (162 + 1024) × 4.40 = 82.5 + 712.8 + 4505.6
			want:  5_300_900,
			lines: []string{"75 input × $1.10/M = $0.0000825", "162 output × $4.40/M = $0.0007128", "1024 reasoning as output × $4.40/M = $0.0045056"},
		},
		{
			name: "a batch of OpenAI", provider: "openai", model: "gpt-4.1-2025-04-14", served: "batch",
			usage: openAIUsage(t, `{"prompt_tokens":1000,"completion_tokens":500,"total_tokens":1500,"prompt_tokens_details":{"cached_tokens":400}}`),
			// half of 600 × 2.00 + 400 × 0.50 + 500 × 8.00 = half of 1200 + 200
			// + 4000
			want: 2_700_000,
		},
		{
			name: "a retired model in a batch", provider: "openai", model: "gpt-3.5-turbo-0125", served: "batch",
			usage: openAIUsage(t, `{"prompt_tokens":1000,"completion_tokens":100,"total_tokens":1100}`),
			want:  325_000, // 1000 × 0.25 + 100 × 0.75
		},
		{
			name: "an embedding", provider: "openai", model: "text-embedding-3-small",
			usage: mustUsage(t, openai.Dialect, dialect.Embedding, `{"object":"list","data":[{"object":"embedding","embedding":[0.1],"index":0}],"model":"text-embedding-3-small","usage":{"prompt_tokens":8,"total_tokens":8}}`),
			want:  160, // 8 × 0.02
		},
		{
			name: "sound in and out", provider: "openai", model: "gpt-4o-audio-preview-2024-12-17",
			usage: openAIUsage(t, `{"prompt_tokens":210,"completion_tokens":182,"total_tokens":392,"prompt_tokens_details":{"cached_tokens":0,"audio_tokens":190,"text_tokens":20},"completion_tokens_details":{"audio_tokens":150,"text_tokens":32}}`),
			// 20 × 2.50 + 190 × 40 + 32 × 10 + 150 × 80 = 50 + 7600 + 320 +
			// 12000
			want: 19_970_000,
		},
		{
			name: "seconds of sound", provider: "openai", model: "whisper-1", usage: dialect.Usage{Seconds: 27.4},
			want: 2_700_000, // 27 × $0.0001
		},
		{
			name: "characters spoken", provider: "openai", model: "tts-1", usage: dialect.Usage{Media: dialect.Media{Characters: 4096}},
			want: 61_440_000, // 4096 × 15
		},
		{
			name: "cache of Anthropic, five minutes and an hour", provider: "anthropic", model: "claude-sonnet-4-5-20250929",
			usage: anthropicUsage(t, `{"input_tokens":2048,"cache_read_input_tokens":1800,"cache_creation_input_tokens":248,"output_tokens":503,"cache_creation":{"ephemeral_5m_input_tokens":148,"ephemeral_1h_input_tokens":100}}`),
			// 2048 × 3 + 1800 × 0.30 + 148 × 3.75 + 100 × 6 + 503 × 15 = 6144 +
			// 540 + 555 + 600 + 7545
			want: 15_384_000,
		},
		{
			name: "a batch of Anthropic", provider: "anthropic", model: "claude-haiku-4-5", served: "batch",
			usage: anthropicUsage(t, `{"input_tokens":21,"cache_creation_input_tokens":188086,"cache_read_input_tokens":0,"output_tokens":393,"service_tier":"batch"}`),
			// half of 21 × 1 + 188086 × 1.25 + 393 × 5 = half of 21 + 235107.5
			// + 1965
			want: 118_546_750,
		},
		{
			name: "thoughts and cache of Gemini", provider: "google", model: "gemini-2.5-pro",
			usage: geminiUsage(t, `{"promptTokenCount":4096,"cachedContentTokenCount":2048,"candidatesTokenCount":30,"thoughtsTokenCount":970,"totalTokenCount":5096,"promptTokensDetails":[{"modality":"TEXT","tokenCount":4096}]}`),
			// 2048 × 1.25 + 2048 × 0.125 + 1000 × 10 = 2560 + 256 + 10000
			want: 12_816_000,
		},
		{
			name: "sound of Gemini", provider: "google", model: "models/gemini-2.5-flash",
			usage: geminiUsage(t, `{"promptTokenCount":1010,"candidatesTokenCount":100,"totalTokenCount":1110,"promptTokensDetails":[{"modality":"TEXT","tokenCount":10},{"modality":"AUDIO","tokenCount":1000}]}`),
			// 10 × 0.30 + 1000 × 1.00 + 100 × 2.50
			want: 1_253_000,
		},
		{
			name: "a batch of Gemini, whose cached tokens cost as much as ever", provider: "google", model: "gemini-2.5-pro", served: "batch",
			usage: geminiUsage(t, `{"promptTokenCount":3000,"cachedContentTokenCount":1000,"candidatesTokenCount":100,"totalTokenCount":3100}`),
			// 2000 × 0.625 + 1000 × 0.125 + 100 × 5
			want: 1_875_000,
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			row, why, ok := table.Price(c.provider, c.model)
			if !ok {
				t.Fatal(why)
			}
			cost, err := row.Cost(c.usage, c.served)
			if err != nil {
				t.Fatal(err)
			}
			if cost.Total != c.want {
				t.Errorf("cost %s (%d), want %s: %v", cost.Total, cost.Total, c.want, cost.Lines)
			}
			var sum price.Money
			for i, l := range cost.Lines {
				sum += l.Amount
				if c.lines != nil && l.String() != c.lines[i] {
					t.Errorf("line %d is %q, want %q", i, l, c.lines[i])
				}
			}
			if sum != cost.Total {
				t.Errorf("the lines add up to %s, the total is %s", sum, cost.Total)
			}
		})
	}
}

// TestRounding checks that each line is rounded half up by itself, and that the
// total is the sum of what is shown.
func TestRounding(t *testing.T) {
	list := price.List{Tiers: []price.Tier{{Rates: price.Rates{price.Input: 2_500_000, price.Output: 2_499_999, price.Request: 7}}}} // 2.5 and 2.499999 nano-dollars a token
	for _, c := range []struct {
		input, output int64
		want          price.Money
	}{{1, 0, 3 + 7}, {2, 0, 5 + 7}, {3, 0, 8 + 7}, {0, 1, 2 + 7}, {1, 1, 3 + 2 + 7}, {0, 0, 7}} {
		cost, err := list.Cost(dialect.Usage{Input: c.input, Output: c.output}, "")
		if err != nil || cost.Total != c.want {
			t.Errorf("%d in and %d out cost %d (%v), want %d: %v", c.input, c.output, cost.Total, err, c.want, cost.Lines)
		}
	}
}

// TestLongContext checks both sides of thresholds: the higher rates apply to
// the whole call, from the first token above.
func TestLongContext(t *testing.T) {
	table := mustTable(t)
	for _, c := range []struct {
		model         string
		input, cached int64
		want          price.Money
		above         int64
	}{
		{"gemini-2.5-pro", 199_999, 0, 199_999*1_250 + 10*10_000, 0},
		{"gemini-2.5-pro", 200_000, 0, 200_000*1_250 + 10*10_000, 0},
		{"gemini-2.5-pro", 200_001, 0, 200_001*2_500 + 10*15_000, 200_000},
		{"gemini-2.5-pro", 200_001, 200_000, 1*2_500 + 200_000*250 + 10*15_000, 200_000}, // cached tokens count towards the threshold
		{"gpt-5.4", 271_999, 0, 271_999*2_500 + 10*15_000, 0},
		{"gpt-5.4", 272_000, 0, 272_000*2_500 + 10*15_000, 0},
		{"gpt-5.4", 272_001, 0, 272_001*5_000 + 10*22_500, 272_000},
	} {
		provider := "openai"
		if strings.HasPrefix(c.model, "gemini") {
			provider = "google"
		}
		row, why, ok := table.Price(provider, c.model)
		if !ok {
			t.Fatal(why)
		}
		cost, err := row.Cost(dialect.Usage{Input: c.input, CachedRead: c.cached, Output: 10}, "")
		if err != nil || cost.Total != c.want || cost.Above != c.above {
			t.Errorf("%s, %d tokens: %s in the tier above %d (%v), want %s above %d", c.model, c.input, cost.Total, cost.Above, err, c.want, c.above)
		}
	}
}

// TestServiceTiers prices one call of OpenAI's as each service tier that its
// answer may name. gpt-5.4 costs $2.50 and $15 a million, cached $0.25; with
// more than 272,000 prompt tokens $5, $22.50 and $0.50; served as flex half of
// each; as priority $5, $30 and $0.50, which is not sold for long prompts.
func TestServiceTiers(t *testing.T) {
	row, _, _ := mustTable(t).Price("openai", "gpt-5.4")
	for _, c := range []struct {
		tier   string
		prompt int64
		want   price.Money // 0: unpriced
	}{
		{"default", 271_999, 261_999*2_500 + 10_000*250 + 100*15_000},
		{"default", 272_000, 262_000*2_500 + 10_000*250 + 100*15_000},
		{"default", 272_001, 262_001*5_000 + 10_000*500 + 100*22_500},
		{"flex", 271_999, 261_999*1_250 + 10_000*125 + 100*7_500},
		{"flex", 272_000, 262_000*1_250 + 10_000*125 + 100*7_500},
		{"flex", 272_001, 262_001*2_500 + 10_000*250 + 100*11_250},
		{"priority", 271_999, 261_999*5_000 + 10_000*500 + 100*30_000},
		{"priority", 272_000, 262_000*5_000 + 10_000*500 + 100*30_000},
		{"priority", 272_001, 0},
		{"ultra", 1_000_000, 0}, // no provider sells it
	} {
		u := openAIUsage(t, fmt.Sprintf(`{"prompt_tokens":%d,"completion_tokens":100,"prompt_tokens_details":{"cached_tokens":10000}}`, c.prompt))
		cost, err := row.Cost(u, c.tier)
		if c.want == 0 {
			if missing := (*price.NoRateError)(nil); !errors.As(err, &missing) || !strings.HasSuffix(err.Error(), "gpt-5.4 served as "+c.tier) {
				t.Errorf("%s of %d: %v, error %v", c.tier, c.prompt, cost, err)
			}
			continue
		}
		if err != nil || cost.Total != c.want {
			t.Errorf("%s of %d: %v, want %v (%v)", c.tier, c.prompt, cost.Total, c.want, err)
		}
	}
	if standard, err := row.Reserve(dialect.Usage{Input: 1000, Output: 1000}, "auto"); err != nil || standard != 1000*2_500+1000*15_000 {
		t.Error(standard, err)
	}
	if priority, err := row.Reserve(dialect.Usage{Input: 1000, Output: 1000}, "priority"); err != nil || priority != 1000*5_000+1000*30_000 {
		t.Error(priority, err)
	}
	if _, err := row.Reserve(dialect.Usage{Input: 272_001, Output: 1000}, "priority"); err == nil {
		t.Error("a reserve at an unknown price")
	}
}

// TestUnpriced checks that a quantity without a rate is an error and not free.
func TestUnpriced(t *testing.T) {
	row := price.List{Model: "m", Tiers: []price.Tier{{Rates: price.Rates{price.Input: 1000}}}}
	for _, c := range []struct {
		name   string
		usage  dialect.Usage
		served string
		want   price.Quantity
	}{
		{"output", dialect.Usage{Input: 1, Output: 1}, "", price.Output},
		{"reasoning", dialect.Usage{Input: 1, Output: 1, Reasoning: 1}, "", price.Reasoning},
		{"batch", dialect.Usage{Input: 1}, "batch", price.Input},
		{"priority", dialect.Usage{Input: 1}, "priority", price.Input},
		{"images", dialect.Usage{Input: 1, Media: dialect.Media{Images: 1}}, "", price.Image},
	} {
		var missing *price.NoRateError
		if cost, err := row.Cost(c.usage, c.served); !errors.As(err, &missing) || missing.Quantity != c.want {
			t.Errorf("%s: cost %v, error %v; want no rate of %s", c.name, cost, err, c.want)
		}
	}
	if _, err := row.Cost(dialect.Usage{Input: math.MaxInt64}, ""); err == nil {
		t.Error("a usage beyond reason was priced")
	}
	if _, err := row.Reserve(dialect.Usage{Input: math.MaxInt64}, ""); err == nil {
		t.Error("a prompt beyond reason was reserved")
	}
}

// TestReserveCovers checks that whatever the provider's cache does, a call
// costs no more than its reserve.
func TestReserveCovers(t *testing.T) {
	rows := price.TableData(mustTable(t)).Rows
	rapid.Check(t, func(t *rapid.T) {
		row := rows[rapid.IntRange(0, len(rows)-1).Draw(t, "row")]
		input, output := rapid.Int64Range(0, 400_000).Draw(t, "input"), rapid.Int64Range(0, 200_000).Draw(t, "output")
		u := dialect.Usage{Input: input, Output: output}
		u.CachedRead = rapid.Int64Range(0, input).Draw(t, "read")
		u.CachedWrite = rapid.Int64Range(0, input-u.CachedRead).Draw(t, "written")
		u.Reasoning = rapid.Int64Range(0, output).Draw(t, "reasoning")
		u.CachedWriteHour = rapid.Int64Range(0, u.CachedWrite).Draw(t, "for an hour")
		u.AudioOutput = rapid.Int64Range(0, output).Draw(t, "spoken")
		u.Audio = u.AudioOutput + rapid.Int64Range(0, input).Draw(t, "heard")
		cost, err := row.Cost(u, "")
		if err != nil {
			return
		}
		// A line is rounded up by at most half a nano-dollar; so are the
		// reserve's two.
		if reserve, err := row.Reserve(dialect.Usage{Input: input, Output: output}, ""); err != nil || cost.Total > reserve+price.Money(len(cost.Lines)) {
			t.Fatalf("%s/%s: %s reserved (%v), %s cost: %v", row.Provider, row.Model, reserve, err, cost.Total, cost.Lines)
		}
		var tokens int64
		for _, l := range cost.Lines {
			if l.Quantity != price.Request {
				tokens += l.Count
			}
		}
		want := input + output
		rates := row.Tiers[0].Rates
		_, prompt := rates[price.Input]
		_, answer := rates[price.Output]
		if _, call := rates[price.Request]; call && !prompt && !answer {
			want = 0 // the call is charged, and its tokens are part of it
		}
		if tokens != want {
			t.Fatalf("%d tokens in the lines, %d to be charged: %v", tokens, want, cost.Lines)
		}
	})
}

// BenchmarkCost looks a price up and works a cost out.
func BenchmarkCost(b *testing.B) {
	table := mustTable(b)
	u := dialect.Usage{Input: 2006, CachedRead: 1920, Output: 300}
	b.ReportAllocs()
	for b.Loop() {
		list, _, ok := table.Price("openai", "gpt-4.1-2025-04-14")
		if !ok {
			b.Fatal("no price")
		}
		if _, err := list.Cost(u, ""); err != nil {
			b.Fatal(err)
		}
	}
}
