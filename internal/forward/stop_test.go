package forward_test

import (
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"forward/internal/ledger"
	"forward/internal/live"
	"forward/internal/queue"
)

// protocol is how one dialect asks and streams.
type protocol struct {
	name, path, body string
	stream           string // path of the streamed form, where it has its own
	kind, event      string // of the stream: its type, and one event with six words
	failed           string // in the event that ends a stopped stream
}

var protocols = []protocol{
	{name: "chat", path: "/v1/chat/completions", body: `{"model":"gpt-4o","messages":[{"role":"user","content":"hi"}]STREAM}`,
		kind: "text/event-stream", event: chunk(`{"content":"One two three four five six"}`, "null"), failed: `data: {"error":{"message":"This request was stopped by the administrator`},
	{name: "responses", path: "/v1/responses", body: `{"model":"gpt-4o","input":"hi"STREAM}`,
		kind: "text/event-stream", event: "event: response.output_text.delta\ndata: {\"type\":\"response.output_text.delta\",\"output_index\":0,\"content_index\":0,\"delta\":\"One two three four five six\"}\n\n", failed: "request_stopped"},
	{name: "messages", path: "/anthropic/v1/messages", body: `{"model":"claude-3-5-sonnet-latest","max_tokens":50,"messages":[{"role":"user","content":"hi"}]STREAM}`,
		kind: "text/event-stream", event: "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"text_delta\",\"text\":\"One two three four five six\"}}\n\n", failed: "event: error\ndata: "},
	{name: "gemini", path: "/gemini/v1beta/models/gemini-2.0-flash:generateContent", stream: "/gemini/v1beta/models/gemini-2.0-flash:streamGenerateContent?alt=sse", body: `{"contents":[{"parts":[{"text":"hi"}]}]}`,
		kind: "text/event-stream", event: "data: {\"candidates\":[{\"content\":{\"parts\":[{\"text\":\"One two three four five six\"}]}}]}\r\n\r\n", failed: `"error":`},
	{name: "ollama", path: "/ollama/api/chat", body: `{"model":"llama3","messages":[{"role":"user","content":"hi"}]STREAM}`,
		kind: "application/x-ndjson", event: "{\"model\":\"llama3\",\"message\":{\"role\":\"assistant\",\"content\":\"One two three four five six\"},\"done\":false}\n", failed: `{"error":`},
}

// ask returns the path and the body of a request.
func (p *protocol) ask(stream bool) (path, body string) {
	word := "false"
	path = p.path
	if stream {
		word = "true"
		if p.stream != "" {
			path = p.stream
		}
	}
	return path, strings.Replace(p.body, "STREAM", `,"stream":`+word, 1)
}

// underWay returns the only request under way, in the phase that the test waits
// for.
func underWay(t *testing.T, all *live.Requests, phase live.Phase) (one live.Running) {
	t.Helper()
	waitFor(t, "a request in phase "+phase.String(), func() bool {
		list, count := all.List(func(*live.About) bool { return true }, 10)
		for _, r := range list {
			if r.Phase == phase {
				one = r
			}
		}
		return count > 0 && one.ID != ""
	})
	return one
}

// stop stops a request as the administrator does.
func stop(t *testing.T, all *live.Requests, id string) {
	t.Helper()
	if _, err := all.Stop(id, func(*live.About) bool { return true }, &live.StoppedError{}); err != nil {
		t.Fatal(err)
	}
}

// soon fails the test unless a request was stopped within a second.
func soon(t *testing.T, what string, since time.Time, done <-chan struct{}) {
	t.Helper()
	select {
	case <-done:
	case <-time.After(5 * time.Second):
	}
	if took := time.Since(since); took > time.Second {
		t.Errorf("%s after %v", what, took)
	}
}

