package keys

import (
	"fmt"
	"net/netip"
	"testing"
	"time"
)

func TestGuardCountsDifferentCredentials(t *testing.T) {
	var g Guard
	now := time.Unix(1_800_000_000, 0)
	from := netip.MustParseAddr("192.0.2.1")
	for range 10 * MaxFailures { // an agent that repeats the key it was given
		if wait := g.Fail(from, "fk-old", now); wait != 0 {
			t.Fatalf("a credential that comes again has to wait for %v", wait)
		}
	}
	for i := range MaxFailures - 1 {
		if wait := g.Fail(from, fmt.Sprint("fk-", i), now); wait != 0 {
			t.Fatalf("wrong credential %d has to wait for %v", i+2, wait)
		}
	}
	later := now.Add(20 * time.Second)
	if wait := g.Fail(from, "fk-next", later); wait != 40*time.Second {
		t.Errorf("one more has to wait for %v, want 40s", wait)
	}
	if wait := g.Fail(from, "fk-old", later); wait != 0 {
		t.Errorf("a counted one has to wait for %v", wait)
	}
	if wait := g.Fail(netip.MustParseAddr("198.51.100.1"), "fk-next", later); wait != 0 {
		t.Errorf("another address has to wait for %v", wait)
	}
	if wait := g.Fail(from, "fk-next", now.Add(time.Minute)); wait != 0 {
		t.Errorf("after the minute it has to wait for %v", wait)
	}
}
