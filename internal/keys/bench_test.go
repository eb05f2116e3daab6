package keys_test

import (
	"fmt"
	"log/slog"
	"runtime"
	"testing"
	"time"

	"forward/internal/keys"
)

// many makes a store with n keys that have a policy each.
func many(b *testing.B, n int) *keys.Store {
	b.Helper()
	db := mustDB(b, b.TempDir())
	db.SetMaxOpenConns(1)
	if _, err := db.Exec(`PRAGMA synchronous = OFF`); err != nil { // how long the making takes is not what is measured
		b.Fatal(err)
	}
	s := mustStore(b, db)
	for i := range n {
		settings := keys.Settings{Name: fmt.Sprint("key-", i)}
		if err := settings.Apply(map[string]string{"models": "gpt-*,!gpt-5*", "rpm": "60", "budget": "20usd/month", "tags": "team-red"}, time.Now()); err != nil {
			b.Fatal(err)
		}
		if _, _, err := s.Add(b.Context(), settings); err != nil {
			b.Fatal(err)
		}
	}
	if _, err := db.Exec(`PRAGMA synchronous = FULL`); err != nil {
		b.Fatal(err)
	}
	db.SetMaxOpenConns(0)
	return s
}

// BenchmarkStart reads all keys, as a gateway does when it starts.
func BenchmarkStart(b *testing.B) {
	for _, n := range []int{100, 10_000} {
		s := many(b, n)
		b.Run(fmt.Sprint(n, " keys"), func(b *testing.B) {
			for b.Loop() {
				if _, err := s.Ring(b.Context(), nil); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkChange measures from the start of a change, with its fsync, until a
// gateway that watches the store holds to it. Half a pollInterval of it is
// waiting.
func BenchmarkChange(b *testing.B) {
	for _, n := range []int{100, 10_000} {
		s := many(b, n)
		b.Run(fmt.Sprint(n, " keys"), func(b *testing.B) {
			ring, err := s.Ring(b.Context(), nil)
			if err != nil {
				b.Fatal(err)
			}
			w, err := s.Watch(ring, slog.New(slog.DiscardHandler))
			if err != nil {
				b.Fatal(err)
			}
			defer w.Close()
			other := mustStore(b, s.DB()) // the process of the command
			i := 0
			for b.Loop() {
				i++
				_, secret, err := other.Add(b.Context(), keys.Settings{Name: fmt.Sprint("new-", i)})
				if err != nil {
					b.Fatal(err)
				}
				for {
					if _, err := ring.Lookup(secret.Reveal()); err == nil {
						break
					}
					runtime.Gosched()
					time.Sleep(time.Millisecond)
				}
			}
		})
	}
}
