package cache_test

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"

	"forward/internal/cache"
)

// realRedis starts a server on a port of its own and returns its URL.
func realRedis(t *testing.T) string {
	path, err := exec.LookPath("redis-server")
	if err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal("redis-server is not installed, and in CI it has to be")
		}
		t.Skip("SKIPPED: redis-server is not installed; the fake alone proves little about the real one")
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := l.Addr().(*net.TCPAddr).Port
	l.Close()
	server := exec.Command(path, "--bind", "127.0.0.1", "--port", fmt.Sprint(port), "--save", "", "--appendonly", "no", "--dir", t.TempDir())
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		server.Process.Kill()
		server.Wait()
	})
	address := fmt.Sprintf("127.0.0.1:%d", port)
	await(t, "redis to listen", func() bool {
		c, err := net.Dial("tcp", address)
		if err == nil {
			c.Close()
		}
		return err == nil
	})
	return "redis://" + address
}

func TestReplicasShareRedis(t *testing.T) {
	server := miniredis.RunT(t)
	one := MustOpen(t, cache.Options{Backend: "redis://" + server.Addr()})
	other := MustOpen(t, cache.Options{Backend: "redis://" + server.Addr()})
	one.Put(keyOf(1), answerTo(1, 5000))
	drain(t, one)
	if e, ok := get(other, keyOf(1)); !ok || !answers(e, 1) {
		t.Error("the other replica does not see the answer")
	}
}

func TestRedisExpiresEverything(t *testing.T) {
	server := miniredis.RunT(t)
	c := MustOpen(t, cache.Options{Backend: "redis://" + server.Addr(), TTL: 90 * time.Second})
	c.Put(keyOf(1), answerTo(1, 5000))
	drain(t, c)
	for _, k := range server.Keys() {
		if ttl := server.TTL(k); ttl < 89*time.Second || ttl > 91*time.Second {
			t.Errorf("lifetime of %s in Redis", ttl)
		}
	}
	server.FastForward(2 * time.Minute)
	if keys := server.Keys(); len(keys) != 0 {
		t.Errorf("%d keys left", len(keys))
	}
}

func TestDamagedRecordInRedis(t *testing.T) {
	server := miniredis.RunT(t)
	c := MustOpen(t, cache.Options{Backend: "redis://" + server.Addr()})
	c.Put(keyOf(1), answerTo(1, 5000))
	c.Put(keyOf(2), answerTo(2, 5000))
	drain(t, c)
	keys := server.Keys()
	one, _ := server.Get(keys[0])
	server.Set(keys[1], one) // a good record under another key
	server.Set(keys[0], one[:len(one)-1]+"?")
	for n := range 3 {
		if _, ok := get(c, keyOf(n)); ok {
			t.Errorf("%d was answered from a damaged record", n)
		}
	}
	await(t, "the damaged records to go", func() bool { return len(server.Keys()) == 0 })
	if s := c.Stats(); s.Damaged != 2 {
		t.Errorf("%d damaged", s.Damaged)
	}
}

// TestRedisTroubleIsAMiss has Redis refuse connections, and accept them without
// ever answering.
func TestRedisTroubleIsAMiss(t *testing.T) {
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	gone, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	gone.Close()
	for name, address := range map[string]string{"silent": silent.Addr().String(), "gone": gone.Addr().String()} {
		t.Run(name, func(t *testing.T) {
			var log output
			c := MustOpen(t, cache.Options{Backend: "redis://user:hunter2@" + address, Log: log.logger()})
			if ok, detail := c.Healthy(); ok || detail == "" {
				t.Error("healthy")
			}
			start := time.Now()
			for n := range 1000 {
				if _, ok := get(c, keyOf(n)); ok {
					t.Fatal("a hit")
				}
				c.Put(keyOf(n), answerTo(n, 100))
			}
			// One that waits for Redis waits for tens of milliseconds.
			if d := time.Since(start); d > 1000*time.Millisecond {
				t.Errorf("1000 requests waited %s for a Redis that is known to be away", d)
			}
			if s := log.String(); strings.Count(s, "\n") != 1 || strings.Contains(s, "hunter2") {
				t.Errorf("log: %s", s)
			}
		})
	}
}

func TestRedisComesBack(t *testing.T) {
	t.Parallel()
	server := miniredis.RunT(t)
	c := MustOpen(t, cache.Options{Backend: "redis://" + server.Addr()})
	c.Put(keyOf(1), answerTo(1, 5000))
	drain(t, c)
	server.Close()
	for range 20 {
		start := time.Now()
		if _, ok := get(c, keyOf(1)); ok {
			t.Fatal("a hit from a Redis that is gone")
		}
		if d := time.Since(start); d > 50*time.Millisecond {
			t.Errorf("a miss took %s", d)
		}
	}
	if ok, _ := c.Healthy(); ok {
		t.Error("healthy without Redis")
	}
	if err := server.Restart(); err != nil {
		t.Fatal(err)
	}
	await(t, "Redis to be used again", func() bool { ok, _ := c.Healthy(); return ok })
	// Connections of before may still be tried first.
	await(t, "the answer to be found again", func() bool { e, ok := get(c, keyOf(1)); return ok && answers(e, 1) })
}

// TestRedisStalls has a Redis that stops answering while it is in use.
func TestRedisStalls(t *testing.T) {
	server := miniredis.RunT(t)
	front, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer front.Close()
	stalled := make(chan struct{})
	go relay(front, server.Addr(), stalled)
	c := MustOpen(t, cache.Options{Backend: "redis://" + front.Addr().String()})
	c.Put(keyOf(1), answerTo(1, 500))
	drain(t, c)
	if _, ok := get(c, keyOf(1)); !ok {
		t.Fatal("miss")
	}
	close(stalled)
	waited := time.Duration(0)
	for range 50 {
		start := time.Now()
		c.Get(t.Context(), keyOf(1), keyOf(2))
		d := time.Since(start)
		// The promise is 50 ms, however many keys are tried; a busy machine may
		// take the processor away for longer than that.
		if waited += d; d > 500*time.Millisecond {
			t.Errorf("a miss took %s", d)
		}
	}
	if waited > time.Second { // each of them waiting for its 50 ms would take 2.5 s
		t.Errorf("50 misses took %s", waited)
	}
}

// relay passes bytes on until stalled is closed; then it reads them without an
// answer.
func relay(front net.Listener, to string, stalled chan struct{}) {
	for {
		in, err := front.Accept()
		if err != nil {
			return
		}
		out, err := net.Dial("tcp", to)
		if err != nil {
			in.Close()
			return
		}
		pass := func(to, from net.Conn) {
			defer to.Close()
			buf := make([]byte, 32<<10)
			for {
				n, err := from.Read(buf)
				if err != nil {
					return
				}
				select {
				case <-stalled:
				default:
					to.Write(buf[:n])
				}
			}
		}
		go pass(out, in)
		go pass(in, out)
	}
}
