package forward_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"forward/internal/forward"
	"forward/internal/keys"
	"forward/internal/ledger"
	"forward/internal/limits"
	"forward/internal/queue"
)

const dollar = 1_000_000_000 // in nano-dollars

// carol gives fk-carol a policy, and the gateway the routes of all dialects.
func carol(p keys.Policy, more ...func(*setup)) func(*setup) {
	return func(s *setup) {
		s.all = true
		s.keys = append(s.keys, keys.Key{Name: "carol", Secret: keys.NewSecret("fk-carol"), Policy: p})
		for _, change := range more {
			change(s)
		}
	}
}

// budget is the policy of a key with a budget.
func budget(unit string, amount int64) keys.Policy {
	return keys.Policy{Budgets: []keys.Budget{{Unit: unit, Amount: amount, Period: "total"}}}
}

// asCarol sends a request of fk-carol.
func (b *bench) asCarol(path, body string) answer {
	b.t.Helper()
	return b.do("POST", path, body, "Authorization", "Bearer fk-carol")
}

// balance returns what fk-carol has spent of a budget, and what is held.
func (b *bench) balance(unit ledger.Unit) (spent, held int64) {
	b.t.Helper()
	key := must(b.gateway.Ring.Lookup("fk-carol"))(b.t)
	list := must(b.gateway.Ledger.Balances(b.t.Context(), key.ID(), []ledger.Budget{{Unit: unit, Amount: 1 << 60, Period: ledger.Total}}))(b.t)
	return list[0].Spent, list[0].Held
}

// abort ends the connection in the middle of an answer.
func abort(w http.ResponseWriter) {
	w.(http.Flusher).Flush()
	panic(http.ErrAbortHandler)
}

// answering returns a handler with one answer.
func answering(status int, contentType, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", contentType)
		w.WriteHeader(status)
		io.WriteString(w, body)
	}
}

const (
	chatPath  = "/v1/chat/completions"
	chatAsked = `{"model":"gpt-4o-mini","max_tokens":100,"messages":[{"role":"user","content":"one two three four five"}]}`
)

