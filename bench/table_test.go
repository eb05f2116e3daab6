package main

import (
	"errors"
	"math"
	"strings"
	"testing"

	"forward/bench/stats"
)

func TestFigure(t *testing.T) {
	for value, want := range map[float64]string{0: "0.00", 0.123: "0.12", -3.456: "-3.46", 12.34: "12.3", 123.4: "123", 1234.5: "1,235", -20500: "-20,500", 1234567: "1,234,567"} {
		if got := figure(value); got != want {
			t.Errorf("%v is %q, not %q", value, got, want)
		}
	}
	if got := figure(math.NaN()); got != "–" {
		t.Errorf("NaN is %q", got)
	}
	if got := spread(stats.Of([]float64{1, 2, 3})); got != "2.00 (1.50…2.50)" {
		t.Error(got)
	}
	if got := spread(stats.Of([]float64{7})); got != "7.00" {
		t.Error(got)
	}
}

// TestMissingIsNamed leaves no gateway out of a table: one that could not be
// had, and one that failed, give the reason.
func TestMissingIsNamed(t *testing.T) {
	b := madeUp(2)
	b.lab = &lab{root: "/nowhere", dir: "/tmp/nowhere", log: &strings.Builder{}}
	b.missing["nginx"] = "nginx is not installed"
	b.fail("chat", "HAProxy", errors.New("read /tmp/nowhere/x |\nbroken"))
	b.tabulate("Chat", "Text.", "chat", b.names(), b.measured("CPU", "chat cpu"), b.times("chat cpu", bareName))
	text := b.tables[0].markdown()
	for _, want := range []string{
		"| nginx | missing: as stated above | – |", "| HAProxy | missing: read DIR/x / broken | – |",
		"| gin + ReverseProxy | 12.0 (11.0…13.0) | 1 |", "| forward, all on | 24.0 (22.0…26.0) | 2.00 (2.00…2.00) |",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
	if report := b.report(true); !strings.Contains(report, "- **nginx** missing: nginx is not installed") {
		t.Errorf("the report has no reason why nginx is missing:\n%s", report)
	}
	for _, name := range b.names() {
		if !strings.Contains(text, "| "+name+" |") {
			t.Errorf("no row of %s", name)
		}
	}
}

// TestGoalsShowByHowMuch compares with the bounds of the goals, in both
// directions.
func TestGoalsShowByHowMuch(t *testing.T) {
	for want, g := range map[string]goal{
		"met":                 {bound: 1.25, is: stats.Of([]float64{1.25})},
		"**missed by 20 %**":  {bound: 1.25, is: stats.Of([]float64{1.5})},
		"**missed by 100 %**": {bound: 0.8, atLeast: true, is: stats.Of([]float64{0.4})},
		"not decided: what nginx adds cannot be distinguished from noise": {bound: 1.5, is: stats.Summary{Size: 1, Median: math.Inf(1)}},
	} {
		if row := g.row(); row[3] != want {
			t.Errorf("%q, not %q", row[3], want)
		}
	}
	b := madeUp(1)
	rows := b.goals().rows
	if len(rows) == 0 || len(rows) >= len(b.wants()) {
		t.Errorf("%d goals of %d: those that were measured are to be shown, and only those", len(rows), len(b.wants()))
	}
}
