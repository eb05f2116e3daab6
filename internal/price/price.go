// Package price knows what a call costs: money, the price lists of models, and the rules by which a usage object becomes lines of a cost.
//
// Money is counted in whole nano-dollars. Price lists come from an embedded table with a date, which is generated (see gen), and from
// forward.yaml. A model is found by its exact name, then without the date at its end, and never by likeness. A model without a price
// is unpriced, which is not the same as free.
package price

import (
	"fmt"
	"maps"
	"slices"
	"strconv"

	"forward/internal/dialect"
)

// Quantity is something that is counted and has a rate.
type Quantity string

// The quantities. Tokens and characters have rates per million, the others per one. Each token is in one of them only.
const (
	Input         Quantity = "input"           // prompt tokens that are in none of the next five
	CachedRead    Quantity = "cached_read"     // prompt tokens that the provider had in its cache
	CachedWrite   Quantity = "cached_write"    // prompt tokens that went into its cache, for five minutes
	CachedWrite1h Quantity = "cached_write_1h" // prompt tokens that went into its cache, for an hour
	AudioInput    Quantity = "audio_input"     // prompt tokens of sound
	ImageInput    Quantity = "image_input"     // prompt tokens of images
	Output        Quantity = "output"          // generated tokens that are in none of the next three
	Reasoning     Quantity = "reasoning"       // generated tokens that were thought and not said
	AudioOutput   Quantity = "audio_output"    // generated tokens of sound
	ImageOutput   Quantity = "image_output"    // generated tokens of images
	Character     Quantity = "character"       // characters that were spoken
	Second        Quantity = "second"          // seconds of sound that were heard
	Image         Quantity = "image"           // images that were made
	Request       Quantity = "request"         // the call itself
)

// quantities is the order in which a cost is shown.
var quantities = []Quantity{Input, CachedRead, CachedWrite, CachedWrite1h, AudioInput, ImageInput, Output, Reasoning, AudioOutput, ImageOutput, Character, Second, Image, Request}

// Quantities returns all of them, in the order in which a cost is shown.
func Quantities() []Quantity { return slices.Clone(quantities) }

// Per returns the count for which a rate of this quantity is: a million, or one.
func (q Quantity) Per() int64 {
	switch q {
	case Second, Image, Request:
		return 1
	}
	return 1_000_000
}