// TestCasesOfSettlement answers in forms that report no usage. The row, both
// kinds of budgets, the quota and the queue have the same usage then.
func TestCasesOfSettlement(t *testing.T) {
	const json, html = "application/json", "text/html"
	for _, c := range []struct {
		name, path, body string
		handler          http.HandlerFunc
		least, most      int64 // tokens
	}{
		{"M6 a plain answer without usage", chatPath, chatAsked, answering(200, json, `{"id":"c","object":"chat.completion","model":"gpt-4o-mini","choices":[{"index":0,"message":{"role":"assistant","content":"a b c"},"finish_reason":"stop"}]}`), 14, 120},
		{"an error in a 200", chatPath, chatAsked, answering(200, json, `{"error":{"message":"down"}}`), 10, 120},
		{"a page", chatPath, chatAsked, answering(200, html, "<html>hi</html>"), 100, 120},
		{"no content", chatPath, chatAsked, answering(204, "", ""), 100, 120},
		{"a cut answer", chatPath, chatAsked, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", json)
			io.WriteString(w, `{"id":"c","choices":[`)
			abort(w)
		}, 10, 120},
		{"a stream cut before its first word", chatPath, strings.Replace(chatAsked, "{", `{"stream":true,`, 1), func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "text/event-stream")
			io.WriteString(w, ": hello\n\n")
			abort(w)
		}, 10, 120},
		{"a reset before the answer", chatPath, chatAsked, func(w http.ResponseWriter, r *http.Request) { panic(http.ErrAbortHandler) }, 100, 120},
		{"speech", "/v1/audio/speech", `{"model":"gpt-4o-mini","input":"one two three four five","voice":"alloy"}`, answering(200, "audio/mpeg", "\xff\xfb\x90"), 20, 120},
		{"an embedding", "/v1/embeddings", `{"model":"text-embedding-3-small","input":"one two three four five"}`, answering(200, json, `{"object":"list","data":[{"embedding":[1]}]}`), 5, 5},
		{"messages", "/anthropic/v1/messages", `{"model":"claude-haiku-4-5","max_tokens":100,"messages":[{"role":"user","content":"one two three four five"}]}`, answering(200, html, "hi"), 100, 130},
		{"generate", "/gemini/v1beta/models/gemini-2.5-flash:generateContent", `{"contents":[{"parts":[{"text":"one two three four five"}]}],"generationConfig":{"maxOutputTokens":100}}`, answering(200, html, "hi"), 100, 130},
		{"an error costs nothing", chatPath, chatAsked, answering(500, json, `{"error":{"message":"down"}}`), 0, 0},
		{"a refusal costs nothing", chatPath, chatAsked, answering(400, json, `{"error":{"message":"no"}}`), 0, 0},
		{"a moderation is free", "/v1/moderations", `{"input":"one two three"}`, answering(200, json, `{"id":"m","results":[{"flagged":false}]}`), 3, 3},
	} {
		t.Run(c.name, func(t *testing.T) {
			account, rows := accounting(t)
			p := budget("usd", dollar)
			p.Budgets = append(p.Budgets, keys.Budget{Unit: "tokens", Amount: 100_000, Period: "total"})
			b := start(t, c.handler, carol(p, account, quotas(limits.Quota{Scope: limits.ScopeGlobal, TokensPerDay: 1_000_000}),
				lined(queue.Rule{Models: "*", Model: queue.Model{TPM: 6_000, MaxQueue: 1}})))
			b.asCarol(c.path, c.body)
			got := rows(b)
			if len(got) != 1 {
				t.Fatalf("%d rows", len(got))
			}
			row := got[0]
			tokens := row.Usage.Input + row.Usage.Output
			if tokens < c.least || tokens > c.most || row.Estimated != (c.most > 0) || !row.Priced || (row.Cost > 0) != (c.most > 3) || row.Unmetered {
				t.Errorf("%d tokens, estimated %v, cost %s (priced %v: %s), unmetered %v", tokens, row.Estimated, row.Cost, row.Priced, row.Price, row.Unmetered)
			}
			spent, held := b.balance(ledger.USD)
			if spent != int64(row.Cost) || held != 0 {
				t.Errorf("the budget in dollars has %d spent and %d held, the row cost %s", spent, held, row.Cost)
			}
			if spent, held := b.balance(ledger.Tokens); spent != tokens || held != 0 {
				t.Errorf("the budget in tokens has %d spent and %d held, the row %d", spent, held, tokens)
			}
			if _, left := left(b.gateway.Scheduler); left < 6_000-tokens || left > 6_050-tokens/2 {
				t.Errorf("the queue has %d tokens left after %d", left, tokens)
			}
			quota := must(b.gateway.Quotas.Reserve(context.Background(), limits.Subject{}, limits.Estimate{}))(t)
			h := http.Header{}
			quota.SetHeader(h)
			if want := fmt.Sprint(1_000_000 - tokens); h.Get("X-Ratelimit-Remaining-Tokens") != want {
				t.Errorf("the quota has %s tokens left, want %s", h.Get("X-Ratelimit-Remaining-Tokens"), want)
			}
		})
	}
}

