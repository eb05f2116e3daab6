package main

import (
	"fmt"
	"slices"

	"forward/bench/load"
)

// names are those of all gateways of this run, also of those that are missing.
func (b *bench) names() []string {
	var all []string
	for _, g := range gateways() {
		if b.plan.all || !g.slow {
			all = append(all, g.name)
		}
	}
	return all
}

// proxies are the names without direct, which has no process to be measured.
func (b *bench) proxies() []string { return b.names()[1:] }

// compared are all of these names, or in short runs only forward's and those
// that bounds compare it with.
func (b *bench) compared(all []string, with ...string) []string {
	if b.plan.all {
		return all
	}
	return append(with, offName, onName)
}

// measureAll does what is asked for, one table after the other.
func (b *bench) measureAll() {
	for _, m := range []struct {
		name    string
		measure func()
	}{
		{"chat", b.tabulateChat}, {"stored", b.tabulateStored}, {"latency", b.tabulateLatency}, {"stream", b.tabulateStream},
		{"held", b.tabulateHeld}, {"large", b.tabulateLarge}, {"hit", b.tabulateHits}, {"start", b.tabulateStart},
	} {
		if b.wanted(m.name) && (b.plan.all || m.name != "latency") {
			m.measure()
		}
	}
}

// warm lets connections, pools and compilers come to rest.
func (b *bench) warm() {
	for _, p := range b.parties {
		for _, play := range []string{"chat filtered", "large"} {
			t := b.lab.target(p, play, "", load.Plain(400, ""))
			if res := load.Closed(t, &b.lab.seq, connections, b.plan.turn/2); res.Err() != nil {
				b.fail("warming up", p.name, res.Err())
			}
		}
	}
}

func (b *bench) tabulateChat() {
	names := b.compared(b.names(), "nginx", "HAProxy", bareName)
	b.run(b.chat(), only(b.parties, names...))
	b.tabulate("A chat of 1.5 KB", fmt.Sprintf("Requests of 1.5 KB with answers of 800 bytes over %d connections that are always busy, %d rounds of %v. The processors' time is what the gateway takes.",
		connections, b.plan.rounds, b.plan.turn), "chat", names,
		b.measured("requests/s", "chat rate"), b.times("chat rate", "direct"), b.ofProxies(b.measured("CPU µs/request", "chat cpu")),
		b.ofProxies(b.times("chat cpu", "nginx")), b.ofProxies(b.times("chat cpu", bareName)))
}

// ofProxies leaves the row of direct empty.
func (b *bench) ofProxies(c column) column {
	return column{c.name, func(who string) string {
		if who == "direct" {
			return "–"
		}
		return c.cell(who)
	}}
}

func (b *bench) tabulateStored() {
	b.run(b.stored(), only(b.parties, bareName, onName))
	b.tabulate("The same, and every answer is stored", "As before, but the answers are ones that a cache keeps: each is also written to the cache on disk.",
		"stored", []string{bareName, onName}, b.measured("requests/s", "stored rate"), b.measured("CPU µs/request", "stored cpu"), b.times("stored cpu", bareName))
}

func (b *bench) tabulateLarge() {
	names := b.compared(b.names(), bareName)
	b.run(b.large(), only(b.parties, names...))
	b.tabulate("An answer of 50 KB", fmt.Sprintf("Requests of 1.5 KB with answers of 50 KB over %d connections, %d rounds of %v.", connections, b.plan.rounds, b.plan.turn),
		"large", names, b.measured("requests/s", "large rate"), b.times("large rate", "direct"), b.ofProxies(b.measured("CPU µs/request", "large cpu")),
		b.ofProxies(b.times("large cpu", "nginx")), b.ofProxies(b.times("large cpu", bareName)))
}

func (b *bench) tabulateLatency() {
	b.run(b.latency(), b.parties)
	b.tabulate("Added latency", fmt.Sprintf("%.0f chats of 1.5 KB a second, whatever the gateway does: the time at which each request is due is fixed in advance, and its latency counts from "+
		"then. %d rounds of %v. Added is what there is above direct in the same round.", b.plan.rate, b.plan.rateRounds, b.plan.rateTurn),
		"latency", b.names(), b.measured("p50 µs", "latency p50"), b.above("added p50 µs", "latency p50"), b.measured("p99 µs", "latency p99"), b.above("added p99 µs", "latency p99"))
}

func (b *bench) tabulateStream() {
	names := b.compared(b.names(), "nginx", bareName)
	b.run(b.stream(), only(b.parties, names...))
	b.tabulate("A stream of 100 events", fmt.Sprintf("%d streams at once, an event each %v, %d rounds of %d streams. The first event's time is the median of a round, the gap between "+
		"two events its 99th percentile.", streams, b.plan.pause, b.plan.rounds, streams*b.plan.streamTurns),
		"stream", names, b.above("added to first event µs", "stream first"), b.measured("gap p99 ms", "stream gap"), b.above("added gap p99 ms", "stream gap"),
		b.ofProxies(b.measured("CPU µs/stream", "stream cpu")), b.ofProxies(b.times("stream cpu", "nginx")), b.ofProxies(b.times("stream cpu", bareName)))
}

func (b *bench) tabulateHeld() {
	names := b.compared(b.proxies(), bareName)
	for i, count := range b.plan.idle {
		n := b.lab.heldAtMost(count)
		text := fmt.Sprintf("%s streams at once, an event each %v on each, in processes started for it. Memory is what is resident (Pss) above that of the warm "+
			"process, after two events of each. %s.", thousands(n), b.plan.every, counted(b.plan.idleRounds[i], "round"))
		if n < count {
			text += fmt.Sprintf(" More than %s are not possible here: a process may have %s descriptors, and a stream takes two.", thousands(n), thousands(b.lab.descriptors))
		}
		name := "held " + thousands(count)
		b.run(b.held(name, n, b.plan.idleRounds[i]), only(b.parties, names...))
		b.tabulate(thousands(count)+" slow streams", text, name, names,
			b.measured("KB/stream", name+" kilobytes"), b.times(name+" kilobytes", "nginx"), b.times(name+" kilobytes", bareName), b.measured("CPU % of a core", name+" cpu"))
	}
}

func (b *bench) tabulateHits() {
	some := only(b.parties, "nginx", onName)
	if i := slices.IndexFunc(some, func(p *party) bool { return p.name == onName }); i >= 0 {
		if err := b.remember(some[i]); err != nil {
			b.fail("hit", onName, err)
		}
	}
	b.run(b.hits(), some)
	b.tabulate("Cache hits", fmt.Sprintf("The same chat of 1.5 KB again and again, answered out of the cache, beside a file of the same size that nginx serves; %d connections, %d rounds of %v.",
		connections, b.plan.rounds, b.plan.turn), "hit", []string{"nginx", onName}, b.measured("requests/s", "hit rate"), b.times("hit rate", "nginx"),
		b.measured("CPU µs/request", "hit cpu"), b.times("hit cpu", "nginx"))
}

func (b *bench) tabulateStart() {
	b.run(b.startUp(), only(b.parties, b.proxies()...))
	b.tabulate("Start and size", "From the start of the process to the first answer that came through it, its memory (Pss) then, and the size of what is run: the binary, without shared "+
		"libraries; for Portkey node and its packages. "+b.image(), "start", b.proxies(),
		b.measured("start ms", "start ms"), b.measured("memory MB", "start idle"),
		column{"size MB", func(who string) string { return figure(float64(b.sizes[who]) / 1e6) }})
}
