//go:build e2e

package e2e

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tidwall/gjson"
	_ "modernc.org/sqlite"

	"forward/internal/upstreamtest"
	"forward/test/harness"
)

// ending is how a request of the mixed run goes, and what the ledger must have
// of it.
type ending struct {
	name    string
	path    string
	script  string                     // of the upstream; "%s" is a number that it has not seen yet, so that it fails once
	fields  string                     // further ones of the body
	leave   bool                       // the client leaves after the headers and the first bytes
	within  func() time.Duration       // or after this time, answered or not
	repeat  bool                       // all of its kind ask the same ten things, and hits are answered
	status  []int                      // what the client may get, as the ledger has it
	in, out int64                      // price of a token in nano-dollars
	usage   bool                       // the answer reports its usage
	seen    bool                       // what came of it is counted
	body    func(prompt string) string // instead of a chat
}

const (
	miniIn, miniOut   = 150, 600   // gpt-4o-mini, $0.15 and $0.60 a million
	haikuIn, haikuOut = 1000, 5000 // claude-haiku-4-5, $1 and $5
	flashIn, flashOut = 300, 2500  // gemini-2.5-flash, $0.30 and $2.50
	stream            = `,"stream":true`
	streamWithUsage   = `,"stream":true,"stream_options":{"include_usage":true}`
	mixedKey          = "fk-mixed-Zk3Wp8Yd5Rj1Hc6Gv0"
	chatPath          = "/v1/chat/completions"
	lostAtKill        = 100 * time.Millisecond
)

func endings() []ending {
	ok := []int{200}
	soon := func() time.Duration { return rand.N(30 * time.Millisecond) }
	claude := func(extra string) func(string) string {
		return func(prompt string) string {
			return chatBody("claude-haiku-4-5", prompt, `,"max_tokens":100`+extra)
		}
	}
	gemini := func(prompt string) string {
		return `{"contents":[{"role":"user","parts":[{"text":"` + prompt + `"}]}]}`
	}
	return []ending{
		{name: "plain", status: ok, usage: true},
		{name: "stream", fields: stream, status: ok, usage: true},
		{name: "stream with usage", fields: streamWithUsage, status: ok, usage: true},
		{name: "stream without usage", fields: stream, script: "events-5", status: ok, seen: true},
		{name: "cut stream", fields: stream, script: "cut-mid-stream", status: ok, seen: true},
		{name: "error in a stream", fields: stream, script: "error-in-stream", status: ok, seen: true},
		{name: "cut body", script: "cut-mid-body", status: []int{502}},
		{name: "reset", script: "reset-before-headers", status: []int{502}},
		{name: "refused by the provider", script: "err-400", status: []int{400}},
		{name: "failing", script: "err-500", status: []int{500}},
		{name: "retried", script: "err-%s502-then-ok", status: ok, usage: true},
		{name: "failed over", script: "err-%s429-then-ok", status: []int{200, 429}, usage: true},
		{name: "left in silence", script: "stall-before-headers", within: soon, status: []int{499}},
		{name: "left at any time", script: "delay-10-ms", within: soon, status: []int{200, 499}, usage: true},
		{name: "left a stream", fields: stream, script: "slow-stream-5-ms", leave: true, status: []int{499}, seen: true},
		{name: "left a stream at any time", fields: streamWithUsage, script: "slow-stream-2-ms", within: soon, status: []int{499}, seen: true},
		{name: "cached", fields: `,"caching":true`, repeat: true, status: ok, usage: true},
		{name: "messages", path: "/anthropic/v1/messages", in: haikuIn, out: haikuOut, body: claude(""), status: ok, usage: true},
		{name: "messages stream", path: "/anthropic/v1/messages", in: haikuIn, out: haikuOut, body: claude(stream), status: ok, usage: true},
		{name: "cut messages stream", path: "/anthropic/v1/messages", in: haikuIn, out: haikuOut, body: claude(stream), script: "cut-mid-stream", status: ok, seen: true},
		{name: "generate", path: "/gemini/v1beta/models/gemini-2.5-flash:generateContent", in: flashIn, out: flashOut, body: gemini, status: ok, usage: true},
	}
}

