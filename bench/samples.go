package main

import (
	"fmt"
	"math"
	"strings"
	"time"

	"forward/bench/stats"
)

// samples are what was measured, by what it is ("chat cpu"), then by the name
// of the gateway; one value a round.
type samples map[string]map[string][]float64

// add notes a value.
func (s samples) add(what, who string, value float64) {
	if s[what] == nil {
		s[what] = map[string][]float64{}
	}
	s[what][who] = append(s[what][who], value)
}

// of summarises what was measured of a gateway.
func (s samples) of(what, who string) stats.Summary { return stats.Of(s[what][who]) }

// ratio summarises the ratios to another gateway, round by round.
func (s samples) ratio(what, who, to string) stats.Summary {
	return stats.Of(stats.Ratios(s[what][who], s[what][to]))
}

// added summarises the differences to another gateway, round by round.
func (s samples) added(what, who, to string) stats.Summary {
	return stats.Of(stats.Differences(s[what][who], s[what][to]))
}

// measurement is one workload. Its rounds are interleaved: in each, every
// gateway has its turn, and each time another one starts, so that whatever else
// the machine does falls on all of them alike.
type measurement struct {
	name    string
	rounds  int
	metrics []string // what a turn measures
	turn    func(p *party) (map[string]float64, error)
}

// run measures all parties and keeps why one could not be.
func (b *bench) run(m measurement, parties []*party) {
	start := time.Now()
	for round := range m.rounds {
		for i := range parties {
			p := parties[(round+i)%len(parties)]
			values := map[string]float64{}
			if b.failures[m.name+" "+p.name] == "" {
				var err error
				if values, err = m.turn(p); err != nil {
					b.fail(m.name, p.name, err)
				}
			}
			for _, metric := range m.metrics {
				value, ok := values[metric]
				if !ok {
					value = math.NaN()
				}
				b.samples.add(m.name+" "+metric, p.name, value)
			}
		}
	}
	b.note("%s: %d rounds of %d in %.1f s", m.name, m.rounds, len(parties), time.Since(start).Seconds())
}

// fail keeps why something could not be measured. It is in the tables, in place
// of the figures.
func (b *bench) fail(what, who string, err error) {
	text := strings.Join(strings.Fields(strings.ReplaceAll(err.Error(), "|", "/")), " ")
	text = strings.NewReplacer(b.lab.dir, "DIR", b.lab.root, ".").Replace(text)
	if most := []rune(text); len(most) > 300 {
		text = string(most[:100]) + " … " + string(most[len(most)-200:])
	}
	b.failures[what+" "+who] = text
	b.note("%s of %s failed: %s", what, who, text)
}

// note prints the progress.
func (b *bench) note(format string, args ...any) { fmt.Fprintf(b.lab.log, "   "+format+"\n", args...) }

// only are the parties with these names, in their own order; none means all.
func only(parties []*party, names ...string) []*party {
	if len(names) == 0 {
		return parties
	}
	wanted := map[string]bool{}
	for _, name := range names {
		wanted[name] = true
	}
	var some []*party
	for _, p := range parties {
		if wanted[p.name] {
			some = append(some, p)
		}
	}
	return some
}
