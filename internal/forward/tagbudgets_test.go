package forward_test

import (
	"io"
	"net/http"
	"strings"
	"testing"

	"forward/internal/chatlog"
	"forward/internal/forward"
	"forward/internal/keys"
	"forward/internal/ledger"
)

// tagBudget is a budget of a tag.
func tagBudget(t testing.TB, tag, limit string) ledger.TagBudget {
	return ledger.TagBudget{Tag: tag, Limit: must(keys.ParseBudget(limit))(t)}
}

// inTeam gives the key alice the tag team=search and the tag a budget.
func inTeam(t testing.TB, limit string, more ...func(*setup)) func(*setup) {
	return func(s *setup) {
		s.keys = []keys.Key{{Name: "alice", Secret: keys.NewSecret("fk-alice"), Policy: keys.Policy{Tags: []string{"team=search"}}}, {Name: "bob", Secret: keys.NewSecret("fk-bob")}}
		s.TagBudgets = []ledger.TagBudget{tagBudget(t, "team=search", limit)}
		for _, change := range more {
			change(s)
		}
	}
}

// TestTagBudgetsHoldInEveryDialect spends the budget of a tag by one request,
// and sends it again: it is refused before the upstream is asked.
func TestTagBudgetsHoldInEveryDialect(t *testing.T) {
	for name, c := range map[string]struct{ path, body string }{
		"chat":               {"/v1/chat/completions", `{"model":"gpt-4o-mini","max_tokens":2,"messages":[]}`},
		"chat, streamed":     {"/v1/chat/completions", `{"model":"gpt-4o-mini","max_tokens":2,"stream":true,"messages":[]}`},
		"responses":          {"/v1/responses", `{"model":"gpt-4o-mini","max_output_tokens":2,"input":"hi"}`},
		"messages":           {"/anthropic/v1/messages", `{"model":"claude-haiku-4-5","max_tokens":2,"messages":[]}`},
		"messages, streamed": {"/anthropic/v1/messages", `{"model":"claude-haiku-4-5","max_tokens":2,"stream":true,"messages":[]}`},
		"Gemini":             {"/gemini/v1beta/models/gemini-2.5-flash:generateContent", `{"contents":[],"generationConfig":{"maxOutputTokens":2}}`},
		"Gemini, streamed":   {"/gemini/v1beta/models/gemini-2.5-flash:streamGenerateContent?alt=sse", `{"contents":[],"generationConfig":{"maxOutputTokens":2}}`},
		"an unknown model":   {"/v1/chat/completions", `{"model":"mystery","max_tokens":2,"messages":[]}`},
	} {
		for _, of := range []string{"the key", "the request"} {
			t.Run(name+", tag of "+of, func(t *testing.T) {
				account, rows := accounting(t)
				b := start(t, anyProvider, inTeam(t, "12tokens/month", account, func(s *setup) { s.all = true }))
				ask := func() answer {
					if of == "the key" {
						return b.do("POST", c.path, c.body)
					}
					return b.do("POST", c.path, c.body, "Authorization", "Bearer fk-bob", "X-Forward-Tags", "team=search")
				}
				ask().want(t, 200)
				rows(b) // all is settled
				refused := ask()
				refused.want(t, 402, "the budget of 12 tokens/month for tag 'team=search' is spent", "starts again at")
				if refused.Header.Get("Retry-After") != "" {
					t.Error("Retry-After is sent with a spent budget")
				}
				if b.calls() != 1 {
					t.Errorf("%d calls of the upstream", b.calls())
				}
				// A request without the tag is not concerned.
				b.do("POST", c.path, c.body, "Authorization", "Bearer fk-bob").want(t, 200)
				got := rows(b)
				if len(got) != 3 || got[1].Cause != "insufficient_quota" || got[1].Tags[0] != "team=search" {
					t.Errorf("%d rows: %+v", len(got), got)
				}
			})
		}
	}
}

// TestTagBudgetsAreRulesOfAKey sends what a key under a budget may not do from
// a key that has none of its own and a tag with one.
func TestTagBudgetsAreRulesOfAKey(t *testing.T) {
	account, _ := accounting(t)
	var accounts *ledger.Ledger
	b := start(t, provider, inTeam(t, "1usd/month", account, func(s *setup) { accounts = s.Ledger }))
	for name, c := range map[string]struct {
		path, body string
		status     int
		parts      string
	}{
		"a model without a price":  {"/v1/chat/completions", `{"model":"mystery","messages":[]}`, 403, "for tag 'team=search' cannot hold"},
		"an unknown operation":     {"/v1/fine_tuning/jobs", `{"model":"gpt-4o"}`, 403, "operation_not_allowed"},
		"an ephemeral credential":  {"/v1/realtime/client_secrets", `{"session":{"type":"realtime","model":"gpt-realtime"}}`, 403, "operation_not_allowed"},
		"more than is left":        {"/v1/chat/completions", `{"model":"gpt-4o","max_tokens":16000,"n":100,"messages":[]}`, 402, "allow the tag to overrun"},
		"what fits is not refused": {"/v1/chat/completions", `{"model":"gpt-4o-mini","messages":[]}`, 200, ""},
	} {
		t.Run(name, func(t *testing.T) {
			b.do("POST", c.path, c.body).want(t, c.status, c.parts)
			without := b.do("POST", c.path, c.body, "Authorization", "Bearer fk-bob")
			without.want(t, 200)
		})
	}
	if got := must(accounts.Balances(t.Context(), "", []ledger.Budget{{Tag: "team=search", Unit: ledger.USD, Amount: 1, Period: ledger.Monthly}}))(t); got[0].Held != 0 {
		t.Errorf("%+v", got)
	}
	t.Run("without a ledger", func(t *testing.T) {
		b := start(t, provider, inTeam(t, "1usd/month"))
		b.chat("").want(t, 503, "ledger_unavailable")
		b.chat("", "Authorization", "Bearer fk-bob").want(t, 200)
	})
	t.Run("with settings of the budget", func(t *testing.T) {
		account, _ := accounting(t)
		b := start(t, provider, inTeam(t, "1usd/month", account, func(s *setup) {
			s.TagBudgets[0].UnknownPrice = "allow"
			s.TagBudgets[0].Overrun = "allow"
			s.BudgetStatus = 429
		}))
		b.do("POST", "/v1/chat/completions", `{"model":"mystery","messages":[]}`).want(t, 200)
		b.do("POST", "/v1/chat/completions", `{"model":"gpt-4o","max_tokens":16000,"n":100,"messages":[]}`).want(t, 200)
	})
}

