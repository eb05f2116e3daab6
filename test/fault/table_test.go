//go:build fault

package fault

import (
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"forward/test/harness"
)

// scenario is a row of the fault table.
type scenario struct {
	id      string
	fault   string
	promise string // what a user may count on, in one sentence
	root    bool   // it needs root
	notRun  string // why it cannot be tried here; then there is no run
	run     func(s *scene)
}

// table is the whole fault table, in the order of its ids.
func table() []scenario {
	all := slices.Concat(upstreamFaults(), clientFaults(), processFaults(), sharedFaults(), diskFaults(), netFaults(), limitFaults())
	slices.SortStableFunc(all, func(a, b scenario) int { return strings.Compare(a.id, b.id) })
	return all
}

// report is the file that the run writes.
var report = flag.String("report", "", "write the results into this file, relative to the repository")

// forwardBinary is where TestMain puts what it built. Nothing changes it later.
var forwardBinary string

func TestMain(m *testing.M) {
	flag.Parse()
	os.Exit(harness.Run(m, func(dir string) error {
		forwardBinary = filepath.Join(dir, "forward")
		if err := harness.Build(forwardBinary, nil); err != nil {
			return err
		}
		return makeTemplate(dir)
	}))
}

// TestFaults runs what needs no rights.
func TestFaults(t *testing.T) { runTable(t, false) }

// TestFaultsAsRoot runs what needs root.
func TestFaultsAsRoot(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("SKIPPED, NOT TESTED: this needs root")
	}
	runTable(t, true)
}

func runTable(t *testing.T, root bool) {
	results := &results{}
	t.Run("scenarios", func(t *testing.T) {
		for _, row := range table() {
			if row.root != root || row.run == nil {
				continue
			}
			t.Run(row.id, func(t *testing.T) {
				t.Parallel()
				defer func() { results.note(row, t) }()
				s := newScene(t)
				row.run(s)
				s.invariants()
			})
		}
	})
	if *report != "" {
		results.write(t, filepath.Join("..", "..", *report))
	}
}
