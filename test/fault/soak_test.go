//go:build fault

package fault

import (
	"context"
	"flag"
	"fmt"
	"math"
	"math/rand/v2"
	"sync"
	"testing"
	"time"
)

var soak = flag.Duration("soak", 0, "how long TestSoak runs; 0: not at all")

const (
	soakRate  = 40 // requests a second
	soakEvery = 5 * time.Second
	warmUp    = 3 * time.Minute // measured: pools and caches of the process have filled
	inMiB     = 1.0 / (1 << 20)
)

// mixed are the kinds of requests of a soak, in the proportions in which they
// stand here.
func mixed() []call {
	chat := func(script, extra string) call {
		return call{path: chatPath, script: script, body: chatBody("gpt-4o-mini", "hi", extra)}
	}
	claude := func(script, extra string) call {
		return call{path: "/anthropic/v1/messages", script: script, key: template.bob, body: chatBody("claude-haiku-4-5", secretPrompt, `,"max_tokens":50`+extra)}
	}
	leaving := chat("slow-stream-20-ms", streaming)
	leaving.leave = true
	silent := chat("stall-before-headers", "")
	silent.leave = true
	return []call{
		chat("", ""), chat("", ""), chat("", ""), chat("", streaming), chat("", streaming), chat("events-50", streaming), chat("slow-stream-5-ms", streaming),
		chat("", caching), chat("", caching+streaming), claude("", ""), claude("", streaming), claude("cut-mid-stream", streaming),
		chat("cut-mid-stream", streaming), chat("cut-mid-body", ""), chat("error-in-stream", streaming), chat("stall", streaming), chat("err-500", ""), chat("err-400", ""),
		chat("reset-before-headers", ""), chat("malformed", ""), chat("html", ""), chat("gzip", ""), leaving, leaving, silent,
		{path: chatPath, body: `{"broken`}, {path: chatPath, key: "fk-nobody", body: chatBody("gpt-4o-mini", "hi", "")},
		{path: "/v1/embeddings", body: `{"model":"text-embedding-3-small","input":"hi","caching":true}`},
	}
}

// series is what was sampled of one thing: seconds and values.
type series struct {
	name, unit string
	most       float64 // it may grow by this much an hour
	x, y       []float64
}

// slope is the growth in units an hour by least squares, with its standard
// error.
func (s *series) slope() (slope, deviation float64) {
	n := float64(len(s.x))
	var mx, my float64
	for i := range s.x {
		mx, my = mx+s.x[i]/n, my+s.y[i]/n
	}
	var sxx, sxy float64
	for i := range s.x {
		sxx += (s.x[i] - mx) * (s.x[i] - mx)
		sxy += (s.x[i] - mx) * (s.y[i] - my)
	}
	slope = sxy / sxx
	var left float64
	for i := range s.x {
		d := s.y[i] - my - slope*(s.x[i]-mx)
		left += d * d
	}
	return slope * 3600, math.Sqrt(left/(n-2)/sxx) * 3600
}

// TestSoak is mixed load with faults for a given time, and looks where memory,
// goroutines and descriptors go. The first third of the time, and three minutes
// at least, do not count: caches and pools fill. A thing grows when its slope
// is above its bound by more than twice its standard error. The invariants hold
// afterwards as after any scenario.
func TestSoak(t *testing.T) {
	if *soak == 0 {
		t.Skip("for make soak; -soak sets how long")
	}
	s := newScene(t)
	// GOGC is Go's own default, for forward otherwise lets garbage grow to 160
	// MiB before it collects, and a leak would not be seen in it.
	g := s.start(setup{env: []string{"GOGC=100", "HEADER_TIMEOUT=2s", "STREAM_IDLE_TIMEOUT=2s", "CACHE_MAX_BYTES=256MiB", "LOG_MAX_SIZE=5MB", "LOG_LEVEL=error"}})
	all := []*series{
		{name: "memory", unit: "MiB", most: 32},
		{name: "goal of Go's heap", unit: "MiB", most: 32}, // a multiple of what lives, so that it does not rise and fall with each collection
		{name: "mapped files", unit: "MiB", most: 512},     // the cache's, as far as its bound lets them grow
		{name: "goroutines", unit: "", most: 20},
		{name: "descriptors", unit: "", most: 10},
	}
	ctx, stop := context.WithTimeout(t.Context(), *soak)
	defer stop()
	var made int
	var load sync.WaitGroup
	load.Go(func() { made = s.load(ctx, g) })
	start, every := time.Now(), time.NewTicker(soakEvery)
	defer every.Stop()
	for ctx.Err() == nil {
		select {
		case <-every.C:
		case <-ctx.Done():
			continue
		}
		at := time.Since(start)
		values := []float64{float64(g.Memory("RssAnon")) * inMiB, g.metric("go_memstats_next_gc_bytes") * inMiB, float64(g.Memory("RssFile")) * inMiB,
			g.metric("go_goroutines"), float64(g.Descriptors())}
		if at >= max(*soak/3, warmUp) {
			for i, v := range values {
				all[i].x, all[i].y = append(all[i].x, at.Seconds()), append(all[i].y, v)
			}
		}
		if int(at/soakEvery)%12 == 0 {
			fmt.Printf("%8s  %5.1f MiB, the goal of the heap is %5.1f; %5.1f MiB of files; %3.0f goroutines, %3.0f descriptors\n",
				at.Round(time.Second), values[0], values[1], values[2], values[3], values[4])
		}
	}
	load.Wait()
	fmt.Printf("%d requests in %v\n", made, *soak)
	for _, one := range all {
		if len(one.x) < 5 {
			t.Fatalf("%d samples show nothing; run it longer", len(one.x))
		}
		slope, deviation := one.slope()
		verdict := "within its bound of"
		if slope-2*deviation > one.most {
			verdict = "ABOVE its bound of"
			t.Errorf("%s grow by %.1f ± %.1f %s an hour", one.name, slope, deviation, one.unit)
		}
		fmt.Printf("%-18s %+8.1f ± %.1f %s an hour, %s %.0f\n", one.name, slope, deviation, one.unit, verdict, one.most)
	}
	s.invariants()
}

// load makes requests until ctx ends, each by itself, and waits for those under
// way.
func (s *scene) load(ctx context.Context, g *gateway) (made int) {
	kinds := mixed()
	tick := time.NewTicker(time.Second / soakRate)
	defer tick.Stop()
	var all sync.WaitGroup
	defer all.Wait()
	for ; ; made++ {
		select {
		case <-ctx.Done():
			return made
		case <-tick.C:
		}
		c := kinds[made%len(kinds)]
		all.Go(func() {
			if c.leave {
				within, leave := context.WithTimeout(s.Context(), rand.N(500*time.Millisecond))
				defer leave()
				c.ctx = within
			}
			g.ask(c)
		})
	}
}