// TestCasesOfReservations looks at what is held while a request is under way.
func TestCasesOfReservations(t *testing.T) {
	completion := func(fields string) string { return `{"model":"gpt-3.5-turbo-instruct",` + fields + `}` }
	generate := func(config string) string { return `{"contents":[{"parts":[{"text":"hi"}]}],` + config + `}` }
	const gemini = "/gemini/v1beta/models/gemini-2.5-flash:generateContent"
	for _, c := range []struct {
		name, path, body string
		least, most      int64 // tokens held
	}{
		{"M7 n without max_tokens", chatPath, `{"model":"gpt-4o","n":128,"messages":[]}`, 128 * 16_384, 128*16_384 + 20},
		{"M7 n in a string", chatPath, `{"model":"gpt-4o","n":"128","messages":[]}`, 128 * 16_384, 128*16_384 + 20},
		{"M7 n with max_tokens", chatPath, `{"model":"gpt-4o","n":3,"max_tokens":100,"messages":[]}`, 300, 320},
		{"M7 best_of", "/v1/completions", completion(`"prompt":"hi","best_of":20,"max_tokens":100`), 2000, 2010},
		{"M7 several prompts", "/v1/completions", completion(`"prompt":["a","b","c"],"n":2,"max_tokens":100`), 600, 610},
		{"M7 candidateCount", gemini, generate(`"generationConfig":{"candidateCount":8,"maxOutputTokens":100}`), 800, 820},
		{"M7 candidate_count", gemini, generate(`"generation_config":{"candidate_count":8,"max_output_tokens":100}`), 800, 820},
		{"M7 mixed spellings", gemini, generate(`"generationConfig":{"candidate_count":"8","maxOutputTokens":100}`), 800, 820},
		{"M7 candidates without a bound", gemini, generate(`"generationConfig":{"candidateCount":2}`), 2 * 65_000, 2*70_000 + 20},
		{"the model's own maximum", chatPath, `{"model":"gpt-4o","max_tokens":1000000,"messages":[]}`, 16_384, 16_384 + 20},
		{"a field that the API ignores", "/v1/responses", `{"model":"gpt-4o","max_tokens":1,"input":"hi"}`, 16_384, 16_384 + 20},
		{"no bound, below zero", chatPath, `{"model":"gpt-4o","max_tokens":-1,"messages":[]}`, 16_384, 16_384 + 20},
		{"an embedding has no answer", "/v1/embeddings", `{"model":"text-embedding-3-small","input":"one two three"}`, 3, 13},
		{"moderation", "/v1/moderations", `{"input":"one two three"}`, 0, 13},
		{"a transcription", "/v1/audio/transcriptions", `--x`, 1000, 20_000},
	} {
		t.Run(c.name, func(t *testing.T) {
			account, _ := accounting(t)
			var b *bench
			var held atomic.Int64
			p := budget("tokens", 1<<40)
			p.Overrun = "allow"
			b = start(t, func(w http.ResponseWriter, r *http.Request) {
				_, h := b.balance(ledger.Tokens)
				held.Store(h)
				w.WriteHeader(400)
			}, carol(p, account))
			b.asCarol(c.path, c.body).want(t, 400)
			if h := held.Load(); h < c.least || h > c.most {
				t.Errorf("%d tokens were held, want %d to %d", h, c.least, c.most)
			}
		})
	}
}

