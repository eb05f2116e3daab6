package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// The README's table stands between these lines.
const (
	readmeStart = "<!-- from bench/RESULTS.md, by: go run ./bench -readme -->"
	readmeEnd   = "<!-- end of what is from bench/RESULTS.md -->"
)

// cited is a column of the README's table: where in RESULTS.md it is from.
type cited struct{ name, table, column string }

// citations are the columns of the README's table.
var citations = []cited{
	{"CPU µs a chat", "A chat of 1.5 KB", "CPU µs/request"},
	{"× gin", "A chat of 1.5 KB", "× " + bareName},
	{"added p50 µs", "Added latency", "added p50 µs"},
	{"added p99 µs", "Added latency", "added p99 µs"},
	{"CPU µs a stream of 100", "A stream of 100 events", "CPU µs/stream"},
	{"KB a slow stream", "10,000 slow streams", "KB/stream"},
	{"start ms", "Start and size", "start ms"},
}

// updateReadme puts the table into the README.
func updateReadme() error {
	root, err := moduleRoot()
	if err != nil {
		return err
	}
	results, err := os.ReadFile(filepath.Join(root, "bench", "RESULTS.md"))
	if err != nil {
		return err
	}
	path := filepath.Join(root, "README.md")
	readme, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	table, err := readmeTable(string(results))
	if err != nil {
		return err
	}
	before, _, after, err := aroundTable(string(readme))
	if err != nil {
		return err
	}
	return os.WriteFile(path, []byte(before+table+after), 0o644)
}

// aroundTable cuts the README at the lines between which its table stands.
func aroundTable(readme string) (before, table, after string, err error) {
	before, rest, started := strings.Cut(readme, readmeStart+"\n")
	table, after, ended := strings.Cut(rest, readmeEnd)
	if !started || !ended {
		return "", "", "", fmt.Errorf("the README has no table between %q and %q", readmeStart, readmeEnd)
	}
	return before + readmeStart + "\n", table, readmeEnd + after, nil
}

// readmeTable makes the README's table from the text of RESULTS.md: the
// medians, without their quartiles.
func readmeTable(results string) (string, error) {
	tables := parseTables(results)
	var b strings.Builder
	b.WriteString("|  |")
	for _, c := range citations {
		fmt.Fprintf(&b, " %s |", c.name)
	}
	fmt.Fprintf(&b, "\n|%s\n", strings.Repeat("---|", len(citations)+1))
	for _, g := range gateways() {
		if g.command == nil {
			continue // what is added to it is added to nothing
		}
		fmt.Fprintf(&b, "| %s |", g.name)
		for _, c := range citations {
			cell, ok := tables[c.table][g.name][c.column]
			if !ok {
				return "", fmt.Errorf("RESULTS.md has no %s of %s in %q: run the whole bench", c.column, g.name, c.table)
			}
			fmt.Fprintf(&b, " %s |", median(cell))
		}
		b.WriteString("\n")
	}
	return b.String(), nil
}

// median is a cell without its quartiles; what is missing keeps no reason.
func median(cell string) string {
	if strings.HasPrefix(cell, "missing") {
		return "–"
	}
	value, _, _ := strings.Cut(cell, " (")
	return value
}

// parseTables reads the tables of a text by their headings: row, then column,
// to cell.
func parseTables(text string) map[string]map[string]map[string]string {
	tables := map[string]map[string]map[string]string{}
	var title string
	var columns []string
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		heading, isHeading := strings.CutPrefix(line, "## ")
		switch {
		case isHeading:
			title, columns = heading, nil
		case !strings.HasPrefix(line, "|"), strings.HasPrefix(line, "|---"):
		case columns == nil:
			columns = cells(line)
			tables[title] = map[string]map[string]string{}
		default:
			row := cells(line)
			tables[title][row[0]] = map[string]string{}
			for i := 1; i < min(len(row), len(columns)); i++ {
				tables[title][row[0]][columns[i]] = row[i]
			}
		}
	}
	return tables
}

// cells are those of a line of a table.
func cells(line string) []string {
	all := strings.Split(strings.Trim(line, "|"), "|")
	for i := range all {
		all[i] = strings.TrimSpace(all[i])
	}
	return all
}
