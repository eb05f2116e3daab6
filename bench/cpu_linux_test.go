package main

import (
	"os"
	"testing"
	"time"
)

// TestCPUOf reads the clock of this process: it goes on while it works, and
// never back.
func TestCPUOf(t *testing.T) {
	before, err := cpuOf(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	sum := 0
	for after := before; after-before < 5*time.Millisecond; {
		for i := range 100000 {
			sum += i
		}
		now, err := cpuOf(os.Getpid())
		if err != nil || now < after {
			t.Fatalf("%v after %v, error %v", now, after, err)
		}
		after = now
	}
	if _, err := cpuOf(1<<22 + 1); err == nil {
		t.Errorf("a process that is not there has a clock (%d)", sum)
	}
}
