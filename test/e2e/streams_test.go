//go:build e2e

package e2e

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"forward/internal/upstreamtest"
	"forward/test/harness"
)

// TestImmediateStreams sends requests whose answer, 20 events in one write,
// comes before the upstream has read the request. A plain ReverseProxy loses
// the end of about one in a hundred of them (measured, in each of these cases):
// its transport is still busy with the request body when the answer is relayed,
// finds the body closed, and drops the connection. It shows only with client,
// gateway and upstream in three processes. Afterwards nothing of 20,000 streams
// is left in the gateway.
func TestImmediateStreams(t *testing.T) {
	up := startUpstream(t)
	gw := startForward(t, t.TempDir(), "OPENAI_BASE_URL="+up.URL)
	const parsed, opaque = "/v1/chat/completions", "/v1/threads/runs"
	text := strings.Repeat("x", 64<<10)
	prompt := func(i int) io.Reader { return strings.NewReader(chatBody("m", text[:i%3000], `,"stream":true`)) }
	storm{64, gw.URL + parsed, "burst-20", prompt}.run(t) // warm up: what a gateway only has after some load
	baseline := gw.Descriptors()

	for name, s := range map[string]storm{
		"bodies that are parsed": {10_000, gw.URL + parsed, "burst-20", prompt},
		"bodies that stream, with their length": {4_000, gw.URL + opaque, "burst-20", func(i int) io.Reader {
			return strings.NewReader(text[:i*17%len(text)])
		}},
		"bodies that stream, in chunks": {3_000, gw.URL + opaque, "burst-20", func(i int) io.Reader {
			// A reader whose length net/http cannot know.
			return io.MultiReader(strings.NewReader("chunk"), strings.NewReader(text[:i*17%len(text)]))
		}},
		"answers after the body was read": {3_000, gw.URL + opaque, "burst-wait-20", func(i int) io.Reader {
			return strings.NewReader(text[:8<<10+i*17%(32<<10)])
		}},
	} {
		t.Run(name, s.run)
	}

	up.Kill() // lets go of the connections that are kept for the next request
	harness.Eventually(t, 10*time.Second, "descriptors are back to the baseline", func() bool { return gw.Descriptors() <= baseline+2 })
	fresh := startForward(t, t.TempDir(), "OPENAI_BASE_URL="+up.URL)
	if left, want := gw.goroutines(), fresh.goroutines(); left > want+3 {
		t.Errorf("%d goroutines after the streams, %d in a fresh process", left, want)
	}
}

// storm is n requests, 32 at a time.
type storm struct {
	n      int
	url    string
	script string
	body   func(i int) io.Reader
}

// run compares every byte of every answer, and gives up after 20 bad ones.
func (s storm) run(t *testing.T) {
	client := &http.Transport{MaxIdleConnsPerHost: 32, DisableCompression: true}
	defer client.CloseIdleConnections()
	want := upstreamtest.NumberedStream(20)
	var next, bad atomic.Int64
	var workers sync.WaitGroup
	for range 32 {
		workers.Go(func() {
			for i := int(next.Add(1)); i <= s.n && bad.Load() < 20; i = int(next.Add(1)) {
				if err := s.one(client, i, want); err != nil {
					bad.Add(1)
					t.Errorf("stream %d: %v", i, err)
				}
			}
		})
	}
	workers.Wait()
}

func (s storm) one(client *http.Transport, i int, want []byte) error {
	req, err := http.NewRequest("POST", s.url, s.body(i))
	if err != nil {
		return err
	}
	req.Header.Set("X-Script", s.script)
	resp, err := client.RoundTrip(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	got, err := io.ReadAll(resp.Body)
	if err != nil {
		return fmt.Errorf("after %d of %d bytes: %w", len(got), len(want), err)
	}
	if resp.StatusCode != 200 || !bytes.Equal(got, want) {
		return fmt.Errorf("status %d, %d of %d bytes: %.200q", resp.StatusCode, len(got), len(want), got)
	}
	return nil
}

var goroutineHeads = regexp.MustCompile(`(?m)^goroutine \d+ `)

// goroutines ends the process by SIGQUIT, which makes the Go runtime print
// every goroutine, and counts them. It needs nothing of the program itself: no
// debug endpoint that would have to be kept from strangers.
func (p *gateway) goroutines() int {
	p.Signal(syscall.SIGQUIT)
	p.Ended(10 * time.Second)
	return len(goroutineHeads.FindAllString(p.Stderr.String(), -1))
}
