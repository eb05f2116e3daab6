package main

import (
	"fmt"
	"math"

	"forward/bench/stats"
)

// goal is what forward wants to be, beside what it is.
type goal struct {
	what    string
	bound   float64
	atLeast bool // otherwise at most
	unit    string
	is      stats.Summary
}

// goals are those of the project that this run has measured.
func (b *bench) goals() table {
	t := table{title: "Goals", text: "What forward is meant to reach, by the figures below.", columns: []string{"goal", "bound", "measured", ""}}
	for _, g := range b.wants() {
		if !math.IsNaN(g.is.Median) {
			t.rows = append(t.rows, g.row())
		}
	}
	return t
}

func (b *bench) wants() []goal {
	s := b.samples
	largest := "held " + thousands(b.plan.idle[len(b.plan.idle)-1]) + " kilobytes"
	return []goal{
		{what: "chat, all on: CPU beside " + bareName, bound: 1.25, unit: "×", is: s.ratio("chat cpu", onName, bareName)},
		{what: "chat, all off: CPU beside " + bareName, bound: 0.9, unit: "×", is: s.ratio("chat cpu", offName, bareName)},
		{what: "added p99, all on, beside nginx's", bound: 1.5, unit: "×", is: s.addedBeside("latency p99", onName)},
		{what: "added p99, all off, beside nginx's", bound: 1.5, unit: "×", is: s.addedBeside("latency p99", offName)},
		{what: "memory of a slow stream, all on", bound: 40, unit: "KB", is: s.of(largest, onName)},
		{what: "memory of a slow stream, all off", bound: 40, unit: "KB", is: s.of(largest, offName)},
		{what: "stream of 100 events, all on: CPU beside nginx", bound: 1.1, unit: "×", is: s.ratio("stream cpu", onName, "nginx")},
		{what: "stream of 100 events, all off: CPU beside nginx", bound: 1.1, unit: "×", is: s.ratio("stream cpu", offName, "nginx")},
		{what: "cache hit: throughput beside a file of nginx", bound: 0.8, atLeast: true, unit: "×", is: s.ratio("hit rate", onName, "nginx")},
	}
}

// addedBeside is the ratio of what two gateways add. What is added in a single
// round is small and may even be below nothing, so this divides medians over
// all rounds, and has no spread of its own. It is infinite where what nginx
// adds cannot be distinguished from noise: in a quarter of the rounds or more
// it was faster than none.
func (s samples) addedBeside(what, who string) stats.Summary {
	ours, theirs := s.added(what, who, "direct"), s.added(what, "nginx", "direct")
	if ours.Size == 0 || theirs.Size == 0 {
		return stats.Of(nil)
	}
	if theirs.Low <= 0 {
		return stats.Summary{Size: 1, Median: math.Inf(1)}
	}
	return stats.Of([]float64{ours.Median / theirs.Median})
}

func (g *goal) row() []string {
	sign, verdict := "≤", "met"
	worse := g.is.Median/g.bound - 1
	if g.atLeast {
		sign, worse = "≥", g.bound/g.is.Median-1
	}
	switch {
	case math.IsInf(g.is.Median, 1):
		return []string{g.what, fmt.Sprintf("%s %s %s", sign, figure(g.bound), g.unit), "–", "not decided: what nginx adds cannot be distinguished from noise"}
	case worse > 0:
		verdict = fmt.Sprintf("**missed by %.0f %%**", math.Ceil(100*worse))
	}
	return []string{g.what, fmt.Sprintf("%s %s %s", sign, figure(g.bound), g.unit), spread(g.is), verdict}
}
