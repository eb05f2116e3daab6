package ledger

import "forward/internal/price"

// CostLine is one part of what a row costs.
type CostLine struct {
	Name     string
	Quantity int64
	Unit     string // tokens, characters, seconds, images, calls or requests; "" for an amount
	Rate     *price.Money
	Cost     price.Money
}

// CostLines returns the parts of a row's cost as they were billed. They add up
// to the cost: what the cache saved and what the caller's own credential paid
// is taken off. There are none where they are not known, as for a row that was
// billed at what was reserved.
func (r *Row) CostLines() (lines []CostLine) {
	if !r.Priced {
		return nil
	}
	var sum price.Money
	add := func(l CostLine) {
		lines = append(lines, l)
		sum += l.Cost
	}
	if r.Price == reportedPrice {
		add(CostLine{Name: "reported", Quantity: 1, Cost: price.Money(r.Usage.Terms.Reported)})
	} else {
		for _, s := range r.Trail {
			if l, ok := price.ParseLine(s.Text); ok && s.Name == "price" {
				rate := l.Rate * price.Money(1_000_000/l.Quantity.Per())
				add(CostLine{string(l.Quantity), l.Count, l.Quantity.Unit(), &rate, l.Amount})
			}
		}
	}
	switch {
	case r.Listed && r.Cost == 0 && sum > 0:
		add(CostLine{Name: "own_credential", Quantity: 1, Cost: -sum})
	case r.Cache == "hit" && r.Cost == 0 && sum > 0:
		add(CostLine{Name: "cache_hit", Quantity: 1, Cost: -sum})
	}
	if sum != r.Cost {
		return nil
	}
	return lines
}
