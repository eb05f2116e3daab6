package price_test

import (
	"errors"
	"strings"
	"testing"

	"forward/internal/dialect"
	"forward/internal/price"

	"pgregory.net/rapid"
)

// TestTermsAndPieces prices all that comes beside tokens, and what multiplies a
// price, by the published numbers, worked out by hand.
func TestTermsAndPieces(t *testing.T) {
	table := mustTable(t)
	tokens := dialect.Usage{Input: 1000, Output: 1000}
	with := func(u dialect.Usage, change func(*dialect.Usage)) dialect.Usage {
		change(&u)
		return u
	}
	served := func(speed, geo string) dialect.Usage {
		return with(tokens, func(u *dialect.Usage) { u.Terms.Speed, u.Terms.Geo = speed, geo })
	}
	calls := func(name string, n int64) dialect.Usage {
		return with(tokens, func(u *dialect.Usage) { u.Terms.Fees = []dialect.Fee{{Name: name, Count: n}} })
	}
	images := func(kind string, n int64) dialect.Usage {
		return dialect.Usage{Media: dialect.Media{Images: n, ImageKind: kind}}
	}
	video := func(kind string, seconds float64) dialect.Usage {
		return dialect.Usage{Media: dialect.Media{VideoSeconds: seconds, VideoKind: kind}}
	}
	const cent = price.Dollar / 100
	for _, c := range []struct {
		name, provider, model string
		usage                 dialect.Usage
		served                string
		want                  price.Money // 0 with err: unpriced
		err                   string
	}{
		{"six times fast", "anthropic", "claude-opus-4-6", served("fast", ""), "", 18 * cent, ""}, // 1000 × $30 + 1000 × $150
		{"twice fast", "anthropic", "claude-opus-5", served("fast", ""), "", 6 * cent, ""},
		{"in the US", "anthropic", "claude-opus-5", served("standard", "us"), "standard", 33 * cent / 10, ""},
		{"fast in the US", "anthropic", "claude-opus-5", served("fast", "us"), "", 66 * cent / 10, ""},
		{"ordinary words", "anthropic", "claude-opus-5", served("Standard", "not_available"), "", 3 * cent, ""},
		{"fast where it is not sold", "anthropic", "claude-sonnet-4-5", served("fast", ""), "", 0, "no price of speed/fast for claude-sonnet-4-5"},
		{"a speed of the future", "anthropic", "claude-opus-5", served("ludicrous", ""), "", 0, "speed/ludicrous"},
		{"a place of the future", "anthropic", "claude-opus-5", served("", "eu"), "", 0, "inference_geo/eu"},
		{"the cache is multiplied", "anthropic", "claude-opus-5", with(served("fast", ""), func(u *dialect.Usage) { u.CachedRead = 1000 }), "", cent/10 + 5*cent, ""},
		{"half of it in a batch", "anthropic", "claude-opus-5", served("", "us"), "batch", 165 * cent / 100, ""},
		{"searches", "anthropic", "claude-opus-5", calls("web_search", 5), "", 8 * cent, ""},
		{"searches are not multiplied", "anthropic", "claude-opus-5", with(calls("web_search", 5), func(u *dialect.Usage) { u.Terms.Speed = "fast" }), "", 11 * cent, ""},
		{"fetches cost their tokens", "anthropic", "claude-opus-5", calls("web_fetch", 3), "", 3 * cent, ""},
		{"a tool without a rate", "anthropic", "claude-opus-5", calls("telescope", 1), "", 0, "no price of call/telescope for claude-opus-5"},
		{"searches of a model that does not reason", "openai", "gpt-4.1", calls("web_search", 2), "", 1*cent + 5*cent, ""},
		{"searches of OpenAI's by a model that reasons, as flex", "openai", "gpt-5.4", calls("web_search", 2), "flex", 875*cent/1000 + 2*cent, ""},
		{"code in a small container", "openai", "gpt-5.4", calls("code_interpreter", 1), "", 175*cent/100 + 3*cent, ""},
		{"code in a large container", "openai", "gpt-5.4", calls("code_interpreter/64g", 1), "", 175*cent/100 + 192*cent, ""},
		{"Gemini's, a prompt", "google", "gemini-2.5-flash", calls("google_search", 1), "", 28*cent/100 + 35*cent/10, ""},
		{"Gemini 3's, a search", "google", "gemini-3-flash-preview", calls("google_search", 1), "", 35*cent/100 + 14*cent/10, ""},
		{"images", "openai", "dall-e-3", images("1024x1024/standard", 2), "", 8 * cent, ""},
		{"better images", "openai", "dall-e-3", images("1792x1024/hd", 1), "", 12 * cent, ""},
		{"images of every quality", "openai", "dall-e-2", images("512x512/standard", 10), "", 18 * cent, ""},
		{"images of a size that is not sold", "openai", "dall-e-3", images("64x64/standard", 1), "", 0, "no price of image/64x64/standard for dall-e-3"},
		{"images of a size that is not known", "openai", "dall-e-3", images("", 1), "", 0, "no price of image for dall-e-3"},
		{"images in tokens", "openai", "gpt-image-1", with(images("1024x1024/high", 1), func(u *dialect.Usage) { u.Input, u.Output = 100, 4160 }), "", 16*cent + 64*cent/100 + cent/20, ""},
		{"images whose tokens are not known", "openai", "gpt-image-1", images("1024x1024/high", 1), "", 0, "no price of image/1024x1024/high"},
		{"images of Google's", "google", "imagen-4.0-ultra-generate-001", images("", 4), "", 24 * cent, ""},
		{"a video", "openai", "sora-2", video("1280x720", 8), "", 80 * cent, ""},
		{"a larger video", "openai", "sora-2-pro", video("1024x1792", 12), "", 600 * cent, ""},
		{"a video of a size without a price", "openai", "sora-2-pro", video("1920x1080", 4), "", 0, "no price of video_second/1920x1080"},
		{"a part of a second", "openai", "sora-2", video("1280x720", 3.2), "", 40 * cent, ""},
		{"sound in seconds", "openai", "whisper-1", dialect.Usage{Seconds: 3600}, "", 36 * cent, ""},
		{"sound in tokens", "openai", "gpt-4o-transcribe", dialect.Usage{Input: 1000, Audio: 1000, Output: 100, Seconds: 60}, "", 7 * cent / 10, ""},
		{"a tier in another case", "openai", "gpt-4.1", tokens, "Priority", 175 * cent / 100, ""},
		{"the ordinary tier in another case", "openai", "gpt-4.1", tokens, "DEFAULT", cent, ""},
		{"doubtful counts", "openai", "gpt-4.1", with(tokens, func(u *dialect.Usage) { u.Terms.Doubt = "parts of a kind that is not known" }), "", 0, "parts of a kind"},
	} {
		t.Run(c.name, func(t *testing.T) {
			list, why, ok := table.Price(c.provider, c.model)
			if !ok {
				t.Fatal(why)
			}
			cost, err := list.Cost(c.usage, c.served)
			if c.err != "" {
				if err == nil || !strings.Contains(err.Error(), c.err) || cost.Total != 0 {
					t.Fatalf("%s, error %v; want %q", cost.Total, err, c.err)
				}
				return
			}
			if err != nil || cost.Total != c.want {
				t.Fatalf("%s (%v), want %s: %v", cost.Total, err, c.want, cost.Lines)
			}
			if reserve, err := list.Reserve(c.usage, c.served); err != nil || reserve < cost.Total {
				t.Errorf("%s are reserved (%v) for a cost of %s", reserve, err, cost.Total)
			}
		})
	}
}

