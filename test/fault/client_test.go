//go:build fault

package fault

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"forward/internal/upstreamtest"
)

// clientFaults are those on the side of the client.
func clientFaults() []scenario {
	return []scenario{
		{id: "F18", fault: "a client sends Expect: 100-continue with a request that will be refused",
			promise: "A bad key gets 401 and a body that is too large 413 before it is asked for; a good request gets its 100.",
			run:     expectations},
		{id: "F22", fault: "200 clients leave before the first byte of their answers",
			promise: "The upstream notices at once, the places among parallel requests are free again, and nothing is left behind.",
			run:     leaveInSilence},
		{id: "F23", fault: "clients leave in the middle of a stream",
			promise: "The upstream notices at once, and what was seen is billed.",
			run:     leaveStreams},
		{id: "F25", fault: "500 connections send a byte of their headers now and then, and never come to the end",
			promise: "Other clients are served meanwhile, and they are closed after 10 seconds.",
			run:     slowHeaders},
		{id: "F26", fault: "a client sends its body so slowly that it never comes to the end",
			promise: "It gets a 408 request_timeout after 30 seconds, and the upstream is not asked.",
			run:     slowBody},
		{id: "F27", fault: "100 clients ask for 10 MB each and do not read",
			promise: "Memory does not grow with what they do not read, and they are cut off after 30 seconds.",
			run:     slowReaders},
		{id: "F28", fault: "a client announces more than it sends, or breaks its chunks",
			promise: "It gets a 400 invalid_body, not a 502, and the upstream never takes a part for the whole.",
			run:     brokenBodies},
		{id: "F29", fault: "requests are framed so that two servers could disagree where they end",
			promise: "The upstream sees exactly the requests that the gateway judged, and whatever is smuggled in behind one needs a key of its own.",
			run:     smuggling},
		{id: "F46", fault: "1,000 clients stream at the same time",
			promise: "Every stream goes on, and none takes more than 100 KB of memory.",
			run:     manyStreams},
		{id: "F52", fault: "a prompt of 1 MB that makes tokenisers take forever",
			promise: "It is served, and counting its tokens takes less than 1.5 seconds of processor time.",
			run:     longPrompts},
	}
}

// dial connects to the gateway, to send bytes by hand.
func (g *gateway) dial() net.Conn {
	g.s.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(g.URL, "http://"))
	if err != nil {
		g.s.Fatal(err)
	}
	g.s.Cleanup(func() { conn.Close() })
	return conn
}

// raw sends bytes as they are, closes that half of the connection if asked to,
// and reads the answers that come until its end.
func (g *gateway) raw(send string, half bool) (answers []answer) {
	g.s.Helper()
	conn := g.dial()
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(90 * time.Second))
	go func() {
		// A gateway that has refused the request does not read all of it.
		_, _ = io.WriteString(conn, send)
		if half {
			_ = conn.(*net.TCPConn).CloseWrite()
		}
	}()
	in := bufio.NewReader(conn)
	for {
		resp, err := http.ReadResponse(in, nil)
		if err != nil {
			return answers
		}
		body, err := io.ReadAll(resp.Body)
		answers = append(answers, g.s.note(answer{status: resp.StatusCode, header: resp.Header, body: body, err: err}))
	}
}

// head is a request line with the headers that every request needs, under the
// name of a new case.
func (s *scene) head(method, path string, lines ...string) (text, name string) {
	name = s.next()
	return fmt.Sprintf("%s %s HTTP/1.1\r\nHost: gateway\r\nAuthorization: Bearer %s\r\nContent-Type: application/json\r\nX-Case: %s\r\nX-User-Id: %s\r\n%s\r\n",
		method, path, template.alice, name, name, strings.Join(append(lines, ""), "\r\n")), name
}

func statuses(answers []answer) (list []int) {
	for _, a := range answers {
		list = append(list, a.status)
	}
	return list
}

