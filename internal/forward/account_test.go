package forward_test

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"forward/internal/keys"
	"forward/internal/ledger"
	"forward/internal/price"
)

// accounting gives the gateway a ledger, and returns what is in it by the time
// it is asked.
func accounting(t *testing.T) (change func(*setup), rows func(b *bench) []ledger.Row) {
	db := must(sql.Open("sqlite", "file:"+filepath.Join(t.TempDir(), "forward.db")+"?_txlock=immediate&_pragma=journal_mode(wal)&_pragma=busy_timeout(5000)"))(t)
	t.Cleanup(func() { db.Close() })
	accounts := must(ledger.Open(db, ledger.Options{}))(t)
	t.Cleanup(func() { accounts.Close(context.Background()) })
	prices := must(price.NewTable(nil))(t)
	return func(s *setup) { s.Ledger, s.Prices = accounts, prices }, func(b *bench) (rows []ledger.Row) {
		b.gateway.Wait(10 * time.Second)
		if err := accounts.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		ids := must(db.Query(`SELECT id FROM usage_requests ORDER BY time, number`))(t)
		defer ids.Close()
		for ids.Next() {
			var id string
			if err := ids.Scan(&id); err != nil {
				t.Fatal(err)
			}
			row, open, err := accounts.Trail(t.Context(), id)
			if err != nil || open {
				t.Fatal(id, open, err)
			}
			rows = append(rows, row)
		}
		return rows
	}
}

func TestLedgerHasOneRowForEachRequest(t *testing.T) {
	ledger, rows := accounting(t)
	status := 200
	b := start(t, func(w http.ResponseWriter, r *http.Request) {
		if status != 200 {
			w.WriteHeader(status)
			return
		}
		provider(w, r)
	}, func(s *setup) {
		ledger(s)
		caching(memoryCache(t))(s)
		s.TrustUserIDs = true
	})
	b.chat("")
	b.chat(`,"stream":true`, "X-User-ID", "carol")
	b.chat(`,"caching":true`)
	b.chat(`,"caching":true`)
	status = 500
	b.chat("")
	b.do("GET", "/v1/models", "")
	b.chat("", "Authorization", "Bearer fk-nobody") // is no caller's
	got := rows(b)
	for i, want := range []string{
		"alice - chat gpt-4o-mini gpt-4o-mini-2024 200 bypass 9+3 true", "alice carol chat gpt-4o-mini gpt-4o-mini-2024 200 bypass 9+3 true",
		"alice - chat gpt-4o-mini gpt-4o-mini-2024 200 miss 9+3 true", "alice - chat gpt-4o-mini gpt-4o-mini-2024 200 hit 9+3 true",
		"alice - chat gpt-4o-mini - 500 bypass 0+0 true", "alice - models - - 500 bypass 0+0 true",
	} {
		if i >= len(got) {
			t.Fatalf("%d rows", len(got))
		}
		r := got[i]
		or := func(s string) string {
			if s == "" {
				return "-"
			}
			return s
		}
		if line := fmt.Sprintf("%s %s %s %s %s %d %s %d+%d %v", r.KeyName, or(r.User), r.Operation, or(r.Model), or(r.Answered), r.Status, r.Cache, r.Usage.Input, r.Usage.Output, r.Priced); line != want {
			t.Errorf("row %d: %s, want %s (%s)", i, line, want, r.Price)
		}
		if !strings.HasPrefix(r.ID, "req_") || r.Route != "openai" || r.Estimated {
			t.Errorf("row %d: %+v", i, r)
		}
	}
	if len(got) != 6 {
		t.Errorf("%d rows", len(got))
	}
	// gpt-4o-mini: $0.15 and $0.60 a million.
	if got[0].Cost != 9*150+3*600 || got[3].Cost != 0 || got[3].Saved != got[0].Cost || got[4].Cost != 0 {
		t.Errorf("costs %v, %v (saved %v), %v", got[0].Cost, got[3].Cost, got[3].Saved, got[4].Cost)
	}
}

