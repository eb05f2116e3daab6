package main

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"forward/bench/stats"
)

// table is one of RESULTS.md.
type table struct {
	title, text string
	columns     []string
	rows        [][]string
}

// markdown writes it.
func (t *table) markdown() string {
	var b strings.Builder
	fmt.Fprintf(&b, "## %s\n\n%s\n\n| %s |\n|%s\n", t.title, t.text, strings.Join(t.columns, " | "), strings.Repeat("---|", len(t.columns)))
	for _, row := range t.rows {
		fmt.Fprintf(&b, "| %s |\n", strings.Join(row, " | "))
	}
	return b.String()
}

// figure writes a number with three digits that mean something.
func figure(v float64) string {
	switch a := math.Abs(v); {
	case math.IsNaN(v):
		return "–"
	case a >= 1000:
		if v < 0 {
			return "-" + figure(-v)
		}
		return thousands(int(math.Round(v)))
	case a >= 100:
		return fmt.Sprintf("%.0f", v)
	case a >= 10:
		return fmt.Sprintf("%.1f", v)
	default:
		return fmt.Sprintf("%.2f", v)
	}
}

// spread writes a median with its quartiles, if there are enough values to have
// any.
func spread(s stats.Summary) string {
	if s.Size < 3 {
		return figure(s.Median)
	}
	return fmt.Sprintf("%s (%s…%s)", figure(s.Median), figure(s.Low), figure(s.High))
}

// column is how one column of a table is filled for a gateway.
type column struct {
	name string
	cell func(who string) string
}

// measured is a column of what was measured.
func (b *bench) measured(name, what string) column {
	return column{name, func(who string) string { return spread(b.samples.of(what, who)) }}
}

// times is a column of ratios to another gateway.
func (b *bench) times(what, to string) column {
	return column{"× " + to, func(who string) string {
		if who == to {
			return "1"
		}
		return spread(b.samples.ratio(what, who, to))
	}}
}

// above is a column of differences to direct.
func (b *bench) above(name, what string) column {
	return column{name, func(who string) string {
		if who == "direct" {
			return "0"
		}
		return spread(b.samples.added(what, who, "direct"))
	}}
}

// tabulate makes a table with a row for each gateway, those that are missing or
// failed with the reason.
func (b *bench) tabulate(title, text, measurement string, names []string, columns ...column) {
	t := table{title: title, text: text, columns: []string{""}}
	for _, c := range columns {
		t.columns = append(t.columns, c.name)
	}
	for _, name := range names {
		row := []string{name}
		reason := b.failures[measurement+" "+name]
		if b.missing[name] != "" {
			reason = "as stated above"
		}
		for i, c := range columns {
			switch {
			case reason == "":
				row = append(row, c.cell(name))
			case i == 0:
				row = append(row, "missing: "+reason)
			default:
				row = append(row, "–")
			}
		}
		t.rows = append(t.rows, row)
	}
	if i := slices.IndexFunc(b.tables, func(o table) bool { return o.title == title }); i >= 0 {
		b.tables[i] = t // measured once more
		return
	}
	b.tables = append(b.tables, t)
}
