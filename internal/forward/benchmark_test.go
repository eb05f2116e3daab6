package forward_test

import (
	"encoding/json"
	"runtime"
	"strings"
	"testing"

	"forward/internal/forward"
	"forward/internal/upstream"
)

func goroutines() int { return runtime.NumGoroutine() }

func TestTheCannedUpstream(t *testing.T) {
	b := start(t, provider, func(s *setup) { s.routes = []*upstream.Route{forward.BenchmarkRoute()} })
	ask := func(fields string) answer {
		return b.do("POST", "/benchmark/v1/chat/completions", `{"model":"gpt-4o","messages":[{"role":"user","content":"hi"}]`+fields+`}`)
	}
	a := ask("")
	a.want(t, 200, `"object":"chat.completion"`)
	var body struct{ Usage map[string]int }
	if err := json.Unmarshal([]byte(a.body), &body); err != nil || body.Usage["prompt_tokens"] == 0 || body.Usage["total_tokens"] <= body.Usage["prompt_tokens"] {
		t.Errorf("usage %v, %v", body.Usage, err)
	}
	a = ask(`,"stream":true`)
	a.want(t, 200, "chat.completion.chunk", "data: [DONE]\n\n")
	if strings.Contains(a.body, "total_tokens") || strings.Count(a.body, "data: ") < 8 {
		t.Errorf("stream %s", a.body)
	}
	ask(`,"stream":true,"stream_options":{"include_usage":true}`).want(t, 200, "total_tokens")
	b.do("GET", "/benchmark/v1/models", "").want(t, 404, "/benchmark/v1/chat/completions")
	if b.calls() != 0 {
		t.Error("something went to a real upstream")
	}
}

// TestWhatOpenRoutesUsedIsNotKnown: no API key of ours pays there, so a call
// has no tokens and no cost, and its row shows that they are not known.
func TestWhatOpenRoutesUsedIsNotKnown(t *testing.T) {
	change, rows := accounting(t)
	b := start(t, provider, func(s *setup) {
		change(s)
		s.routes = []*upstream.Route{forward.BenchmarkRoute()}
	})
	for _, fields := range []string{"", `,"stream":true`} {
		b.do("POST", "/benchmark/v1/chat/completions", `{"model":"gpt-4o","messages":[{"role":"user","content":"hi"}]`+fields+`}`).want(t, 200)
	}
	found := rows(b)
	for _, row := range found {
		if row.Tokens() != 0 || row.Cost != 0 || row.Priced || row.Estimated || !row.Unmetered {
			t.Errorf("%d tokens, cost %v, priced %t, estimated %t, unmetered %t", row.Tokens(), row.Cost, row.Priced, row.Estimated, row.Unmetered)
		}
	}
	if len(found) != 2 {
		t.Errorf("%d rows", len(found))
	}
}