// TestTagBudgetsChange serves other settings: a budget that is added counts
// what was used before in its period, one that is raised lets requests in, and
// one that is taken away is gone.
func TestTagBudgetsChange(t *testing.T) {
	account, rows := accounting(t)
	b := start(t, provider, inTeam(t, "1gtokens/day", account))
	b.chat(`,"max_tokens":2`).want(t, 200) // 12 tokens
	b.chat(`,"max_tokens":2`, "X-Forward-Tags", "run=42").want(t, 200)
	rows(b)
	o := b.gateway.Options
	o.TagBudgets = append(o.TagBudgets, tagBudget(t, "run=42", "12tokens/total"))
	next := b.other(o)
	next.chat(`,"max_tokens":2`, "X-Forward-Tags", "run=42").want(t, 402, "12 tokens in total for tag 'run=42' is spent: 12 tokens used")
	next.chat(`,"max_tokens":2`, "X-Forward-Tags", "run=43").want(t, 200)
	o.TagBudgets = []ledger.TagBudget{tagBudget(t, "run=42", "13tokens/total")}
	b.other(o).chat(`,"max_tokens":1`, "X-Forward-Tags", "run=42").want(t, 402, "1 tokens is left")
	o.TagBudgets[0].Overrun = "allow"
	b.other(o).chat(`,"max_tokens":2`, "X-Forward-Tags", "run=42").want(t, 200)
	o.TagBudgets = nil
	b.other(o).chat(`,"max_tokens":2`, "X-Forward-Tags", "run=42").want(t, 200)
}

// TestTagBudgetsHoldForTheFallback moves a request under a tag's budget to a
// model that is too dear for it.
func TestTagBudgetsHoldForTheFallback(t *testing.T) {
	account, rows := accounting(t)
	b := start(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		if strings.Contains(string(body), `"gpt-4o-mini"`) {
			w.WriteHeader(http.StatusTooManyRequests)
			return
		}
		provider(w, r)
	}, inTeam(t, "0.1usd/month", account, func(s *setup) {
		s.Fallbacks = []forward.Fallback{{Models: "gpt-4o-mini", Instead: []string{"o1-pro"}}}
	}))
	ask := `{"model":"gpt-4o-mini","max_tokens":1000,"messages":[]}`
	b.do("POST", "/v1/chat/completions", ask).want(t, 402, "for tag 'team=search'", "$0.60")
	b.do("POST", "/v1/chat/completions", ask, "Authorization", "Bearer fk-bob").want(t, 200)
	if got := rows(b); len(got) != 2 || got[0].Cost != 0 || got[1].Cost == 0 {
		t.Errorf("%+v", got)
	}
}

// TestDeferredWorkOfTheFallback starts work in the background that another
// model than the one named takes: it is settled as that model's, with what that
// one reserved, and as redacted as the row of its request.
func TestDeferredWorkOfTheFallback(t *testing.T) {
	for _, limit := range []string{"", "10usd/month"} {
		t.Run("budget "+limit, func(t *testing.T) {
			account, rows := accounting(t)
			var accounts *ledger.Ledger
			b := start(t, func(w http.ResponseWriter, r *http.Request) {
				body, _ := io.ReadAll(r.Body)
				if strings.Contains(string(body), `"gpt-4o-mini"`) {
					w.WriteHeader(http.StatusTooManyRequests)
					return
				}
				w.Header().Set("Content-Type", "application/json")
				io.WriteString(w, workPending)
			}, func(s *setup) {
				account(s)
				accounts = s.Ledger
				s.Fallbacks = []forward.Fallback{{Models: "gpt-4o-mini", Instead: []string{"gpt-4o"}}}
				if limit != "" {
					inTeam(t, limit)(s)
				}
				s.TrustUserIDs = true
				s.LogContent = "redacted"
				s.Redactor = must(chatlog.NewRedactor(nil, []byte("salt")))(t)
			})
			b.do("POST", "/v1/responses", `{"model":"gpt-4o-mini","input":"x","background":true,"max_output_tokens":1000}`, "X-User-ID", "Bob <bob@example.org>").want(t, 200)
			rows(b)
			host := strings.TrimPrefix(b.upstream.URL, "http://")
			settled, err := accounts.SettleDeferred(t.Context(), host, "resp_1", func(r *ledger.Row) {
				if r.Model != "gpt-4o" || r.Usage.Output != 1000 || r.Cost < 1000*10_000 || strings.Contains(r.User, "bob") {
					t.Errorf("the work is held as %q of %q: %d tokens, %s", r.Model, r.User, r.Usage.Output, r.Cost)
				}
			})
			if err != nil || !settled {
				t.Error(settled, err)
			}
		})
	}
}
