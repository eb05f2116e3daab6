package queue

import (
	"cmp"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"slices"
	"testing"
	"time"
)

// TestDay simulates the queues of 10 models and 200 callers, before upstreams
// that enforce their limits by arithmetic of their own, in virtual time: an
// hour, or with FORWARD_DAY=1 a day with a million requests. It prints the
// results beside those of a FIFO and of no queue, and checks what is promised.
//
//	FORWARD_DAY=1 go test -run 'TestDay' -v ./internal/queue
func TestDay(t *testing.T) {
	requests, length := 1_000_000/24, time.Hour
	if os.Getenv("FORWARD_DAY") != "" {
		requests, length = 1_000_000, 24*time.Hour
	}
	t.Logf("%d requests in %v; the upstreams allow about 85 %% of them", requests, length)
	t.Log(daysHead)
	results := map[string]result{}
	for _, how := range []string{"fair queue", "plain FIFO", "no queue"} {
		started := time.Now()
		d := newDay(how, requests, length)
		d.run()
		results[how] = d.result()
		t.Logf("%v  (simulated in %v)", results[how], time.Since(started).Round(10*time.Millisecond))
	}
	ours, fifo, none := results["fair queue"], results["plain FIFO"], results["no queue"]
	if ours.limited >= 0.001 {
		t.Errorf("%.3f %% of what goes upstream is refused there, want under 0.1 %%", 100*ours.limited)
	}
	if ours.use <= 0.95 || ours.leastUse <= 0.95 {
		t.Errorf("%.2f %% of the allowance is used, of one model %.2f %%; want over 95 %%", 100*ours.use, 100*ours.leastUse)
	}
	if ours.jain <= fifo.jain || ours.jain <= none.jain || ours.jain < 0.95 {
		t.Errorf("fairness %.3f, of FIFO %.3f, without a queue %.3f", ours.jain, fifo.jain, none.jain)
	}
	if none.limited < 0.05 {
		t.Errorf("without a queue only %.2f %% are refused: the day is no test", 100*none.limited)
	}
}

const (
	dayModels  = 10
	dayCallers = 200
)

// day is a simulation. Its times are nanoseconds, as those of a queue.
type day struct {
	how     string
	foreign float64 // part of what the upstreams allow that other programs use
	ignores bool    // the feedback of the upstreams is ignored
	rnd     *rand.Rand
	length  int64
	mean    float64 // ns between two arrivals
	left    int     // requests to come
	end     int64   // when the last of them came

	now     int64
	events  indexedHeap[event]
	models  [dayModels]dayModel
	waiting map[*waiter]*dayRequest

	waits      []float64 // seconds, of the requests that were served
	lightWaits []float64 // the same, of the half of the callers with the least demand
	sent, over int       // requests that went upstream, and those it refused for their rate
	refused    int       // by the queue
	served     [dayModels][dayCallers]float64
	asked      [dayModels][dayCallers]float64
}

// dayModel is a model with its queue here and its limits at the upstream.
type dayModel struct {
	queue    *modelQueue
	next     int64 // when the queue is to be called; the event for it may be a later one
	requests meter
	tokens   meter
	used     [2]float64 // requests and tokens that were executed
}

// meter is how the upstream counts: with fractions, at each request.
type meter struct {
	limit, level float64
	at           int64
}

func (m *meter) refill(now int64) {
	m.level = min(m.limit, m.level+m.limit*float64(now-m.at)/float64(minute))
	m.at = now
}

type dayRequest struct {
	model, caller  int
	reserved, used int64
	asked          int64
	w              *waiter
	g              *Grant
	remaining      [2]float64 // requests and tokens by the report of the upstream
	seconds        float64    // of its execution
}

// event is something that happens at a time: 'a' new requests arrive, 'f' other
// programs use the upstream, 'q' the queue is called, 'u' a request reaches the
// upstream, 'r' it comes back refused, 'e' it ends there, 's' it is settled
// here.
type event struct {
	at      int64
	what    byte
	model   int
	request *dayRequest
	place   int
}

// The means of a request and of what comes at once, see arrive.
const (
	dayPrompt   = 900.0
	dayReserve  = 1000.0
	dayComplete = dayReserve * 0.4
	dayBatch    = 0.99 + 0.01*50.5
)

