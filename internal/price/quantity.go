package price

import (
	"cmp"
	"slices"
	"strings"
)

// Quantity is something that is counted and has a rate. Images, seconds of
// video and calls can have a kind after a slash, which may have a slash of its
// own: "image/1024x1024/hd", "video_second/1280x720", "call/web_search".
type Quantity string

// The quantities. Tokens and characters have rates per million, the others per
// one. Each token is counted in exactly one quantity.
const (
	Input         Quantity = "input"           // prompt tokens outside of the next five
	CachedRead    Quantity = "cached_read"     // prompt tokens read from the provider's cache
	CachedWrite   Quantity = "cached_write"    // prompt tokens written to its cache for five minutes
	CachedWrite1h Quantity = "cached_write_1h" // prompt tokens written to its cache for an hour
	AudioInput    Quantity = "audio_input"     // prompt tokens of sound
	ImageInput    Quantity = "image_input"     // prompt tokens of images
	Output        Quantity = "output"          // generated tokens outside of the next three
	Reasoning     Quantity = "reasoning"       // generated tokens of thoughts
	AudioOutput   Quantity = "audio_output"    // generated tokens of sound
	ImageOutput   Quantity = "image_output"    // generated tokens of images
	Character     Quantity = "character"       // characters turned into speech
	Second        Quantity = "second"          // seconds of sound in the request
	Image         Quantity = "image"           // generated images, by size and quality
	VideoSecond   Quantity = "video_second"    // seconds of generated video, by resolution
	ToolCall      Quantity = "call"            // calls of a tool that the provider runs, by its name
	Request       Quantity = "request"         // the call itself
)

// quantities lists all of them in the order in which a cost shows them.
var quantities = []Quantity{
	Input, CachedRead, CachedWrite, CachedWrite1h, AudioInput, ImageInput, Output, Reasoning, AudioOutput, ImageOutput,
	Character, Second, Image, VideoSecond, ToolCall, Request,
}

// Quantities returns all quantities in the order in which a cost shows them.
func Quantities() []Quantity { return slices.Clone(quantities) }

// ParseQuantity returns the quantity of a name, such as "input" or
// "image/1024x1024". ok is false if nothing of the name is counted.
func ParseQuantity(name string) (q Quantity, ok bool) {
	q = Quantity(name)
	base := q.base()
	if base == q {
		return q, slices.Contains(quantities, q)
	}
	return q, base.hasKinds() && !strings.HasSuffix(name, "/")
}

// hasKinds reports whether a quantity can have kinds.
func (q Quantity) hasKinds() bool { return q == Image || q == VideoSecond || q == ToolCall }

// of returns a quantity of a kind, and q itself where the kind is not known.
func (q Quantity) of(kind string) Quantity {
	if kind == "" {
		return q
	}
	return q + "/" + Quantity(kind)
}

// base returns a quantity without its kind.
func (q Quantity) base() Quantity {
	name, _, _ := strings.Cut(string(q), "/")
	return Quantity(name)
}

// Per returns the count that a rate of the quantity is for: a million or one.
func (q Quantity) Per() int64 {
	switch q {
	case Input, CachedRead, Output, Reasoning: // of almost every call
		return 1_000_000
	}
	switch q.base() {
	case Second, Image, VideoSecond, ToolCall, Request:
		return 1
	}
	return 1_000_000
}

// Unit returns what is counted, in the plural.
func (q Quantity) Unit() string {
	switch q.base() {
	case Character:
		return "characters"
	case Second, VideoSecond:
		return "seconds"
	case Image:
		return "images"
	case ToolCall:
		return "calls"
	case Request:
		return "requests"
	}
	return "tokens"
}

// general returns the quantity whose rate applies where a price list has none
// for q, or "". Providers that list no rate for reasoning bill it as output,
// for example, and a rate of "image/1024x1024" is for every quality.
func (q Quantity) general() Quantity {
	switch q {
	case CachedRead, CachedWrite, AudioInput, ImageInput:
		return Input
	case CachedWrite1h:
		return CachedWrite
	case Reasoning, AudioOutput, ImageOutput:
		return Output
	}
	if i := strings.LastIndexByte(string(q), '/'); i > 0 {
		return q[:i]
	}
	return ""
}

// isA reports whether a quantity is another one or a kind of it.
func (q Quantity) isA(general Quantity) bool {
	for ; q != ""; q = q.general() {
		if q == general {
			return true
		}
	}
	return false
}

// Rates are prices in nano-dollars for [Quantity.Per]. A quantity that is not
// listed has the rate of the more general one. A rate of 0 has to be listed.
type Rates map[Quantity]Money

// Of returns the rate of a quantity and the quantity under which it is listed.
func (r Rates) Of(q Quantity) (rate Money, listed Quantity, ok bool) {
	for ; q != ""; q = q.general() {
		if rate, ok := r[q]; ok {
			return rate, q, true
		}
	}
	return 0, "", false
}

// Listed returns the quantities that have a rate of their own, in the order in
// which a cost shows them.
func (r Rates) Listed() []Quantity {
	listed := make([]Quantity, 0, len(r))
	for q := range r {
		listed = append(listed, q)
	}
	slices.SortFunc(listed, compareQuantities)
	return listed
}

// highest returns the highest rate of a quantity and all of its kinds.
func (r Rates) highest(base Quantity) (rate Money, ok bool) {
	for q, listed := range r {
		if q.base() == base {
			rate = max(rate, listed)
			ok = true
		}
	}
	return rate, ok
}

func compareQuantities(a, b Quantity) int {
	return cmp.Or(cmp.Compare(slices.Index(quantities, a.base()), slices.Index(quantities, b.base())), cmp.Compare(a, b))
}