func expectations(s *scene) {
	g := s.start(setup{})
	body := chatBody("gpt-4o-mini", "hi", "")
	good, name := s.head("POST", chatPath, "Connection: close", "Expect: 100-continue", fmt.Sprint("Content-Length: ", len(body)))
	large, largeName := s.head("POST", chatPath, "Connection: close", "Expect: 100-continue", "Content-Length: 1073741824")
	for _, row := range []struct {
		send, want string
	}{
		{strings.Replace(good, "Bearer fk-", "Bearer fk-x", 1), "[401]"},
		{large, "[413]"},
		{good + body, "[100 200]"},
	} {
		if got := fmt.Sprint(statuses(g.raw(row.send, false))); got != row.want {
			s.Errorf("statuses %s, want %s", got, row.want)
		}
	}
	s.calls(answer{name: largeName}, 0)
	s.calls(answer{name: name}, 1)
}

func leaveInSilence(s *scene) {
	g := s.start(setup{env: []string{"MAX_PARALLEL_REQUESTS=40"}})
	var all sync.WaitGroup
	for range 20 {
		all.Go(func() {
			for i := range 10 {
				ctx, leave := context.WithTimeout(s.Context(), time.Duration(1+10*i)*time.Millisecond)
				g.ask(call{ctx: ctx, path: chatPath, script: "stall-before-headers", body: chatBody("gpt-4o-mini", "hi", "")})
				leave()
			}
		})
	}
	all.Wait()
	s.within("all calls are left", func() bool {
		for _, r := range s.up.Requests() {
			if r.Script == "stall-before-headers" && r.Aborted.IsZero() {
				return false
			}
		}
		return true
	})
	// All places are free: as many as there are fit at the same time.
	var refused atomic.Int64
	for range 40 {
		all.Go(func() {
			if a := g.chat("delay-300-ms", ""); a.status != 200 {
				refused.Add(1)
			}
		})
	}
	if all.Wait(); refused.Load() != 0 {
		s.Errorf("%d of 40 places are still held", refused.Load())
	}
}

func leaveStreams(s *scene) {
	g := s.start(setup{})
	for _, c := range []call{
		{path: chatPath, body: chatBody("gpt-4o-mini", "hi", streaming)},
		{path: chatPath, body: chatBody("gpt-4o-mini", "hi", streaming+caching)},
		{path: "/anthropic/v1/messages", body: chatBody("claude-haiku-4-5", "hi", `,"max_tokens":50`+streaming)},
	} {
		c.script = "slow-stream-50-ms"
		r, name := g.request(c)
		resp, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(r)
		if err != nil {
			s.Fatal(err)
		}
		if _, err := io.ReadFull(resp.Body, make([]byte, 700)); err != nil {
			s.Errorf("%s: %v", c.path, err)
		}
		resp.Body.Close()
		s.left(answer{name: name})
	}
	s.within("they count by what was seen", func() bool {
		return g.metric(`forward_usage_estimated_total{model="gpt-4o-mini",route="openai"}`) == 2 &&
			g.metric(`forward_usage_estimated_total{model="claude-haiku-4-5",route="anthropic"}`) == 1
	})
}

func slowHeaders(s *scene) {
	g := s.start(setup{})
	start := time.Now()
	var closed atomic.Int64
	const n = 500
	for range n {
		conn := g.dial()
		go func() {
			defer conn.Close()
			io.WriteString(conn, "POST "+chatPath+" HTTP/1.1\r\nX-Slow: ")
			go func() {
				for range 60 {
					if _, err := io.WriteString(conn, "s"); err != nil {
						return
					}
					time.Sleep(500 * time.Millisecond)
				}
			}()
			conn.SetReadDeadline(start.Add(60 * time.Second))
			if _, err := io.Copy(io.Discard, conn); err == nil || !isTimeout(err) {
				closed.Add(1)
			}
		}()
	}
	for range 20 {
		s.served(g.chat("", ""))
	}
	if gone := closed.Load(); gone != 0 && time.Since(start) < 9*time.Second {
		s.Errorf("%d connections were closed after %v", gone, time.Since(start))
	}
	for closed.Load() < n {
		if time.Since(start) > 50*time.Second {
			s.Fatalf("%d of %d slow connections were closed after %v", closed.Load(), n, time.Since(start))
		}
		time.Sleep(50 * time.Millisecond)
	}
	if took := time.Since(start); took < 9*time.Second {
		s.Errorf("they were closed after %v", took)
	}
}

func isTimeout(err error) bool {
	e, ok := err.(net.Error)
	return ok && e.Timeout()
}

