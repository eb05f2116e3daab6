package usage

import (
	"github.com/tidwall/gjson"

	"forward/internal/dialect"
)

// count splits a usage object into the quantities that have rates of their own, each token into exactly one. What Usage does not
// carry (kinds of audio, images, how long a cache entry lives) is read from the provider's own object, which the ledger keeps, so
// that history can be priced again.
func count(u dialect.Usage, o CostOptions) map[Quantity]int64 {
	raw := gjson.ParseBytes(u.Raw)
	c := map[Quantity]int64{Request: 1, Image: o.Images, Character: o.Characters, Second: told(raw, "seconds")}
	// Which part a token belongs to when it is in two, a cached sound for instance, is decided by this order.
	rest := max(0, u.Input)
	take := func(q Quantity, n int64) {
		c[q] = min(max(0, n), rest)
		rest -= c[q]
	}
	written := u.CachedWrite
	if written == 0 { // part of the prompt's tokens where an OpenAI-compatible provider tells it
		written = told(raw, "prompt_tokens_details.cache_write_tokens", "input_tokens_details.cache_write_tokens")
	}
	hour := min(told(raw, "cache_creation.ephemeral_1h_input_tokens"), written) // Anthropic
	take(CachedRead, u.CachedRead)
	take(CachedWrite1h, hour)
	take(CachedWrite, written-hour)
	audio := told(raw, "prompt_tokens_details.audio_tokens", "input_tokens_details.audio_tokens", "input_token_details.audio_tokens") + modality(raw, "promptTokensDetails", "AUDIO")
	spoken := told(raw, "completion_tokens_details.audio_tokens", "output_tokens_details.audio_tokens") + modality(raw, "candidatesTokensDetails", "AUDIO")
	if len(u.Raw) == 0 {
		spoken = min(u.Audio, u.Output)
		audio = u.Audio - spoken
	}
	take(AudioInput, audio-modality(raw, "cacheTokensDetails", "AUDIO"))
	take(ImageInput, told(raw, "input_tokens_details.image_tokens")+modality(raw, "promptTokensDetails", "IMAGE")-modality(raw, "cacheTokensDetails", "IMAGE"))
	c[Input] = rest
	rest = max(0, u.Output)
	take(Reasoning, u.Reasoning)
	take(AudioOutput, spoken)
	take(ImageOutput, told(raw, "output_tokens_details.image_tokens")+modality(raw, "candidatesTokensDetails", "IMAGE"))
	c[Output] = rest
	return c
}

// told returns the sum of the counts at the paths.
func told(raw gjson.Result, paths ...string) (n int64) {
	for _, path := range paths {
		if v := raw.Get(path); v.Type == gjson.Number && v.Num >= 0 && v.Num < 1<<53 {
			n += int64(v.Num + 0.5) // seconds of sound come with a fraction
		}
	}
	return n
}

// modality returns the tokens of one kind in a list of Gemini's: [{"modality": "AUDIO", "tokenCount": 12}].
func modality(raw gjson.Result, list, kind string) (n int64) {
	for _, d := range raw.Get(list).Array() {
		if d.Get("modality").Str == kind {
			n += told(d, "tokenCount")
		}
	}
	return n
}

// toldBatch reports whether the provider says that a call was part of a batch, as Anthropic does.
func toldBatch(u dialect.Usage) bool { return gjson.GetBytes(u.Raw, "service_tier").Str == "batch" }
