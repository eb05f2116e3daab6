package keys_test

import (
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"forward/internal/keys"
)

// TestWatchReadsOnlyWhatChanged holds a ring that follows changes to one that
// reads everything: after random changes both judge every secret alike that
// ever was, also of those of keys that did not change.
func TestWatchReadsOnlyWhatChanged(t *testing.T) {
	dir := t.TempDir()
	s := mustStore(t, mustDB(t, dir))
	var names, secrets []string
	add := func() {
		m, secret := mustAdd(t, s, fmt.Sprint("key-", len(names)))
		names, secrets = append(names, m.ID), append(secrets, secret)
	}
	for range 20 {
		add()
	}
	ring, err := s.Ring(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	w, err := s.Watch(ring, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	other := mustStore(t, mustDB(t, dir)) // the process of the command
	verdicts := func(r *keys.Ring) string {
		var out strings.Builder
		for _, secret := range secrets {
			k, err := r.Lookup(secret)
			if err == nil {
				fmt.Fprintln(&out, k.ID(), k.Name, k.Level, k.Policy.RPM)
				continue
			}
			fmt.Fprintln(&out, err)
		}
		return out.String()
	}
	for round := range 5 {
		for range 1 + rand.IntN(6) {
			ref := names[rand.IntN(len(names))]
			var err error
			switch rand.IntN(5) {
			case 0:
				add()
			case 1:
				_, err = other.Update(t.Context(), ref, func(m *keys.Managed) error { m.Disabled = !m.Disabled; return nil })
			case 2:
				_, err = other.Update(t.Context(), ref, func(m *keys.Managed) error { m.Revoked = true; return nil })
			case 3:
				_, err = other.Update(t.Context(), ref, func(m *keys.Managed) error { m.Name += "x"; m.Policy.RPM++; return nil })
			case 4:
				var secret keys.Secret
				if _, secret, err = other.Rotate(t.Context(), ref, time.Duration(rand.IntN(2))*time.Hour); err == nil {
					secrets = append(secrets, secret.Reveal())
				}
			}
			if err != nil && !errors.Is(err, keys.ErrGone) {
				t.Fatal(err)
			}
		}
		full, err := other.Ring(t.Context(), nil)
		if err != nil {
			t.Fatal(err)
		}
		for end := time.Now().Add(20 * time.Second); verdicts(ring) != verdicts(full); time.Sleep(10 * time.Millisecond) {
			if time.Now().After(end) {
				t.Fatalf("round %d: the ring has\n%s and everything is\n%s", round, verdicts(ring), verdicts(full))
			}
		}
	}
}

// TestAnOlderDatabaseIsReadAsAWhole brings a backup back under a running
// gateway: versions start again in it.
func TestAnOlderDatabaseIsReadAsAWhole(t *testing.T) {
	db := mustDB(t, t.TempDir())
	s := mustStore(t, db)
	_, first := mustAdd(t, s, "first")
	_, second := mustAdd(t, s, "second")
	ring, err := s.Ring(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	w, err := s.Watch(ring, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	_, third := mustAdd(t, s, "third")
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		if _, err := ring.Lookup(third); err == nil {
			break // it follows
		} else if time.Now().After(end) {
			t.Fatal(err)
		}
	}
	if _, err := db.Exec(`DELETE FROM keys_secrets WHERE key = (SELECT id FROM keys_keys WHERE name = 'second'); DELETE FROM keys_keys WHERE name = 'second'; UPDATE keys_state SET version = 1`); err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		_, lost := ring.Lookup(second)
		_, kept := ring.Lookup(first)
		if errors.Is(lost, keys.ErrUnknown) && kept == nil {
			return
		}
		if time.Now().After(end) {
			t.Fatal(lost, kept)
		}
	}
}
