package queue

import (
	"cmp"
	"fmt"
	"math/bits"
	"runtime"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// course drives a queue as a driver does: it calls the queue at the times that
// next returns, and when something happens.
type course struct {
	r   *rapid.T
	q   *modelQueue
	now int64

	waiting  []*request
	inFlight []*request
	gone     []*request // settled
}

// request is one of a course.
type request struct {
	Demand
	w           *waiter
	g           *Grant
	asked, went int64
	used        int64
	refused     *Error
}

func (c *course) ask(d Demand) *request {
	q := &request{Demand: d, asked: c.now, used: d.Tokens}
	q.g, q.w, q.refused = c.q.submit(c.now, d)
	switch {
	case q.g != nil:
		q.went = c.now
		c.inFlight = append(c.inFlight, q)
	case q.w != nil:
		c.waiting = append(c.waiting, q)
	}
	c.collect()
	return q
}

// collect takes the results, and checks that nothing was left undecided.
func (c *course) collect() {
	for _, w := range c.q.decided {
		i := slices.IndexFunc(c.waiting, func(q *request) bool { return q.w == w })
		if i < 0 {
			c.r.Fatal("a result for a request that does not wait")
		}
		q := c.waiting[i]
		for _, other := range c.waiting {
			if w.grant != nil && other.Caller == q.Caller && other.w.number < w.number {
				c.r.Fatalf("%s: a later request went first", q.Caller)
			}
		}
		c.waiting = slices.Delete(c.waiting, i, i+1)
		if q.g, q.refused = w.grant, w.err; q.g != nil {
			q.went = c.now
			c.inFlight = append(c.inFlight, q)
		} else if q.refused.Reason == Timeout && c.now != w.expires {
			c.r.Fatalf("out of time %v late", time.Duration(c.now-w.expires))
		}
	}
	c.q.decided = c.q.decided[:0]
	if next := c.q.next(c.now); next <= c.now {
		c.r.Fatalf("at %v the queue wants to be called at %v again", time.Duration(c.now), time.Duration(next))
	}
	if len(c.waiting) != c.q.order.waiting {
		c.r.Fatalf("%d wait, and the queue counts %d", len(c.waiting), c.q.order.waiting)
	}
}

// pass lets time go by, with a stop whenever the queue asks for it.
func (c *course) pass(d int64) {
	for end := c.now + d; c.now < end; {
		c.now = min(c.q.next(c.now), end)
		c.q.advance(c.now)
		c.collect()
	}
}

func (c *course) settle(i int, used int64) {
	q := c.inFlight[i]
	c.inFlight = slices.Delete(c.inFlight, i, i+1)
	if used < 0 {
		q.used = 0
		c.q.cancel(c.now, q.g)
	} else {
		q.used = used
		c.q.settle(c.now, q.g, used)
		c.gone = append(c.gone, q)
	}
	c.collect()
}

func (c *course) leave(i int) {
	q := c.waiting[i]
	c.waiting = slices.Delete(c.waiting, i, i+1)
	c.q.leave(c.now, q.w)
	c.collect()
}

func drawModel(r *rapid.T) Model {
	m := Model{MaxQueue: rapid.IntRange(0, 40).Draw(r, "queue"), RPM: rapid.Int64Range(0, 120).Draw(r, "rpm")}
	if rapid.Bool().Draw(r, "tokens") {
		m.TPM = rapid.Int64Range(100, 10_000).Draw(r, "tpm")
	}
	if rapid.Bool().Draw(r, "parallel") {
		m.MaxParallel = rapid.IntRange(1, 20).Draw(r, "max parallel")
	}
	if rapid.Bool().Draw(r, "wait") {
		m.MaxWait = time.Duration(rapid.Int64Range(1, int64(3*time.Minute)).Draw(r, "max wait"))
	}
	return m
}

func drawDemand(r *rapid.T, m Model) Demand {
	d := Demand{
		Caller: fmt.Sprint(rapid.IntRange(0, 6).Draw(r, "caller")), Priority: rapid.IntRange(-1, 1).Draw(r, "priority"),
		Tokens: rapid.Int64Range(0, max(m.TPM, 100)).Draw(r, "tokens"),
	}
	if rapid.IntRange(0, 4).Draw(r, "deadline") == 0 {
		d.MaxWait = time.Duration(rapid.Int64Range(1, int64(time.Minute)).Draw(r, "max wait"))
	}
	return d
}

// TestArrivals makes requests come, leave, end early and fail in any order.
func TestArrivals(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		m := drawModel(r)
		c := &course{r: r, q: newModelQueue(m)}
		for range rapid.IntRange(1, 120).Draw(r, "steps") {
			switch rapid.SampledFrom([]string{"ask", "ask", "ask", "pass", "settle", "cancel", "leave"}).Draw(r, "step") {
			case "ask":
				for d := drawDemand(r, m); d.Caller != ""; d.Caller = "" {
					c.ask(d)
				}
			case "pass":
				c.pass(rapid.Int64Range(1, minute/4).Draw(r, "time"))
			case "settle":
				if n := len(c.inFlight); n > 0 {
					i := rapid.IntRange(0, n-1).Draw(r, "which")
					c.settle(i, rapid.Int64Range(0, c.inFlight[i].Tokens).Draw(r, "used"))
				}
			case "cancel":
				if n := len(c.inFlight); n > 0 {
					c.settle(rapid.IntRange(0, n-1).Draw(r, "which"), -1)
				}
			case "leave":
				if n := len(c.waiting); n > 0 {
					c.leave(rapid.IntRange(0, n-1).Draw(r, "which"))
				}
			}
			c.checkSums()
			if m.MaxParallel > 0 && len(c.inFlight) > m.MaxParallel {
				r.Fatalf("%d are executed, and %d may be", len(c.inFlight), m.MaxParallel)
			}
			if len(c.waiting) > m.MaxQueue {
				r.Fatalf("%d wait, and %d may", len(c.waiting), m.MaxQueue)
			}
		}
		c.checkWindows()
		c.checkRetryAfter(drawDemand(r, m))
		c.checkEnd()
	})
}