// wantStopped fails the test unless the row is that of a stopped request.
func wantStopped(t *testing.T, r *ledger.Row) {
	t.Helper()
	if r.Cause != "request_stopped" || !slices.ContainsFunc(r.Trail, func(s ledger.Step) bool {
		return s.Name == "stopped" && s.Text == "stopped by the administrator of the gateway" && s.At > 0
	}) {
		t.Errorf("the row has the cause %q and the trail %+v", r.Cause, r.Trail)
	}
}

// TestAStreamIsStopped: in every protocol the upstream sees the end within a
// second, the client gets an error event, and the row has the tokens that were
// seen.
func TestAStreamIsStopped(t *testing.T) {
	for _, p := range protocols {
		t.Run(p.name, func(t *testing.T) {
			ledger, rows := accounting(t)
			canceled := make(chan struct{})
			var all live.Requests
			b := start(t, func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Content-Type", p.kind)
				io.WriteString(w, p.event)
				w.(http.Flusher).Flush()
				<-r.Context().Done()
				close(canceled)
			}, func(s *setup) {
				ledger(s)
				s.all = true
				s.Live = &all
			})
			path, body := p.ask(true)
			answers := make(chan answer, 1)
			go func() { answers <- b.do("POST", path, body) }()
			one := underWay(t, &all, live.Streaming)
			if one.KeyName != "alice" || !one.Stream || one.Operation == "" || one.Model == "" || one.Bytes == 0 || one.Tokens < 4 || one.Tokens > 9 {
				t.Errorf("it is shown as %+v", one)
			}
			now := time.Now()
			stop(t, &all, one.ID)
			soon(t, "the upstream sees the end", now, canceled)
			got := <-answers
			if took := time.Since(now); took > time.Second {
				t.Errorf("the client has its answer after %v", took)
			}
			if got.err != nil || !strings.HasPrefix(got.body, p.event) || !strings.Contains(got.body[len(p.event):], p.failed) || !strings.Contains(got.body, "stopped by the administrator") {
				t.Errorf("the client got %q, %v", got.body, got.err)
			}
			written := rows(b)
			if len(written) != 1 {
				t.Fatalf("%d rows", len(written))
			}
			row := written[0]
			wantStopped(t, &row)
			if !row.Estimated || row.Usage.Output < 4 || row.Usage.Output > 9 || row.Status != 200 {
				t.Errorf("the row has status %d and the usage %+v", row.Status, row.Usage)
			}
		})
	}
}

// TestARequestIsStoppedBeforeItsAnswer: nothing has come, so the client gets an
// error that it does not send again.
func TestARequestIsStoppedBeforeItsAnswer(t *testing.T) {
	for _, p := range protocols {
		for _, stream := range []bool{false, true} {
			name := p.name
			if stream {
				name += " streamed"
			}
			t.Run(name, func(t *testing.T) {
				ledger, rows := accounting(t)
				canceled := make(chan struct{})
				var all live.Requests
				b := start(t, func(_ http.ResponseWriter, r *http.Request) {
					<-r.Context().Done()
					close(canceled)
				}, func(s *setup) {
					ledger(s)
					s.all = true
					s.Live = &all
					s.Retries = 2
				})
				path, body := p.ask(stream)
				answers := make(chan answer, 1)
				go func() { answers <- b.do("POST", path, body) }()
				one := underWay(t, &all, live.Waiting)
				waitFor(t, "the upstream's request", func() bool { return b.calls() == 1 })
				now := time.Now()
				stop(t, &all, one.ID)
				soon(t, "the upstream sees the end", now, canceled)
				(<-answers).want(t, 400, "This request was stopped by the administrator of the gateway.")
				if b.calls() != 1 {
					t.Errorf("it was sent %d times", b.calls())
				}
				written := rows(b)
				if len(written) != 1 || written[0].Status != 400 || !written[0].Estimated || written[0].Usage.Input == 0 {
					t.Fatalf("rows: %+v", written)
				}
				wantStopped(t, &written[0])
			})
		}
	}
}

