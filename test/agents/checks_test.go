//go:build agents

package agents

import (
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/tidwall/gjson"

	"forward/internal/upstreamtest"
	"forward/test/harness"
)

// checkBytes compares every body on both sides of the gateway, in both
// directions. On / the gateway composes the list of models.
func (s *scene) checkBytes() {
	s.t.Helper()
	sums := func(r *recorder) []string {
		var out []string
		for _, x := range r.all() {
			if x.method == http.MethodGet && !x.socket {
				continue
			}
			out = append(out, fmt.Sprintf("%s %d, request %d bytes %s, answer %d bytes %s", x.method, x.status, x.up.size, x.up.hex(), x.down.size, x.down.hex()))
		}
		slices.Sort(out)
		return out
	}
	front, behind := sums(s.front), sums(s.behind)
	if !slices.Equal(front, behind) || len(front) == 0 {
		s.t.Errorf("in front of the gateway:\n%s\nbehind it:\n%s", strings.Join(front, "\n"), strings.Join(behind, "\n"))
	}
	for _, x := range s.front.all() {
		if x.method == http.MethodGet && !x.socket {
			continue
		}
		if changed := x.answer.Get("X-Forward-Modified"); changed != "" && !(x.socket && changed == "websocket_extensions") {
			s.t.Errorf("%s %s: X-Forward-Modified: %s", x.method, x.path, changed)
		}
	}
}

// checkKey looks for the forward key in what the upstream received and in what
// the gateway logged.
func (s *scene) checkKey() {
	s.t.Helper()
	for _, r := range s.up.Requests() {
		if strings.Contains(fmt.Sprint(r.Header, r.URI, r.Body), s.key) {
			s.t.Errorf("the upstream received the forward key in %s %s", r.Method, r.URI)
		}
	}
	if strings.Contains(s.gateway.Stderr.String(), s.key) {
		s.t.Error("the log has the forward key")
	}
}

// count is what a model used: tokens of each kind, and nano-dollars.
type count struct {
	requests, input, cached, written, hour, output, cost int64
}

// checkLedger compares the report of a gateway that has ended with the
// upstream's own count.
func (s *scene) checkLedger() {
	s.t.Helper()
	want := map[string]count{}
	rate := func(kind string, tokens int) int64 { return int64(rates[kind]*1000) * int64(tokens) }
	for _, r := range s.up.Requests() {
		if r.Usage == nil {
			continue
		}
		u, c := r.Usage, want[r.Model]
		c.requests++
		c.input += int64(u.Input + u.CacheRead + u.CacheWrite + u.CacheWrite1h)
		c.cached += int64(u.CacheRead)
		c.written += int64(u.CacheWrite + u.CacheWrite1h)
		c.hour += int64(u.CacheWrite1h)
		c.output += int64(u.Output + u.Thoughts)
		c.cost += rate("input", u.Input) + rate("cached_read", u.CacheRead) + rate("cached_write", u.CacheWrite) +
			rate("cached_write_1h", u.CacheWrite1h) + rate("output", u.Output+u.Thoughts)
		want[r.Model] = c
	}
	got := map[string]count{}
	report := s.forward("usage", "--by", "model", "-o", "json")
	for _, g := range gjson.Get(report, "groups").Array() {
		if g.Get("model").Str == "" && g.Get("unmetered").Int() == 0 {
			continue // a list of models
		}
		got[g.Get("model").Str] = count{
			requests: g.Get("requests").Int(), input: g.Get("input_tokens").Int(), cached: g.Get("cached_read_tokens").Int(), written: g.Get("cached_write_tokens").Int(),
			hour: g.Get("cached_write_hour_tokens").Int(), output: g.Get("output_tokens").Int(), cost: g.Get("cost_nano_usd").Int(),
		}
	}
	if fmt.Sprint(got) != fmt.Sprint(want) || len(want) == 0 {
		s.t.Errorf("the ledger has    %+v\nthe upstream counted %+v\n%s", got, want, report)
	}
}

// checkChatLog converts the chat log, which has to have the call of the tool
// and the end.
func (s *scene) checkChatLog(command string) {
	s.t.Helper()
	log := s.forward("convert", "-o", "-")
	var called, ended bool
	for _, row := range gjson.Parse(log).Array() {
		answer := row.Get("assistant").Raw
		called = called || row.Get("is_function_call").Bool() && strings.Contains(answer, command)
		ended = ended || strings.Contains(answer, upstreamtest.AgentSentence)
	}
	if !called || !ended {
		s.t.Errorf("forward convert has the call of the tool: %v, the end: %v\n…%s", called, ended, harness.Tail(log))
	}
}
