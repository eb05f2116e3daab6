//go:build fault

package fault

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"
)

// results are what a run has found out, by id.
type results struct {
	mu    sync.Mutex
	found map[string]string
}

func (r *results) note(row scenario, t *testing.T) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.found == nil {
		r.found = map[string]string{}
	}
	switch {
	case t.Skipped():
		r.found[row.id] = "not run"
	case t.Failed():
		r.found[row.id] = "**fails**"
	default:
		r.found[row.id] = "holds"
	}
}

const head = `# What goes wrong, and what you may count on

Written by ` + "`make fault`" + `, which plays each fault against the binary that ships, with managed keys, budgets, limits, queues, the
ledger, chat logs, the cache and metrics on. After each fault the calls that the upstream counted equal the rows of the ledger, every
remembered answer is whole, no API key and no prompt that must not be kept is in any answer, log or file, goroutines and descriptors
are back where they were, and the gateway serves on and ends well. The tests are in test/fault.

| | fault | what you may count on | test | result | last run |
|---|---|---|---|---|---|
`

// test is the name of the test of a row.
func (row scenario) test() string {
	switch {
	case row.run == nil:
		return "none"
	case row.root:
		return "TestFaultsAsRoot/scenarios/" + row.id
	}
	return "TestFaults/scenarios/" + row.id
}

// line is a row in the file. What a run does not show is taken from the file as
// it was.
func (row scenario) line(result, date string) string {
	return fmt.Sprintf("| %s | %s | %s | %s | %s | %s |\n", row.id, row.fault, row.promise, row.test(), result, date)
}

// lineForm takes the line of an id apart: its id, the text of the table, result
// and date.
var lineForm = regexp.MustCompile(`(?m)^\| (F\S+) \| (.*) \| ([^|]*) \| ([^|]*) \|$`)

// write renews the lines of the rows that were run, and leaves the others as
// they were.
func (r *results) write(t *testing.T, file string) {
	before := map[string][]string{}
	if text, err := os.ReadFile(file); err == nil {
		for _, m := range lineForm.FindAllStringSubmatch(string(text), -1) {
			before[m[1]] = m[3:]
		}
	}
	var out strings.Builder
	out.WriteString(head)
	for _, row := range table() {
		result, date := "not run yet", ""
		if b := before[row.id]; b != nil {
			result, date = b[0], b[1]
		}
		if row.run == nil {
			result, date = "not run: "+row.notRun, ""
		}
		if found, ok := r.found[row.id]; ok {
			result, date = found, time.Now().UTC().Format(time.DateOnly)
		}
		out.WriteString(row.line(result, date))
	}
	if err := os.WriteFile(file, []byte(out.String()), 0o644); err != nil {
		t.Error(err)
	}
}

// TestTable holds the table to be whole and the file to have its text.
func TestTable(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("..", "..", "docs", "FAULTS.md"))
	if err != nil {
		t.Fatal(err)
	}
	written := map[string]string{}
	for _, m := range lineForm.FindAllStringSubmatch(string(text), -1) {
		written[m[1]] = m[2]
	}
	ids := map[string]bool{}
	for _, row := range table() {
		if ids[row.id] {
			t.Errorf("%s is there twice", row.id)
		}
		ids[row.id] = true
		if row.fault == "" || row.promise == "" || (row.run == nil) == (row.notRun == "") || strings.ContainsAny(row.fault+row.promise+row.notRun, "|\n") {
			t.Errorf("%s lacks its fault, promise, run or reason, or has a bar or a line break: %+v", row.id, row)
		}
		if want := row.fault + " | " + row.promise + " | " + row.test(); written[row.id] != want {
			t.Errorf("docs/FAULTS.md has of %s\n  %s\nand the table\n  %s\nRun make fault.", row.id, written[row.id], want)
		}
	}
	for id := range written {
		if !ids[id] {
			t.Errorf("docs/FAULTS.md has %s, which is not in the table", id)
		}
	}
}