// TestMixedRunAddsUp sends requests of every ending, kills the gateway in the
// middle and starts it again. Afterwards each request that reached the upstream
// has one row, but for some of the last 100 ms before the kill, and the sums
// are those of the upstream's own counts to the nano-dollar. What was not
// reported is estimated and stands apart.
func TestMixedRunAddsUp(t *testing.T) {
	n := 4000
	if s := os.Getenv("FORWARD_TEST_MIXED"); s != "" {
		var err error
		if n, err = strconv.Atoi(s); err != nil {
			t.Fatal(err)
		}
	}
	up := startUpstream(t)
	dir := t.TempDir()
	env := []string{
		"OPENAI_BASE_URL=" + up.URL, "OPENAI_API_KEY=sk-one,sk-two", "ANTHROPIC_BASE_URL=" + up.URL, "ANTHROPIC_API_KEY=sk-ant-one",
		"GEMINI_BASE_URL=" + up.URL, "GEMINI_API_KEY=AIza-one", "FORWARD_KEY=" + mixedKey, "TRUST_USER_IDS=true", "CACHE_CHAT_COMPLETION=true",
		"RETRY_STATUS=500,502", "RETRIES=1",
	}
	m := &mixed{t: t, kinds: endings(), client: &http.Transport{MaxIdleConnsPerHost: 32, DisableCompression: true}}
	defer m.client.CloseIdleConnections()

	first := startForward(t, dir, env...)
	running, stopRunning := context.WithCancel(t.Context())
	var half sync.WaitGroup
	half.Go(func() { m.run(running, first.URL, n) })
	harness.Eventually(t, 5*time.Minute, "half of the requests are made", func() bool { return m.next.Load() > int64(n/2) })
	killed := time.Now()
	first.Kill()
	stopRunning()
	half.Wait()
	second := startForward(t, dir, env...)
	m.run(t.Context(), second.URL, n)
	second.Stop()

	m.check(up.requests(), dir, killed)
	m.checkReport(dir, env)
}

// mixed is a run and its clients.
type mixed struct {
	t      *testing.T
	kinds  []ending
	client *http.Transport
	next   atomic.Int64

	sums totals // what the ledger's rows add up to
}

type totals struct{ requests, estimated, cost, estimatedCost, input, output, saved int64 }

// kind is how case i goes. Its number in its kind determines its prompt.
func (m *mixed) kind(i int) (*ending, int) { return &m.kinds[i%len(m.kinds)], i / len(m.kinds) }

// run makes the requests that are left, 16 at a time.
func (m *mixed) run(ctx context.Context, gateway string, n int) {
	var workers sync.WaitGroup
	for range 16 {
		workers.Go(func() {
			for ctx.Err() == nil {
				i := int(m.next.Add(1))
				if i > n {
					return
				}
				m.one(ctx, gateway, i)
			}
		})
	}
	workers.Wait()
}

