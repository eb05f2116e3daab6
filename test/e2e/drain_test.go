//go:build e2e

package e2e

import (
	"bytes"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/tidwall/gjson"

	"forward/test/harness"
)

// open starts a stream and returns after its first event, with a function that reads the rest.
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

// TestStopEndsStreamsAtItsBound: streams that outlive SHUTDOWN_TIMEOUT end with an error event, never as if complete, and
// their log lines are written.
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
