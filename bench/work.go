package main

import (
	"fmt"
	"strconv"
	"time"

	"forward/bench/load"
	"forward/bench/stats"
)

// plan sets how long and how often everything is measured.
type plan struct {
	rounds      int // of what is measured by the processors' time
	turn        time.Duration
	rateRounds  int
	rateTurn    time.Duration
	rate        float64 // requests a second of the latencies; half of what the slowest of them can do
	streamTurns int     // streams one after the other on each connection
	pause       time.Duration
	idle        []int // how many streams are held at once
	idleRounds  []int
	startRounds int
	every       time.Duration // between two events of a slow stream
	all         bool          // all gateways and measurements, not only those that bounds are of
}

// full is what RESULTS.md is made by, short what CI runs.
var (
	full = plan{rounds: 7, turn: 600 * time.Millisecond, rateRounds: 9, rateTurn: 1500 * time.Millisecond, rate: 200, streamTurns: 2, pause: 5 * time.Millisecond,
		idle: []int{1000, 10000}, idleRounds: []int{1, 1}, every: 2 * time.Second, startRounds: 5, all: true}
	short = plan{rounds: 5, turn: 250 * time.Millisecond, streamTurns: 1, pause: 2 * time.Millisecond,
		idle: []int{2000}, idleRounds: []int{1}, every: time.Second, startRounds: 1}
)

const (
	connections    = 16  // of the closed loops
	openConnection = 256 // at most, of the open loop
	streams        = 32  // at once
	events         = 100 // of a stream
	settle         = 100 * time.Millisecond
)

// charge measures what of the processors a load takes in the gateway, with what
// it does after its last answer, such as writing down.
func charge(p *party, work func() load.Result) (load.Result, time.Duration, error) {
	before, err := p.process.cpu()
	if err != nil {
		return load.Result{}, 0, err
	}
	res := work()
	time.Sleep(settle)
	after, err := p.process.cpu()
	if err != nil {
		return res, 0, err
	}
	return res, after - before, res.Err()
}

// closed measures throughput and the processors' time per request.
func (b *bench) closed(name string, rounds int, target func(*party) *load.Target) measurement {
	return measurement{name: name, rounds: rounds, metrics: []string{"rate", "cpu"}, turn: func(p *party) (map[string]float64, error) {
		t := target(p)
		res, cpu, err := charge(p, func() load.Result { return load.Closed(t, &b.lab.seq, connections, b.plan.turn) })
		return map[string]float64{
			"rate": float64(res.Answers) / res.Took.Seconds(),
			"cpu":  float64(cpu.Nanoseconds()) / 1e3 / float64(res.Answers),
		}, err
	}}
}

// chat is a chat of 1.5 KB with an answer of 700 bytes.
func (b *bench) chat() measurement {
	return b.closed("chat", b.plan.rounds, func(p *party) *load.Target { return b.lab.target(p, "chat filtered", "", load.Plain(400, "")) })
}

// stored is the same where every answer goes into the cache.
func (b *bench) stored() measurement {
	return b.closed("stored", b.plan.rounds, func(p *party) *load.Target { return b.lab.target(p, "chat", "", load.Plain(400, "")) })
}

// large is a chat with an answer of 50 KB.
func (b *bench) large() measurement {
	return b.closed("large", b.plan.rounds, func(p *party) *load.Target { return b.lab.target(p, "large", "", load.Plain(50<<10-100, "")) })
}

// latency sends at the same fixed rate to all.
func (b *bench) latency() measurement {
	return measurement{name: "latency", rounds: b.plan.rateRounds, metrics: []string{"p50", "p99"}, turn: func(p *party) (map[string]float64, error) {
		t := b.lab.target(p, "chat filtered", "", load.Plain(400, ""))
		res := load.Open(t, &b.lab.seq, load.Pace{
			Connections: openConnection, PerSecond: b.plan.rate, Duration: b.plan.rateTurn, Sleep: sleepExactly,
		})
		return map[string]float64{"p50": stats.Quantile(res.Latencies, 0.5) / 1e3, "p99": stats.Quantile(res.Latencies, 0.99) / 1e3}, res.Err()
	}}
}

// stream reads streams of 100 events.
func (b *bench) stream() measurement {
	return measurement{name: "stream", rounds: b.plan.rounds, metrics: []string{"first", "gap", "cpu"}, turn: func(p *party) (map[string]float64, error) {
		// The usage and [DONE] come after the events.
		t := b.lab.target(p, "stream 100 "+b.plan.pause.String(), `"stream":true,"stream_options":{"include_usage":true},`, load.Whole(events+2))
		res, cpu, err := charge(p, func() load.Result {
			return load.Streams(t, &b.lab.seq, streams, b.plan.streamTurns, b.plan.pause*events)
		})
		return map[string]float64{
			"first": stats.Quantile(res.First, 0.5) / 1e3,
			"gap":   stats.Quantile(res.Gaps, 0.99) / 1e6,
			"cpu":   float64(cpu.Nanoseconds()) / 1e3 / float64(res.Answers),
		}, err
	}}
}

