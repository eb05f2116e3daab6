//go:build e2e

package e2e

import (
	"bytes"
	"database/sql"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/tidwall/gjson"

	"forward/test/harness"
)

// open starts a stream and returns after its first event, with a function that
// reads the rest.
func open(t *testing.T, gw *gateway, model string) (rest func() ([]byte, error)) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), "POST", gw.URL+"/v1/chat/completions", strings.NewReader(chatBody(model, "hi", `,"stream":true`)))
	if err != nil {
		t.Fatal(err)
	}
	resp, err := (&http.Transport{}).RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { resp.Body.Close() })
	first := make([]byte, 10)
	if _, err := io.ReadFull(resp.Body, first); err != nil {
		t.Fatal(err)
	}
	return func() ([]byte, error) {
		data, err := io.ReadAll(resp.Body)
		return append(first, data...), err
	}
}

func TestStopLetsStreamsFinish(t *testing.T) {
	up := startUpstream(t)
	gw := startForward(t, t.TempDir(), "OPENAI_BASE_URL="+up.URL, "LOG_CHAT=true", "SHUTDOWN_TIMEOUT=20s")
	rest := open(t, gw, "slow-stream-5-ms")
	gw.Signal(syscall.SIGTERM)
	data, err := rest()
	if err != nil || !bytes.HasSuffix(data, []byte("data: [DONE]\n\n")) {
		t.Errorf("the stream ended with %q, error %v", harness.Tail(string(data)), err)
	}
	if status := gw.Ended(5 * time.Second); status != 0 {
		t.Errorf("exit status %d, want 0", status)
	}
	if got := chatLog(t, gw.dir, "openai"); len(got) != 2 || !gjson.Get(got[1], "complete").Bool() {
		t.Errorf("the chat log holds %q, want two lines and a complete answer", got)
	}
}

// TestStopEndsStreamsAtItsBound: streams that outlive SHUTDOWN_TIMEOUT end with
// an error event, never as if complete, and their log lines are written.
func TestStopEndsStreamsAtItsBound(t *testing.T) {
	up := startUpstream(t)
	gw := startForward(t, t.TempDir(), "OPENAI_BASE_URL="+up.URL, "LOG_CHAT=true", "SHUTDOWN_TIMEOUT=300ms")
	const n = 20
	var rests []func() ([]byte, error)
	for range n {
		rests = append(rests, open(t, gw, "slow-stream-200-ms"))
	}
	gw.Signal(syscall.SIGTERM)
	for i, rest := range rests {
		data, err := rest()
		if err != nil || !bytes.Contains(data, []byte("gateway_shutting_down")) || bytes.Contains(data, []byte("[DONE]")) {
			t.Errorf("stream %d ended with %q, error %v", i, harness.Tail(string(data)), err)
		}
	}
	if status := gw.Ended(5 * time.Second); status != 0 {
		t.Errorf("exit status %d, want 0", status)
	}
	answers := 0
	for _, line := range chatLog(t, gw.dir, "openai") {
		if complete := gjson.Get(line, "complete"); complete.Exists() && !complete.Bool() {
			answers++
		}
	}
	if answers != n {
		t.Errorf("%d of %d aborted streams have their second line", answers, n)
	}
	for _, r := range up.requests() {
		if r.Aborted.IsZero() {
			t.Errorf("the upstream was left running after %d events", r.Events)
		}
	}
}

