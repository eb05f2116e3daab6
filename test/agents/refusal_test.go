//go:build agents

package agents

import (
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"forward/internal/upstreamtest"
)

// patience is how long an agent may take from its first request on.
const patience = 30 * time.Second

// refusal is a case in which the gateway refuses, or the upstream fails.
type refusal struct {
	name  string
	c     func(a setup) circumstances
	ready func(s *scene) // before the agent starts
	words string         // that its user reads; "": it tries again and finishes
	code  string         // of the event on a WebSocket, which stays open; "": none
}

func refusals() []refusal {
	none := func(setup) circumstances { return circumstances{} }
	return []refusal{
		{name: "wrong key", c: none, words: "Incorrect API key provided",
			ready: func(s *scene) { s.key = "fk-" + strings.Repeat("wrong", 9) }},
		{name: "spent budget", code: "insufficient_quota", words: "You exceeded your budget", ready: (*scene).spend,
			c: func(setup) circumstances {
				return circumstances{key: []string{"--budget", "0.0001usd/month", "--overrun", "allow"}}
			}},
		{name: "model not allowed", code: "model_not_allowed", words: "may not use model",
			c: func(setup) circumstances { return circumstances{key: []string{"--models", "none-*"}} }},
		{name: "rate limit", code: "rate_limit_exceeded",
			c: func(setup) circumstances { return circumstances{env: []string{"GLOBAL_RATE_LIMIT=1/4seconds"}} }},
		{name: "queue", code: "queue_", ready: (*scene).occupy,
			c: func(setup) circumstances {
				return circumstances{models: "{max_parallel: 1, maxQueueSize: 1, maxQueueWait: 1}"}
			}},
		{name: "overloaded",
			c: func(a setup) circumstances {
				return circumstances{alter: &alteration{overloaded: 2, status: a.overload()}}
			}},
		{name: "cut stream",
			c: func(setup) circumstances { return circumstances{alter: &alteration{cuts: 1}} }},
	}
}

// overload is the status with which the provider of the setup's wire reports
// that it is overloaded.
func (a setup) overload() int {
	if a.name == "Claude Code" || strings.HasSuffix(a.name, "Messages") {
		return 529
	}
	return 503
}

// ownWords are what users read instead of a case's words, by setup and case.
// docs/clients.md lists them.
var ownWords = map[string]string{
	"Cline, cut stream": "Connection error: the upstream",
}

// covered reports whether a case is part of an ordinary run. opencode takes 13
// seconds of CPU to start, and setups that differ by their wire only behave the
// same; FORWARD_AGENTS_FULL=1 runs them in every case.
func (a setup) covered(r refusal) bool {
	switch {
	case os.Getenv("FORWARD_AGENTS_FULL") != "":
		return true
	case a.name == "opencode Chat":
		return slices.Contains([]string{"wrong key", "spent budget", "cut stream"}, r.name)
	}
	return !slices.Contains([]string{"opencode Messages", "pi Responses", "pi generateContent"}, a.name)
}

// TestRefusals lets each agent do its task in each case. It ends within 30
// seconds of its first request, and its user reads the gateway's sentence or
// the listed one; or it tries again and finishes.
func TestRefusals(t *testing.T) {
	for _, a := range setups() {
		for _, r := range refusals() {
			if !a.covered(r) {
				continue
			}
			t.Run(a.name+"/"+r.name, func(t *testing.T) {
				t.Parallel()
				program(t, a.program)
				s := play(t, r.c(a))
				if r.ready != nil {
					r.ready(s)
				}
				o := s.run(a, 4*time.Minute)
				n := len(s.front.all())
				t.Logf("%d requests, %.1f s from the first on, CPU %.1f s", n, o.waited, o.cpu)
				words, own := ownWords[a.name+", "+r.name]
				if !own {
					words = r.words
				}
				switch {
				case o.exit == -1 || o.waited > patience.Seconds():
					t.Errorf("after %d requests and %.1f s it still runs", n, o.waited)
				case words == "" && !o.finished():
					t.Errorf("it did not finish: exit status %d, the command ran: %v", o.exit, o.ran)
				case words != "" && (!strings.Contains(unwrapped(o.output), unwrapped(words)) || strings.Contains(o.output, upstreamtest.AgentSentence)):
					t.Errorf("its user does not read %q", words)
				}
				if n == 0 {
					t.Error("it has not asked the gateway")
				}
				if a.name == "Codex WebSocket" && r.code != "" && !slices.ContainsFunc(s.front.all(), func(x *exchange) bool {
					return x.socket && strings.Contains(x.down.start(), r.code)
				}) {
					t.Errorf("no event on a WebSocket has the code %s", r.code)
				}
				if t.Failed() {
					t.Logf("it wrote:\n%s", o.output)
					for _, x := range s.front.all() {
						t.Logf("%s %s %s: %d %s", x.time.Format("05.000"), x.method, x.path, x.status, x.down.start())
					}
				}
			})
		}
	}
}

// unwrapped is a text without line breaks and runs of spaces, which a terminal
// changes.
func unwrapped(s string) string { return strings.Join(strings.Fields(s), " ") }
