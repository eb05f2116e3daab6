package bounded_test

import (
	"fmt"
	"testing"
	"time"

	"forward/internal/bounded"
)

func used(n *float64) float64 { return *n }

func Example() {
	var counts bounded.Map[*float64]
	for _, name := range []string{"alice", "bob", "carol"} {
		n := 0.5
		if name == "bob" {
			n = 0.1
		}
		counts.Put(name, &n, 2, used)
	}
	_, bob := counts.Entries["bob"]
	fmt.Println(len(counts.Entries), bob)
	// Output: 2 false
}

// TestFloodEvictsNoneAtItsLimit puts made-up names into a map in which one
// entry has used all of its limit.
func TestFloodEvictsNoneAtItsLimit(t *testing.T) {
	var m bounded.Map[*float64]
	full, little := 1.0, 0.01
	m.Put("caller", &full, 100, used)
	for i := range 10_000 {
		m.Put(fmt.Sprint("made up ", i), &little, 100, used)
	}
	if len(m.Entries) != 100 || m.Entries["caller"] != &full {
		t.Errorf("%d entries, the caller's is %v", len(m.Entries), m.Entries["caller"])
	}
	other := 0.5
	m.Put("caller", &other, 100, used) // replaces and evicts none
	if len(m.Entries) != 100 || m.Entries["caller"] != &other {
		t.Errorf("%d entries, the caller's is %v", len(m.Entries), m.Entries["caller"])
	}
}

func TestSweep(t *testing.T) {
	var m bounded.Map[*float64]
	idle := func(n *float64) bool { return *n == 0 }
	zero, one := 0.0, 1.0
	m.Put("idle", &zero, 10, used)
	m.Put("live", &one, 10, used)
	m.Sweep(time.Second, idle)
	if len(m.Entries) != 2 {
		t.Error("swept before it was time")
	}
	m.Sweep(time.Minute, idle)
	if len(m.Entries) != 1 || m.Entries["live"] == nil {
		t.Errorf("%v is left", m.Entries)
	}
}