func TestCasesOfSmallBudgets(t *testing.T) {
	ask := func(fields string) string { return `{"model":"gpt-4o-mini","messages":[]` + fields + `}` }
	for _, c := range []struct {
		name, unit string
		amount     int64
		body       string
		status     int
		words      []string
	}{
		{"M9 more than is left", "usd", dollar / 20, ask(`,"max_tokens":1000000000`), 402, []string{"insufficient_quota", "$600.00", "$0.05", "max_tokens"}},
		{"M9 of a real bound", "usd", dollar / 1000, ask(`,"max_tokens":16000`), 402, []string{"insufficient_quota", "$0.0096", "$0.001 is left"}},
		{"M9 of many answers", "usd", dollar / 100, ask(`,"n":100`), 402, []string{"insufficient_quota"}},
		{"M9 in tokens", "tokens", 2000, ask(`,"max_tokens":5000`), 402, []string{"2000 tokens is left", "max_tokens"}},
		{"M9 an ordinary request starts", "usd", dollar / 1000, ask(``), 200, nil},
		{"M9 what fits", "usd", dollar / 100, ask(`,"max_tokens":16000`), 200, nil},
		{"absurd max_tokens", "usd", dollar, ask(`,"max_tokens":1e12`), 400, []string{"invalid_body", `"param":"max_tokens"`}},
		{"absurd n", "usd", dollar, ask(`,"n":-3`), 400, []string{"invalid_body", `"param":"n"`}},
		{"half an answer", "usd", dollar, ask(`,"n":1.5`), 400, []string{"invalid_body"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			account, _ := accounting(t)
			b := start(t, provider, carol(budget(c.unit, c.amount), account))
			a := b.asCarol(chatPath, c.body)
			a.want(t, c.status, c.words...)
			if calls := b.calls(); calls != map[bool]int{true: 1}[c.status == 200] {
				t.Errorf("%d calls", calls)
			}
			if a.StatusCode == 402 && a.Header.Get("X-Should-Retry") != "false" {
				t.Errorf("%v", a.Header)
			}
		})
	}
	t.Run("M9 overrun: allow", func(t *testing.T) {
		account, _ := accounting(t)
		p := budget("usd", dollar/1000)
		p.Overrun = "allow"
		b := start(t, provider, carol(p, account))
		b.asCarol(chatPath, ask(`,"max_tokens":16000`)).want(t, 200)
	})
	t.Run("M9 known answers count instead of max_tokens", func(t *testing.T) {
		account, _ := accounting(t)
		b := start(t, provider, carol(budget("usd", dollar/200), account))
		agent := ask(`,"max_tokens":16000`) // $0.0096
		b.asCarol(chatPath, agent).want(t, 402)
		for range 16 {
			b.chat("").want(t, 200)
		}
		b.gateway.Wait(10 * time.Second)
		b.asCarol(chatPath, agent).want(t, 200)
		b.asCarol(chatPath, ask(`,"max_tokens":1000000000`)).want(t, 402) // which the model cannot mean
	})
}

func TestCasesOfLargeRequests(t *testing.T) {
	agent := `{"model":"gpt-4o-mini","max_tokens":64000,"messages":[{"role":"user","content":"hi"}]}`
	long := `{"model":"gpt-4o-mini","max_tokens":10,"messages":[{"role":"user","content":"` + strings.Repeat("word ", 40_000) + `"}]}`
	for name, change := range map[string]func(*setup){
		"F4 the key's tpm":               carol(keys.Policy{TPM: 30_000}),
		"F4 a quota":                     carol(keys.Policy{}, quotas(limits.Quota{Scope: limits.ScopeUser, TokensPerMinute: 1}, limits.Quota{Scope: limits.ScopeModel, TokensPerMinute: 30_000})),
		"F4 a quota of output and input": carol(keys.Policy{}, quotas(limits.Quota{Scope: limits.ScopeKey, OutputPerMinute: 30_000, InputPerMinute: 30_000})),
		"F4 the model's tpm":             carol(keys.Policy{}, lined(queue.Rule{Models: "*", Model: queue.Model{TPM: 30_000, MaxQueue: 9, MaxWait: time.Second}})),
	} {
		t.Run(name, func(t *testing.T) {
			b := start(t, provider, change)
			for range 5 {
				b.asCarol(chatPath, agent).want(t, 200)
				b.gateway.Wait(10 * time.Second)
			}
			a := b.asCarol(chatPath, long)
			a.want(t, 400, "request_too_large", "30000")
			if a.Header.Get("Retry-After") != "" || a.Header.Get("X-Should-Retry") != "false" {
				t.Errorf("%v", a.Header)
			}
		})
	}
	t.Run("F4 long answers make no request impossible", func(t *testing.T) {
		b := start(t, answering(200, "application/json", strings.Replace(chatBody, `"completion_tokens":3`, `"completion_tokens":60000`, 1)),
			carol(keys.Policy{TPM: 30_000}, lined(queue.Rule{Models: "*", Model: queue.Model{TPM: 1 << 30, MaxQueue: 9, MaxWait: time.Second}})))
		b.do("POST", chatPath, agent).want(t, 200)
		b.gateway.Wait(10 * time.Second)
		_, before := left(b.gateway.Scheduler)
		b.asCarol(chatPath, agent).want(t, 200)
		b.gateway.Wait(10 * time.Second)
		if _, after := left(b.gateway.Scheduler); before-after > 70_000 {
			t.Errorf("%d tokens are left of %d", after, before)
		}
		b.asCarol(chatPath, agent).want(t, 429, "rate_limit_exceeded") // the debt of the one before
	})
}