// checkWindows looks at all windows of time: none may have more than a bucket
// and its refill.
func (c *course) checkWindows() {
	went := append(slices.Clone(c.gone), c.inFlight...)
	slices.SortFunc(went, func(a, b *request) int { return cmp.Compare(a.went, b.went) })
	check := func(what string, b *bucket, units func(*request) int64) {
		// The sum of the costs in a window must be at most its length and a
		// minute. So the sum up to any request, less its time, is at most a
		// minute above the least of these numbers before it.
		sum, least := int64(0), int64(0)
		for i, q := range went {
			least = min(least, sum-q.went)
			if sum += b.cost(units(q)); sum-q.went-least > minute {
				c.r.Fatalf("%s: up to number %d %v too much", what, i, time.Duration(sum-q.went-least-minute))
			}
		}
	}
	check("requests", &c.q.allowance.requests, func(*request) int64 { return 1 })
	check("tokens", &c.q.allowance.tokens, func(q *request) int64 { return q.used })
}

// checkSums compares the sums of the queue with a count.
func (c *course) checkSums() {
	q := c.q
	var cost int64
	var b backlog
	flows := 0
	for name, f := range q.order.flows {
		if f.length > 0 {
			flows++
			b.count(f, 1)
			n := 0
			for w := f.head; w != nil; w = w.after {
				n++
				cost += w.cost
			}
			if n != f.length || f.finish != f.start+f.share(f.head.cost) {
				c.r.Fatalf("%s: %d wait, counted %d", name, f.length, n)
			}
		} else if f.served <= q.order.virtual || f.place.served < 0 {
			c.r.Fatalf("%s is remembered for nothing", name)
		}
	}
	if cost != q.order.cost || b != q.order.backlog || len(q.order.byStart.items) != flows || len(q.order.byFinish.items) != flows || len(q.order.byLength.items) != flows {
		c.r.Fatal("the sums of the queue are wrong")
	}
	if len(q.order.flows) != flows+len(q.order.served.items) {
		c.r.Fatal("callers are remembered for nothing")
	}
	for i, f := range q.order.byStart.items {
		if parent := q.order.byStart.items[max(i-1, 0)/2]; f.place.start != i || f.start < parent.start {
			c.r.Fatal("the queue is out of order")
		}
	}
}

// checkRetryAfter waits as long as a refusal states, while no other request
// comes: then the same request starts at once.
func (c *course) checkRetryAfter(d Demand) {
	if c.q.model.MaxParallel > 0 {
		return // the duration of requests is only estimated
	}
	d.MaxWait = 1
	q := c.ask(d)
	if q.refused == nil || q.refused.Reason == TooLarge {
		return
	}
	c.pass(int64(q.refused.RetryAfter))
	if again := c.ask(d); again.g == nil {
		c.r.Fatalf("waited %v, and now it is %+v", q.refused.RetryAfter, again.refused)
	}
}