func TestASharedCallIsPaidOnce(t *testing.T) {
	ledger, rows := accounting(t)
	s := newSlow()
	b := start(t, s.serve, func(o *setup) { ledger(o); caching(memoryCache(t))(o) })
	crowd(t, b, s, 20)
	paid, saved := 0, 0
	for _, r := range rows(b) {
		if r.Cost > 0 {
			paid++
		}
		if r.Cache == "hit" && r.Saved > 0 && r.Cost == 0 {
			saved++
		}
	}
	if paid != 1 || saved != 19 {
		t.Errorf("%d paid and %d saved of 20", paid, saved)
	}
}

func TestAnAbortedStreamIsBilledByWhatWasSeen(t *testing.T) {
	ledger, rows := accounting(t)
	b := start(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		for range 10 {
			io.WriteString(w, chunk(`{"content":"word word word "}`, "null"))
			w.(http.Flusher).Flush()
		}
		<-r.Context().Done()
	}, ledger)
	ctx, leave := context.WithCancel(t.Context())
	res, err := b.same(ctx, true)
	if err != nil {
		t.Fatal(err)
	}
	io.ReadFull(res.Body, make([]byte, 1500))
	leave()
	res.Body.Close()
	waitFor(t, "the settling", func() bool { return strings.Contains(b.log.String(), "client_gone") })
	got := rows(b)
	if len(got) != 1 || !got[0].Estimated || got[0].Status != 499 || got[0].Usage.Output < 3 || got[0].Usage.Output > 60 || got[0].Cost == 0 {
		t.Errorf("%+v", got)
	}
}

// TestABrokenStreamIsBilledByWhatWasSeen lets Anthropic's stream end after its
// first event reported one token of output, and more came.
func TestABrokenStreamIsBilledByWhatWasSeen(t *testing.T) {
	ledger, rows := accounting(t)
	b := start(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		io.WriteString(w, "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"id\":\"msg_1\",\"type\":\"message\",\"role\":\"assistant\",\"model\":\"claude-haiku-4-5\","+
			"\"content\":[],\"usage\":{\"input_tokens\":25,\"output_tokens\":1}}}\n\n"+
			"event: content_block_start\ndata: {\"type\":\"content_block_start\",\"index\":0,\"content_block\":{\"type\":\"text\",\"text\":\"\"}}\n\n")
		for range 20 {
			io.WriteString(w, "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"text_delta\",\"text\":\"word \"}}\n\n")
		}
		w.(http.Flusher).Flush()
		panic(http.ErrAbortHandler)
	}, func(s *setup) { ledger(s); s.all = true })
	b.do("POST", "/anthropic/v1/messages", `{"model":"claude-haiku-4-5","max_tokens":100,"stream":true,"messages":[{"role":"user","content":"hi"}]}`)
	got := rows(b)
	if len(got) != 1 || !got[0].Estimated || got[0].Usage.Input != 25 || got[0].Usage.Output < 20 || got[0].Usage.Output > 40 ||
		int64(got[0].Cost) != 25*1000+got[0].Usage.Output*5000 {
		t.Errorf("%+v", got)
	}
}

