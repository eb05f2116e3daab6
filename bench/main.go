// Command bench measures forward beside what people would use in its place:
// nothing, nginx, HAProxy, Caddy, a ReverseProxy of their own in gin, and the
// Portkey gateway. It builds forward, starts all of them on loopback before one
// scripted upstream, and measures them in turn, in many short interleaved
// rounds, so that whatever else the machine does falls on all alike. Figures
// are medians over the rounds, with the quartiles in parentheses; ratios are
// made round by round.
//
//	go run ./bench                 everything, in about ten minutes; writes bench/RESULTS.md
//	go run ./bench -short          what is steady on a busy machine, in less than a minute; fails if a ratio is worse than its bound in
//	                               bench/bounds.json by a quarter, also after a second look
//	go run ./bench -short -record  writes these bounds
//	go run ./bench -only chat      some of the measurements: chat, stored, large, latency, stream, held, hit, start; prints only
//	go run ./bench -readme         copies figures of bench/RESULTS.md into the README
//
// What a gateway takes of the processors is read from the clock of its
// processes, children included, and of their work after the last answer too;
// memory is Pss. Client and upstream share the machine with the gateway, so
// throughput is that of all three together. It needs Linux, nginx, haproxy and
// caddy of Debian, and node with npm. What is missing is named in the tables
// with the reason; with CI=true it is an error for nginx and HAProxy to be
// missing.
package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// bench is one run.
type bench struct {
	lab      *lab
	plan     plan
	parties  []*party
	samples  samples
	missing  map[string]string // why a gateway is not measured
	failures map[string]string // by measurement and gateway
	tables   []table
	only     []string
	versions map[string]string
	sizes    map[string]int64
}

func main() {
	brief := flag.Bool("short", false, "measure what is steady, and compare it with bench/bounds.json")
	record := flag.Bool("record", false, "with -short: write bench/bounds.json instead")
	readme := flag.Bool("readme", false, "copy figures of bench/RESULTS.md into README.md")
	some := flag.String("only", "", "measurements, separated by commas; nothing is written")
	flag.Parse()
	var err error
	if *readme {
		err = updateReadme()
	} else {
		err = measure(*brief, *record, *some)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// measure runs everything that is asked for, prints it, and writes or compares
// it.
func measure(brief, record bool, some string) error {
	l, err := newLab(os.Stderr)
	if err != nil {
		return err
	}
	defer l.close()
	b := &bench{lab: l, plan: full, samples: samples{}, missing: map[string]string{}, failures: map[string]string{},
		versions: map[string]string{}, sizes: map[string]int64{}}
	if brief {
		b.plan = short
	}
	if some != "" {
		b.only = strings.Split(some, ",")
	}
	if err := b.startAll(); err != nil {
		return err
	}
	start := time.Now()
	b.warm()
	b.measureAll()
	var beyond error
	if brief && !record && some == "" {
		beyond = b.checkBounds(filepath.Join(l.root, "bench", "bounds.json"))
	}
	b.note("measured in %.0f s", time.Since(start).Seconds())
	report := b.report(brief)
	fmt.Println(report)
	switch {
	case some != "":
		return nil
	case brief && record:
		return b.recordBounds(filepath.Join(l.root, "bench", "bounds.json"))
	case brief:
		return errors.Join(b.broken(), beyond)
	}
	return errors.Join(b.broken(), os.WriteFile(filepath.Join(l.root, "bench", "RESULTS.md"), []byte(report), 0o644))
}

// startAll starts every gateway that can be had.
func (b *bench) startAll() error {
	for _, g := range gateways() {
		if g.slow && !b.plan.all {
			continue
		}
		if err := b.startOne(g); err != nil {
			if g.must && os.Getenv("CI") == "true" || strings.HasPrefix(g.name, "forward") {
				return fmt.Errorf("%s: %w", g.name, err)
			}
			b.fail("start", g.name, err)
			b.missing[g.name] = b.failures["start "+g.name]
		}
	}
	return nil
}

func (b *bench) startOne(g *gateway) error {
	if g.program != nil {
		binary, err := g.program(b.lab)
		if err != nil {
			return err
		}
		if g.version != nil {
			if b.versions[g.name], err = g.version(b.lab, binary); err != nil {
				return err
			}
		}
		size := fileSize
		if g.size != nil {
			size = g.size
		}
		if b.sizes[g.name], err = size(b.lab, binary); err != nil {
			return err
		}
	}
	p, _, err := b.lab.start(g)
	if err != nil {
		return err
	}
	b.parties = append(b.parties, p)
	return nil
}

// wanted reports whether a measurement is asked for.
func (b *bench) wanted(name string) bool { return len(b.only) == 0 || slices.Contains(b.only, name) }

// broken is the error of a run in which forward itself failed.
func (b *bench) broken() error {
	var all []error
	for what, why := range b.failures {
		if strings.HasSuffix(what, offName) || strings.HasSuffix(what, onName) {
			all = append(all, fmt.Errorf("%s: %s", what, why))
		}
	}
	return errors.Join(all...)
}
