package admin_test

import (
	"encoding/csv"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"forward/internal/dialect"
	"forward/internal/ledger"
	"forward/internal/price"
)

// requestID returns an id of the gateway of a time.
func requestID(at time.Time, n int) string {
	return fmt.Sprintf("req_%012x%020x", at.UnixMilli(), n*7919+1)
}

// withRequests is a fixture with requests of alice and of bob, one of each a
// minute.
func withRequests(t *testing.T) *fixture {
	h := newFixture(t)
	for i := range 40 {
		at := now.Add(-time.Duration(i) * time.Minute)
		for n, name := range []string{"alice", "bob"} {
			r := ledger.Row{ID: requestID(at, 2*i+n), Time: at, Key: h.ids[name], KeyName: name, Route: "openai", Upstream: "openai", Slot: "3", Operation: dialect.Chat,
				Model: "gpt-4o", Status: 200, Cache: "bypass", Attempts: 1, First: 200 * time.Millisecond, Total: time.Second, Session: fmt.Sprint("s", i%4), User: "=cmd()",
				Usage:  dialect.Usage{Input: 100, Output: 20, Total: 120, Raw: []byte(`{"prompt_tokens":100}`)},
				Priced: true, Cost: 450_000, Price: "forward.yaml has a price of gpt-4o",
				Trail: []ledger.Step{{Name: "base url", Text: "number 2"}, {Name: "price", Text: "100 input × $2.50/M = $0.00025"}, {Name: "price", Text: "20 output × $10.00/M = $0.0002"}}}
			if i%10 == 3 {
				r.Status, r.Cause, r.Priced, r.Cost = 429, "rate_limit_exceeded", true, 0
				r.Trail = nil
				r.Refuse(ledger.Refusal{Message: "Rate limit reached.", Limit: "rpm", Scope: "key " + name, Detail: "60 requests a minute", Retry: now.Add(time.Minute)}, 0)
			}
			h.ledger.Record(r)
		}
	}
	if err := h.ledger.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	return h
}

type requestList struct {
	Requests []map[string]any
	Next     *string `json:"next_before"`
	Scanned  *string `json:"scanned_to"`
}

// TestRequestsOfEachRole pages through the requests of each viewer: the
// administrator sees all, a holder its own, without API keys, providers and the
// prices of the settings.
func TestRequestsOfEachRole(t *testing.T) {
	h := withRequests(t)
	for name, want := range map[string]int{"admin": 80, "alice": 40, "bob": 40, "ci": 0} {
		target, n := "/_/api/requests?limit=7&since=2h", 0
		for {
			page := get[requestList](h, target, name)
			for _, r := range page.Requests {
				n++
				if name != "admin" && (r["key_name"] != name || r["slot"] != "" || r["upstream"] != "" || r["price"] != "") {
					t.Errorf("%s sees %v", name, r)
				}
				if r["trail"] != nil || r["usage"] != nil {
					t.Errorf("a page has the trail or the usage: %v", r)
				}
			}
			if page.Next == nil {
				break
			}
			target = "/_/api/requests?limit=7&since=2h&before=" + *page.Next
		}
		if n != want {
			t.Errorf("%s sees %d requests, want %d", name, n, want)
		}
	}
	mine, others := requestID(now, 0), requestID(now, 1)
	for target, want := range map[string]int{
		"requests/" + mine: 200, "requests/" + others: 404, "requests/" + others + "/content": 404, "requests/none": 404, "requests/" + requestID(now, 99): 404,
		"requests?key=bob": 404, "requests?key=alice": 200, "requests?slot=3": 400, "requests?upstream=x": 400, "requests/histogram?key=bob": 404, "requests/histogram?slot=0": 400,
		"latency?key=bob": 404, "usage?by=slot": 400, "usage?key=bob": 404, "usage?key=!bob": 404,
		"requests?since=all": 400, "requests?since=100d": 400, "requests?since=92d": 200, "requests?id=" + mine[:20]: 200, "requests?min_ms=x": 400, "requests?min_cost=-1": 400,
		"requests?before=x": 400, "requests?limit=1001": 400, "requests?format=xml": 400, "requests/histogram?buckets=201": 400, "latency?by=user": 400, "usage?top=0": 400, "usage?compare=next": 400,
	} {
		if w := h.ask(http.MethodGet, "/_/api/"+target, "alice"); w.Code != want {
			t.Errorf("%s: status %d, want %d: %s", target, w.Code, want, w.Body)
		}
	}
	own := get[struct {
		Request   map[string]any
		CostLines []any `json:"cost_lines"`
	}](h, "/_/api/requests/"+mine, "alice")
	if text := fmt.Sprint(own); len(own.CostLines) != 0 || strings.Contains(text, "forward.yaml") || strings.Contains(text, "base url") || strings.Contains(text, "2.50") {
		t.Errorf("a holder sees %s", text)
	}
}