// TestStopWith200Streams stops a gateway with 200 streams. Half of them end
// within its bound. Each ends whole or with an error event, and each has its
// two lines in the chat log and its row in the ledger, which show which of the
// two it was.
func TestStopWith200Streams(t *testing.T) {
	up := startUpstream(t)
	gw := startForward(t, t.TempDir(), "OPENAI_BASE_URL="+up.URL, "LOG_CHAT=true", "SHUTDOWN_TIMEOUT=6s")
	const n = 200
	type ended struct {
		data []byte
		err  error
	}
	ends := make(chan ended, n)
	var started sync.WaitGroup
	for i := range n {
		script := "slow-stream-20-ms" // two seconds, on a machine that is not busy
		if i%2 == 1 {
			script = "slow-stream-1000-ms"
		}
		started.Add(1)
		go func() {
			rest := open(t, gw, script)
			started.Done()
			data, err := rest()
			ends <- ended{data, err}
		}()
	}
	started.Wait()
	gw.Signal(syscall.SIGTERM)
	whole, cutOff := 0, 0
	for range n {
		e := <-ends
		done, failed := bytes.HasSuffix(e.data, []byte("data: [DONE]\n\n")), bytes.Contains(e.data, []byte("gateway_shutting_down"))
		if e.err != nil || done == failed {
			t.Errorf("a stream ended with %q, error %v", harness.Tail(string(e.data)), e.err)
		}
		if done {
			whole++
		} else if failed {
			cutOff++
		}
	}
	if status := gw.Ended(20 * time.Second); status != 0 {
		t.Errorf("exit status %d, want 0", status)
	}
	if whole == 0 || cutOff == 0 || whole+cutOff != n {
		t.Errorf("%d streams were whole and %d ended with an error event, want some of each and %d together", whole, cutOff, n)
	}
	asked, answers := 0, map[bool]int{}
	for _, line := range chatLog(t, gw.dir, "openai") {
		if complete := gjson.Get(line, "complete"); complete.Exists() {
			answers[complete.Bool()]++
		} else {
			asked++
		}
	}
	if asked != n || answers[true] != whole || answers[false] != cutOff {
		t.Errorf("the chat log has %d requests, %d whole answers and %d others, want %d, %d and %d", asked, answers[true], answers[false], n, whole, cutOff)
	}
	db, err := sql.Open("sqlite", filepath.Join(gw.dir, "data", "forward.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	var rows, cut, open int
	if err := db.QueryRow(`SELECT COUNT(*), COUNT(CASE WHEN cause = 'gateway_shutting_down' THEN 1 END), (SELECT COUNT(*) FROM usage_open) FROM usage_requests`).Scan(&rows, &cut, &open); err != nil {
		t.Fatal(err)
	}
	if rows != n || cut != cutOff || open != 0 {
		t.Errorf("the ledger has %d rows, %d of them cut by the stop, and %d calls that are open, want %d, %d and none", rows, cut, open, n, cutOff)
	}
}

// TestStopServesOnForItsDelay: /readyz answers 503 at once, while new requests
// are served until SHUTDOWN_DELAY is over, each with the hint to come on
// another connection.
func TestStopServesOnForItsDelay(t *testing.T) {
	up := startUpstream(t)
	gw := startForward(t, t.TempDir(), "OPENAI_BASE_URL="+up.URL, "SHUTDOWN_DELAY=4s")
	ready := func() answer { return send(t, "GET", gw.URL+"/readyz", "") }
	if got := ready(); got.status != http.StatusOK {
		t.Fatalf("/readyz: status %d", got.status)
	}
	gw.Signal(syscall.SIGTERM)
	harness.Eventually(t, 2*time.Second, "/readyz says 503", func() bool { return ready().status == http.StatusServiceUnavailable })
	res, err := http.Post(gw.URL+chatPath, "application/json", strings.NewReader(chatBody("m", "hi", "")))
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	if res.StatusCode != http.StatusOK || !res.Close {
		t.Errorf("a new request: status %d, and the connection is to close: %v", res.StatusCode, res.Close)
	}
	if status := gw.Ended(10 * time.Second); status != 0 {
		t.Errorf("exit status %d, want 0", status)
	}
}

func TestSecondSignalEndsAtOnce(t *testing.T) {
	up := startUpstream(t)
	gw := startForward(t, t.TempDir(), "OPENAI_BASE_URL="+up.URL, "SHUTDOWN_TIMEOUT=60s")
	open(t, gw, "stall")
	gw.Signal(syscall.SIGTERM)
	harness.Eventually(t, 5*time.Second, "the gateway refuses new connections", func() bool {
		_, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(mustGet(t, gw.URL+"/readyz"))
		return err != nil
	})
	gw.Signal(syscall.SIGTERM)
	gw.Ended(2 * time.Second)
}

func mustGet(t *testing.T, url string) *http.Request {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), "GET", url, nil)
	if err != nil {
		t.Fatal(err)
	}
	return req
}

// chatLog returns the lines of a route's chat log.
func chatLog(t *testing.T, dir, route string) []string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(dir, "Log", route, "chat", "chat.log"))
	if err != nil {
		t.Fatal(err)
	}
	return lines(data)
}