func TestBudgetsHold(t *testing.T) {
	ledger, rows := accounting(t)
	b := start(t, provider, func(s *setup) {
		ledger(s)
		s.keys = append(s.keys, keys.Key{Name: "carol", Secret: keys.NewSecret("fk-carol"), Policy: keys.Policy{Budgets: []keys.Budget{{Unit: "tokens", Amount: 500, Period: "month"}}}},
			keys.Key{Name: "dave", Secret: keys.NewSecret("fk-dave"), Policy: keys.Policy{Budgets: []keys.Budget{{Unit: "usd", Amount: 1_000_000_000, Period: "total"}}}})
	})
	ask := func(key, model string) answer {
		return b.do("POST", "/v1/chat/completions", `{"model":"`+model+`","messages":[{"role":"user","content":"hi"}],"max_tokens":50}`, "Authorization", "Bearer "+key)
	}
	var wg sync.WaitGroup
	var mu sync.Mutex
	statuses := map[int]int{}
	for range 100 {
		wg.Go(func() {
			a := ask("fk-carol", "gpt-4o-mini")
			mu.Lock()
			defer mu.Unlock()
			if statuses[a.StatusCode]++; a.StatusCode == 402 {
				if a.Header.Get("X-Should-Retry") != "false" || a.Header.Get("Retry-After")+a.Header.Get("Retry-After-Ms") != "" || !strings.Contains(a.body, "insufficient_quota") {
					t.Errorf("%v: %s", a.Header, a.body)
				}
			}
		})
	}
	wg.Wait()
	spent := int64(0)
	for _, r := range rows(b) {
		spent += r.Usage.Input + r.Usage.Output
	}
	if spent > 500+62 || statuses[200] == 0 || statuses[402] == 0 || statuses[200]+statuses[402] != 100 {
		t.Errorf("%d tokens spent of 500, %v", spent, statuses)
	}
	ask("fk-dave", "gpt-4o-mini").want(t, 200)
	ask("fk-dave", "my-own-model").want(t, 403, "model_not_allowed", "price")
	ask("fk-alice", "my-own-model").want(t, 200)
}

func TestPolicies(t *testing.T) {
	key := func(name string, p keys.Policy) keys.Key {
		return keys.Key{Name: name, Secret: keys.NewSecret("fk-" + name), Policy: p}
	}
	b := start(t, provider, func(s *setup) {
		s.all = true
		s.keys = append(s.keys, key("models", keys.Policy{Models: []string{"gpt-*", "!gpt-5*"}}), key("routes", keys.Policy{Routes: []string{"anthropic"}}),
			key("far", keys.Policy{IPs: []netip.Prefix{netip.MustParsePrefix("203.0.113.0/24")}}), key("slow", keys.Policy{RPM: 2}), key("small", keys.Policy{TPM: 100}))
	})
	ask := func(key, path, model string) answer {
		return b.do("POST", path, `{"model":"`+model+`","messages":[],"max_tokens":10}`, "Authorization", "Bearer fk-"+key)
	}
	const chat = "/v1/chat/completions"
	ask("models", chat, "gpt-4").want(t, 200)
	ask("models", chat, "gpt-5-mini").want(t, 403, "model_not_allowed")
	ask("models", chat, "o3").want(t, 403, "model_not_allowed")
	b.do("POST", "/v1/fine_tuning/jobs", `{"model":"o3"}`, "Authorization", "Bearer fk-models").want(t, 403, "operation_not_allowed", "POST /v1/fine_tuning/jobs", "--unknown-operations allow")
	ask("routes", chat, "gpt-4").want(t, 403, "route_not_allowed")
	ask("routes", "/anthropic/v1/messages", "claude-1").want(t, 200)
	ask("far", chat, "gpt-4").want(t, 403, "ip_not_allowed")
	for _, want := range []int{200, 200, 429} {
		ask("slow", chat, "gpt-4").want(t, want)
	}
	b.do("POST", chat, `{"model":"gpt-4","messages":[],"max_tokens":200}`, "Authorization", "Bearer fk-small").want(t, 400, "request_too_large", "larger than the limit")
	ask("small", chat, "gpt-4").want(t, 200)
}

func TestBudgetWithoutLedger(t *testing.T) {
	b := start(t, provider, func(s *setup) {
		s.keys = append(s.keys, keys.Key{Name: "carol", Secret: keys.NewSecret("fk-carol"), Policy: keys.Policy{Budgets: []keys.Budget{{Unit: "usd", Amount: 1, Period: "month"}}}})
	})
	b.chat("", "Authorization", "Bearer fk-carol").want(t, 503, "ledger_unavailable", "LEDGER")
	if b.calls() != 0 {
		t.Error("it was served, though nothing holds it to its budget")
	}
}

