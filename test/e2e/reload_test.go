//go:build e2e

package e2e

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"forward/test/harness"
)

// reloading is a gateway whose settings are in files that the test changes.
type reloading struct {
	*gateway
	t        *testing.T
	upstream *upstream
	version  int // of the settings: how often they were written
}

func startReloading(t *testing.T) *reloading {
	up := startUpstream(t)
	r := &reloading{t: t, upstream: up}
	dir := t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, "etc"), 0o700); err != nil {
		t.Fatal(err)
	}
	r.write(dir, "fk-guest-0")
	p := harness.Start(t, dir, []string{"PORT=0"}, forwardBinary, "run")
	r.gateway = &gateway{Process: p, URL: p.Address(p.Stderr, harness.Listens), dir: dir}
	return r
}

// write replaces .env by one with a key besides the one that stays, in the way
// in which editors and Kubernetes do: the whole file is moved into its place.
func (r *reloading) write(dir, guest string) {
	r.t.Helper()
	r.version++
	text := fmt.Sprintf("OPENAI_BASE_URL=%s\nOPENAI_API_KEY=sk-%d\nFORWARD_KEY=fk-stays,%s\nREQ_RATE_LIMIT={\"/\":\"%d/minute\"}\nLOG_CHAT=%v\nTIMEOUT=%ds\n",
		r.upstream.URL, r.version, guest, 10_000_000+r.version, r.version%3 == 0, 5+r.version%2)
	next := filepath.Join(dir, "etc", "next")
	if err := os.WriteFile(next, []byte(text), 0o600); err != nil {
		r.t.Fatal(err)
	}
	if err := os.Rename(next, filepath.Join(dir, ".env")); err != nil {
		r.t.Fatal(err)
	}
}

// status is what a key is answered.
func (r *reloading) status(key string) int {
	r.t.Helper()
	return send(r.t, "POST", r.URL+chatPath, chatBody("m", "hi", ""), bearer(key)...).status
}

// TestReloadsUnderLoad reloads a hundred times, by signal, command and file in
// turn, while 200 requests a second run, one in ten a stream of half a second.
// None of them fails. A key that was added is known and one that was taken away
// is refused within a second, and nothing is left of the settings of before.
func TestReloadsUnderLoad(t *testing.T) {
	r := startReloading(t)
	load := startLoad(t, r.URL, 200)
	time.Sleep(500 * time.Millisecond) // what a gateway only has under load
	for i := range 100 {
		guest, before := fmt.Sprintf("fk-guest-%d", i+1), fmt.Sprintf("fk-guest-%d", i)
		r.write(r.dir, guest)
		switch i % 3 {
		case 0:
			r.Signal(syscall.SIGHUP)
		case 1:
			if out, problems, status := command(t, r.dir, nil, "reload"); status != 0 || !strings.Contains(out, "changed: OPENAI_API_KEY, FORWARD_KEY, REQ_RATE_LIMIT") && out != "nothing has changed\n" { // the watch may come first
				t.Errorf("forward reload: status %d, %q, %q", status, out, problems)
			}
		}
		harness.Eventually(t, 5*time.Second, "the key that was added is known", func() bool { return r.status(guest) == http.StatusOK })
		if got := r.status(before); got != http.StatusUnauthorized {
			t.Errorf("the key that was taken away is answered with %d", got)
		}
	}
	asked, failed := load.stop()
	if failed > 0 || asked < 1000 {
		t.Errorf("%d of %d requests failed during 100 reloads", failed, asked)
	}
	t.Logf("%d requests, %d failed", asked, failed)
	// A signal and the watch may find the same change, and one of the two reads
	// what applies already.
	if n := strings.Count(r.Stderr.String(), "settings were read again"); n < 100 {
		t.Errorf("the log has %d reloads", n)
	}
	r.upstream.Kill() // lets go of the connections that are kept for the next request
	fresh := startReloading(t)
	harness.Eventually(t, 10*time.Second, "descriptors are those of a fresh gateway, its chat log and connections to its database", func() bool { return r.Descriptors() <= fresh.Descriptors()+10 })
	if left, want := r.goroutines(), fresh.goroutines(); left > want+6 {
		t.Errorf("%d goroutines after the reloads, %d in a fresh process", left, want)
	}
}