func newDay(how string, requests int, length time.Duration) *day {
	d := &day{how: how, rnd: rand.New(rand.NewPCG(1, 2)), length: int64(length), left: requests, waiting: make(map[*waiter]*dayRequest)}
	d.mean = float64(length) / float64(requests) * dayBatch
	d.events = indexedHeap[event]{less: func(a, b *event) bool { return a.at < b.at }, place: func(e *event) *int { return &e.place }}
	perMinute := float64(requests) / length.Minutes()
	for i := range d.models {
		m := &d.models[i]
		demand := perMinute * popularity(i, dayModels)
		// The upstream allows 85 % of the demand: half of the models lack
		// requests, half of them lack tokens.
		m.requests.limit = math.Round(0.85 * demand)
		m.tokens.limit = math.Round(0.85 * demand * (dayPrompt + dayComplete))
		if i%2 == 0 {
			m.requests.limit *= 2
		} else {
			m.tokens.limit *= 2
		}
		m.requests.level, m.tokens.level = m.requests.limit, m.tokens.limit
		m.next = never
		m.queue = newModelQueue(Model{RPM: int64(m.requests.limit), TPM: int64(m.tokens.limit), MaxQueue: 200, MaxWait: 2 * time.Minute})
	}
	return d
}

// popularity is the part of the demand that the i-th of n models has.
func popularity(i, n int) float64 {
	sum := 0.0
	for j := range n {
		sum += 1 / math.Sqrt(float64(j+1))
	}
	return 1 / math.Sqrt(float64(i+1)) / sum
}

func (d *day) at(at int64, what byte, model int, q *dayRequest) {
	d.events.push(&event{at: at, what: what, model: model, request: q})
}

func (d *day) run() {
	d.at(0, 'a', 0, nil)
	for len(d.events.items) > 0 {
		e := d.events.first()
		d.events.remove(e)
		if d.now = e.at; d.now > d.length+10*minute {
			return
		}
		q, m := e.request, &d.models[e.model]
		switch e.what {
		case 'a':
			d.arrive()
		case 'f':
			d.useByOthers(m, e.model)
		case 'q':
			if m.next != d.now {
				continue
			}
			m.next = never
			m.queue.advance(d.now)
		case 'u':
			d.reach(m, q)
		case 'r':
			if q.g != nil {
				f := q.feedback()
				f.Limited, f.RetryAfter = true, time.Duration(q.seconds*float64(time.Second))
				d.learn(m, q, f)
				m.queue.cancel(d.now, q.g)
			}
		case 'e':
			m.tokens.refill(d.now)
			m.tokens.level = min(m.tokens.limit, m.tokens.level+float64(q.reserved-q.used))
			d.at(d.now+d.network(), 's', q.model, q)
		case 's':
			if q.g != nil {
				d.learn(m, q, q.feedback())
				m.queue.settle(d.now, q.g, q.used)
			}
		}
		d.collect(e.model)
	}
}

// arrive makes one request, or a batch of one caller. More come by day than by
// night, and some callers send far more than others.
func (d *day) arrive() {
	if d.left <= 0 {
		return
	}
	n := 1
	if d.rnd.IntN(100) == 0 {
		n = 1 + d.rnd.IntN(100)
	}
	n = min(n, d.left)
	d.left -= n
	caller := int(dayCallers * math.Pow(d.rnd.Float64(), 3)) // the first tenth sends nearly half
	for range n {
		model, x := 0, d.rnd.Float64()
		for x -= popularity(model, dayModels); x > 0 && model < dayModels-1; x -= popularity(model, dayModels) {
			model++
		}
		m := &d.models[model]
		reserve := int64(d.rnd.ExpFloat64()*dayReserve) + 1
		q := &dayRequest{model: model, caller: caller, asked: d.now, reserved: int64(d.rnd.ExpFloat64()*dayPrompt) + 1}
		q.used = q.reserved + int64(float64(reserve)*(0.8*d.rnd.Float64()))
		q.reserved += reserve
		q.reserved = min(q.reserved, int64(m.tokens.limit))
		q.used = min(q.used, q.reserved)
		d.asked[model][caller] += q.cost(m)
		d.ask(m, q)
		d.collect(model)
	}
	d.end = d.now
	hour := float64(d.now) / float64(d.length) * 2 * math.Pi
	d.at(d.now+int64(d.rnd.ExpFloat64()*d.mean*(1+0.12*math.Cos(hour))), 'a', 0, nil)
}

