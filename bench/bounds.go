package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"slices"
)

// tolerance is how much worse than its bound a ratio may be, for machines differ and are shared.
const tolerance = 1.25

// bounds are the figures that hardly depend on the machine, by name; less is better.
func (b *bench) bounds() map[string]float64 {
	s := b.samples
	all := map[string]float64{}
	for _, who := range []string{offName, onName} {
		all[who+": CPU of a chat × "+bareName] = s.ratio("chat cpu", who, bareName).Median
		all[who+": CPU of a stream × "+bareName] = s.ratio("stream cpu", who, bareName).Median
		all[who+": CPU of 50 KB × "+bareName] = s.ratio("large cpu", who, bareName).Median
		held := "held " + thousands(b.plan.idle[0]) + " kilobytes"
		all[who+": memory of a slow stream × "+bareName] = s.ratio(held, who, bareName).Median
	}
	all[onName+": CPU of a stored chat × "+bareName] = s.ratio("stored cpu", onName, bareName).Median
	all[onName+": CPU of a hit × nginx"] = s.ratio("hit cpu", onName, "nginx").Median
	return all
}

// recordBounds writes what was measured as bounds of later runs.
func (b *bench) recordBounds(path string) error {
	all := b.bounds()
	for name, value := range all {
		if math.IsNaN(value) {
			return fmt.Errorf("%s was not measured", name)
		}
		all[name] = math.Round(100*value) / 100
	}
	text, err := json.MarshalIndent(all, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(path, append(text, '\n'), 0o644)
}

func (b *bench) checkBounds(path string) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	var recorded map[string]float64
	if err := json.Unmarshal(text, &recorded); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return worse(b.bounds(), recorded)
}

// worse names each figure that is beyond its bound and the tolerance, and those that only one side has.
func worse(measured, recorded map[string]float64) error {
	var all []error
	for _, name := range slices.Sorted(keysOf(measured, recorded)) {
		is, measuredIt := measured[name]
		bound, has := recorded[name]
		switch {
		case !has:
			all = append(all, fmt.Errorf("%s has no bound: go run ./bench -short -record", name))
		case !measuredIt || math.IsNaN(is):
			all = append(all, fmt.Errorf("%s was not measured", name))
		case is > bound*tolerance:
			all = append(all, fmt.Errorf("%s is %.2f, and its bound %.2f: worse by %.0f %%, and 25 %% are allowed", name, is, bound, 100*(is/bound-1)))
		}
	}
	return errors.Join(all...)
}

// keysOf are the keys of some maps, each once.
func keysOf(maps ...map[string]float64) func(yield func(string) bool) {
	return func(yield func(string) bool) {
		seen := map[string]bool{}
		for _, m := range maps {
			for key := range m {
				if !seen[key] && !yield(key) {
					return
				}
				seen[key] = true
			}
		}
	}
}
