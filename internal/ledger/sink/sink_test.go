package sink_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
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

	"go.uber.org/goleak"

	"forward/internal/database"
	"forward/internal/dialect"
	"forward/internal/ledger"
	"forward/internal/ledger/sink"
	"forward/internal/price"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// noon is when the requests of the tests start.
var noon = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)

// row is a row with the fields that sinks read.
func row(id string) ledger.Row {
	return ledger.Row{
		ID: id, Time: noon, Key: "k1", KeyName: "alice", Upstream: "openai", Operation: dialect.Chat, Model: "gpt-4o",
		Status: 200, Finish: "stop", Stream: true, First: 300 * time.Millisecond,
		Usage:  dialect.Usage{Input: 2006, Output: 300, Total: 2306, Raw: []byte(`{"prompt_tokens":2006}`)},
		Priced: true, Cost: 5_615_000,
	}
}

func flush(t *testing.T, l *ledger.Ledger) {
	t.Helper()
	if err := l.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// waitFor waits for something that another goroutine does soon.
func waitFor(t *testing.T, done func() bool) {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); !done(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("it did not happen")
		}
	}
}

func TestFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "usage.jsonl")
	s, err := sink.NewFile(path)
	if err != nil {
		t.Fatal(err)
	}
	db, err := database.OpenMemory()
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	l, err := ledger.Open(db, ledger.Options{Sinks: []ledger.Sink{s}})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close(t.Context())
	unpriced := row("b")
	unpriced.Priced, unpriced.Usage.Raw = false, []byte(`not JSON`)
	l.Record(row("a"))
	l.Record(row("a")) // counts once and is sent once
	l.Record(unpriced)
	flush(t, l)
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
	flush(t, l)
	waitFor(t, func() bool { return len(lines(path)) == 1 })
	if len(lines(path+".1")) != 2 {
		t.Error("a line went into the file that was moved away")
	}
	if _, err := sink.NewFile(filepath.Join(path, "below-a-file")); err == nil {
		t.Error("a path that cannot be was taken")
	}
}

func TestStatsD(t *testing.T) {
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

func TestWebhook(t *testing.T) {
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
	dollar := ledger.Budget{Unit: ledger.USD, Amount: int64(price.Dollar), Period: ledger.Monthly}
	for i := range 5 {
		if !s.Warn(ledger.Warning{Time: noon, Key: "k1", KeyName: "alice", Percent: 50 + i, Balance: ledger.Balance{Budget: dollar, Spent: 1, Reset: noon}}) {
			t.Error("a warning did not fit")
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

// A test message is posted once and signed as others are, and an error does not
// show the address.
func TestTestMessage(t *testing.T) {
	asked := 0
	status := http.StatusOK
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked++
		text, _ := io.ReadAll(r.Body)
		mac := hmac.New(sha256.New, []byte("s3cret"))
		mac.Write(text)
		if r.Header.Get("X-Forward-Signature") != "sha256="+hex.EncodeToString(mac.Sum(nil)) || !strings.HasPrefix(string(text), `{"test":{"time":"2026-11-21T12:00:00Z","message":"`) {
			t.Errorf("%s, signed %q", text, r.Header.Get("X-Forward-Signature"))
		}
		w.WriteHeader(status)
	}))
	defer server.Close()
	s, err := sink.NewWebhook(sink.WebhookOptions{URL: server.URL + "/hook?token=canary", Secret: "s3cret"})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if got, err := s.Test(t.Context(), noon); got != 200 || err != nil {
		t.Errorf("%d %v", got, err)
	}
	status = http.StatusServiceUnavailable
	if got, err := s.Test(t.Context(), noon); got != 503 || err == nil || asked != 2 {
		t.Errorf("%d %v after %d requests", got, err, asked)
	}
	server.Close()
	if got, err := s.Test(t.Context(), noon); got != 0 || err == nil || strings.Contains(err.Error(), "canary") {
		t.Errorf("%d %v", got, err)
	}
}
