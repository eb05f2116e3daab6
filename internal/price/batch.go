package price

import (
	"cmp"
	"slices"

	"forward/internal/dialect"
)

// Part is the answers of a batch that are charged at the same rates. It
// replaces the usage objects of single answers, of a batch with perhaps 100,000
// of them, and is enough to price the batch again.
type Part struct {
	Answers int64              `json:"answers"`
	Above   int64              `json:"above,omitempty"` // prompt tokens of each answer, as in Tier
	Speed   string             `json:"speed,omitempty"` // as in dialect.Terms, like the next two
	Geo     string             `json:"geo,omitempty"`
	Doubt   string             `json:"doubt,omitempty"`
	Counts  map[Quantity]int64 `json:"counts"`
}

// compareParts orders parts by what their rates depend on.
func compareParts(a, b Part) int {
	return cmp.Or(cmp.Compare(a.Above, b.Above), cmp.Compare(a.Speed, b.Speed), cmp.Compare(a.Geo, b.Geo), cmp.Compare(a.Doubt, b.Doubt))
}

// AddPart counts the usage of one answer in the part of its rates. Parts stay
// sorted.
func (l List) AddPart(parts []Part, u dialect.Usage) []Part {
	one := Part{Above: l.tier(u.Input).Above, Speed: u.Terms.Speed, Geo: u.Terms.Geo, Doubt: u.Terms.Doubt}
	if i := slices.IndexFunc(parts, func(p Part) bool { return p.Doubt != "" }); i >= 0 && one.Doubt != "" {
		one.Doubt = parts[i].Doubt // one is enough, and there may be as many as answers
	}
	at, found := slices.BinarySearchFunc(parts, one, compareParts)
	if !found {
		one.Counts = map[Quantity]int64{}
		parts = slices.Insert(parts, at, one)
	}
	part := &parts[at]
	part.Answers++
	var list [usual]counted
	for _, c := range count(list[:0], &u) {
		part.Counts[c.quantity] = Add(part.Counts[c.quantity], c.n)
	}
	return parts
}

// BatchCost prices the answers of a batch. Counts with the same rate are added
// up before they are priced, so that each line can be checked by hand.
func (l List) BatchCost(parts []Part) (Cost, error) {
	cost := Cost{Batch: true}
	for _, p := range parts {
		if p.Doubt != "" {
			return Cost{}, &DoubtError{p.Doubt}
		}
		times, err := l.times(dialect.Terms{Speed: p.Speed, Geo: p.Geo})
		if err != nil {
			return Cost{}, err
		}
		list := make([]counted, 0, len(p.Counts))
		for q, n := range p.Counts {
			list = append(list, counted{q, n})
		}
		slices.SortFunc(list, func(a, b counted) int { return compareQuantities(a.quantity, b.quantity) })
		err = cost.add(&service{l.Model, "batch", l.tier(p.Above + 1).Batch, l.Fees, times}, list)
		if err != nil {
			return Cost{}, err
		}
	}
	return cost, nil
}
