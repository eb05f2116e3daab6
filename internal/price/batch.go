package price

import (
	"cmp"
	"slices"

	"forward/internal/dialect"
)

// Part is the answers of a batch that are charged at the rates of one tier. It
// replaces the usage objects of single answers, of a batch with perhaps 100,000
// of them, and is enough to price the batch again.
type Part struct {
	Answers int64              `json:"answers"`
	Above   int64              `json:"above,omitempty"` // prompt tokens of each answer, as in Tier
	Counts  map[Quantity]int64 `json:"counts"`
}

// AddPart counts the usage of one answer in the part of its tier. Parts are
// sorted by Above.
func (l List) AddPart(parts []Part, u dialect.Usage) []Part {
	above := l.tier(u.Input).Above
	at, found := slices.BinarySearchFunc(parts, above, func(p Part, above int64) int { return cmp.Compare(p.Above, above) })
	if !found {
		parts = slices.Insert(parts, at, Part{Above: above, Counts: map[Quantity]int64{}})
	}
	part := &parts[at]
	part.Answers++
	for _, c := range count(u, Options{}) {
		if c.n > 0 {
			part.Counts[c.quantity] = Add(part.Counts[c.quantity], c.n)
		}
	}
	return parts
}

// BatchCost prices the answers of a batch. Counts with the same rate are added
// up before they are priced, so that each line can be checked by hand.
func (l List) BatchCost(parts []Part) (Cost, error) {
	cost := Cost{Batch: true}
	for _, p := range parts {
		var in counts
		for i, q := range quantities {
			in[i] = counted{q, p.Counts[q]}
		}
		if err := cost.add(service{l.Model, "batch", l.tier(p.Above + 1).Batch}, in); err != nil {
			return Cost{}, err
		}
	}
	return cost, nil
}