func (q *dayRequest) cost(m *dayModel) float64 {
	return max(1/m.requests.limit, float64(q.used)/m.tokens.limit)
}

func (d *day) ask(m *dayModel, q *dayRequest) {
	if d.how == "no queue" {
		d.send(q)
		return
	}
	caller := fmt.Sprint(q.caller)
	if d.how == "plain FIFO" {
		caller = "all"
	}
	var refused *Error
	if q.g, q.w, refused = m.queue.submit(d.now, Demand{Caller: caller, Tokens: q.reserved}); q.g != nil {
		d.send(q)
	} else if q.w != nil {
		d.waiting[q.w] = q
	} else if refused != nil {
		d.refused++
	}
}

// send puts a request on its way to the upstream.
func (d *day) send(q *dayRequest) {
	d.sent++
	wait := float64(d.now-q.asked) / 1e9
	d.waits = append(d.waits, wait)
	if q.caller >= dayCallers/2 {
		d.lightWaits = append(d.lightWaits, wait)
	}
	d.at(d.now+d.network(), 'u', q.model, q)
}

// useByOthers uses a part of what the upstream allows that the queue does not
// know about.
func (d *day) useByOthers(m *dayModel, model int) {
	m.requests.refill(d.now)
	m.tokens.refill(d.now)
	if m.requests.level >= 1 && m.tokens.level >= dayPrompt {
		m.requests.level--
		m.tokens.level -= dayPrompt
		m.used[0]++
		m.used[1] += dayPrompt
	}
	often := d.foreign * min(m.requests.limit, m.tokens.limit/dayPrompt)
	if d.left > 0 {
		d.at(d.now+int64(d.rnd.ExpFloat64()*float64(minute)/often), 'f', model, nil)
	}
}

// network is the time of one way, from 20 to 220 ms.
func (d *day) network() int64 {
	return int64(20*time.Millisecond) + d.rnd.Int64N(int64(200*time.Millisecond))
}

// reach is what the upstream does with a request.
func (d *day) reach(m *dayModel, q *dayRequest) {
	m.requests.refill(d.now)
	m.tokens.refill(d.now)
	// No arithmetic is exact to the last bit.
	if m.requests.level < 1-1e-6 || m.tokens.level < float64(q.reserved)-1e-3 {
		d.over++
		q.remaining = [2]float64{m.requests.level, m.tokens.level}
		q.seconds = 60 * max((1-m.requests.level)/m.requests.limit, (float64(q.reserved)-m.tokens.level)/m.tokens.limit)
		d.at(d.now+d.network(), 'r', q.model, q)
		return
	}
	m.requests.level--
	m.tokens.level -= float64(q.reserved)
	q.remaining = [2]float64{m.requests.level, m.tokens.level}
	if d.left > 0 {
		m.used[0]++
		m.used[1] += float64(q.used)
	}
	d.served[q.model][q.caller] += q.cost(m)
	q.seconds = min(0.3+d.rnd.ExpFloat64()*4, 60)
	d.at(d.now+int64(q.seconds*1e9), 'e', q.model, q)
}

// learn passes feedback of the upstream on, unless it is ignored.
func (d *day) learn(m *dayModel, q *dayRequest, f Feedback) {
	if !d.ignores {
		m.queue.learn(d.now, q.g, f)
	}
}

func (q *dayRequest) feedback() Feedback {
	left := func(x float64) Left { return Left{Known: true, Remaining: int64(max(x, 0))} }
	return Feedback{Requests: left(q.remaining[0]), Tokens: left(q.remaining[1])}
}

// collect sends the requests that the queue has started, and schedules its next
// call.
func (d *day) collect(model int) {
	m := &d.models[model]
	for _, w := range m.queue.decided {
		q := d.waiting[w]
		delete(d.waiting, w)
		if q.g = w.grant; q.g != nil {
			d.send(q)
		} else {
			d.refused++
		}
	}
	m.queue.decided = m.queue.decided[:0]
	if m.queue.order.waiting == 0 {
		m.next = never
		return
	}
	if next := m.queue.next(d.now); next != m.next {
		m.next = next
		d.at(next, 'q', model, nil)
	}
}

// result is what is printed of a day.
type result struct {
	how           string
	sent, refused int
	limited       float64
	use, leastUse float64 // of all and of the worst model, each by what it lacks most
	jain          float64
	waits, light  [4]float64 // 50 %, 90 %, 99 % and longest
}