// TestAWrongFileChangesNothing: the command reports file, line and fix and
// fails, the log has the same of a changed file and of SIGHUP, and the gateway
// serves on by what it had. Later a correct file counts.
func TestAWrongFileChangesNothing(t *testing.T) {
	r := startReloading(t)
	path := filepath.Join(r.dir, ".env")
	good, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	wrong := "# no route is left\nFORWARD_KEY=fk-wrong\nRETRIES=many\n"
	if err := os.WriteFile(path, []byte(wrong), 0o600); err != nil {
		t.Fatal(err)
	}
	const problem = "RETRIES=many (.env:3): not a whole number in range; write a number from 0 to 10"
	_, problems, status := command(t, r.dir, nil, "reload")
	if status != 1 || !strings.Contains(problems, problem) || !strings.Contains(problems, "stay") {
		t.Errorf("forward reload: status %d, %q, want 1 and %q", status, problems, problem)
	}
	logged := strings.Count(r.Stderr.String(), problem)
	r.Signal(syscall.SIGHUP)
	harness.Eventually(t, 5*time.Second, "the log has what is wrong", func() bool { return strings.Count(r.Stderr.String(), problem) > logged })
	if a, b := r.status("fk-stays"), r.status("fk-wrong"); a != http.StatusOK || b != http.StatusUnauthorized {
		t.Errorf("the key of before is answered with %d, the new one with %d", a, b)
	}
	if err := os.WriteFile(path, bytes.ReplaceAll(good, []byte("fk-guest-0"), []byte("fk-right")), 0o600); err != nil {
		t.Fatal(err)
	}
	harness.Eventually(t, 5*time.Second, "the correct file counts", func() bool { return r.status("fk-right") == http.StatusOK })
	if _, problems, status := command(t, t.TempDir(), nil, "reload"); status != 1 || !strings.Contains(problems, "no gateway answers") {
		t.Errorf("without a gateway: status %d, %q", status, problems)
	}
}

// load is requests at a fixed rate, whether or not those before are answered.
type load struct {
	asked, failed atomic.Int64
	end           chan struct{}
	all           sync.WaitGroup
	transport     *http.Transport
}

func startLoad(t *testing.T, url string, rate int) *load {
	l := &load{end: make(chan struct{}), transport: &http.Transport{MaxIdleConnsPerHost: 256}}
	l.all.Go(func() {
		ticker := time.NewTicker(time.Second / time.Duration(rate))
		defer ticker.Stop()
		for i := 0; ; i++ {
			select {
			case <-l.end:
				return
			case <-ticker.C:
			}
			l.all.Go(func() {
				l.asked.Add(1)
				if err := oneOfLoad(l.transport, url, i%10 == 0); err != nil && l.failed.Add(1) < 20 {
					t.Errorf("request %d: %v", i, err)
				}
			})
		}
	})
	return l
}

func (l *load) stop() (asked, failed int64) {
	close(l.end)
	l.all.Wait()
	l.transport.CloseIdleConnections()
	return l.asked.Load(), l.failed.Load()
}

func oneOfLoad(transport *http.Transport, url string, stream bool) error {
	body, end := chatBody("m", "hi", ""), "}"
	if stream {
		body, end = chatBody("slow-stream-5-ms", "hi", `,"stream":true`), "data: [DONE]\n\n"
	}
	q, err := http.NewRequest("POST", url+chatPath, strings.NewReader(body))
	if err != nil {
		return err
	}
	q.Header.Set("Authorization", "Bearer fk-stays")
	res, err := transport.RoundTrip(q)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	data, err := io.ReadAll(res.Body)
	if err == nil && (res.StatusCode != http.StatusOK || !strings.HasSuffix(strings.TrimSpace(string(data)), strings.TrimSpace(end))) {
		err = fmt.Errorf("status %d and %q", res.StatusCode, harness.Tail(string(data)))
	}
	return err
}