// TestRequestIsExplained shows what a request cost, line by line, and why
// another was refused.
func TestRequestIsExplained(t *testing.T) {
	h := withRequests(t)
	type detail struct {
		Open      bool
		Content   string
		CostLines []struct {
			Name string
			Cost int64  `json:"cost_nano_usd"`
			Rate *int64 `json:"rate_nano_usd_per_million"`
		} `json:"cost_lines"`
		Refusal *struct{ Code, Message, Limit, Scope, Detail, Retry_at string }
	}
	d := get[detail](h, "/_/api/requests/"+requestID(now, 0), "admin")
	if len(d.CostLines) != 2 || d.CostLines[0].Cost+d.CostLines[1].Cost != 450_000 || *d.CostLines[0].Rate != 2_500_000_000 || d.Refusal != nil || d.Content != "no_chat_log" {
		t.Errorf("%+v", d)
	}
	d = get[detail](h, "/_/api/requests/"+requestID(now.Add(-3*time.Minute), 6), "alice")
	if r := d.Refusal; r == nil || r.Code != "rate_limit_exceeded" || r.Limit != "rpm" || r.Scope != "key alice" || r.Message != "Rate limit reached." || r.Detail != "60 requests a minute" || r.Retry_at != "2026-11-21T15:01:00Z" {
		t.Errorf("%+v", d.Refusal)
	}
}

// TestFilesOfRequests reads the CSV and the lines: a cell that a spreadsheet
// would take for a formula has a quote before it.
func TestFilesOfRequests(t *testing.T) {
	h := withRequests(t)
	w := h.ask(http.MethodGet, "/_/api/requests?format=csv&since=2h", "admin")
	table, err := csv.NewReader(w.Body).ReadAll()
	if err != nil || len(table) != 81 || table[0][4] != "user" || table[1][4] != "'=cmd()" || !strings.HasPrefix(w.Header().Get("Content-Type"), "text/csv") {
		t.Errorf("%d lines, %v", len(table), err)
	}
	w = h.ask(http.MethodGet, "/_/api/requests?format=jsonl&since=2h&status=4xx", "alice")
	if lines := strings.Split(strings.TrimSpace(w.Body.String()), "\n"); len(lines) != 4 || !json.Valid([]byte(lines[0])) {
		t.Errorf("%q", lines)
	}
	w = h.ask(http.MethodGet, "/_/api/usage?format=csv&by=user,model", "admin")
	if table, err := csv.NewReader(w.Body).ReadAll(); err != nil || len(table) != 2 || table[1][0] != "'=cmd()" {
		t.Errorf("%v, %v", table, err)
	}
}

// TestHistogramAndLatency count what the page lists.
func TestHistogramAndLatency(t *testing.T) {
	h := withRequests(t)
	type histogram struct {
		Buckets []struct {
			Requests, Errors int64
			Cost             int64 `json:"cost_nano_usd"`
		}
	}
	var requests, errors, cost int64
	for _, b := range get[histogram](h, "/_/api/requests/histogram?since=2h&session=!s3&buckets=50", "alice").Buckets {
		requests += b.Requests
		errors += b.Errors
		cost += b.Cost
	}
	if requests != 30 || errors != 2 || cost != 28*450_000 {
		t.Errorf("%d requests, %d errors, %d", requests, errors, cost)
	}
	type latency struct {
		Groups []struct {
			Value    string
			Requests int64
			First    struct{ P50 float64 } `json:"first_ms"`
		}
	}
	l := get[latency](h, "/_/api/latency?by=model", "alice")
	if len(l.Groups) != 1 || l.Groups[0].Value != "gpt-4o" || l.Groups[0].Requests != 36 || l.Groups[0].First.P50 < 160 || l.Groups[0].First.P50 > 240 {
		t.Errorf("%+v", l)
	}
}

// TestUsageCompares adds the time before, what the month will cost, and the sum
// of the rest.
func TestUsageCompares(t *testing.T) {
	h := newFixture(t)
	for i := range 60 { // a dollar a day, two in the last thirty days
		h.spend(requestID(now.AddDate(0, 0, -i), i), []string{"alice", "bob", "ci"}[i%3], fmt.Sprint("m", i%5), now.AddDate(0, 0, -i), price.Dollar*price.Money(1+b2i(i < 30)))
	}
	if err := h.ledger.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	type usage struct {
		Groups   []map[string]any
		Total    struct{ Cost_nano_usd price.Money }
		Previous *struct{ Cost_nano_usd price.Money }
		Forecast *struct {
			Month           string
			Cost_nano_usd   price.Money
			So_far_nano_usd price.Money
		}
	}
	u := get[usage](h, "/_/api/usage?by=model&since=2026-10-23&until=2026-11-22&top=2&compare=previous&forecast=true", "admin")
	if len(u.Groups) != 3 || u.Groups[0]["model"] != "(other)" || u.Total.Cost_nano_usd != 60*price.Dollar || u.Previous == nil || u.Previous.Cost_nano_usd != 30*price.Dollar {
		t.Errorf("%+v", u)
	}
	// 21 days so far, 9 hours of today and 9 more days, at two dollars a day.
	if f := u.Forecast; f == nil || f.Month != "2026-11" || f.So_far_nano_usd != 42*price.Dollar || f.Cost_nano_usd != 60*price.Dollar+price.Dollar*3/4 {
		t.Errorf("%+v", u.Forecast)
	}
	if u := get[usage](h, "/_/api/usage?compare=previous", "alice"); u.Total.Cost_nano_usd != 21*price.Dollar || u.Previous.Cost_nano_usd < 9*price.Dollar {
		t.Errorf("%+v", u)
	}
}

func b2i(b bool) int {
	if b {
		return 1
	}
	return 0
}
