package usage

import (
	"math"

	"github.com/tidwall/gjson"

	"forward/internal/dialect"
)

// count splits a usage object into the quantities that have rates of their own, each token into exactly one. Only what Usage does not
// carry, images and cached sound, is read from the provider's own object.
func count(u dialect.Usage, o CostOptions) map[Quantity]int64 {
	// OpenAI bills sound by whole seconds, the nearest one.
	raw := gjson.ParseBytes(u.Raw)
	c := map[Quantity]int64{Request: 1, Image: o.Images, Character: o.Characters, Second: int64(math.Round(min(max(u.Seconds, 0), most)))}
	// Which part a token belongs to when it is in two, a cached sound for instance, is decided by this order.
	rest := max(0, u.Input)
	take := func(q Quantity, n int64) {
		c[q] = min(max(0, n), rest)
		rest -= c[q]
	}
	take(CachedRead, u.CachedRead)
	take(CachedWrite1h, u.CachedWriteHour)
	take(CachedWrite, u.CachedWrite-u.CachedWriteHour)
	take(AudioInput, u.Audio-u.AudioOutput-modality(raw, "cacheTokensDetails", "AUDIO"))
	take(ImageInput, told(raw, "input_tokens_details.image_tokens")+modality(raw, "promptTokensDetails", "IMAGE")-modality(raw, "cacheTokensDetails", "IMAGE"))
	c[Input] = rest
	rest = max(0, u.Output)
	take(Reasoning, u.Reasoning)
	take(AudioOutput, u.AudioOutput)
	take(ImageOutput, told(raw, "output_tokens_details.image_tokens")+modality(raw, "candidatesTokensDetails", "IMAGE"))
	c[Output] = rest
	return c
}

// told returns the count at a path.
func told(raw gjson.Result, path string) int64 {
	if v := raw.Get(path); v.Type == gjson.Number && v.Num >= 0 && v.Num <= most {
		return int64(v.Num)
	}
	return 0
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