// held measures what an idle stream takes of memory, in a process
// that was started for it. An event comes every few seconds, and memory is read
// when each stream had two more than its first, so that what a stream needs
// when it speaks is in it.
func (b *bench) held(name string, count, rounds int) measurement {
	return measurement{name: name, rounds: rounds, metrics: []string{"kilobytes", "cpu"}, turn: func(p *party) (map[string]float64, error) {
		fresh, _, err := b.lab.start(p.gateway)
		if err != nil {
			return nil, err
		}
		defer b.lab.stop(fresh)
		plain := b.lab.target(fresh, "chat filtered", "", load.Plain(400, ""))
		if warm := load.Closed(plain, &b.lab.seq, connections, b.plan.turn/2); warm.Err() != nil {
			return nil, warm.Err()
		}
		before, err := fresh.process.memory()
		if err != nil {
			return nil, err
		}
		every := b.plan.every
		t := b.lab.target(fresh, "idle "+every.String(), `"stream":true,"stream_options":{"include_usage":true},`, nil)
		crowd, err := load.Hold(t, &b.lab.seq, count, 30*time.Second)
		if err != nil {
			return nil, err
		}
		defer crowd.Close()
		used, err := fresh.process.cpu()
		if err != nil {
			return nil, err
		}
		time.Sleep(2*every + every/2)
		total, err := fresh.process.cpu()
		if err != nil {
			return nil, err
		}
		if err := crowd.Err(); err != nil {
			return nil, err
		}
		after, err := fresh.process.memory()
		if err != nil {
			return nil, err
		}
		return map[string]float64{
			"kilobytes": float64(after-before) / 1024 / float64(count),
			"cpu":       100 * (total - used).Seconds() / (2*every + every/2).Seconds(),
		}, nil
	}}
}

// hits compares answers out of the cache with a file that nginx serves. Both
// answers have the same size, but for what JSON needs.
func (b *bench) hits() measurement {
	return b.closed("hit", b.plan.rounds, func(p *party) *load.Target {
		if p.static != "" {
			return b.lab.request(p, p.static, "", load.Plain(400, ""))
		}
		t := b.lab.target(p, "chat", "", load.Plain(400, "HIT"))
		t.Request = t.Request.Fixed()
		return t
	})
}

// remember puts the answer into the cache that hits asks for.
func (b *bench) remember(p *party) error {
	t := b.lab.target(p, "chat", "", load.Plain(400, ""))
	t.Request = t.Request.Fixed()
	for end := time.Now().Add(5 * time.Second); ; {
		res := load.Closed(t, &b.lab.seq, 1, 10*time.Millisecond)
		if res.Err() != nil || time.Now().After(end) {
			return res.Err()
		}
		hit := *t
		hit.Check = load.Plain(400, "HIT")
		if res := load.Closed(&hit, &b.lab.seq, 1, 10*time.Millisecond); res.Err() == nil {
			return nil
		}
	}
}

// startUp measures from the start of a process to its first answer.
func (b *bench) startUp() measurement {
	return measurement{name: "start", rounds: b.plan.startRounds, metrics: []string{"ms", "idle"}, turn: func(p *party) (map[string]float64, error) {
		fresh, took, err := b.lab.start(p.gateway)
		if err != nil {
			return nil, err
		}
		defer b.lab.stop(fresh)
		memory, err := fresh.process.memory()
		return map[string]float64{"ms": float64(took.Microseconds()) / 1e3, "idle": float64(memory) / (1 << 20)}, err
	}}
}

// heldAtMost is how many streams a gateway can hold here: each takes it two
// descriptors, one to either side.
func (l *lab) heldAtMost(wanted int) int {
	const others = 400 // listeners, files, event queues, and what HAProxy sets aside
	return min(wanted, (l.descriptors-others)/2/100*100)
}

// thousands writes a number as people do.
func thousands(n int) string {
	if n < 1000 {
		return strconv.Itoa(n)
	}
	return fmt.Sprintf("%s,%03d", thousands(n/1000), n%1000)
}

// counted writes a number of things.
func counted(n int, thing string) string {
	if n != 1 {
		thing += "s"
	}
	return thousands(n) + " " + thing
}