// one makes a request. Its answer is not checked: its row in the ledger is.
func (m *mixed) one(ctx context.Context, gateway string, i int) {
	k, number := m.kind(i)
	if k.within != nil {
		var leave context.CancelFunc
		ctx, leave = context.WithTimeout(ctx, k.within())
		defer leave()
	}
	ctx, leave := context.WithCancel(ctx)
	defer leave()
	if k.repeat {
		number %= 10
	}
	prompt := strings.TrimSpace(fmt.Sprintf("case %d", number) + strings.Repeat(" word", number%17))
	path, body := chatPath, chatBody("gpt-4o-mini", prompt, k.fields)
	if k.path != "" {
		path, body = k.path, k.body(prompt)
	}
	r, err := http.NewRequestWithContext(ctx, "POST", gateway+path, strings.NewReader(body))
	if err != nil {
		m.t.Error(err)
		return
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Authorization", "Bearer "+mixedKey)
	r.Header.Set("X-User-ID", caseName(i))
	r.Header.Set("X-Case", caseName(i))
	if k.script != "" {
		// The scripts that fail once go by their name, and a status may have
		// zeros before it.
		r.Header.Set("X-Script", strings.ReplaceAll(k.script, "%s", strings.Repeat("0", number)))
	}
	res, err := m.client.RoundTrip(r)
	if err != nil {
		return
	}
	defer res.Body.Close()
	if k.leave {
		io.ReadFull(res.Body, make([]byte, 600))
		return
	}
	io.Copy(io.Discard, res.Body)
}

func caseName(i int) string { return fmt.Sprintf("case-%d", i) }

// entry is a row of the ledger.
type entry struct {
	user, cause, cache, model  string
	status, attempts           int
	input, output, cost, saved int64
	estimated, priced          bool
}

// check compares rows and records, one by one and in sum.
func (m *mixed) check(records []upstreamtest.Request, dir string, killed time.Time) {
	rows := m.rows(filepath.Join(dir, "data", "forward.db"))
	asked := map[string][]upstreamtest.Request{}
	for _, r := range records {
		name := r.Header.Get("X-Case")
		asked[name] = append(asked[name], r)
	}
	var wantCost, gotCost, wantTokens, gotTokens int64
	var lost, interrupted, hits int
	endings := map[string]int{}
	for i := 1; i < int(m.next.Load()); i++ {
		k, _ := m.kind(i)
		name := caseName(i)
		calls, list := asked[name], rows[name]
		delete(rows, name)
		wrong := func(format string, args ...any) {
			m.t.Errorf("%s, %s: %s; %d calls, rows %+v", name, k.name, fmt.Sprintf(format, args...), len(calls), list)
		}
		switch {
		case len(list) > 1:
			wrong("more than one row")
			continue
		case len(list) == 0 && len(calls) > 0:
			if last := calls[len(calls)-1].Time; last.Before(killed.Add(-lostAtKill)) || last.After(killed.Add(time.Second)) {
				wrong("no row, %v before the kill", killed.Sub(last))
			}
			lost++
			continue
		case len(list) == 0:
			continue // it left, or the gateway was gone, before the upstream was asked
		}
		row := list[0]
		if row.cause == "interrupted" {
			interrupted++
			if len(calls) > 0 && m.over(k, calls, killed.Add(-lostAtKill)) {
				wrong("it was over %v before the kill, and counts as interrupted", killed.Sub(calls[len(calls)-1].Ended))
			}
			if !row.estimated || row.cost == 0 {
				wrong("an interrupted call counts with what was reserved")
			}
			continue
		}
		if row.cache == "hit" {
			hits++
			if len(calls) != 0 || row.cost != 0 || row.saved == 0 || !k.repeat {
				wrong("a hit costs nothing and saves something")
			}
			continue
		}
		endings[fmt.Sprintf("%s %d", k.name, row.status)]++
		if row.attempts != len(calls) && row.status != 499 {
			wrong("%d attempts", row.attempts)
			continue
		}
		if !slices.Contains(k.status, row.status) {
			wrong("status %d", row.status)
		}
		switch {
		case row.estimated && row.status == 499 && row.output == 0: // it left before anything was answered, and pays for its prompt
			if k.within == nil && !k.leave || row.input == 0 || row.cost != row.input*k.priceIn() {
				wrong("left, and estimated")
			}
		case row.estimated && !k.seen && (row.cause == "upstream_reset" || row.cause == "client_gone"):
			// The upstream may have worked, and reported nothing: what was
			// reserved stands.
			if row.input == 0 || row.cost != row.input*k.priceIn()+row.output*k.priceOut() {
				wrong("settled at its reservation")
			}
		case row.estimated:
			if !k.seen || row.input == 0 || row.output == 0 || row.cost != row.input*k.priceIn()+row.output*k.priceOut() {
				wrong("estimated")
			}
		case k.usage && row.status == 200 || row.input > 0:
			if k.seen || len(calls) == 0 {
				wrong("what was only seen counts as told")
				continue
			}
			in, out := usageOf(calls[len(calls)-1])
			cost := in*k.priceIn() + out*k.priceOut()
			if row.input != in || row.output != out || row.cost != cost {
				wrong("the upstream told %d+%d, which cost %d", in, out, cost)
			}
			wantCost, gotCost = wantCost+cost, gotCost+row.cost
			wantTokens, gotTokens = wantTokens+in+out, gotTokens+row.input+row.output
		default:
			if row.cost != 0 || row.output != 0 || !row.priced {
				wrong("nothing was answered")
			}
			if k.seen && row.status == 200 {
				wrong("what was seen is not counted")
			}
			if row.status == 499 && len(calls) > 0 {
				wrong("it left when the upstream had been asked, and pays nothing")
			}
		}
	}
	for name, left := range rows {
		if i, _ := strconv.Atoi(strings.TrimPrefix(name, "case-")); i < int(m.next.Load()) {
			m.t.Errorf("rows without a request: %s %+v", name, left)
		}
	}
	if wantCost != gotCost || wantTokens != gotTokens || gotCost == 0 {
		m.t.Errorf("the ledger has %d tokens for %d nano-dollars, the upstream %d for %d", gotTokens, gotCost, wantTokens, wantCost)
	}
	if interrupted == 0 || hits == 0 {
		m.t.Errorf("%d interrupted, %d hits: nothing was tested", interrupted, hits)
	}
	m.t.Logf("%d calls of the upstream; %d tokens for %d nano-dollars reported; %d rows, %d of them estimated; %d hits, %d interrupted, %d lost at the kill; %v",
		len(records), gotTokens, gotCost, m.sums.requests, m.sums.estimated, hits, interrupted, lost, endings)
}

// over reports whether the last call of a case had ended by then and no other
// was to follow it.
func (m *mixed) over(k *ending, calls []upstreamtest.Request, then time.Time) bool {
	last := calls[len(calls)-1]
	retried := strings.HasPrefix(last.Script, "err-") && last.Script != "err-400" && len(calls) == 1 || k.script == "reset-before-headers"
	return !retried && !last.Ended.IsZero() && last.Ended.Before(then)
}

func (k *ending) priceIn() int64 {
	if k.in == 0 {
		return miniIn
	}
	return k.in
}

func (k *ending) priceOut() int64 {
	if k.out == 0 {
		return miniOut
	}
	return k.out
}

// usageOf is what the scripted upstream reports for an ordinary answer: it
// counts words, and answers "You said: " and the prompt.
func usageOf(r upstreamtest.Request) (in, out int64) {
	var prompt string
	for _, path := range []string{"messages.0.content", "contents.0.parts.0.text"} {
		if v := gjson.Get(r.Body, path); v.Exists() {
			prompt = v.String()
		}
	}
	in = int64(len(strings.Fields(prompt)))
	return in, in + 2
}

// rows reads the ledger of a gateway that has stopped, by user.
func (m *mixed) rows(file string) map[string][]entry {
	db, err := sql.Open("sqlite", "file:"+file+"?_pragma=busy_timeout(5000)")
	if err != nil {
		m.t.Fatal(err)
	}
	defer db.Close()
	var open int
	if err := db.QueryRow(`SELECT COUNT(*) FROM usage_open`).Scan(&open); err != nil || open != 0 {
		m.t.Errorf("%d calls are open, error %v", open, err)
	}
	found, err := db.Query(`SELECT user, cause, cache, model, status, attempts, input, output, COALESCE(cost, 0), cost IS NOT NULL, saved, estimated FROM usage_requests`)
	if err != nil {
		m.t.Fatal(err)
	}
	defer found.Close()
	rows := map[string][]entry{}
	for found.Next() {
		var e entry
		if err := found.Scan(&e.user, &e.cause, &e.cache, &e.model, &e.status, &e.attempts, &e.input, &e.output, &e.cost, &e.priced, &e.saved, &e.estimated); err != nil {
			m.t.Fatal(err)
		}
		rows[e.user] = append(rows[e.user], e)
		s := &m.sums
		s.requests, s.cost, s.saved = s.requests+1, s.cost+e.cost, s.saved+e.saved
		s.input, s.output = s.input+e.input, s.output+e.output
		if e.estimated {
			s.estimated, s.estimatedCost = s.estimated+1, s.estimatedCost+e.cost
		}
	}
	if err := found.Err(); err != nil {
		m.t.Fatal(err)
	}
	return rows
}

// checkReport holds what `forward usage` adds up against the rows.
func (m *mixed) checkReport(dir string, env []string) {
	out, errs, status := command(m.t, dir, env, "usage", "-o", "json", "--since", "all")
	var report struct {
		Total map[string]float64 `json:"total"`
	}
	if err := json.Unmarshal([]byte(out), &report); err != nil || status != 0 {
		m.t.Fatalf("exit status %d, error %v: %s", status, err, errs)
	}
	s := m.sums
	for name, want := range map[string]int64{"requests": s.requests, "estimated": s.estimated, "input_tokens": s.input, "output_tokens": s.output,
		"cost_nano_usd": s.cost, "estimated_cost_nano_usd": s.estimatedCost, "saved_nano_usd": s.saved} {
		if got, ok := report.Total[name]; !ok || int64(got) != want {
			m.t.Errorf("usage has %s = %v, the rows have %d: %s", name, got, want, out)
		}
	}
}