func slowBody(s *scene) {
	g := s.start(setup{})
	head, name := s.head("POST", chatPath, "Content-Length: 1000")
	conn := g.dial()
	start := time.Now()
	io.WriteString(conn, head)
	go func() {
		for range 100 {
			if _, err := io.WriteString(conn, " "); err != nil {
				return
			}
			time.Sleep(500 * time.Millisecond)
		}
	}()
	conn.SetReadDeadline(start.Add(80 * time.Second))
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		s.Fatal(err)
	}
	defer resp.Body.Close()
	body, _ := io.ReadAll(resp.Body)
	s.refused(s.note(answer{name: name, status: resp.StatusCode, header: resp.Header, body: body}), 408, "request_timeout")
	if took := time.Since(start); took < 25*time.Second {
		s.Errorf("it was refused after %v", took)
	}
	s.calls(answer{name: name}, 0)
}

func slowReaders(s *scene) {
	g := s.start(setup{})
	before := g.Memory("VmRSS")
	const n = 100
	var names []string
	dialer := net.Dialer{Control: func(_, _ string, c syscall.RawConn) error {
		return c.Control(func(fd uintptr) { _ = syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_RCVBUF, 4096) })
	}}
	for range n {
		head, name := s.head("GET", "/v1/files/file-1/content", "X-Script: big-chunked-10-mb")
		conn, err := dialer.DialContext(s.Context(), "tcp", strings.TrimPrefix(g.URL, "http://"))
		if err != nil {
			s.Fatal(err)
		}
		defer conn.Close()
		io.WriteString(conn, head)
		names = append(names, name)
	}
	start := time.Now()
	s.within("all are asked for", func() bool { return g.metric("forward_in_flight_requests") >= n })
	time.Sleep(50 * time.Millisecond)
	s.served(g.chat("", ""))
	if grown := g.Memory("VmHWM") - before; grown > 64<<20 {
		s.Errorf("%d clients that do not read have cost %d MiB", n, grown>>20)
	}
	deadline := start.Add(80 * time.Second)
	for g.metric("forward_in_flight_requests") > 0 {
		if time.Now().After(deadline) {
			s.Fatal("those who do not read are still served")
		}
		time.Sleep(50 * time.Millisecond)
	}
	s.Logf("they were cut off after %v", time.Since(start))
	for _, name := range names { // the upstream may have got rid of all: into the buffers of the kernel
		s.within("the upstream is left", func() bool {
			seen := s.seen(name)
			return len(seen) == 1 && !seen[0].Ended.IsZero()
		})
	}
}

func brokenBodies(s *scene) {
	g := s.start(setup{})
	for what, rest := range map[string]string{
		"a length":      "Content-Length: 999|{\"model\":\"gpt-4o-mini\"}",
		"cut chunks":    "Transfer-Encoding: chunked|ff\r\n{}",
		"broken chunks": "Transfer-Encoding: chunked|zz\r\n{}\r\n0\r\n\r\n",
	} {
		line, body, _ := strings.Cut(rest, "|")
		head, name := s.head("POST", chatPath, line)
		answers := g.raw(head+body, true)
		if len(answers) != 1 {
			s.Errorf("%s: %d answers", what, len(answers))
			continue
		}
		s.refused(answers[0], 400, "invalid_body")
		s.calls(answer{name: name}, 0)
	}
	// A body that streams: the upstream has seen its beginning, and must not
	// take it for the whole.
	head, name := s.head("POST", "/v1/files", "Content-Length: 99999")
	g.raw(head+strings.Repeat("x", 9000), true)
	s.within("the upload has ended", func() bool {
		seen := s.seen(name)
		return len(seen) == 0 || !seen[0].Ended.IsZero()
	})
	for _, r := range s.seen(name) {
		if r.BodySHA256 != "" {
			s.Errorf("the upstream has read %d bytes to a good end", r.BodySize)
		}
	}
}

