package forward_test

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"forward/internal/cache"
)

// BenchmarkHit compares answers out of the cache with plain forwarding of the
// same answer by the same gateway, and with nginx serving a static file of that
// size. All run in turn, many times over, so that the ratios at the end hold on
// a noisy machine: the medians over the rounds. Allocations are of client and
// gateway together; nginx is a process of its own, so that beside it there is
// only time.
func BenchmarkHit(b *testing.B) {
	text := func(size int) string {
		return strings.Replace(chatBody, "Hello there!", strings.Repeat("lorem ipsum ", size/12), 1)
	}
	stream := strings.Repeat(chunk(`{"content":"word "}`, "null"), 498) + chunk(`{}`, `"stop"`) + "data: [DONE]\n\n"
	cases := []struct{ name, fields, answer string }{
		{"2KB", `}`, text(1700)},
		{"50KB", `}`, text(50 << 10)},
		{"stream of 500 events", `,"stream":true}`, stream},
	}
	for _, backend := range []string{"MEMORY", "BADGER"} {
		for _, c := range cases {
			b.Run(backend+"/"+c.name, func(b *testing.B) { benchmarkHit(b, backend, c.fields, c.answer) })
		}
	}
}

func benchmarkHit(b *testing.B, backend, fields, answer string) {
	up := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		if !strings.Contains(fields, "stream") {
			w.Header().Set("Content-Type", "application/json")
			io.WriteString(w, answer)
			return
		}
		w.Header().Set("Content-Type", "text/event-stream")
		for event := range strings.SplitAfterSeq(answer, "\n\n") {
			io.WriteString(w, event)
			http.NewResponseController(w).Flush()
		}
	}))
	defer up.Close()
	c := must(cache.Open(cache.Options{Backend: backend, Dir: filepath.Join(b.TempDir(), "cache")}))(b)
	defer c.Close()
	ours := start(b, nil, func(s *setup) {
		caching(c)(s)
		s.Log = nil
		s.routes = append(s.routes, (&bench{upstream: up}).route("openai", "/", []string{canary}))
	})
	body := `{"model":"m","messages":[{"role":"user","content":"` + strings.Repeat("lorem ipsum ", 100) + `"}]`
	hit := party{method: "POST", url: ours.url + "/v1/chat/completions", body: body + `,"caching":true` + fields, cache: "HIT", answer: answer}
	forwarded := party{method: "POST", url: ours.url + "/v1/chat/completions", body: body + `,"caching":false` + fields, cache: "BYPASS", answer: answer}
	(&party{method: hit.method, url: hit.url, body: hit.body, cache: "MISS", answer: answer}).ask(b, 1)
	for end := time.Now().Add(10 * time.Second); c.Stats().Pending > 0 && time.Now().Before(end); {
		time.Sleep(time.Millisecond) // so that the hits come from the disk
	}
	parties := []party{hit, forwarded}
	if file := startNginx(b, answer); file != "" {
		parties = append(parties, party{method: "GET", url: file, answer: answer})
	}

	const round = 50
	for range 3 {
		for _, p := range parties {
			p.ask(b, round)
		}
	}
	var times, allocs, toNginx, hits, hitAllocs ratios
	b.ResetTimer()
	for n := 0; n < b.N || n < 10*round; n += round {
		ns, count := parties[0].ask(b, round)
		plain, plainCount := parties[1].ask(b, round)
		hits, hitAllocs = append(hits, ns/1000), append(hitAllocs, count)
		times, allocs = append(times, ns/plain), append(allocs, count/plainCount)
		if len(parties) > 2 {
			file, _ := parties[2].ask(b, round)
			toNginx = append(toNginx, ns/file)
		}
	}
	b.ReportMetric(hits.median(), "hit-µs")
	b.ReportMetric(hitAllocs.median(), "hit-allocs")
	b.ReportMetric(times.median(), "time/forwarded")
	b.ReportMetric(allocs.median(), "allocs/forwarded")
	if toNginx != nil {
		b.ReportMetric(toNginx.median(), "time/nginx")
	}
}

// party is one way to the same answer.
type party struct {
	method, url, body string
	cache             string // X-Cache that it answers with
	answer            string
}

// ask sends n requests and returns nanoseconds and allocations of each.
func (p *party) ask(b *testing.B, n int) (ns, allocs float64) {
	b.Helper()
	before := mallocs()
	started := time.Now()
	for range n {
		r, err := http.NewRequest(p.method, p.url, strings.NewReader(p.body))
		if err != nil {
			b.Fatal(err)
		}
		if p.body == "" {
			r.Body = nil
		}
		r.Header.Set("Authorization", "Bearer fk-alice")
		r.Header.Set("Content-Type", "application/json")
		res, err := plainTransport.RoundTrip(r)
		if err != nil {
			b.Fatal(err)
		}
		got, err := io.ReadAll(res.Body)
		res.Body.Close()
		if err != nil || res.StatusCode != 200 || res.Header.Get("X-Cache") != p.cache || len(got) != len(p.answer) {
			b.Fatal(fmt.Errorf("status %d, X-Cache %q, error %v, %d bytes of %d", res.StatusCode, res.Header.Get("X-Cache"), err, len(got), len(p.answer)))
		}
	}
	return float64(time.Since(started)) / float64(n), float64(mallocs()-before) / float64(n)
}

// startNginx serves one file and returns its address; empty where there is no
// nginx.
func startNginx(b *testing.B, content string) string {
	b.Helper()
	binary, err := exec.LookPath("nginx")
	if err != nil {
		if os.Getenv("CI") == "true" {
			b.Fatal("nginx is missing, and CI=true")
		}
		b.Log("SKIPPED: nginx is missing, so static files are not measured")
		return ""
	}
	dir := must(os.MkdirTemp("", "nginx"))(b) // not b.TempDir: a process of nginx without root's rights reads it
	b.Cleanup(func() { os.RemoveAll(dir) })
	address := unused(b)
	config := fmt.Sprintf(`worker_processes 1; daemon off; pid %[1]s/pid; error_log %[1]s/error.log; events {}
		http { access_log off; sendfile on; keepalive_requests 1000000; default_type application/json;
		client_body_temp_path %[1]s/a; proxy_temp_path %[1]s/b; fastcgi_temp_path %[1]s/c; uwsgi_temp_path %[1]s/d; scgi_temp_path %[1]s/e;
		server { listen %[2]s; root %[1]s; } }`, dir, address)
	for name, text := range map[string]string{"nginx.conf": config, "answer.json": content} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			b.Fatal(err)
		}
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		b.Fatal(err)
	}
	server := exec.Command(binary, "-c", filepath.Join(dir, "nginx.conf"), "-e", filepath.Join(dir, "error.log"))
	if err := server.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		server.Process.Signal(os.Interrupt)
		server.Wait()
	})
	waitFor(b, "nginx", func() bool {
		conn, err := net.Dial("tcp", address)
		if err == nil {
			conn.Close()
		}
		return err == nil
	})
	return "http://" + address + "/answer.json"
}
