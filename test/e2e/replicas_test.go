//go:build e2e

package e2e

import (
	"bufio"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/tidwall/gjson"

	"forward/test/harness"
)

// redisServer is a real redis-server on a socket, which can be killed and
// started again.
type redisServer struct {
	*harness.Process
	t      *testing.T
	binary string
	socket string
}

func startRedis(t *testing.T) *redisServer {
	t.Helper()
	binary, err := exec.LookPath("redis-server")
	if err != nil {
		harness.Missing(t, "redis-server")
	}
	dir, err := os.MkdirTemp("", "redis") // not t.TempDir: the name of a socket must be short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	r := &redisServer{t: t, binary: binary, socket: filepath.Join(dir, "s")}
	r.restart()
	return r
}

// restart starts the server without what it knew.
func (r *redisServer) restart() {
	r.t.Helper()
	dir := filepath.Dir(r.socket)
	r.Process = harness.Start(r.t, dir, nil, r.binary, "--port", "0", "--unixsocket", r.socket, "--save", "", "--dir", dir)
	harness.Eventually(r.t, 20*time.Second, "redis-server answers", func() bool { return r.command("PING") == "+PONG" })
}

// command sends one command and returns the first line of the reply, "" when
// there is none.
func (r *redisServer) command(line string) string {
	conn, err := net.DialTimeout("unix", r.socket, time.Second)
	if err != nil {
		return ""
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(5 * time.Second))
	if _, err := conn.Write([]byte(line + "\r\n")); err != nil {
		return ""
	}
	reply, _ := bufio.NewReader(conn).ReadString('\n')
	return strings.TrimSpace(reply)
}

// replicas are two processes that share a Redis, with 60 embeddings a minute
// and an rpm of gpt-4 and of each gpt-4-*.
type replicas [2]*gateway

const replicaKey = "fk-replicas-Rw4Kd8Zp2"

func startReplicas(t *testing.T, up *upstream, redis *redisServer, rpm string) (r replicas) {
	t.Helper()
	bounds := `"maxQueueSize": 0, "rpm": ` + rpm
	bounds += `}, "gpt-4-*": {` + bounds
	for i := range r {
		r[i] = startLined(t, up, bounds,
			"REQ_RATE_LIMIT_BACKEND=unix://"+redis.socket, "RATE_LIMIT_STRATEGY=moving-window", "FORWARD_KEY="+replicaKey, "OPENAI_API_KEY=sk-replicas",
			`REQ_RATE_LIMIT={"/openai/v1/embeddings":"60/minute","/openai/v1/chat/completions":"10000000/minute"}`)
	}
	return r
}

// patience is how long a request waits for Redis before its process counts for
// itself, as limits are documented. A round in which no answer took that long
// was counted by Redis alone.
const patience = 40 * time.Millisecond

// round is what became of 400 requests to both processes in turn.
type round struct {
	served, limited int
	took, slowest   time.Duration
}

func (r replicas) round(t *testing.T, path, body string) (out round) {
	t.Helper()
	start := time.Now()
	var next atomic.Int64
	var mu sync.Mutex
	var clients sync.WaitGroup
	for range 3 {
		clients.Go(func() {
			for i := next.Add(1); i <= 400; i = next.Add(1) {
				a := post(t.Context(), r[i%2].URL+path, body, bearer(replicaKey)...)
				mu.Lock()
				out.slowest = max(out.slowest, a.took)
				switch a.status {
				case 200:
					out.served++
				case 429:
					out.limited++
				default:
					t.Errorf("status %d, error %v: %s", a.status, a.err, a.body)
				}
				mu.Unlock()
			}
		})
	}
	clients.Wait()
	out.took = time.Since(start)
	return out
}

// quietly repeats what needs a machine that does not stall, until it had one.
func quietly(t *testing.T, try func() round) {
	t.Helper()
	for range 30 {
		if r := try(); t.Failed() || r.slowest < patience {
			return
		}
		time.Sleep(2 * patience) // what the last round has made a process doubt has been decided
	}
	t.Error("in none of 30 rounds was the machine quiet enough for a real Redis to answer in time")
}

// embeds asserts that 400 requests share 60 a minute. Each round starts with a
// FLUSHALL, which gives what Redis counts back.
func (r replicas) embeds(t *testing.T, redis *redisServer) {
	t.Helper()
	quietly(t, func() round {
		if reply := redis.command("FLUSHALL"); reply != "+OK" {
			t.Fatalf("FLUSHALL: %q", reply)
		}
		r.eventually(t, true, "Redis answers")
		got := r.round(t, "/openai/v1/embeddings", `{"model":"text-embedding-3-small","input":"hi"}`)
		if got.slowest < patience && (got.served != 60 || got.limited != 340) {
			t.Errorf("%d of 400 requests were served and %d limited, want 60 and 340", got.served, got.limited)
		}
		return got
	})
}

