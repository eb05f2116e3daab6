package main

import (
	"log/slog"
	"os"
	"runtime/debug"
	"runtime/metrics"
	"time"

	"github.com/KimMachineGun/automemlimit/memlimit"
)

// spare is how much memory in bytes may be garbage however little is in use: a
// gateway that uses forty megabytes would otherwise collect each time it has
// allocated as much again, several times a second under load. Measured: a tenth
// of the processor time of a busy gateway with everything on.
const spare = 160 << 20

// bodyShare is the part of the memory limit that request bodies may take as
// they came, as a divisor. Each is in memory several times: while its buffer
// grows, as lines of the chat log and until garbage is collected.
const bodyShare = 8

// limitMemory keeps the process within nine tenths of the memory of its
// container, or of the machine. GOMEMLIMIT of the environment wins.
func limitMemory(logger *slog.Logger) {
	provider := memlimit.ApplyFallback(memlimit.FromCgroup, memlimit.FromSystem)
	if _, err := memlimit.Set(memlimit.WithRatio(0.9), memlimit.WithProvider(provider)); err != nil {
		logger.Warn("memory is not limited to what the container or the machine has; GOMEMLIMIT sets how much may be used", "error", err)
	}
}

// tuneCollector lets garbage grow to spare within the memory limit, until the
// returned function is called, which waits for the end of the tuning. GOGC of
// the environment wins.
func tuneCollector() (stop func()) {
	if os.Getenv("GOGC") != "" {
		return func() {}
	}
	percent := collectAt(0)
	debug.SetGCPercent(percent)
	ticker := time.NewTicker(time.Second)
	done := make(chan struct{})
	finished := make(chan struct{})
	go func() {
		defer close(finished)
		live := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
		for {
			select {
			case <-done:
				return
			case <-ticker.C:
			}
			metrics.Read(live)
			now := collectAt(live[0].Value.Uint64())
			if now < percent*9/10 || now > percent*11/10 { // setting it stops the world
				percent = now
				debug.SetGCPercent(now)
			}
		}
	}()
	return func() {
		ticker.Stop()
		close(done)
		<-finished
	}
}

// collectAt is the growth in percent at which garbage is collected when live
// bytes are in use: Go's own hundred from spare on.
func collectAt(live uint64) int {
	const least = 32 << 20
	return int(max(100, 100*spare/max(live, least)))
}