// checkEnd takes all requests out: then nothing may be left of them.
func (c *course) checkEnd() {
	for len(c.waiting) > 0 {
		c.leave(len(c.waiting) - 1)
	}
	for len(c.inFlight) > 0 {
		c.settle(0, -1)
	}
	q := c.q
	c.now += 2 * minute
	if !q.idle(c.now) || len(q.order.flows) != 0 || len(q.byExpiry.items) != 0 || q.allowance.reserved != 0 || q.order.cost != 0 || q.next(c.now) != never || q.order.backlog != (backlog{}) {
		c.r.Fatalf("something is left: %+v", q)
	}
}

// TestALoneRequestBesideAFlood tests the bound on the wait of a single request:
// however many requests other callers have in the queue and go on to send, it
// waits at most twice the cost of itself and of one request of each of them.
func TestALoneRequestBesideAFlood(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		m := Model{RPM: rapid.Int64Range(10, 1000).Draw(r, "rpm"), TPM: 10_000, MaxQueue: 100_000}
		c := &course{r: r, q: newModelQueue(m)}
		callers := rapid.IntRange(1, 5).Draw(r, "callers")
		largest := rapid.SampledFrom([]int64{10, 500, 10_000}).Draw(r, "largest")
		flood := func(n int) {
			for range n {
				c.ask(Demand{Caller: fmt.Sprint(rapid.IntRange(1, callers).Draw(r, "who")), Tokens: rapid.Int64Range(0, largest).Draw(r, "tokens")})
			}
		}
		for range rapid.IntRange(1, 4).Draw(r, "rounds") {
			flood(30)
			c.pass(rapid.Int64Range(0, minute/2).Draw(r, "time"))
		}
		most := map[string]int64{}
		for _, q := range c.waiting {
			most[q.Caller] = max(most[q.Caller], c.q.allowance.cost(q.Tokens))
		}
		lone := c.ask(Demand{Caller: "lone", Tokens: rapid.Int64Range(0, 10_000).Draw(r, "own")})
		bound := c.q.allowance.cost(lone.Tokens)
		for _, cost := range most {
			bound += cost
		}
		for bound = 2 * bound; lone.w != nil && lone.w.grant == nil; flood(rapid.IntRange(0, 5).Draw(r, "more")) {
			if c.pass(minute / 50); c.now-lone.asked > bound+minute/50 {
				r.Fatalf("waits %v, the rule promises %v", time.Duration(c.now-lone.asked), time.Duration(bound))
			}
		}
	})
}

// TestSharesOfAFlood has callers of different priority, with requests of
// different size, and more of them than can start. In the long run each must
// get its share, whatever the size of its requests.
func TestSharesOfAFlood(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		m := Model{RPM: 60, TPM: 60_000, MaxQueue: 1 << 20}
		c := &course{r: r, q: newModelQueue(m)}
		type caller struct {
			Demand
			got float64
		}
		var callers []*caller
		for i := range rapid.IntRange(2, 6).Draw(r, "callers") {
			callers = append(callers, &caller{Demand: Demand{
				Caller: fmt.Sprint(i), Priority: rapid.IntRange(-2, 2).Draw(r, "priority"), Tokens: rapid.Int64Range(0, 20_000).Draw(r, "tokens"),
			}})
		}
		for range 60 {
			c.ask(Demand{Caller: "first", Tokens: 1000})
		}
		for range 20 { // minutes
			for _, d := range callers {
				for c.q.order.flows[d.Caller] == nil || c.q.order.flows[d.Caller].length < 70 {
					c.ask(d.Demand)
				}
			}
			c.pass(minute)
		}
		for _, q := range c.inFlight {
			for _, d := range callers {
				if d.Caller == q.Caller {
					d.got += float64(c.q.allowance.cost(q.Tokens)) / float64(weightOf(q.Priority))
				}
			}
		}
		request := func(d *caller) float64 { return float64(c.q.allowance.cost(d.Tokens)) / float64(weightOf(d.Priority)) }
		largest := 0.0
		for _, d := range callers {
			largest = max(largest, request(d))
		}
		for _, a := range callers {
			for _, b := range callers {
				// Start-time fair queueing: shares differ by at most one
				// request of each, and a request that passes adds no more than
				// the request whose turn it is.
				if a.got-b.got > request(a)+request(b)+largest {
					r.Fatalf("%+v has got %v and %+v %v", a.Demand, a.got, b.Demand, b.got)
				}
			}
		}
	})
}