// TestReserveOfPieces checks that what is billed by the piece is reserved, at
// the highest rate where the kind has none.
func TestReserveOfPieces(t *testing.T) {
	table := mustTable(t)
	const cent = price.Dollar / 100
	for _, c := range []struct {
		name, model, asked string
		usage              dialect.Usage
		want               price.Money // 0: an error
	}{
		{"a million characters", "tts-1", "", dialect.Usage{Media: dialect.Media{Characters: 1_000_000}}, 1500 * cent},
		{"images of a size that is not known", "dall-e-3", "", dialect.Usage{Media: dialect.Media{Images: 2, ImageKind: "auto/auto"}}, 24 * cent},
		{"a video of a size without a price", "sora-2-pro", "", dialect.Usage{Media: dialect.Media{VideoSeconds: 4, VideoKind: "1920x1080"}}, 200 * cent},
		{"sound in seconds", "whisper-1", "", dialect.Usage{Seconds: 100}, cent},
		{"sound in tokens", "gpt-4o-transcribe", "", dialect.Usage{Input: 1000, Seconds: 100, Output: 1000}, 6_000*1000 + cent},
		{"only tokens of a model without them", "tts-1", "", dialect.Usage{Input: 1000, Output: 1000}, 0},
		{"images of a model without them", "gpt-4.1", "", dialect.Usage{Input: 10, Media: dialect.Media{Images: 1}}, 0},
		{"a moderation", "omni-moderation-latest", "", dialect.Usage{Input: 1000}, -1},
		{"a tier of another case", "gpt-4.1", "PRIORITY", dialect.Usage{Input: 1000}, 35 * cent / 100},
		{"a tier without a price", "gpt-4-turbo", "priority", dialect.Usage{Input: 1000}, 0},
		{"an unknown tier", "gpt-4.1", "ultra", dialect.Usage{Input: 1000}, 0},
	} {
		list, why, ok := table.Price("openai", c.model)
		if !ok {
			t.Fatal(why)
		}
		got, err := list.Reserve(c.usage, c.asked)
		var missing *price.NoRateError
		switch {
		case c.want == 0 && !errors.As(err, &missing):
			t.Errorf("%s: %s, error %v; want no rate", c.name, got, err)
		case c.want != 0 && (err != nil || got != max(0, c.want)):
			t.Errorf("%s: %s (%v), want %s", c.name, got, err, c.want)
		}
	}
}

