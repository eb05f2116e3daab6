package price

import (
	"bytes"
	"math"

	"github.com/tidwall/gjson"

	"forward/internal/dialect"
)

// MaxCount is the most that one number of a usage object may be. A provider
// that reports more reports nonsense, and sums must not overflow.
const MaxCount = 1e12

// counted is the count of one quantity.
type counted struct {
	quantity Quantity
	n        int64
}

// counts has the count of each quantity, in the order of quantities.
type counts [14]counted

// count splits a usage object into the quantities that have rates of their own,
// each token into exactly one. Tokens of images and cached tokens of sound are
// read from the provider's own object, because dialect.Usage does not have
// them.
func count(u dialect.Usage, o Options) counts {
	details := readDetails(u.Raw)

	// A token can be of two kinds, cached sound for example. It counts as the
	// first of them in this order.
	rest := max(0, u.Input)
	take := func(n int64) int64 {
		n = min(max(0, n), rest)
		rest -= n
		return n
	}
	cachedRead := take(u.CachedRead)
	writtenHour := take(u.CachedWriteHour)
	written := take(u.CachedWrite - u.CachedWriteHour)
	sound := take(u.Audio - u.AudioOutput - details.cachedSound)
	image := take(details.image)
	text := rest

	rest = max(0, u.Output)
	reasoning := take(u.Reasoning)
	soundOut := take(u.AudioOutput)
	imageOut := take(details.imageOut)
	textOut := rest

	// OpenAI bills sound by whole seconds, rounded to the nearest.
	seconds := int64(math.Round(min(max(u.Seconds, 0), MaxCount)))
	return counts{
		{Input, text}, {CachedRead, cachedRead}, {CachedWrite, written}, {CachedWrite1h, writtenHour},
		{AudioInput, sound}, {ImageInput, image},
		{Output, textOut}, {Reasoning, reasoning}, {AudioOutput, soundOut}, {ImageOutput, imageOut},
		{Character, o.Characters}, {Second, seconds}, {Image, o.Images}, {Request, 1},
	}
}

// details are the tokens that only the provider's own usage object
// distinguishes.
type details struct{ image, cachedSound, imageOut int64 }

// readDetails reads the details from the usage objects of OpenAI and of Gemini.
// Most objects have none of them and are not parsed for it.
func readDetails(object []byte) details {
	if !bytes.Contains(object, []byte("image_tokens")) && !bytes.Contains(object, []byte("TokensDetails")) {
		return details{}
	}
	raw := gjson.ParseBytes(object)
	return details{
		image: number(raw, "input_tokens_details.image_tokens") +
			modality(raw, "promptTokensDetails", "IMAGE") - modality(raw, "cacheTokensDetails", "IMAGE"),
		cachedSound: modality(raw, "cacheTokensDetails", "AUDIO"),
		imageOut:    number(raw, "output_tokens_details.image_tokens") + modality(raw, "candidatesTokensDetails", "IMAGE"),
	}
}

// number returns the count at a path, or 0 where it is none.
func number(raw gjson.Result, path string) int64 {
	v := raw.Get(path)
	if v.Type != gjson.Number || v.Num < 0 || v.Num > MaxCount {
		return 0
	}
	return int64(v.Num)
}

// modality returns the tokens of one kind in a list of Gemini's: [{"modality":
// "AUDIO", "tokenCount": 12}].
func modality(raw gjson.Result, list, kind string) (n int64) {
	for _, d := range raw.Get(list).Array() {
		if d.Get("modality").Str == kind {
			n += number(d, "tokenCount")
		}
	}
	return n
}
