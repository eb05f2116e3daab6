package main

import (
	"context"
	"log/slog"
	"os"
	"runtime/debug"
	"runtime/metrics"
	"time"

	"github.com/KimMachineGun/automemlimit/memlimit"
)

// spare is how much memory in bytes may be left uncollected however little is in use: a gateway that holds forty megabytes would
// otherwise collect each time it has allocated as much again, several times a second under load. Measured: a tenth of the
// processor time of a busy gateway with everything on.
const spare = 160 << 20

// bodyShare is the part of the memory limit that request bodies may take as they came. Each is in memory several times: while its
// buffer grows, as lines of the chat log and until garbage is collected.
const bodyShare = 8

// limitMemory keeps the process within nine tenths of the memory of its container, or of the machine, and lets it be generous
// within that. GOMEMLIMIT and GOGC of the environment are left as they are.
func limitMemory(ctx context.Context, logger *slog.Logger) {
	if _, err := memlimit.Set(memlimit.WithRatio(0.9), memlimit.WithProvider(memlimit.ApplyFallback(memlimit.FromCgroup, memlimit.FromSystem))); err != nil {
		logger.Warn("memory is not limited to what the container or the machine has; GOMEMLIMIT can say how much may be used", "error", err)
	}
	if os.Getenv("GOGC") != "" {
		return
	}
	percent := collectAt(0)
	debug.SetGCPercent(percent)
	go func() {
		live := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
		for tick := time.NewTicker(time.Second); ; {
			select {
			case <-tick.C:
				metrics.Read(live)
				if now := collectAt(live[0].Value.Uint64()); now < percent*9/10 || now > percent*11/10 { // setting it stops the world
					percent = now
					debug.SetGCPercent(now)
				}
			case <-ctx.Done():
				tick.Stop()
				return
			}
		}
	}()
}

// collectAt is the growth in percent at which garbage is collected when live bytes are in use: Go's own hundred from spare on.
func collectAt(live uint64) int {
	const least = 32 << 20
	return int(max(100, 100*spare/max(live, least)))
}