// plain is the quantity whose rate holds where a price list does not name q's own: providers that have no rate for reasoning bill
// it as output, and so on. "" for those that have nothing to fall back on.
func (q Quantity) plain() Quantity {
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

// Rates are prices in nano-dollars for Quantity.Per. A quantity that is not in it has the rate of the one it is a kind of; a rate
// of 0 has to be written.
type Rates map[Quantity]Money

// Of returns the rate of a quantity, and the quantity under which it is written.
func (r Rates) Of(q Quantity) (rate Money, named Quantity, ok bool) {
	for ; q != ""; q = q.plain() {
		if rate, ok := r[q]; ok {
			return rate, q, true
		}
	}
	return 0, "", false
}

// Tier holds the rates of calls with more than Above prompt tokens. They are those of the whole call, as the providers have it,
// and not only of what is above.
type Tier struct {
	Above int64 `json:"above,omitempty"`
	Rates Rates `json:"rates"`
	Batch Rates `json:"batch,omitempty"` // for calls in a batch, and those served as "flex"; nil: not known
	// Priority is for calls served as "priority"; nil: not known, or not sold.
	Priority Rates `json:"priority,omitempty"`
}

// List is the price list of one model of one provider. It is read only.
type List struct {
	Provider  string `json:"provider"` // "" when it comes from an override for every provider
	Model     string `json:"model"`
	MaxOutput int64  `json:"max_output,omitempty"` // tokens that the model can answer with at most; 0: not known
	Tiers     []Tier `json:"tiers"`                // by Above, the first with 0
	Source    string `json:"source,omitempty"`     // where the price is from
}

// Options say what a usage object does not.
type Options struct {
	// Tier is what the call was served as, in the provider's word: "batch" and "flex" have the rates of batches, as OpenAI and
	// Google have it, and "priority" has rates of its own; "", "default", "standard", "auto", "scale" and "on_demand" are the ordinary
	// service. No other has a known price.
	Tier       string
	Images     int64 // images made
	Characters int64 // characters spoken
}

// Line is one factor of a cost.
type Line struct {
	Quantity Quantity `json:"quantity"`
	As       Quantity `json:"as,omitempty"` // whose rate it has, where it has none of its own
	Count    int64    `json:"count"`
	Rate     Money    `json:"rate"` // nano-dollars for Quantity.Per
	Amount   Money    `json:"amount"`
}

// String writes a line the way it is worked out: "1200 cached_read × $1.25/M = $0.0015".
func (l Line) String() string {
	b := make([]byte, 0, 64) // by hand: every request has two or three of them
	b = append(append(strconv.AppendInt(b, l.Count, 10), ' '), l.Quantity...)
	if l.As != "" {
		b = append(append(b, " as "...), l.As...)
	}
	b = l.Rate.append(append(b, " × "...))
	if l.Quantity.Per() == 1_000_000 {
		b = append(b, "/M"...)
	}
	return string(l.Amount.append(append(b, " = "...)))
}

// Cost is what a call costs and how that was worked out. Each line is rounded half up to a whole nano-dollar, and Total is the
// sum of the lines, so that it can be checked by hand.
type Cost struct {
	Total Money  `json:"total"`
	Above int64  `json:"above,omitempty"` // of the tier that held
	Batch bool   `json:"batch,omitempty"` // the rates are those of batches
	Lines []Line `json:"lines"`
}

// NoRateError says that a price list does not say what a quantity costs. Such a call is unpriced: it must not count as free.
type NoRateError struct {
	Model    string
	Quantity Quantity
	Tier     string // as in Options
}

func (e *NoRateError) Error() string {
	if e.Tier != "" {
		return fmt.Sprintf("no price of %s for %s served as %s", e.Quantity, e.Model, e.Tier)
	}
	return fmt.Sprintf("no price of %s for %s", e.Quantity, e.Model)
}

// Cost prices a call. Its errors, a *NoRateError or an amount that cannot be true, mean that the call is unpriced.
func (r List) Cost(u dialect.Usage, o Options) (Cost, error) {
	tier := r.tier(u.Input)
	cost := Cost{Above: tier.Above}
	var rates Rates
	switch o.Tier {
	case "", "default", "standard", "auto", "scale", "on_demand":
		rates = tier.Rates
	case "batch", "flex":
		rates, cost.Batch = tier.Batch, true
	case "priority":
		rates = tier.Priority
	}
	if err := cost.charge(r.Model, o.Tier, rates, count(u, o)); err != nil {
		return Cost{}, err
	}
	return cost, nil
}

// charge adds a line for every quantity, in order.
func (c *Cost) charge(model, tier string, rates Rates, counts counts) error {
	_, perRequest := rates[Request]
	for _, part := range counts {
		q, n := part.quantity, part.n
		if n == 0 || q == Request && !perRequest {
			continue
		}
		rate, named, ok := rates.Of(q)
		if !ok {
			return &NoRateError{model, q, tier}
		}
		amount, err := charge(n, rate, q.Per())
		if err != nil {
			return fmt.Errorf("pricing %d %s of %s: %w", n, q, model, err)
		}
		line := Line{Quantity: q, Count: n, Rate: rate, Amount: amount}
		if named != q {
			line.As = named
		}
		if c.Lines == nil {
			c.Lines = make([]Line, 0, 4) // prompt and answer, each with a part that is cached or thought
		}
		c.Lines, c.Total = append(c.Lines, line), c.Total+amount // at most 14 times 10^15, and as often as there are tiers
	}
	if c.Total > MaxCall {
		return fmt.Errorf("pricing a call of %s: %w", model, errTooMuch)
	}
	return nil
}

// Reserve returns the most that a call with so many prompt tokens and at most so many generated ones can cost: each at the dearest
// rate that its kind of token has, for nobody knows yet what the provider's cache will do. asked is the service tier that the call asks
// for; only "priority" costs more than the ordinary service, and where it has no known price that is an error.
func (r List) Reserve(input, output int64, asked string) (Money, error) {
	rates := r.tier(input).Rates
	if asked == "priority" {
		if rates = r.tier(input).Priority; rates == nil {
			return 0, &NoRateError{r.Model, Input, asked}
		}
	}
	dearest := func(kinds ...Quantity) (most Money) {
		for _, q := range kinds {
			most = max(most, rates[q])
		}
		return most
	}
	in, err := charge(max(0, input), dearest(Input, CachedWrite, CachedWrite1h, AudioInput, ImageInput), Input.Per())
	if err != nil {
		return 0, fmt.Errorf("reserving for %s: %w", r.Model, err)
	}
	out, err := charge(max(0, output), dearest(Output, Reasoning, AudioOutput, ImageOutput), Output.Per())
	if err != nil {
		return 0, fmt.Errorf("reserving for %s: %w", r.Model, err)
	}
	return in + out + rates[Request], nil
}

// tier returns the rates for a prompt of so many tokens.
func (r List) tier(input int64) Tier {
	for i := len(r.Tiers) - 1; i > 0; i-- {
		if input > r.Tiers[i].Above {
			return r.Tiers[i]
		}
	}
	if len(r.Tiers) == 0 {
		return Tier{}
	}
	return r.Tiers[0]
}

// clone copies a row, so that who changes the copy changes no other.
func (r List) clone() List {
	r.Tiers = slices.Clone(r.Tiers)
	for i, t := range r.Tiers {
		r.Tiers[i].Rates, r.Tiers[i].Batch, r.Tiers[i].Priority = maps.Clone(t.Rates), maps.Clone(t.Batch), maps.Clone(t.Priority)
	}
	return r
}
