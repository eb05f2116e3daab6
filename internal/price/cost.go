package price

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
)

// Cost is what a call costs and how that was worked out. Each line is rounded
// half up to a whole nano-dollar and Total is the sum of the lines, so that it
// can be checked by hand.
type Cost struct {
	Total Money  `json:"total"`
	Above int64  `json:"above,omitempty"` // of the tier that applied
	Batch bool   `json:"batch,omitempty"` // the rates are those of batches
	Lines []Line `json:"lines"`
}

// Line is one factor of a cost.
type Line struct {
	Quantity Quantity `json:"quantity"`
	As       Quantity `json:"as,omitempty"` // the quantity that lists the rate, where it is another one
	Count    int64    `json:"count"`
	Rate     Money    `json:"rate"` // nano-dollars for Quantity.Per
	Amount   Money    `json:"amount"`
}

// String writes a line the way it is worked out: "1200 cached_read × $1.25/M =
// $0.0015". It formats by hand, because every request writes two or three
// lines.
func (l Line) String() string {
	b := strconv.AppendInt(make([]byte, 0, 64), l.Count, 10)
	b = append(b, ' ')
	b = append(b, l.Quantity...)
	if l.As != "" {
		b = append(b, " as "...)
		b = append(b, l.As...)
	}
	b = append(b, " × "...)
	b = l.Rate.append(b)
	if l.Quantity.Per() == 1_000_000 {
		b = append(b, "/M"...)
	}
	b = append(b, " = "...)
	return string(l.Amount.append(b))
}

// lineForm is that of Line.String.
var lineForm = regexp.MustCompile(`^(\d+) (\S.*?)(?: as (\S+))? × (\$[\d.]+)(?:/M)? = (\$[\d.]+)$`)

// ParseLine reads what String wrote.
func ParseLine(text string) (l Line, ok bool) {
	parts := lineForm.FindStringSubmatch(text)
	if parts == nil {
		return Line{}, false
	}
	var errs [3]error
	l.Count, errs[0] = strconv.ParseInt(parts[1], 10, 64)
	l.Quantity = Quantity(parts[2])
	l.As = Quantity(parts[3])
	l.Rate, errs[1] = ParseDollars(parts[4])
	l.Amount, errs[2] = ParseDollars(parts[5])
	return l, errs == [3]error{}
}

// service is what a call was served as, for which rates.
type service struct {
	model, tier string
	rates, fees Rates
	times       Factor // of all rates except fees
}

// rate returns the rate of a quantity. The price list of the service comes
// first, then the fees of its provider.
func (s *service) rate(q Quantity) (rate Money, listed Quantity, ok bool) {
	rate, listed, ok = s.rates.Of(q)
	switch {
	case !ok:
		return s.fees.Of(q)
	case s.times == 0 || q.base() == ToolCall:
		return rate, listed, ok
	}
	return s.times.of(rate), listed, ok
}

// add appends a line for each quantity, in order.
func (c *Cost) add(s *service, list []counted) error {
	_, perRequest := s.rates[Request]
	for _, part := range list {
		if part.quantity == Request && !perRequest {
			continue
		}
		rate, listed, ok := s.rate(part.quantity)
		if !ok && s.isCovered(part.quantity, list) {
			continue
		}
		if !ok {
			return &NoRateError{s.model, part.quantity, s.tier}
		}
		amount, err := charge(part.n, rate, part.quantity.Per())
		if err != nil {
			return fmt.Errorf("pricing %d %s of %s: %w", part.n, part.quantity, s.model, err)
		}
		line := Line{Quantity: part.quantity, Count: part.n, Rate: rate, Amount: amount}
		if listed != part.quantity {
			line.As = listed
		}
		if c.Lines == nil {
			c.Lines = make([]Line, 0, 4) // prompt and answer, each with a part that is cached or thought
		}
		c.Lines = append(c.Lines, line)
		c.Total = Money(Add(int64(c.Total), int64(amount)))
	}
	if c.Total > MaxCall {
		return fmt.Errorf("pricing a call of %s: %w", s.model, errTooMuch)
	}
	return nil
}

// isCovered reports whether something without a rate is part of what has one.
// Providers charge images, speech and video by the piece or in generated
// tokens, and sound in a request by the second or in prompt tokens: a price
// list that has the one has not the other. Nor has it tokens, if it charges the
// call itself.
func (s *service) isCovered(q Quantity, list []counted) bool {
	switch q.base() {
	case Character, Image, VideoSecond:
		return s.charges(Output, list)
	case Second:
		return s.charges(Input, list)
	case ToolCall, Request:
		return false
	}
	_, input := s.rates[Input]
	_, output := s.rates[Output]
	return !input && !output && slices.ContainsFunc(pieces, func(piece Quantity) bool { return s.charges(piece, list) })
}

// pieces are what is charged by the piece, the call itself among them.
var pieces = []Quantity{Character, Second, Image, VideoSecond, Request}

// charges reports whether something of a kind was counted and has a rate.
func (s *service) charges(kind Quantity, list []counted) bool {
	return slices.ContainsFunc(list, func(c counted) bool {
		if !c.quantity.isA(kind) {
			return false
		}
		_, _, ok := s.rates.Of(c.quantity)
		return ok
	})
}