// TestAnAnswerIsStoppedInItsMiddle: one that is no stream has no place for an
// error, so its connection is aborted.
func TestAnAnswerIsStoppedInItsMiddle(t *testing.T) {
	ledger, rows := accounting(t)
	var all live.Requests
	canceled := make(chan struct{})
	b := start(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "audio/mpeg")
		w.Header().Set("Content-Length", "100000")
		w.Write(make([]byte, 5000))
		w.(http.Flusher).Flush()
		<-r.Context().Done()
		close(canceled)
	}, func(s *setup) {
		ledger(s)
		s.Live = &all
	})
	answers := make(chan answer, 1)
	go func() {
		answers <- b.do("POST", "/v1/audio/speech", `{"model":"tts-1","input":"hello","voice":"alloy"}`)
	}()
	one := underWay(t, &all, live.Streaming)
	now := time.Now()
	stop(t, &all, one.ID)
	soon(t, "the upstream sees the end", now, canceled)
	if got := <-answers; got.err == nil {
		t.Errorf("the client got %d bytes that look whole", len(got.body))
	}
	row := rows(b)[0]
	wantStopped(t, &row)
}

// TestARequestIsStoppedInTheQueue: it leaves the queue, and costs nothing.
func TestARequestIsStoppedInTheQueue(t *testing.T) {
	ledger, rows := accounting(t)
	var all live.Requests
	hold := make(chan struct{})
	b := start(t, func(w http.ResponseWriter, r *http.Request) {
		<-hold
		provider(w, r)
	}, func(s *setup) {
		ledger(s)
		lined(queue.Rule{Models: "*", Model: queue.Model{MaxParallel: 1, MaxQueue: 5, MaxWait: time.Minute}})(s)
		s.Live = &all
		s.QueueKeepalive = 10 * time.Millisecond
	})
	running, plain, stream := make(chan answer, 1), make(chan answer, 1), make(chan answer, 1)
	go func() { running <- b.chat("") }()
	first := underWay(t, &all, live.Waiting)
	for i, c := range []struct {
		answers chan answer
		fields  string
	}{{plain, ""}, {stream, `,"stream":true`}} {
		go func() { c.answers <- b.chat(c.fields) }()
		one := underWay(t, &all, live.Queue)
		waitFor(t, "the queue", func() bool { return b.gateway.Scheduler.Report()[0].Waiting == 1 })
		if i == 1 {
			time.Sleep(40 * time.Millisecond) // comments were sent
		}
		now := time.Now()
		stop(t, &all, one.ID)
		got := <-c.answers
		if took := time.Since(now); took > time.Second {
			t.Errorf("the client has its answer after %v", took)
		}
		if i == 0 {
			got.want(t, 400, "request_stopped", "stopped by the administrator")
		} else {
			got.want(t, 200, ": waiting in line", `data: {"error":`, "stopped by the administrator")
		}
		if report := b.gateway.Scheduler.Report()[0]; report.Waiting != 0 || report.InFlight != 1 {
			t.Errorf("the queue has %+v", report)
		}
	}
	close(hold)
	(<-running).want(t, 200)
	stopped := 0
	for _, r := range rows(b) {
		if r.ID == first.ID {
			continue
		}
		stopped++
		wantStopped(t, &r)
		if r.Usage.Total != 0 || r.Attempts != 0 {
			t.Errorf("a request that was not sent has the row %+v", r)
		}
	}
	if stopped != 2 || b.calls() != 1 {
		t.Errorf("%d rows of stopped requests, %d calls", stopped, b.calls())
	}
}

