package forward_test

import (
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"forward/internal/chatlog"
	"forward/internal/keys"
	"forward/internal/limits"
	"forward/internal/queue"
)

// TestRowsOfRefusals refuses a request for each kind of limit: its row has
// which one, whose, with its figure, and when a request may pass again.
func TestRowsOfRefusals(t *testing.T) {
	named := func(p keys.Policy) func(*setup) {
		return func(s *setup) { s.keys = []keys.Key{{Name: "carol", Secret: keys.NewSecret("fk-alice"), Policy: p}} }
	}
	for _, c := range []struct {
		name                 string
		change               func(*setup)
		path                 string
		limit, scope, detail string
		again                bool
	}{
		{"rpm of the key", named(keys.Policy{RPM: 1}), "", "rpm", "key carol", "1 requests a minute, 0 left, 1 asked for", true},
		{"tpm of the key", named(keys.Policy{TPM: 60}), "", "tpm", "key carol", "60 tokens a minute", true},
		{"quota of a model", quotas(limits.Quota{Scope: limits.ScopeModel, RequestsPerDay: 1}), "", "requests per day", "model gpt-4o-mini", "1 requests a day, 0 left", true},
		{"request limit", func(s *setup) {
			s.limits.Rules = []limits.Rule{{Path: "/v1/chat/completions", Level: limits.AnyLevel, Rates: []limits.Rate{{Limit: 1, Period: time.Minute}}}}
		}, "", "request_limit", "key alice", "1/minute on route openai, 1 used", true},
		{"budget", named(keys.Policy{Budgets: []keys.Budget{{Unit: "tokens", Amount: 12, Period: "day"}}, Overrun: "allow"}), "", "budget", "key carol", "12 tokens/day: 12 tokens used", true},
		{"model", named(keys.Policy{Models: []string{"none"}}), "", "model", "key carol", "gpt-4o-mini", false},
		{"route", named(keys.Policy{Routes: []string{"/claude"}}), "", "route", "key carol", "route openai", false},
		{"operation", named(keys.Policy{Models: []string{"gpt-*"}}), "/v1/unheard/of", "operation", "key carol", "unknown", false},
		{"upstream", func(s *setup) { s.base = "http://127.0.0.1:1" }, "", "upstream", "route openai", "upstream_connect_failed", true},
		{"body", nil, "/v1/chat/completions?bad", "request", "the request", "", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			ledger, rows := accounting(t)
			b := start(t, provider, func(s *setup) {
				ledger(s)
				if c.change != nil {
					c.change(s)
				}
			})
			path, fields := "/v1/chat/completions", `{"model":"gpt-4o-mini","messages":[{"role":"user","content":"hi"}],"max_tokens":40}`
			if c.path != "" {
				path = c.path
			}
			if c.name == "body" {
				fields = `{"model":`
			}
			var last answer
			for range 3 {
				last = b.do("POST", path, fields)
			}
			list := rows(b)
			if last.StatusCode < 400 || len(list) == 0 {
				t.Fatalf("status %d, %d rows: %s", last.StatusCode, len(list), last.body)
			}
			r := list[len(list)-1]
			f, ok := r.Refusal()
			if !ok || f.Limit != c.limit || f.Scope != c.scope || !strings.HasPrefix(f.Detail, c.detail) || f.Retry.IsZero() == c.again {
				t.Errorf("%+v, want %s of %s: %s", f, c.limit, c.scope, c.detail)
			}
			if f.Message == "" || !strings.Contains(last.body, strings.Split(f.Message, `"`)[0]) {
				t.Errorf("the row has %q, the client read %s", f.Message, last.body)
			}
		})
	}
}

// TestRowsOfRefusalsInParallel is about what is refused while others run.
func TestRowsOfRefusalsInParallel(t *testing.T) {
	for name, change := range map[string]func(*setup){
		"parallel": func(s *setup) { s.MaxParallel = 1 },
		"queue":    lined(queue.Rule{Route: "openai", Models: "gpt-4o-mini", Model: queue.Model{RPM: 600, MaxParallel: 1, MaxWait: 10 * time.Second}}),
	} {
		ledger, rows := accounting(t)
		started, release := make(chan struct{}), make(chan struct{})
		b := start(t, func(w http.ResponseWriter, r *http.Request) {
			io.Copy(io.Discard, r.Body)
			started <- struct{}{}
			<-release
			provider(w, r)
		}, func(s *setup) { ledger(s); change(s) })
		done := make(chan answer)
		go func() { done <- b.chat("") }()
		<-started
		b.chat("").want(t, 429)
		close(release)
		<-done
		list := rows(b)
		f, ok := list[len(list)-1].Refusal()
		want := map[string][2]string{"parallel": {"key alice", "1 at the same time"}, "queue": {"model gpt-4o-mini", "0 of 0 places taken"}}[name]
		if !ok || f.Limit != name || f.Scope != want[0] || f.Detail != want[1] || f.Retry.IsZero() {
			t.Errorf("%s: %+v", name, f)
		}
	}
}

// D20: a refusal of a key whose log policy keeps no text has none of the
// request in its row.
func TestRefusalsKeepToTheLogPolicy(t *testing.T) {
	ledger, rows := accounting(t)
	b := start(t, provider, func(s *setup) {
		ledger(s)
		s.LogContent = "meta"
		s.Redactor = must(chatlog.NewRedactor(nil, []byte("salt")))(t)
	})
	b.do("POST", "/v1/chat/completions", `{"model":"canary prompt of a person","model":"x","messages":[{"role":"user","content":"canary prompt"}]}`)
	b.do("POST", "/v1/chat/completions", `{"canary prompt`)
	for _, r := range rows(b) {
		for _, s := range r.Trail {
			if strings.Contains(s.Text, "canary prompt") {
				t.Errorf("%s: %s", s.Name, s.Text)
			}
		}
	}
}
