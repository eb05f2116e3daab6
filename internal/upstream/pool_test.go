package upstream_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"forward/internal/keys"
	"forward/internal/upstream"
)

// clock is a time that tests move.
type clock struct {
	mu sync.Mutex
	t  time.Time
}

func newClock() *clock { return &clock{t: time.Unix(1_800_000_000, 0)} }

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.t
}

func (c *clock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.t = c.t.Add(d)
}

// apiKey is the i-th API key of the tests; long enough to be looked for in
// answers.
func apiKey(i int) string { return fmt.Sprintf("sk-canary-%d-0123456789abcdef", i) }

// pool returns a pool of n keys for all levels.
func pool(n int, c *clock) *upstream.Pool {
	var ks []upstream.APIKey
	for i := range n {
		ks = append(ks, upstream.APIKey{Secret: keys.NewSecret(apiKey(i))})
	}
	if c == nil {
		return upstream.NewPool(ks, nil)
	}
	return upstream.NewPool(ks, c.now)
}

// order writes the order of a level as the indexes of its keys.
func order(p *upstream.Pool, level int) string {
	var s strings.Builder
	for _, k := range p.Order(level) {
		fmt.Fprint(&s, k.Index())
	}
	return s.String()
}

func TestOrderGoesRound(t *testing.T) {
	p := pool(3, nil)
	for _, want := range []string{"012", "120", "201", "012"} {
		if got := order(p, 0); got != want {
			t.Errorf("order %s, want %s", got, want)
		}
	}
}

// TestOrderNear spreads conversations over keys, and lets keys rest, come and
// go.
func TestOrderNear(t *testing.T) {
	c := newClock()
	p := pool(4, c)
	counts := map[int]int{}
	for near := range uint64(4000) {
		first := p.OrderNear(0, near+1)
		counts[first[0].Index()]++
		if again := p.OrderNear(0, near+1); len(first) != 4 || again[0] != first[0] || again[3] != first[3] {
			t.Fatalf("conversation %d has another order", near)
		}
	}
	for i := range 4 {
		if counts[i] < 800 || counts[i] > 1200 {
			t.Errorf("key %d has %d of 4,000 conversations", i, counts[i])
		}
	}
	p.Order(0)[0].Rest(time.Minute) // key 0
	moved := 0
	for near := range uint64(1000) {
		before := pool(4, c).OrderNear(0, near+1)
		after := p.OrderNear(0, near+1)
		if before[0].Index() != after[0].Index() {
			moved++
			if before[0].Index() != 0 || before[1].Index() != after[0].Index() {
				t.Errorf("conversation %d moved from %d to %d", near, before[0].Index(), after[0].Index())
			}
		}
	}
	if moved < 200 || moved > 300 {
		t.Errorf("%d of 1,000 conversations moved", moved)
	}
}

func TestOrderByLevel(t *testing.T) {
	p := upstream.NewPool([]upstream.APIKey{
		{Secret: keys.NewSecret("a"), Levels: []int{0, 1}}, {Secret: keys.NewSecret("b"), Levels: []int{1}}, {Secret: keys.NewSecret("c")},
	}, nil)
	// Two levels that take turns must both go through all of their keys: one
	// counter for both would give each the same key forever.
	for _, want := range []struct {
		level int
		order string
	}{{0, "02"}, {1, "012"}, {0, "20"}, {1, "120"}, {0, "02"}, {1, "201"}, {7, "2"}} {
		if got := order(p, want.level); got != want.order {
			t.Errorf("level %d: order %s, want %s", want.level, got, want.order)
		}
	}
	only := upstream.NewPool([]upstream.APIKey{{Secret: keys.NewSecret("a"), Levels: []int{1}}}, nil)
	if only.Serves(0) || !only.Serves(1) || order(only, 0) != "" {
		t.Error("a level without keys is served")
	}
}

func TestRestingKeysAreLeftOut(t *testing.T) {
	c := newClock()
	p := pool(4, c)
	ks := p.Order(0)
	ks[1].Rest(time.Minute)
	ks[2].SetAside()
	for _, want := range []string{"30", "03", "30"} {
		if got := order(p, 0); got != want {
			t.Errorf("order %s, want %s", got, want)
		}
	}
	ks[0].Rest(3 * time.Minute)
	ks[3].Rest(2 * time.Minute)
	ks[3].Rest(time.Second) // does not shorten the rest it has
	if got := order(p, 0); got != "130" {
		t.Errorf("all rest: order %s", got)
	}
	c.advance(time.Minute)
	if got := order(p, 0); got != "1" {
		t.Errorf("one is back: order %s", got)
	}
	c.advance(10 * time.Minute)
	if got := len(order(p, 0)); got != 4 {
		t.Errorf("all are back, also the one that was set aside: %d", got)
	}
}

func TestSetAside(t *testing.T) {
	c := newClock()
	p := pool(1, c)
	k := p.Order(0)[0]
	k.SetAside()
	if got := order(p, 0); got != "0" {
		t.Errorf("the only key must be tried all the same: order %s", got)
	}
	k.Restore()
	if s := p.Report()[0]; s.State != "ok" || s.Wait != 0 {
		t.Errorf("after Restore: %+v", s)
	}
	k.Rest(time.Minute)
	k.Restore()
	if s := p.Report()[0]; s.State != "resting" || s.Wait != 60 {
		t.Errorf("Restore ended a rest: %+v", s)
	}
}

func TestReport(t *testing.T) {
	c := newClock()
	p := pool(3, c)
	ks := p.Order(0)
	ks[0].Rest(1500 * time.Millisecond)
	ks[1].SetAside()
	got, err := json.Marshal(p.Report())
	if err != nil {
		t.Fatal(err)
	}
	want := `[{"index":0,"state":"resting","wait_seconds":2},{"index":1,"state":"set_aside","wait_seconds":600},{"index":2,"state":"ok"}]`
	if string(got) != want {
		t.Errorf("report %s", got)
	}
	if text := fmt.Sprintf("%+v", p.Report()); strings.Contains(text, apiKey(0)) || !strings.Contains(text, "sk-cana…cdef") {
		t.Errorf("report %s", text)
	}
	var none *upstream.Pool
	if none.Len() != 0 || none.Serves(0) || none.Order(0) != nil || none.Report() == nil || len(none.Report()) != 0 {
		t.Error("a nil pool is not empty")
	}
}

func TestPoolIsSafeForManyGoroutines(t *testing.T) {
	p := pool(3, nil)
	var starts [3]int
	var mu sync.Mutex
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 300 {
				k := p.Order(0)[0]
				mu.Lock()
				starts[k.Index()]++
				mu.Unlock()
				p.Report()
				k.Restore()
			}
		})
	}
	wg.Wait()
	if starts != [3]int{400, 400, 400} {
		t.Errorf("keys came first %v times", starts)
	}
}
