package main

import (
	"os"
	"regexp"
	"strings"
	"testing"
)

// TestReadmeCitesResults holds the README's table to RESULTS.md: it is the one
// that -readme makes, and each of its figures stands there in a row of the same
// name.
func TestReadmeCitesResults(t *testing.T) {
	results, readme := read(t, "RESULTS.md"), read(t, "../README.md")
	_, table, _, err := aroundTable(readme)
	if err != nil {
		t.Fatal(err)
	}
	for _, wrong := range notCited(table, results) {
		t.Error(wrong)
	}
	if want, err := readmeTable(results); err != nil {
		t.Error(err)
	} else if table != want {
		t.Errorf("the README's table is not the one of RESULTS.md, go run ./bench -readme writes it:\n%s\nnot\n%s", want, table)
	}
}

// TestInventedFigures shows that the check above finds a figure that was
// not measured, and one of another gateway.
func TestInventedFigures(t *testing.T) {
	results := "## A\n\n|  | ms |\n|---|---|\n| nginx | 2.50 (2.00…3.00) |\n| forward | 1,234 (1.00…2.00) |\n"
	for table, want := range map[string]int{
		"| | ms |\n|---|---|\n| nginx | 2.50 |\n| forward | 1,234 |\n": 0,
		"| | ms |\n|---|---|\n| nginx | 2.49 |\n| forward | 1,234 |\n": 1,
		"| | ms |\n|---|---|\n| nginx | 1,234 |\n| forward | 2.50 |\n": 2,
		"| | ms |\n|---|---|\n| caddy | 2.50 |\n":                      1,
		"| | ms |\n|---|---|\n| nginx | 2.5 |\n":                       1,
	} {
		if got := notCited(table, results); len(got) != want {
			t.Errorf("%d complaints about\n%s: %q", len(got), table, got)
		}
	}
}

// notCited names the figures of a table that RESULTS.md has in no row of the
// same name.
func notCited(table, results string) []string {
	number := regexp.MustCompile(`-?\d[\d,]*(\.\d+)?`)
	measured := map[string]map[string]bool{}
	for line := range strings.Lines(results) {
		if strings.HasPrefix(line, "| ") {
			row := cells(strings.TrimSpace(line))
			if measured[row[0]] == nil {
				measured[row[0]] = map[string]bool{}
			}
			for _, cell := range row[1:] {
				measured[row[0]][median(cell)] = true
			}
		}
	}
	var wrong []string
	header := true
	for line := range strings.Lines(table) {
		switch {
		case header: // its numbers are names
			header = false
		case strings.HasPrefix(line, "|"):
			row := cells(strings.TrimSpace(line))
			for _, cell := range row[1:] {
				if number.MatchString(cell) && !measured[row[0]][cell] {
					wrong = append(wrong, row[0]+": "+cell+" is not in RESULTS.md")
				}
			}
		}
	}
	return wrong
}

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