// shares reports whether a replica reports that its limits are shared.
func shares(t *testing.T, gw *gateway) bool {
	t.Helper()
	a := send(t, "GET", gw.URL+"/readyz", "")
	if a.status != 200 {
		t.Errorf("/readyz answers %d: %s", a.status, a.body)
	}
	if backend := gjson.GetBytes(a.body, "stores.limits.backend").String(); backend != "redis" {
		t.Errorf("the backend is %q: %s", backend, a.body)
	}
	return gjson.GetBytes(a.body, "stores.limits.ok").Bool()
}

func (r replicas) eventually(t *testing.T, shared bool, what string) {
	t.Helper()
	for _, gw := range r {
		harness.Eventually(t, 20*time.Second, what, func() bool { return shares(t, gw) == shared })
	}
}

func TestReplicasShareTheirLimits(t *testing.T) {
	redis := startRedis(t)
	r := startReplicas(t, startUpstream(t), redis, "60")
	r.embeds(t, redis)
	r.embeds(t, redis)
	r.eventually(t, true, "FLUSHALL is no outage")
}

func TestReplicasShareTheAllowanceOfAModel(t *testing.T) {
	redis := startRedis(t)
	r := startReplicas(t, startUpstream(t), redis, "60")
	var rounds int
	quietly(t, func() round {
		rounds++
		model := fmt.Sprintf("gpt-4-%d", rounds) // each has an allowance of its own
		r.eventually(t, true, "Redis answers")
		got := r.round(t, "/openai/v1/chat/completions", chatBody(model, "hi", ""))
		most := 60 + int(got.took/time.Second) + 1 // one comes in each second
		if got.slowest < patience && (got.served < 60 || got.served > most || got.served+got.limited != 400) {
			t.Errorf("%d of 400 requests were served and %d limited in %v, want 60 to %d", got.served, got.limited, got.took, most)
		}
		return got
	})
}

// latency keeps asking until stop is closed, and returns how long the requests
// took, the slowest last.
func (r replicas) latency(t *testing.T, stop <-chan struct{}) []time.Duration {
	var mu sync.Mutex
	var took []time.Duration
	var clients sync.WaitGroup
	for i := range 4 {
		clients.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				a := post(t.Context(), r[i%2].URL+"/openai/v1/chat/completions", chatBody("gpt-4", "hi", ""), bearer(replicaKey)...)
				if a.status != 200 || a.err != nil {
					t.Errorf("status %d, error %v: %s", a.status, a.err, a.body)
					return
				}
				mu.Lock()
				took = append(took, a.took)
				mu.Unlock()
			}
		})
	}
	clients.Wait()
	slices.Sort(took)
	return took
}

// TestRedisFails: whether Redis dies or hangs in the middle of traffic, no
// request fails, and none waits for long.
func TestRedisFails(t *testing.T) {
	for name, c := range map[string]struct{ fail, repair func(*redisServer) }{
		"killed": {func(s *redisServer) { s.Kill() }, (*redisServer).restart},
		"frozen": {func(s *redisServer) { s.Signal(syscall.SIGSTOP) }, func(s *redisServer) {
			s.Signal(syscall.SIGCONT)
			s.command("FLUSHALL")
		}},
	} {
		t.Run(name, func(t *testing.T) {
			up, redis := startUpstream(t), startRedis(t)
			r := startReplicas(t, up, redis, "10000000")
			during := func(what func()) []time.Duration {
				stop := make(chan struct{})
				done := make(chan []time.Duration)
				go func() { done <- r.latency(t, stop) }()
				time.Sleep(500 * time.Millisecond) // of traffic
				what()
				time.Sleep(500 * time.Millisecond)
				close(stop)
				return <-done
			}
			before := during(func() {})
			after := during(func() {
				c.fail(redis)
				r.eventually(t, false, "/readyz says that Redis does not answer")
			})
			back := during(func() {
				c.repair(redis)
				r.eventually(t, true, "/readyz says that Redis is back")
			})
			for what, took := range map[string][]time.Duration{"with Redis": before, "as it fails": after, "as it comes back": back} {
				if len(took) == 0 {
					t.Fatalf("%s: no request was answered", what)
				}
				p99 := took[len(took)*99/100]
				t.Logf("%s: %d requests, median %v, p99 %v, slowest %v", what, len(took), took[len(took)/2], p99, took[len(took)-1])
				// 50 ms are promised; the bound is for machines that are busy
				// with other things. With the defaults of go-redis each request
				// would take 1.7 s.
				if p99 > 500*time.Millisecond {
					t.Errorf("%s: p99 %v", what, p99)
				}
			}
			for _, gw := range r {
				// Once for an outage and not for each request; a machine that
				// is stalled can make one more.
				for _, line := range []string{"Redis does not answer", "Redis answers again"} {
					if n := strings.Count(gw.Stderr.String(), line); n < 1 || n > 3 {
						t.Errorf("it was logged %d times: %s", n, line)
					}
				}
			}
			r.embeds(t, redis)
		})
	}
}
