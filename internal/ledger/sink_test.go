package ledger_test

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"forward/internal/dialect"
	"forward/internal/ledger"
	"forward/internal/ledger/sink"
)

func TestFileSink(t *testing.T) {
	path := filepath.Join(t.TempDir(), "usage.jsonl")
	s, err := sink.NewFile(path)
	if err != nil {
		t.Fatal(err)
	}
	l := mustOpen(t, newDB(t), ledger.Options{Sinks: []ledger.Sink{s}})
	unpriced := row("b")
	unpriced.Priced, unpriced.Usage.Raw = false, []byte(`not JSON`)
	l.Record(row("a"))
	l.Record(row("a")) // counts once, is told once
	l.Record(unpriced)
	mustFlush(t, l)
	lines := func(path string) (out []map[string]any) {
		text, err := os.ReadFile(path)
		if err != nil {
			return nil
		}
		for line := range strings.Lines(string(text)) {
			var v map[string]any
			if err := json.Unmarshal([]byte(line), &v); err != nil {
				t.Fatalf("%q: %v", line, err)
			}
			out = append(out, v)
		}
		return out
	}
	waitFor(t, func() bool { return len(lines(path)) == 2 })
	first, second := lines(path)[0], lines(path)[1]
	if first["id"] != "a" || first["cost_nano_usd"] != 5615000.0 || first["cost_usd"] != 0.005615 || first["time"] != "2026-11-21T12:00:00Z" || first["first_token_ms"] != 300.0 {
		t.Errorf("%v", first)
	}
	if cost, there := second["cost_nano_usd"]; cost != nil || !there || second["usage"] != nil {
		t.Errorf("unpriced: %v", second)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	if err := os.Rename(path, path+".1"); err != nil {
		t.Fatal(err)
	}
	l.Record(row("c"))
	mustFlush(t, l)
	waitFor(t, func() bool { return len(lines(path)) == 1 })
	if len(lines(path+".1")) != 2 {
		t.Error("a line went into the file that was moved away")
	}
	if _, err := sink.NewFile(filepath.Join(path, "below-a-file")); err == nil {
		t.Error("a path that cannot be was taken")
	}
}

func TestStatsDSink(t *testing.T) {
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	read := func() (lines []string) {
		packet := make([]byte, 65536)
		conn.SetReadDeadline(time.Now().Add(10 * time.Second))
		n, _, err := conn.ReadFrom(packet)
		if err != nil {
			t.Fatal(err)
		}
		if n > 1432 {
			t.Errorf("a packet of %d bytes", n)
		}
		return strings.Split(string(packet[:n]), "\n")
	}
	datadog, err := sink.NewStatsD(sink.StatsDOptions{Address: conn.LocalAddr().String(), Datadog: true, Tags: []string{"env:test"}})
	if err != nil {
		t.Fatal(err)
	}
	defer datadog.Close()
	r := row("a")
	r.Model = "odd|name,with#tags\nllm.cost:1|c"
	if err := datadog.Send(t.Context(), []ledger.Row{r}); err != nil {
		t.Fatal(err)
	}
	tags := "|#env:test,provider:openai,model:odd_name_with_tags_llm.cost_1_c,endpoint:chat,streaming:true,key_id:k1,finish_reason:stop"
	if got, want := read(), []string{"llm.requests.count:1|c" + tags, "llm.tokens.input:2006|d" + tags, "llm.tokens.output:300|d" + tags,
		"llm.tokens.total:2306|d" + tags, "llm.cost.total_cents:0.5615|d" + tags}; !slices.Equal(got, want) {
		t.Errorf("%q\nwant %q", got, want)
	}
	plain, err := sink.NewStatsD(sink.StatsDOptions{Address: conn.LocalAddr().String(), Namespace: "team.llm"})
	if err != nil {
		t.Fatal(err)
	}
	defer plain.Close()
	many := slices.Repeat([]ledger.Row{row("a"), {Status: 429}}, 100)
	go plain.Send(t.Context(), many)
	counts := map[string]int{}
	for seen := 0; seen < 600; {
		for _, line := range read() {
			counts[line]++
			seen++
		}
	}
	if counts["team.llm.requests.count:1|c"] != 200 || counts["team.llm.tokens.total:2306|c"] != 100 || counts["team.llm.cost.total_cents:0.5615|c"] != 100 {
		t.Errorf("%v", counts)
	}
}

func TestWebhookSink(t *testing.T) {
	var mu sync.Mutex
	var bodies []string
	var asked atomic.Int64
	answers := make(chan int, 10)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		text, _ := io.ReadAll(r.Body)
		mac := hmac.New(sha256.New, []byte("s3cret"))
		mac.Write(text)
		if r.Header.Get("X-Forward-Signature") != "sha256="+hex.EncodeToString(mac.Sum(nil)) {
			t.Errorf("signed %q", r.Header.Get("X-Forward-Signature"))
		}
		select {
		case status := <-answers:
			w.WriteHeader(status)
		default:
			mu.Lock()
			defer mu.Unlock()
			bodies = append(bodies, string(text))
		}
	}))
	defer server.Close()
	s, err := sink.NewWebhook(sink.WebhookOptions{URL: server.URL + "/hook?token=t", Secret: "s3cret", Pause: time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	answers <- 503
	answers <- 429
	if err := s.Send(t.Context(), []ledger.Row{row("a")}); err != nil {
		t.Errorf("the third try: %v", err)
	}
	answers <- 400
	if err := s.Send(t.Context(), []ledger.Row{row("b")}); err == nil || asked.Load() != 4 {
		t.Errorf("an answer of 400: %v after %d requests", err, asked.Load())
	}
	for range 3 {
		answers <- 500
	}
	if err := s.Send(t.Context(), []ledger.Row{row("c")}); err == nil || strings.Contains(err.Error(), "token") {
		t.Errorf("answers of 500: %v", err)
	}
	for i := range 5 {
		if !s.Warn(ledger.Warning{Time: noon, Key: "k1", KeyName: "alice", Percent: 50 + i, Balance: ledger.Balance{Budget: monthly(100), Spent: 1, Reset: noon}}) {
			t.Error("a warning found no room")
		}
	}
	if err := s.Close(); err != nil { // posts what waits
		t.Fatal(err)
	}
	if len(bodies) != 6 || !strings.Contains(bodies[0], `{"requests":[{"id":"a",`) ||
		bodies[1] != `{"warning":{"time":"2026-11-21T12:00:00Z","key":"k1","key_name":"alice","percent":50,"budget":"$1.00/month","unit":"usd","spent":1,"limit":1000000000,"reset":"2026-11-21T12:00:00Z"}}` {
		t.Errorf("%q", bodies)
	}
	for _, bad := range []string{"", "ftp://example.org", "example.org", "http://"} {
		if _, err := sink.NewWebhook(sink.WebhookOptions{URL: bad}); err == nil {
			t.Errorf("%q is taken for a webhook", bad)
		}
	}
}

// stuckSink takes nothing until it is let go.
type stuckSink struct {
	release chan struct{}
	got     atomic.Int64
	fail    bool
}

func (s *stuckSink) Name() string { return "stuck" }
func (s *stuckSink) Close() error { return nil }
func (s *stuckSink) Send(ctx context.Context, rows []ledger.Row) error {
	select {
	case <-s.release:
	case <-ctx.Done():
		return ctx.Err()
	}
	s.got.Add(int64(len(rows)))
	if s.fail {
		return errors.New("broken")
	}
	return nil
}

// TestSinksHoldNothingUp checks that a sink which takes nothing neither delays the ledger nor keeps it from closing.
func TestSinksHoldNothingUp(t *testing.T) {
	stuck, broken := &stuckSink{release: make(chan struct{})}, &stuckSink{release: make(chan struct{}), fail: true}
	close(broken.release)
	l, err := ledger.Open(newDB(t), ledger.Options{Delay: time.Microsecond, Sinks: []ledger.Sink{stuck, broken}})
	if err != nil {
		t.Fatal(err)
	}
	for i := range 400 {
		l.Record(ledger.Row{ID: fmt.Sprint(i), Time: noon, Usage: dialect.Usage{Input: 1}})
		mustFlush(t, l) // a batch each: more than wait for a sink
	}
	waitFor(t, func() bool { return broken.got.Load() == 400 })
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := l.Close(ctx); err != nil {
		t.Error(err)
	}
	if g := mustReport(t, l.Reader, ledger.Query{}); g[0].Requests != 400 {
		t.Errorf("%+v", g)
	}
}