// TestReserveCoversPieces draws usages with media, tools and factors: a cost is
// never above the reserve of the same usage, and what cannot be reserved cannot
// be priced.
func TestReserveCoversPieces(t *testing.T) {
	data := price.TableData(mustTable(t))
	rows := data.Rows
	rapid.Check(t, func(t *rapid.T) {
		row := rows[rapid.IntRange(0, len(rows)-1).Draw(t, "row")]
		row.Fees = data.Providers[row.Provider].Fees
		n := func(name string) int64 { return rapid.Int64Range(0, 20).Draw(t, name) }
		u := dialect.Usage{Input: n("input"), Output: n("output"), Seconds: float64(n("seconds"))}
		u.Media = dialect.Media{Characters: n("characters"), Images: n("images"), VideoSeconds: float64(n("video"))}
		u.Media.ImageKind = rapid.SampledFrom([]string{"", "1024x1024/hd", "256x256"}).Draw(t, "size")
		u.Media.VideoKind = rapid.SampledFrom([]string{"", "1280x720", "4k"}).Draw(t, "resolution")
		u.Terms.Speed = rapid.SampledFrom([]string{"", "fast", "slow"}).Draw(t, "speed")
		u.Terms.Geo = rapid.SampledFrom([]string{"", "us"}).Draw(t, "geo")
		if calls := n("calls"); calls > 0 {
			u.Terms.Fees = []dialect.Fee{{Name: rapid.SampledFrom([]string{"web_search", "google_search"}).Draw(t, "tool"), Count: calls}}
		}
		cost, err := row.Cost(u, "")
		if err != nil {
			return
		}
		reserve, err := row.Reserve(u, "")
		if len(cost.Lines) > 0 && (err != nil || cost.Total > reserve+price.Money(len(cost.Lines))) {
			t.Fatalf("%s/%s: %s reserved (%v), %s cost: %v", row.Provider, row.Model, reserve, err, cost.Total, cost.Lines)
		}
	})
}

// TestVariants looks names with an end up that selects how a model is served.
func TestVariants(t *testing.T) {
	table := mustTable(t)
	base, _, ok := table.Price("openrouter", "openai/gpt-5.4")
	if !ok {
		t.Fatal("no price of openai/gpt-5.4 at openrouter")
	}
	for _, c := range []struct {
		provider, model string
		ok              bool
		input           price.Money
	}{
		{"openrouter", "openai/gpt-5.4:floor", true, base.Tiers[0].Rates[price.Input]},
		{"openrouter", "openai/gpt-5.4:nitro", true, base.Tiers[0].Rates[price.Input]},
		{"openrouter", "anybody/anything:free", true, 0},
		{"openrouter", "openai/gpt-5.4:online", false, 0},
		{"openrouter", "openai/none:floor", false, 0},
		{"openai", "gpt-5.4:floor", false, 0},
		{"openai", "gpt-5.4:free", false, 0},
	} {
		list, why, ok := table.Price(c.provider, c.model)
		if ok != c.ok || (ok && list.Tiers[0].Rates[price.Input] != c.input) {
			t.Errorf("%s at %s: %t, %v (%s)", c.model, c.provider, ok, list.Tiers, why)
		}
	}
	if !table.Reports("openrouter") || table.Reports("openai") {
		t.Error("openrouter charges what it reports, openai reports nothing")
	}
}

// TestPartsOfABatch checks that answers with factors, tools and doubts are
// priced in a batch as they are by themselves.
func TestPartsOfABatch(t *testing.T) {
	list, _, _ := mustTable(t).Price("anthropic", "claude-opus-5")
	var parts []price.Part
	want := price.Money(0)
	for _, u := range []dialect.Usage{
		{Input: 1000, Output: 1000},
		{Input: 1000, Output: 1000, Terms: dialect.Terms{Geo: "us"}},
		{Input: 1000, Output: 1000, Terms: dialect.Terms{Fees: []dialect.Fee{{Name: "web_search", Count: 3}}}},
	} {
		cost, err := list.Cost(u, "batch")
		if err != nil {
			t.Fatal(err)
		}
		want += cost.Total
		parts = list.AddPart(parts, u)
	}
	if cost, err := list.BatchCost(parts); err != nil || cost.Total != want || len(parts) != 2 {
		t.Errorf("%s in %d parts (%v), want %s", cost.Total, len(parts), err, want)
	}
	for _, doubt := range []string{"one", "another"} {
		parts = list.AddPart(parts, dialect.Usage{Input: 1, Terms: dialect.Terms{Doubt: doubt}})
	}
	var doubt *price.DoubtError
	if _, err := list.BatchCost(parts); !errors.As(err, &doubt) || len(parts) != 3 {
		t.Errorf("%d parts, error %v", len(parts), err)
	}
}
