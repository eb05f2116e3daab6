package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"slices"

	"forward/bench/stats"
)

// tolerance is how much worse than its bound a ratio may be, for machines
// differ and are shared.
const tolerance = 1.25

// bound is a figure that hardly depends on the machine; less is better.
type bound struct {
	name        string
	measurement string // by which it is found
	is          stats.Summary
}

// bounds are all that a short run compares.
func (b *bench) bounds() []bound {
	s := b.samples
	held := "held " + thousands(b.plan.idle[0]) + " kilobytes"
	var all []bound
	for _, who := range []string{offName, onName} {
		all = append(all,
			bound{who + ": CPU of a chat × " + bareName, "chat", s.ratio("chat cpu", who, bareName)},
			bound{who + ": CPU of a stream × " + bareName, "stream", s.ratio("stream cpu", who, bareName)},
			bound{who + ": CPU of 50 KB × " + bareName, "large", s.ratio("large cpu", who, bareName)},
			bound{who + ": memory of a slow stream × " + bareName, "held", s.ratio(held, who, bareName)},
		)
	}
	return append(all,
		bound{onName + ": CPU of a stored chat × " + bareName, "stored", s.ratio("stored cpu", onName, bareName)},
		bound{onName + ": CPU of a hit × nginx", "hit", s.ratio("hit cpu", onName, "nginx")},
	)
}

// recordBounds writes what was measured as bounds of later runs: the upper
// quartiles.
func (b *bench) recordBounds(path string) error {
	all := map[string]float64{}
	for _, one := range b.bounds() {
		if one.is.Size == 0 {
			return fmt.Errorf("%s was not measured", one.name)
		}
		all[one.name] = math.Ceil(100*one.is.High) / 100
	}
	text, err := json.MarshalIndent(all, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(path, append(text, '\n'), 0o644)
}

// checkBounds compares with recorded bounds. What is beyond its bound is
// measured once more, since a neighbour on the machine may have been at it, and
// judged by all rounds together.
func (b *bench) checkBounds(path string) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	recorded := map[string]float64{}
	if err := json.Unmarshal(text, &recorded); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	again, err := beyond(b.bounds(), recorded)
	if len(again) == 0 {
		return err
	}
	b.note("once more, since it is beyond its bound: %v", again)
	b.only = again
	b.measureAll()
	_, err = beyond(b.bounds(), recorded)
	return err
}

// beyond names each figure that is beyond its bound and the tolerance, those
// that only one side has, and the measurements that a second look may help.
func beyond(measured []bound, recorded map[string]float64) (again []string, err error) {
	var all []error
	left := len(recorded)
	for _, one := range measured {
		most, has := recorded[one.name]
		if has {
			left--
		}
		switch {
		case !has:
			all = append(all, fmt.Errorf("%s has no bound: go run ./bench -short -record", one.name))
		case one.is.Size == 0:
			all = append(all, fmt.Errorf("%s was not measured", one.name))
		case one.is.Median > most*tolerance:
			all = append(all, fmt.Errorf("%s is %.2f, and its bound %.2f: worse by %.0f %%, and 25 %% are allowed",
				one.name, one.is.Median, most, 100*(one.is.Median/most-1)))
			if !slices.Contains(again, one.measurement) {
				again = append(again, one.measurement)
			}
		}
	}
	if left > 0 {
		all = append(all, fmt.Errorf("%d of the bounds are of nothing that is measured: go run ./bench -short -record", left))
	}
	return again, errors.Join(all...)
}