// TestWhoLeavesAfterAskingPaysForThePrompt lets clients leave while the
// upstream thinks, in each dialect, and before it has sent a byte of its answer
// or after its headers. The ledger, the budget and the metrics have the prompt,
// and be marked as estimated. An answer that is no stream is made unseen, so
// what was reserved for it counts.
func TestWhoLeavesAfterAskingPaysForThePrompt(t *testing.T) {
	for _, c := range []struct {
		name, path, body string
		price            int64 // of a prompt token, in nano-dollars
	}{
		{"chat", "/v1/chat/completions", `{"model":"gpt-4o-mini","max_tokens":100,"messages":[{"role":"user","content":"one two three four five"}]}`, 150},
		{"responses", "/v1/responses", `{"model":"gpt-4o-mini","max_output_tokens":100,"stream":true,"input":"one two three four five"}`, 150},
		{"messages", "/anthropic/v1/messages", `{"model":"claude-haiku-4-5","max_tokens":100,"messages":[{"role":"user","content":"one two three four five"}]}`, 1000},
		{"generate", "/gemini/v1beta/models/gemini-2.5-flash:streamGenerateContent?alt=sse", `{"contents":[{"role":"user","parts":[{"text":"one two three four five"}]}]}`, 300},
	} {
		for _, headers := range []int{0, 200, 400} {
			t.Run(fmt.Sprintf("%s after %d", c.name, headers), func(t *testing.T) {
				account, rows := accounting(t)
				arrived := make(chan struct{})
				budget := []keys.Budget{{Unit: "usd", Amount: 1_000_000_000, Period: "total"}}
				var accounts *ledger.Ledger
				b := start(t, func(w http.ResponseWriter, r *http.Request) {
					if headers > 0 {
						w.Header().Set("Content-Type", "text/event-stream")
						w.WriteHeader(headers)
						io.WriteString(w, ": no word yet\n\n")
						w.(http.Flusher).Flush()
					}
					close(arrived)
					<-r.Context().Done()
				}, func(s *setup) {
					account(s)
					s.all, accounts = true, s.Ledger
					s.keys = []keys.Key{{Name: "alice", Secret: keys.NewSecret("fk-alice"), Policy: keys.Policy{Budgets: budget}}}
				})
				ctx, leave := context.WithCancel(t.Context())
				defer leave()
				r := must(http.NewRequestWithContext(ctx, "POST", b.url+c.path, strings.NewReader(c.body)))(t)
				r.Header.Set("Authorization", "Bearer fk-alice")
				r.Header.Set("Content-Type", "application/json")
				if headers == 0 {
					go func() {
						<-arrived
						leave()
					}()
				}
				if res, err := plainTransport.RoundTrip(r); err == nil {
					io.ReadFull(res.Body, make([]byte, 5))
					leave()
					res.Body.Close()
				}
				waitFor(t, "the settling", func() bool { return strings.Contains(b.log.String(), "client_gone") })
				got := rows(b)
				if len(got) != 1 || got[0].Status != 499 {
					t.Fatalf("%+v", got)
				}
				row := got[0]
				want := row.Usage.Input > 3 && row.Usage.Input < 30 && row.Estimated
				if headers == 400 { // a refusal is free
					want = row.Usage.Input == 0 && !row.Estimated
				}
				cost := row.Usage.Input * c.price
				if headers == 0 && !row.Stream {
					want = want && row.Usage.Output == 100 && int64(row.Cost) > cost
				} else {
					want = want && row.Usage.Output == 0 && int64(row.Cost) == cost
				}
				if !want || !row.Priced {
					t.Errorf("%d+%d estimated %v: %v, %s", row.Usage.Input, row.Usage.Output, row.Estimated, row.Cost, row.Price)
				}
				balances, err := accounts.Balances(t.Context(), row.Key, []usageBudget{{Unit: "usd", Amount: 1_000_000_000, Period: "total"}})
				if err != nil || balances[0].Spent != int64(row.Cost) || balances[0].Held != 0 {
					t.Errorf("the budget has %+v (%v), the ledger %v", balances, err, row.Cost)
				}
			})
		}
	}
}