func smuggling(s *scene) {
	g := s.start(setup{})
	const smuggled = "GET /v1/models HTTP/1.1\r\nHost: gateway\r\nConnection: close\r\n\r\n"
	lines := func(l ...string) []string { return l }
	for _, row := range []struct {
		what  string
		lines []string
		body  string
		want  string
		calls int
	}{
		{"a length and chunks", lines("Content-Length: 4", "Transfer-Encoding: chunked"), "5\r\nhello\r\n0\r\n\r\n" + smuggled, "[200] [200 401]", 1},
		{"two lengths", lines("Content-Length: 5", "Content-Length: 6"), "hello!", "[400]", 0},
		{"a length with a sign", lines("Content-Length: +5"), "hello", "[400]", 0},
		{"chunked twice", lines("Transfer-Encoding: chunked, chunked"), "0\r\n\r\n", "[501]", 0},
		{"a space before the colon", lines("Transfer-Encoding : chunked"), "0\r\n\r\n", "[400]", 0},
		{"a vertical tab", lines("Transfer-Encoding: \x0bchunked"), "0\r\n\r\n", "[400]", 0},
		{"a chunk size that overflows", lines("Transfer-Encoding: chunked"), "ffffffffffffffff1\r\nhi\r\n0\r\n\r\n", "[400]", 0},
		{"a second request in the body", lines("Connection: close", fmt.Sprint("Content-Length: ", len(smuggled))), smuggled, "[200]", 1},
	} {
		path := "/v1/files"
		if row.calls == 0 {
			path = chatPath
		}
		script := "X-Script: echo-headers"
		head, name := s.head("POST", path, append(row.lines, script)...)
		got := statuses(g.raw(head+row.body, false))
		if !strings.Contains(row.want, fmt.Sprint(got)) || len(got) == 0 {
			s.Errorf("%s: statuses %v, want one of %s", row.what, got, row.want)
		}
		s.calls(answer{name: name}, row.calls)
	}
	for _, r := range s.up.Requests() {
		if r.URI == "/v1/models" {
			s.Errorf("the upstream saw the smuggled request: %v", r.Header)
		}
	}
}

func manyStreams(s *scene) {
	g := s.start(setup{})
	s.served(g.stream("ticks-1"))
	before := g.Memory("VmRSS")
	const n = 1000
	var started, wrong atomic.Int64
	var all sync.WaitGroup
	for range n {
		all.Go(func() {
			r, _ := g.request(call{path: chatPath, script: "ticks-10", body: chatBody("gpt-4o-mini", "hi", streaming)})
			resp, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(r)
			if err != nil {
				wrong.Add(1)
				return
			}
			defer resp.Body.Close()
			first := make([]byte, 20)
			io.ReadFull(resp.Body, first)
			started.Add(1)
			rest, err := io.ReadAll(resp.Body)
			if err != nil || !bytes.HasSuffix(rest, []byte("data: [DONE]\n\n")) {
				wrong.Add(1)
			}
		})
	}
	s.within("all streams have started", func() bool { return started.Load()+wrong.Load() == n })
	if each := (g.Memory("VmRSS") - before) / n; each > 100<<10 {
		s.Errorf("each stream takes %d bytes", each)
	}
	if all.Wait(); wrong.Load() != 0 {
		s.Errorf("%d of %d streams did not come to their end", wrong.Load(), n)
	}
}

// ticks streams n events a second apart. All streams are open when the last
// client has started.
func ticks(n int) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		w.Header().Set("Content-Type", "text/event-stream")
		for event := range strings.SplitAfterSeq(strings.TrimSuffix(string(upstreamtest.NumberedStream(n)), "\n\n"), "\n\n") {
			io.WriteString(w, event)
			http.NewResponseController(w).Flush()
			select {
			case <-time.After(time.Second):
			case <-r.Context().Done():
				return
			}
		}
		io.WriteString(w, "\n\n")
	}
}

func longPrompts(s *scene) {
	g := s.start(setup{env: []string{`QUOTAS={"key": {"*": {"tokens_per_day": 1000000000}}}`}})
	s.served(g.chat("", "")) // the vocabulary is loaded
	for what, prompt := range map[string]string{
		"one letter": strings.Repeat("a", 1<<20), "Han": strings.Repeat("的", 1<<20/3), "spaces": strings.Repeat(" ", 1<<20),
		"a special token": strings.Repeat("<|endoftext|>", 1<<20/13),
	} {
		before := g.metric("process_cpu_seconds_total")
		s.served(g.ask(call{path: chatPath, body: chatBody("gpt-4o-mini", prompt, "")}))
		if took := g.metric("process_cpu_seconds_total") - before; took > 1.5 {
			s.Errorf("1 MB of %s took %.2f s of processor time", what, took)
		}
	}
}