func (d *day) result() result {
	r := result{how: d.how, sent: d.sent - d.over, refused: d.refused, limited: float64(d.over) / float64(d.sent), leastUse: 1}
	for i := range d.models {
		m := &d.models[i]
		minutes := float64(d.end)/float64(minute) + 1 // it starts full
		use := max(m.used[0]/m.requests.limit, m.used[1]/m.tokens.limit) / minutes
		r.use += use / dayModels
		r.leastUse = min(r.leastUse, use)
	}
	r.jain = d.jain()
	r.waits, r.light = percentiles(d.waits), percentiles(d.lightWaits)
	return r
}

func percentiles(x []float64) (p [4]float64) {
	slices.Sort(x)
	for i, part := range []float64{0.5, 0.9, 0.99, 1} {
		p[i] = x[min(int(part*float64(len(x))), len(x)-1)]
	}
	return p
}

// jain is the index of Jain, Chiu and Hawe (1984) over what callers got, as
// parts of what they would have got by max-min fairness: 1 is the same part for
// each caller, 1/n is all for one.
func (d *day) jain() float64 {
	var fair, got [dayCallers]float64
	for m := range d.models {
		supply := 0.0
		order := make([]int, dayCallers)
		for c := range dayCallers {
			order[c] = c
			supply += d.served[m][c]
			got[c] += d.served[m][c]
		}
		slices.SortFunc(order, func(a, b int) int { return cmp.Compare(d.asked[m][a], d.asked[m][b]) })
		for i, c := range order {
			part := min(d.asked[m][c], supply/float64(dayCallers-i))
			fair[c] += part
			supply -= part
		}
	}
	sum, squares, n := 0.0, 0.0, 0.0
	for c := range dayCallers {
		if fair[c] > 0 {
			x := got[c] / fair[c]
			sum, squares, n = sum+x, squares+x*x, n+1
		}
	}
	return sum * sum / (n * squares)
}

const daysHead = "            served  refused here  429 upstream  use (least)      Jain   wait 50/90/99 %/longest       of light callers"

func (r result) String() string {
	return fmt.Sprintf("%-10s %7d  %12d  %11.3f%%  %.2f%% (%.2f%%)  %.3f  %.1f/%.1f/%.1f/%.1f s  %.1f/%.1f/%.1f/%.1f s", r.how, r.sent, r.refused,
		100*r.limited, 100*r.use, 100*r.leastUse, r.jain, r.waits[0], r.waits[1], r.waits[2], r.waits[3], r.light[0], r.light[1], r.light[2], r.light[3])
}

// TestDayWithOthers hides from the queue that other programs use a part of what
// the upstreams allow, or that they allow less than is configured. Only the
// feedback of the upstreams shows it.
func TestDayWithOthers(t *testing.T) {
	requests, length, most := 1_000_000/24, time.Hour, 0.003 // in an hour the first surprises count for more
	if os.Getenv("FORWARD_DAY") != "" {
		requests, length, most = 1_000_000, 24*time.Hour, 0.001
	}
	t.Log(daysHead)
	for _, test := range []struct {
		name          string
		foreign, less float64
	}{{"others use 5 %", 0.05, 0}, {"others use 20 %", 0.2, 0}, {"10 % less", 0, 0.1}} {
		for _, ignores := range []bool{false, true} {
			if ignores && test.foreign == 0.2 {
				continue
			}
			d := newDay("fair queue", requests, length)
			d.foreign, d.ignores = test.foreign, ignores
			for i := range d.models {
				m := &d.models[i]
				m.requests.limit *= 1 - test.less
				m.tokens.limit *= 1 - test.less
				if d.foreign > 0 {
					d.at(1, 'f', i, nil)
				}
			}
			d.run()
			r := d.result()
			t.Logf("%v  %s, feedback ignored: %v", r, test.name, ignores)
			if ignores && r.limited < 10*most {
				t.Errorf("%s: with feedback ignored %.3f %% are refused: this is no test", test.name, 100*r.limited)
			}
			if !ignores && (r.limited >= most || r.use < 0.95) {
				t.Errorf("%s: %.3f %% are refused, and %.2f %% is used", test.name, 100*r.limited, 100*r.use)
			}
		}
	}
}