type usageBudget = ledger.Budget

// TestWhoLeavesBeforeAskingPaysNothing lets a client leave while the upstream
// cannot be connected to.
func TestWhoLeavesBeforeAskingPaysNothing(t *testing.T) {
	ledger, rows := accounting(t)
	b := start(t, provider, func(s *setup) {
		ledger(s)
		s.Retries = 5
	})
	b.upstream.Close() // nothing listens any more
	ctx, leave := context.WithCancel(t.Context())
	defer leave()
	go func() { // in a pause between two tries
		for ctx.Err() == nil && !strings.Contains(b.log.String(), "trying again") {
			time.Sleep(time.Millisecond)
		}
		leave()
	}()
	if res, err := b.same(ctx, false); err == nil {
		res.Body.Close()
	}
	waitFor(t, "the settling", func() bool { return strings.Contains(b.log.String(), "client_gone") })
	if got := rows(b); len(got) != 1 || got[0].Usage.Input != 0 || got[0].Cost != 0 || !got[0].Priced {
		t.Errorf("%+v", got)
	}
}

// TestServiceTiersArePriced answers as the tier that was asked for. Where it
// has no known price the row is unpriced, and a budget in dollars lets no
// caller ask for it.
func TestServiceTiersArePriced(t *testing.T) {
	ledger, rows := accounting(t)
	b := start(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		var asked struct {
			Model string
			Tier  string `json:"service_tier"`
		}
		json.Unmarshal(body, &asked)
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprintf(w, `{"id":"c","object":"chat.completion","model":%q,"service_tier":%q,"choices":[{"index":0,"message":{"role":"assistant","content":"a"},"finish_reason":"stop"}],"usage":{"prompt_tokens":1000,"completion_tokens":100}}`, asked.Model, asked.Tier)
	}, func(s *setup) {
		ledger(s)
		s.keys = append(s.keys, keys.Key{Name: "carol", Secret: keys.NewSecret("fk-carol"), Policy: keys.Policy{Budgets: []keys.Budget{{Unit: "usd", Amount: 1_000_000_000, Period: "total"}}}})
	})
	ask := func(key, model, tier string) answer {
		return b.do("POST", "/v1/chat/completions", `{"model":"`+model+`","messages":[{"role":"user","content":"hi"}],"max_tokens":50,"service_tier":"`+tier+`"}`, "Authorization", "Bearer "+key)
	}
	for _, tier := range []string{"default", "flex", "priority"} {
		ask("fk-alice", "gpt-5.4", tier).want(t, 200)
	}
	ask("fk-alice", "o4-mini", "priority").want(t, 200)
	ask("fk-carol", "gpt-5.4", "priority").want(t, 200)
	ask("fk-carol", "o4-mini", "flex").want(t, 200)
	ask("fk-carol", "o4-mini", "priority").want(t, 403, "model_not_allowed", "price")
	got := rows(b)
	for i, want := range []string{
		"default $0.004 true", "flex $0.002 true", "priority $0.008 true", "priority $0.00 false", "priority $0.008 true", "flex $0.00077 true", " $0.00 true",
	} {
		if line := fmt.Sprintf("%s %v %v", got[i].Tier, got[i].Cost, got[i].Priced); line != want {
			t.Errorf("row %d: %s, want %s (%s)", i, line, want, got[i].Price)
		}
	}
	if got[3].Price != "no price of input for o4-mini served as priority" {
		t.Error(got[3].Price)
	}
}
