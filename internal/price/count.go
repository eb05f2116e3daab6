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

// usual is how many quantities a usage has at most without calls of tools.
const usual = 16

// count appends the quantities of a usage to a list, in the order of
// quantities. Each token is in exactly one. Tokens of images and cached tokens
// of sound are read from the provider's own object, because dialect.Usage does
// not have them.
func count(list []counted, u *dialect.Usage) []counted {
	details := readDetails(u.Raw)
	add := func(q Quantity, n int64) {
		if n > 0 {
			list = append(list, counted{q, n})
		}
	}

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
	add(Input, rest)
	add(CachedRead, cachedRead)
	add(CachedWrite, written)
	add(CachedWrite1h, writtenHour)
	add(AudioInput, sound)
	add(ImageInput, image)

	rest = max(0, u.Output)
	reasoning := take(u.Reasoning)
	soundOut := take(u.AudioOutput)
	imageOut := take(details.imageOut)
	add(Output, rest)
	add(Reasoning, reasoning)
	add(AudioOutput, soundOut)
	add(ImageOutput, imageOut)

	// OpenAI bills sound by whole seconds, rounded to the nearest.
	add(Character, u.Media.Characters)
	add(Second, int64(math.Round(seconds(u.Seconds))))
	if u.Media.Images > 0 {
		add(Image.of(u.Media.ImageKind), u.Media.Images)
	}
	if u.Media.VideoSeconds > 0 {
		add(VideoSecond.of(u.Media.VideoKind), int64(math.Ceil(seconds(u.Media.VideoSeconds))))
	}
	for _, fee := range u.Terms.Fees {
		add(ToolCall.of(fee.Name), fee.Count)
	}
	add(Request, 1)
	return list
}

// seconds brings a length into range.
func seconds(n float64) float64 { return min(max(n, 0), MaxCount) }

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
