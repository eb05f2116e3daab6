package price

import (
	"bytes"
	"math"

	"github.com/tidwall/gjson"

	"forward/internal/dialect"
)

// MaxCount is the most that a usage object may count of one thing. A provider that reports more reports nonsense, and sums must not
// overflow.
const MaxCount = 1e12

// counted is how much there is of a quantity.
type counted struct {
	quantity Quantity
	n        int64
}

// counts has them all, in the order of quantities.
type counts [14]counted

// count splits a usage object into the quantities that have rates of their own, each token into exactly one. Only what Usage does not
// carry, images and cached sound, is read from the provider's own object.
func count(u dialect.Usage, o Options) counts {
	in, out := readKinds(u.Raw)
	// Which part a token belongs to when it is in two, a cached sound for instance, is decided by this order.
	rest := max(0, u.Input)
	take := func(n int64) int64 {
		n = min(max(0, n), rest)
		rest -= n
		return n
	}
	read, writtenHour, written := take(u.CachedRead), take(u.CachedWriteHour), take(u.CachedWrite-u.CachedWriteHour)
	sound, image, text := take(u.Audio-u.AudioOutput-in.cachedSound), take(in.image), rest
	rest = max(0, u.Output)
	thought, spoken, drawn, said := take(u.Reasoning), take(u.AudioOutput), take(out), rest
	return counts{
		{Input, text}, {CachedRead, read}, {CachedWrite, written}, {CachedWrite1h, writtenHour}, {AudioInput, sound}, {ImageInput, image},
		{Output, said}, {Reasoning, thought}, {AudioOutput, spoken}, {ImageOutput, drawn}, {Character, o.Characters},
		{Second, int64(math.Round(min(max(u.Seconds, 0), MaxCount)))}, // OpenAI bills sound by whole seconds, the nearest one
		{Image, o.Images}, {Request, 1},
	}
}

// promptKinds are the tokens of a prompt that only the provider's own object tells apart.
type promptKinds struct{ image, cachedSound int64 }

// readKinds reads the tokens of images, and of sound out of the cache, in the words of OpenAI and of Gemini. Most objects have none of
// them, and are not read for it.
func readKinds(object []byte) (in promptKinds, imageOut int64) {
	if !bytes.Contains(object, []byte("image_tokens")) && !bytes.Contains(object, []byte("TokensDetails")) {
		return in, 0
	}
	raw := gjson.ParseBytes(object)
	in.cachedSound = modality(raw, "cacheTokensDetails", "AUDIO")
	in.image = told(raw, "input_tokens_details.image_tokens") + modality(raw, "promptTokensDetails", "IMAGE") - modality(raw, "cacheTokensDetails", "IMAGE")
	return in, told(raw, "output_tokens_details.image_tokens") + modality(raw, "candidatesTokensDetails", "IMAGE")
}

// told returns the count at a path.
func told(raw gjson.Result, path string) int64 {
	if v := raw.Get(path); v.Type == gjson.Number && v.Num >= 0 && v.Num <= MaxCount {
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
