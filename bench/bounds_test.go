package main

import (
	"encoding/json"
	"fmt"
	"math"
	"path/filepath"
	"strings"
	"testing"

	"forward/bench/stats"
)

// TestBeyond allows a quarter above the bound, and nothing that was not
// measured or has no bound.
func TestBeyond(t *testing.T) {
	recorded := map[string]float64{"a": 2, "b": 1}
	for name, c := range map[string]struct {
		measured map[string]float64
		wants    string // part of the error; "" is none
	}{
		"equal":        {map[string]float64{"a": 2, "b": 1}, ""},
		"better":       {map[string]float64{"a": 0.1, "b": 0.9}, ""},
		"just allowed": {map[string]float64{"a": 2.5, "b": 1.25}, ""},
		"worse":        {map[string]float64{"a": 2.51, "b": 1}, "a is 2.51"},
		"not measured": {map[string]float64{"a": 2}, "1 of the bounds are of nothing"},
		"failed":       {map[string]float64{"a": math.NaN(), "b": 1}, "a was not measured"},
		"new":          {map[string]float64{"a": 2, "b": 1, "c": 1}, "c has no bound"},
	} {
		var measured []bound
		for name, value := range c.measured {
			measured = append(measured, bound{name, "chat", stats.Of([]float64{value})})
		}
		again, err := beyond(measured, recorded)
		if (len(again) > 0) != (name == "worse") {
			t.Errorf("%s: %v are to be measured again", name, again)
		}
		if (err == nil) != (c.wants == "") || err != nil && !strings.Contains(err.Error(), c.wants) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestBoundsAreWhatIsMeasured records bounds of a made-up run, which then holds
// them, and one that is slower does not.
func TestBoundsAreWhatIsMeasured(t *testing.T) {
	path := filepath.Join(t.TempDir(), "bounds.json")
	run := madeUp(1)
	if err := run.recordBounds(path); err != nil {
		t.Fatal(err)
	}
	var recorded map[string]float64
	if err := json.Unmarshal([]byte(read(t, path)), &recorded); err != nil {
		t.Fatal(err)
	}
	for forward, worse := range map[float64]int{0.5: 0, 1: 0, 1.2: 0, 1.3: len(run.bounds())} {
		_, err := beyond(madeUp(forward).bounds(), recorded)
		if got := strings.Count(fmt.Sprint(err), "worse by"); got != worse || (err == nil) != (worse == 0) {
			t.Errorf("a run that takes %v times as much in everything: %v", forward, err)
		}
	}
	delete(run.samples, "stream cpu")
	if err := run.recordBounds(path); err == nil {
		t.Error("bounds are recorded of what was not measured")
	}
}

// TestRecordedBounds checks that bounds.json has a bound for everything that a
// short run compares.
func TestRecordedBounds(t *testing.T) {
	var recorded map[string]float64
	if err := json.Unmarshal([]byte(read(t, "bounds.json")), &recorded); err != nil {
		t.Fatal(err)
	}
	for name, value := range recorded {
		if value <= 0 {
			t.Errorf("the bound of %s is %v", name, value)
		}
	}
	if _, err := beyond(madeUp(0).bounds(), recorded); err != nil {
		t.Error(err)
	}
}

// madeUp is a short run in which forward takes this much.
func madeUp(forward float64) *bench {
	b := &bench{plan: short, samples: samples{}, missing: map[string]string{}, failures: map[string]string{}}
	for _, what := range []string{"chat cpu", "stream cpu", "large cpu", "stored cpu", "hit cpu", "held 2,000 kilobytes", "latency p99", "chat rate"} {
		for round := range 5 {
			noise := 1 + float64(round)/10 // of the machine, in this round
			for _, g := range gateways() {
				value := 10 * noise
				if strings.HasPrefix(g.name, "forward") {
					value *= forward
				}
				b.samples.add(what, g.name, value)
			}
		}
	}
	return b
}