// TestASharedCallIsStoppedForAll: the administrator ends the call, and so the
// answers of all that follow it. A holder ends only what is its own.
func TestASharedCallIsStoppedForAll(t *testing.T) {
	ledger, rows := accounting(t)
	var all live.Requests
	s := newSlow()
	b := start(t, s.serve, func(set *setup) {
		ledger(set)
		caching(memoryCache(t))(set)
		set.CacheShared = true
		set.Live = &all
	})
	alice, bob := make(chan answer, 1), make(chan answer, 1)
	go func() { alice <- b.chat(`,"caching":true,"stream":true`) }()
	first := underWay(t, &all, live.Streaming)
	go func() { bob <- b.chat(`,"caching":true,"stream":true`, "Authorization", "Bearer fk-bob") }()
	waitFor(t, "a follower", func() bool {
		list, _ := all.List(func(a *live.About) bool { return a.KeyName == "bob" }, 1)
		return len(list) == 1 && list[0].Phase == live.Streaming
	})
	mine := func(a *live.About) bool { return a.KeyName == "alice" }
	if _, err := all.Stop(first.ID, mine, &live.StoppedError{Holder: true}); err != live.ErrShared {
		t.Errorf("a holder stops what another one receives: %v", err)
	}
	now := time.Now()
	stop(t, &all, first.ID)
	for _, answers := range []chan answer{alice, bob} {
		(<-answers).want(t, 200, "request_stopped", "stopped by the administrator")
	}
	if took := time.Since(now); took > time.Second {
		t.Errorf("both have their answers after %v", took)
	}
	if err := <-s.ended; err == nil {
		t.Error("the upstream saw no end")
	}
	for _, r := range rows(b) {
		if r.Cause != "request_stopped" {
			t.Errorf("the row of %s has the cause %q", r.KeyName, r.Cause)
		}
	}
}

// TestAFollowerIsStopped: the others have their answer.
func TestAFollowerIsStopped(t *testing.T) {
	var all live.Requests
	s := newSlow()
	b := start(t, s.serve, func(set *setup) {
		caching(memoryCache(t))(set)
		set.Live = &all
	})
	first, second := make(chan answer, 1), make(chan answer, 1)
	go func() { first <- b.chat(`,"caching":true,"stream":true`) }()
	leader := underWay(t, &all, live.Streaming)
	go func() { second <- b.chat(`,"caching":true,"stream":true`) }()
	var follower string
	waitFor(t, "a follower", func() bool {
		list, _ := all.List(mineOnly, 2)
		for _, r := range list {
			if r.ID != leader.ID && r.Phase == live.Streaming {
				follower = r.ID
			}
		}
		return follower != ""
	})
	stop(t, &all, follower)
	(<-second).want(t, 200, "request_stopped")
	close(s.release)
	got := <-first
	got.want(t, 200, "Hello", "[DONE]")
	if strings.Contains(got.body, "request_stopped") {
		t.Errorf("the other caller got %s", got.body)
	}
}

// mineOnly lets alice see what is under way for alice.
func mineOnly(a *live.About) bool { return a.KeyName == "alice" }

// TestAResponseOnAWebSocketIsStopped: its connection ends with it, and the
// upstream with both.
func TestAResponseOnAWebSocketIsStopped(t *testing.T) {
	ledger, rows := accounting(t)
	var all live.Requests
	up := playing(t)
	b := start(t, up.ServeHTTP, func(s *setup) {
		ledger(s)
		s.Live = &all
	})
	c := b.dial("/v1/responses")
	c.send(create("stall", "one two three"))
	one := underWay(t, &all, live.Streaming)
	waitFor(t, "half of the answer", func() bool {
		list, count := all.List(mineOnly, 5)
		if count != 1 {
			t.Fatalf("a connection with one response is shown as %+v", list)
		}
		return list[0].Tokens > 0
	})
	now := time.Now()
	stop(t, &all, one.ID)
	got := c.last()
	wantError(t, got, 400, "request_stopped", "stopped by the administrator")
	if _, reason := c.closed(); !strings.Contains(reason, "stopped by the administrator") {
		t.Errorf("the connection was closed because of %q", reason)
	}
	if took := time.Since(now); took > time.Second {
		t.Errorf("the client knows after %v", took)
	}
	written := rows(b)
	if len(written) != 1 || written[0].Usage.Output == 0 {
		t.Fatalf("rows: %+v", written)
	}
	wantStopped(t, &written[0])
}
