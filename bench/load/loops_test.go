package load

import (
	"errors"
	"io"
	"net"
	"net/http"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"forward/bench/stats"
)

// TestOpenSeesAStall stalls a server for a second, once. Every request that was
// due in this second waited for the rest of it, and that is what an open loop
// must show, however few connections it has; one that counts from when it could
// send would show a single slow answer.
func TestOpenSeesAStall(t *testing.T) {
	for _, connections := range []int{1, 200} {
		synctest.Test(t, func(t *testing.T) {
			start := time.Now()
			stallStart, stallEnd := start.Add(2*time.Second), start.Add(3*time.Second)
			target := served(t, Plain(2, ""), func(conn net.Conn, _ *http.Request) error {
				if now := time.Now(); !now.Before(stallStart) && now.Before(stallEnd) {
					time.Sleep(stallEnd.Sub(now))
				}
				time.Sleep(time.Millisecond)
				return answer(conn)
			})
			res := Open(target, &Sequence{}, Pace{connections, 100, 10 * time.Second, time.Sleep})
			if err := res.Err(); err != nil || res.Answers != 1000 {
				t.Fatalf("%d answers, error %v", res.Answers, err)
			}
			if p50 := time.Duration(stats.Quantile(res.Latencies, 0.5)); p50 != time.Millisecond {
				t.Errorf("%d connections: the median is %v, and the server takes 1ms", connections, p50)
			}
			// Of ten seconds one stalled: in its middle, half a second
			// remained.
			if p99 := time.Duration(stats.Quantile(res.Latencies, 0.99)); p99 < 850*time.Millisecond || p99 > 1200*time.Millisecond {
				t.Errorf("%d connections: p99 is %v", connections, p99)
			}
			slow := 0
			for _, l := range res.Latencies {
				if l > 100*time.Millisecond {
					slow++
				}
			}
			if slow < 88 || slow > 105 {
				t.Errorf("%d connections: %d requests of 1000 were slow, and about 90 were due in the first 900 ms of the stall", connections, slow)
			}
		})
	}
}

// TestOpenKeepsItsRate checks when requests reach a server that takes its time.
func TestOpenKeepsItsRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		var came []time.Duration
		start := time.Now()
		target := served(t, Plain(2, ""), func(conn net.Conn, _ *http.Request) error {
			mu.Lock()
			came = append(came, time.Since(start))
			mu.Unlock()
			time.Sleep(300 * time.Millisecond)
			return answer(conn)
		})
		res := Open(target, &Sequence{}, Pace{100, 50, 2 * time.Second, time.Sleep})
		if res.Err() != nil || len(came) != 100 {
			t.Fatalf("%d requests, error %v", len(came), res.Err())
		}
		slices.Sort(came)
		for i, at := range came {
			if want := time.Duration(i) * 20 * time.Millisecond; at != want {
				t.Fatalf("request %d came at %v, not at %v", i, at, want)
			}
		}
	})
}

// TestClosedAsksAgainAtOnce keeps a number of connections busy for a time.
func TestClosedAsksAgainAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		bodies := map[string]bool{}
		target := served(t, Plain(2, ""), func(conn net.Conn, r *http.Request) error {
			mu.Lock()
			bodies[r.Header.Get("Body")] = true
			mu.Unlock()
			time.Sleep(10 * time.Millisecond)
			return answer(conn)
		})
		res := Closed(target, &Sequence{}, 4, time.Second)
		if res.Answers != 400 || res.Failures != 0 || res.Took != time.Second {
			t.Errorf("%+v", res)
		}
		if len(bodies) != 400 {
			t.Errorf("%d different bodies in 400 requests: their nonces are not unique", len(bodies))
		}
	})
}

// TestFailuresCount has answers that are none.
func TestFailuresCount(t *testing.T) {
	for name, play := range map[string]func(net.Conn) error{
		"closed at once": func(net.Conn) error { return io.EOF },
		"cut": func(c net.Conn) error {
			_, err := io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\nok")
			return errors.Join(err, io.EOF)
		},
		"status": func(c net.Conn) error {
			_, err := io.WriteString(c, "HTTP/1.1 502 Bad Gateway\r\nContent-Length: 2\r\n\r\nno")
			return err
		},
		"small": func(c net.Conn) error {
			_, err := io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\no")
			return err
		},
	} {
		synctest.Test(t, func(t *testing.T) {
			n := 0
			target := served(t, Plain(2, ""), func(conn net.Conn, _ *http.Request) error {
				if n++; n == 3 {
					return play(conn)
				}
				return answer(conn)
			})
			res := Open(target, &Sequence{}, Pace{1, 10, time.Second, time.Sleep})
			if res.Failures != 1 || res.Answers != 9 || len(res.Latencies) != 9 || res.Err() == nil {
				t.Errorf("%s: %+v", name, res)
			}
		})
	}
}

// TestStreamsTakeTimes has exact times of a stream in a clock that nothing
// disturbs.
func TestStreamsTakeTimes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		target := served(t, Whole(4), func(conn net.Conn, _ *http.Request) error {
			_, err := io.WriteString(conn, streamHead)
			for i, text := range []string{"one", "two", "three", "[DONE]"} {
				time.Sleep(time.Duration(i+1) * 10 * time.Millisecond)
				err = errors.Join(err, event(conn, text))
			}
			_, end := io.WriteString(conn, "0\r\n\r\n")
			return errors.Join(err, end)
		})
		res := Streams(target, &Sequence{}, 3, 2, 30*time.Millisecond)
		if res.Err() != nil || res.Answers != 6 || res.Took != 20*time.Millisecond+2*100*time.Millisecond {
			t.Fatalf("%+v", res)
		}
		for i, first := range res.First {
			if gaps := res.Gaps[3*i : 3*i+3]; first != 10*time.Millisecond || !slices.Equal(gaps, []time.Duration{20e6, 30e6, 40e6}) {
				t.Errorf("first %v, gaps %v", first, gaps)
			}
		}
	})
}

// TestHold keeps streams open, and sees when one ends that should not have.
func TestHold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ends := make(chan bool)
		target := served(t, nil, func(conn net.Conn, _ *http.Request) error {
			if _, err := io.WriteString(conn, streamHead); err != nil {
				return err
			}
			for {
				if err := event(conn, "word"); err != nil {
					return err
				}
				select {
				case <-ends:
					return io.EOF
				case <-time.After(time.Second):
				}
			}
		})
		crowd, err := Hold(target, &Sequence{}, 100, time.Minute)
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(2*time.Second + time.Millisecond)
		synctest.Wait()
		if got := crowd.Events(); got != 300 {
			t.Errorf("%d events, not 300", got)
		}
		if err := crowd.Err(); err != nil {
			t.Error(err)
		}
		ends <- true
		synctest.Wait()
		if crowd.Err() == nil {
			t.Error("a stream ended unseen")
		}
		crowd.Close()
		time.Sleep(2 * time.Second) // until the servers see that no client reads
	})
}

// TestHoldGivesUp has a server that answers with something else, and one that
// never does.
func TestHoldGivesUp(t *testing.T) {
	for name, play := range map[string]func(net.Conn) error{
		"no stream": answer,
		"silence":   func(net.Conn) error { time.Sleep(time.Hour); return io.EOF },
	} {
		synctest.Test(t, func(t *testing.T) {
			target := served(t, nil, func(conn net.Conn, _ *http.Request) error { return play(conn) })
			if _, err := Hold(target, &Sequence{}, 3, time.Second); err == nil {
				t.Errorf("%s: no error", name)
			}
			time.Sleep(2 * time.Hour) // until the servers are done
		})
	}
}
