package forward_test

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"forward/internal/dialect"
	"forward/internal/queue"
	"forward/internal/tokens"
)

// BenchmarkAdmissionBesideForward compares what it takes to admit a chat
// request of 1.5 KB, which is to count its prompt, to take its turn in the line
// of its model and to settle what it has cost, with what it takes to forward it
// by a gateway without lines. Both run in turn, as in
// BenchmarkAgainstBareProxy: the median of the ratios has to stay under 1.
func BenchmarkAdmissionBesideForward(b *testing.B) {
	prompt := strings.Repeat("The quick brown fox reads its mail, sums up 12 reports and answers by noon. ", 19)
	body := `{"model":"gpt-4o-mini","max_tokens":100,"messages":[{"role":"user","content":"` + prompt + `"}]}`
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		w.Header().Set("Content-Type", "application/json")
		io.WriteString(w, chatBody)
	}))
	defer server.Close()
	ours := start(b, nil, func(s *setup) {
		s.Log = nil
		s.routes = append(s.routes, (&bench{upstream: server}).route("openai", "/", []string{canary}))
	})
	tokens.Warm()
	scheduler, err := queue.New(queue.Options{Rules: []queue.Rule{{Models: "*", Model: queue.Model{RPM: 1e9, TPM: 1e12, MaxQueue: 100, MaxWait: time.Minute}}}})
	if err != nil {
		b.Fatal(err)
	}
	admit := func(n int) (ns float64) {
		scanned, err := dialect.Scan([]byte(body)) // the pipeline has done so for other reasons
		if err != nil {
			b.Fatal(err)
		}
		started := time.Now()
		for range n {
			d := tokens.Prompt(dialect.Chat, "gpt-4o-mini", scanned)
			grant, err := scheduler.Acquire(context.Background(), queue.Demand{Route: "openai", Model: "gpt-4o-mini", Caller: "alice", Tokens: d.Prompt + d.Completion})
			if err != nil || grant == nil || d.Prompt < 200 {
				b.Fatal(grant, err, d)
			}
			grant.Settle(d.Prompt + 12)
		}
		return float64(time.Since(started)) / float64(n)
	}
	const round = 50
	var both, admission, forward ratios
	for range 3 { // connections, pools and the vocabulary warm up
		admit(round)
		ask(b, ours.url, "plain", body, round)
	}
	b.ResetTimer()
	for n := 0; n < b.N || n < 20*round; n += round {
		a := admit(round)
		f, _ := ask(b, ours.url, "plain", body, round)
		both, admission, forward = append(both, a/f), append(admission, a), append(forward, f)
	}
	b.ReportMetric(0, "ns/op") // a figure of both together means nothing
	b.ReportMetric(float64(len(body)), "bytes")
	b.ReportMetric(admission.median(), "admission-ns")
	b.ReportMetric(forward.median(), "forward-ns")
	b.ReportMetric(both.median(), "time-ratio")
	if both.median() >= 1 {
		b.Errorf("to admit a request takes %.2f times as long as to forward it", both.median())
	}
}
