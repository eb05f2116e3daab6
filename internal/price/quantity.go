package price

import "slices"

// Quantity is something that is counted and has a rate.
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
	Image         Quantity = "image"           // generated images
	Request       Quantity = "request"         // the call itself
)

// quantities lists all of them in the order in which a cost shows them.
var quantities = []Quantity{
	Input, CachedRead, CachedWrite, CachedWrite1h, AudioInput, ImageInput, Output, Reasoning, AudioOutput, ImageOutput,
	Character, Second, Image, Request,
}

// Quantities returns all quantities in the order in which a cost shows them.
func Quantities() []Quantity { return slices.Clone(quantities) }

// Per returns the count that a rate of the quantity is for: a million or one.
func (q Quantity) Per() int64 {
	switch q {
	case Second, Image, Request:
		return 1
	}
	return 1_000_000
}

// general returns the quantity whose rate applies where a price list has none
// for q, or "". Providers that list no rate for reasoning bill it as output,
// for example.
func (q Quantity) general() Quantity {
	switch q {
	case CachedRead, CachedWrite, AudioInput, ImageInput:
		return Input
	case CachedWrite1h:
		return CachedWrite
	case Reasoning, AudioOutput, ImageOutput:
		return Output
	}
	return ""
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