// TestACallerThatComesBackForMore has one large request in the queue at a time,
// and comes back as soon as it has started: the queue must remember its service
// while others wait.
func TestACallerThatComesBackForMore(t *testing.T) {
	c := &course{q: newModelQueue(Model{TPM: 6000, MaxQueue: 1000})}
	c.ask(Demand{Caller: "first", Tokens: 6000})
	large, got := c.ask(Demand{Caller: "large", Tokens: 1000}), map[string]int64{}
	for range 600 {
		c.ask(Demand{Caller: "small", Tokens: 100})
	}
	for c.now < 10*minute {
		c.pass(minute / 60)
		if large.w.grant != nil {
			large = c.ask(Demand{Caller: "large", Tokens: 1000})
		}
	}
	for _, q := range c.inFlight {
		got[q.Caller] += q.Tokens
	}
	if apart := got["large"] - got["small"]; apart > 1000 || apart < -2000 {
		t.Errorf("%v", got)
	}
}

// TestALargeRequest has a request that needs the whole bucket beside callers
// with small ones, which never stop.
func TestALargeRequest(t *testing.T) {
	c := &course{q: newModelQueue(Model{TPM: 6000, MaxQueue: 1000})}
	for range 60 {
		c.ask(Demand{Caller: "small", Tokens: 100})
	}
	large := c.ask(Demand{Caller: "large", Tokens: 6000})
	for passed := 0; large.w.grant == nil; {
		c.ask(Demand{Caller: "small", Tokens: 100})
		c.ask(Demand{Caller: "tiny", Tokens: 10})
		before := len(c.inFlight)
		c.pass(minute / 60)
		if passed += len(c.inFlight) - before; c.now == minute && passed < 20 {
			t.Errorf("in its first minute it has let only %d small ones pass", passed)
		}
		if c.now > 2*minute+minute/60 {
			t.Fatal("it is starved by small ones")
		}
	}
	if large.went < minute {
		t.Error("it went before its tokens were there")
	}
}

// TestWorkGrowsWithTheLogarithm counts comparisons: a request costs little in a
// queue of any length.
func TestWorkGrowsWithTheLogarithm(t *testing.T) {
	for _, n := range []int{100, 1000, 20_000} {
		for _, callers := range []int{1, 50, n} {
			q := newModelQueue(Model{RPM: 60, TPM: 60_000, MaxQueue: n, MaxWait: 24 * 365 * time.Hour})
			compared := 0
			counted := func(h *indexedHeap[flow]) {
				less := h.less
				h.less = func(a, b *flow) bool { compared++; return less(a, b) }
			}
			counted(&q.order.byStart)
			counted(&q.order.byFinish)
			counted(&q.order.byLength)
			counted(&q.order.served)
			less := q.byExpiry.less
			q.byExpiry.less = func(a, b *waiter) bool { compared++; return less(a, b) }
			now := int64(0)
			for i := range n + 60 {
				q.submit(now, Demand{Caller: fmt.Sprint(i % callers), Tokens: int64(i % 900)})
			}
			for q.order.waiting > 0 {
				now = q.next(now)
				q.advance(now)
			}
			if most := 20 * (bits.Len(uint(n)) + 1); compared > n*most {
				t.Errorf("%d requests of %d callers: %d comparisons each", n, callers, compared/n)
			}
		}
	}
}

// BenchmarkModelQueue measures a request that comes to the end of a queue of n
// while the first one starts: with one caller, and with as many as wait.
// "B/waiting" is the memory of each of them here, beside the goroutine of its
// client.
func BenchmarkModelQueue(b *testing.B) {
	for _, n := range []int{100, 10_000, 100_000} {
		for _, callers := range []int{1, n} {
			b.Run(fmt.Sprintf("waiting=%d/callers=%d", n, callers), func(b *testing.B) {
				names := make([]string, callers)
				for i := range names {
					names[i] = fmt.Sprint("caller-", i)
				}
				var before, after runtime.MemStats
				runtime.GC()
				runtime.ReadMemStats(&before)
				q := newModelQueue(Model{RPM: 6000, TPM: 6_000_000, MaxQueue: 2 * n})
				come := func(now int64, i int) {
					q.submit(now, Demand{Caller: names[i%callers], Tokens: int64(i%7) * 100})
					for _, w := range q.decided {
						q.settle(now, w.grant, -1)
					}
					clear(q.decided)
					q.decided = q.decided[:0]
				}
				for i := range n + 6000 {
					come(0, i)
				}
				runtime.GC()
				runtime.ReadMemStats(&after)
				b.ReportAllocs()
				b.ResetTimer()
				now, i := int64(0), 0
				for b.Loop() {
					now += minute / 6000
					come(now, i)
					i++
				}
				b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/float64(n), "B/waiting")
			})
		}
	}
}