// TestBudgetsHoldInParallel starts 100 requests with several answers at once.
func TestBudgetsHoldInParallel(t *testing.T) {
	for _, c := range []struct{ unit, path, body string }{
		{"usd", chatPath, `{"model":"gpt-4o-mini","n":4,"max_tokens":100,"messages":[]}`},
		{"tokens", chatPath, `{"model":"gpt-4o-mini","n":4,"max_tokens":100,"messages":[]}`},
		{"usd", "/v1/completions", `{"model":"gpt-3.5-turbo-instruct","best_of":4,"max_tokens":100,"prompt":"hi"}`},
		{"usd", chatPath, `{"model":"gpt-4o-mini","n":4,"messages":[]}`},
	} {
		t.Run(c.unit+c.path, func(t *testing.T) {
			account, rows := accounting(t)
			one := map[string]int64{"usd": 400 * 2000, "tokens": 420}[c.unit] // at the dearer rate of the two models
			amount := 5 * one
			b := start(t, func(w http.ResponseWriter, r *http.Request) {
				time.Sleep(5 * time.Millisecond)
				w.Header().Set("Content-Type", "application/json")
				io.WriteString(w, `{"id":"c","object":"chat.completion","model":"x","choices":[{"index":0,"message":{"role":"assistant","content":"a"},"text":"a","finish_reason":"stop"}],"usage":{"prompt_tokens":9,"completion_tokens":400,"total_tokens":409}}`)
			}, carol(func() keys.Policy { p := budget(c.unit, amount); p.Overrun = "allow"; return p }(), account))
			var wg sync.WaitGroup
			for range 100 {
				wg.Go(func() { b.asCarol(c.path, c.body) })
			}
			wg.Wait()
			spent := int64(0)
			for _, r := range rows(b) {
				if c.unit == "usd" {
					spent += int64(r.Cost)
				} else {
					spent += r.Usage.Input + r.Usage.Output
				}
			}
			if spent == 0 || spent > amount+one+10_000 {
				t.Errorf("%d spent of %d, and one request is %d", spent, amount, one)
			}
		})
	}
}

// TestABudgetHoldsForTheFallback asks a dearer model instead, and one without a
// price.
func TestABudgetHoldsForTheFallback(t *testing.T) {
	account, rows := accounting(t)
	var b *bench
	b = start(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		if !strings.Contains(string(body), `"gpt-4o"`) {
			w.WriteHeader(http.StatusTooManyRequests)
			return
		}
		if _, held := b.balance(ledger.USD); held < 1000*10_000 {
			t.Errorf("%d held for 1000 tokens of gpt-4o", held)
		}
		provider(w, r)
	}, carol(budget("usd", dollar/10), account, func(s *setup) {
		s.Fallbacks = []forward.Fallback{{Models: "gpt-4o-mini", Instead: []string{"gpt-4o"}}, {Models: "gpt-4.1-mini", Instead: []string{"mystery"}}, {Models: "gpt-4.1-nano", Instead: []string{"o1-pro"}}}
	}))
	ask := func(model string) answer {
		return b.asCarol(chatPath, `{"model":"`+model+`","max_tokens":1000,"messages":[]}`)
	}
	ask("gpt-4o-mini").want(t, 200)
	ask("gpt-4.1-mini").want(t, 403, "model_not_allowed", "mystery")
	ask("gpt-4.1-nano").want(t, 402, "insufficient_quota", "$0.60")
	if got := rows(b); len(got) != 3 || got[0].Cost == 0 || got[1].Cost != 0 || got[2].Cost != 0 {
		t.Errorf("%+v", got)
	}
	if _, held := b.balance(ledger.USD); held != 0 {
		t.Errorf("%d are still held", held)
	}
}
