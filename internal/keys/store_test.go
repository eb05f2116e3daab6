package keys_test

import (
	"bufio"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"forward/internal/database"
	"forward/internal/keys"
)

const storeSecret = "0123456789abcdef0123456789abcdef"

func mustDB(t testing.TB, dir string) *sql.DB {
	t.Helper()
	db, err := database.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}

func mustStore(t testing.TB, db *sql.DB) *keys.Store {
	t.Helper()
	s, err := keys.Open(t.Context(), db, keys.NewSecret(storeSecret), nil)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func mustAdd(t testing.TB, s *keys.Store, name string) (*keys.Managed, string) {
	t.Helper()
	m, secret, err := s.Add(t.Context(), keys.Settings{Name: name})
	if err != nil {
		t.Fatal(err)
	}
	return m, secret.Reveal()
}

// wants checks how a ring judges a key.
func wants(t *testing.T, s *keys.Store, secret string, want error) {
	t.Helper()
	ring, err := s.Ring(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := ring.Lookup(secret); !errors.Is(err, want) || want == nil && err != nil {
		t.Errorf("%v, want %v", err, want)
	}
}

func TestTheLifeOfAManagedKey(t *testing.T) {
	db := mustDB(t, t.TempDir())
	now := time.Now()
	s, err := keys.Open(t.Context(), db, keys.NewSecret(storeSecret), func() time.Time { return now })
	if err != nil {
		t.Fatal(err)
	}
	m, secret := mustAdd(t, s, "alice")
	wants(t, s, secret, nil)
	edit := func(ref string, f func(*keys.Managed)) {
		t.Helper()
		if _, err := s.Update(t.Context(), ref, func(m *keys.Managed) error { f(m); return nil }); err != nil {
			t.Fatal(err)
		}
	}
	edit("alice", func(m *keys.Managed) { m.Disabled = true })
	wants(t, s, secret, keys.ErrDisabled)
	edit(m.ID, func(m *keys.Managed) { m.Disabled, m.Expires = false, now.Add(-time.Second) })
	wants(t, s, secret, keys.ErrExpired)
	edit("alice", func(m *keys.Managed) { m.Expires = time.Time{}; m.Policy.Models = []string{"gpt-*"} })
	wants(t, s, secret, nil)

	rotated, second, err := s.Rotate(t.Context(), "alice", time.Hour)
	if err != nil || rotated.ID != m.ID {
		t.Fatal(rotated, err)
	}
	wants(t, s, secret, nil)
	wants(t, s, second.Reveal(), nil)
	_, third, err := s.Rotate(t.Context(), "alice", 0)
	if err != nil {
		t.Fatal(err)
	}
	wants(t, s, secret, keys.ErrRevoked)
	wants(t, s, second.Reveal(), keys.ErrRevoked)
	wants(t, s, third.Reveal(), nil)
	if who, replaced, err := s.Whois(t.Context(), secret); err != nil || !replaced || who.ID != m.ID || len(who.Policy.Models) != 1 {
		t.Errorf("%+v %v %v", who, replaced, err)
	}

	if _, _, err := s.Add(t.Context(), keys.Settings{Name: "alice"}); !errors.Is(err, keys.ErrNameTaken) {
		t.Errorf("a name given twice: %v", err)
	}
	edit("alice", func(m *keys.Managed) { m.Revoked = true })
	wants(t, s, third.Reveal(), keys.ErrRevoked)
	if _, err := s.Update(t.Context(), m.ID, func(m *keys.Managed) error { m.Revoked = false; return nil }); !errors.Is(err, keys.ErrGone) {
		t.Errorf("a revoked key was changed: %v", err)
	}
	if again, _ := mustAdd(t, s, "alice"); again.ID == m.ID {
		t.Error("the id was given again")
	}
	if _, err := s.Find(t.Context(), "bob"); !errors.Is(err, keys.ErrNoSuchKey) {
		t.Error(err)
	}
}

// A gateway whose only key was revoked must not fall open.
func TestARevokedKeyStillCounts(t *testing.T) {
	s := mustStore(t, mustDB(t, t.TempDir()))
	m, _ := mustAdd(t, s, "alice")
	s.Update(t.Context(), m.ID, func(m *keys.Managed) error { m.Revoked = true; return nil })
	if ring, err := s.Ring(t.Context(), nil); err != nil || ring.Len() != 1 {
		t.Error(ring.Len(), err)
	}
}

func TestNothingInTheDatabaseOpensADoor(t *testing.T) {
	dir := t.TempDir()
	s := mustStore(t, mustDB(t, dir))
	_, secret := mustAdd(t, s, "alice")
	files, _ := filepath.Glob(filepath.Join(dir, "*"))
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(text), secret) || strings.Contains(string(text), secret[11:]) {
			t.Errorf("the key is in %s", file)
		}
	}
	if len(files) == 0 {
		t.Error("nothing was looked at")
	}
}

func TestAnotherSecretIsNoticed(t *testing.T) {
	db := mustDB(t, t.TempDir())
	other := keys.NewSecret(strings.Repeat("x", 32))
	mustStore(t, db)
	if _, err := keys.Open(t.Context(), db, other, nil); err != nil {
		t.Errorf("no key depends on it yet: %v", err)
	}
	mustAdd(t, mustStore(t, db), "alice")
	if _, err := keys.Open(t.Context(), db, other, nil); !errors.Is(err, keys.ErrOtherSecret) {
		t.Error(err)
	}
	if _, err := keys.Open(t.Context(), db, keys.NewSecret("short"), nil); err == nil {
		t.Error("a short secret was taken")
	}
}

// Every process that makes the secret at once gets the same one.
func TestTheSecretIsMadeOnce(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	got := make([]string, 16)
	var all sync.WaitGroup
	for i := range got {
		all.Go(func() {
			s, err := keys.LoadSecret(dir)
			if err != nil {
				t.Error(err)
			}
			got[i] = s.Reveal()
		})
	}
	all.Wait()
	for _, s := range got {
		if s != got[0] || len(s) != 64 {
			t.Errorf("%d characters, and others", len(s))
		}
	}
	entries, _ := os.ReadDir(dir)
	info, err := os.Stat(filepath.Join(dir, "keys.secret"))
	if err != nil || info.Mode().Perm() != 0o600 || len(entries) != 1 {
		t.Errorf("%v %v, %d files", info.Mode(), err, len(entries))
	}
	os.Chmod(filepath.Join(dir, "keys.secret"), 0o644)
	if s, err := keys.LoadSecret(dir); err != nil || s.Reveal() != got[0] {
		t.Error(err)
	}
	if info, _ := os.Stat(filepath.Join(dir, "keys.secret")); info.Mode().Perm() != 0o600 {
		t.Errorf("still %v", info.Mode())
	}
	os.WriteFile(filepath.Join(dir, "keys.secret"), []byte("\n"), 0o600)
	if _, err := keys.LoadSecret(dir); err == nil {
		t.Error("an empty secret was taken")
	}
}

// A change made through another connection pool, as another process has it,
// comes into the ring; what others write does not disturb.
func TestWatchCarriesChangesOver(t *testing.T) {
	dir := t.TempDir()
	running, command := mustStore(t, mustDB(t, dir)), mustStore(t, mustDB(t, dir))
	ring, err := running.Ring(t.Context(), []keys.Key{{Secret: keys.NewSecret(plain)}})
	if err != nil {
		t.Fatal(err)
	}
	w, err := running.Watch(ring, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	becomes := func(secret string, want error) {
		t.Helper()
		for end := time.Now().Add(10 * time.Second); ; time.Sleep(5 * time.Millisecond) {
			_, err := ring.Lookup(secret)
			if want == nil && err == nil || want != nil && errors.Is(err, want) {
				break
			}
			if time.Now().After(end) {
				t.Fatalf("still %v, want %v", err, want)
			}
		}
	}
	_, secret := mustAdd(t, command, "alice")
	becomes(secret, nil)
	command.Update(t.Context(), "alice", func(m *keys.Managed) error { m.Revoked = true; return nil })
	becomes(secret, keys.ErrRevoked)
	_, own := mustAdd(t, running, "bob")
	becomes(own, nil)
	becomes(plain, nil)
}

func TestAny(t *testing.T) {
	db := mustDB(t, t.TempDir())
	if found, err := keys.Any(t.Context(), db); found || err != nil {
		t.Error(found, err)
	}
	s := mustStore(t, db)
	if found, err := keys.Any(t.Context(), db); found || err != nil {
		t.Error(found, err)
	}
	mustAdd(t, s, "alice")
	if found, err := keys.Any(t.Context(), db); !found || err != nil {
		t.Error(found, err)
	}
}

// TestMain lets the test binary be the process that is killed.
func TestMain(m *testing.M) {
	if dir := os.Getenv("KEYS_KILL_DIR"); dir != "" {
		changeForever(dir)
		return
	}
	os.Exit(m.Run())
}

// changeForever makes and changes keys and prints each that the store has
// acknowledged.
func changeForever(dir string) {
	db, err := database.Open(dir)
	check := func(err error) {
		if err != nil {
			fmt.Println("error", err)
			os.Exit(1)
		}
	}
	check(err)
	ctx := context.Background()
	s, err := keys.Open(ctx, db, keys.NewSecret(storeSecret), nil)
	check(err)
	for i := 0; ; i++ {
		m, secret, err := s.Add(ctx, keys.Settings{Name: fmt.Sprintf("key %d.%d", os.Getpid(), i)})
		check(err)
		fmt.Println("good", secret.Reveal())
		if i%2 == 0 {
			_, next, err := s.Rotate(ctx, m.ID, 0)
			check(err)
			fmt.Println("good", next.Reveal())
			fmt.Println("revoked", secret.Reveal())
			secret = next
		}
		if i%3 == 0 {
			fmt.Println("about", secret.Reveal()) // the next line may be lost after the change is made
			_, err := s.Update(ctx, m.ID, func(m *keys.Managed) error { m.Revoked = true; return nil })
			check(err)
			fmt.Println("revoked", secret.Reveal())
		} else if i%2 == 0 {
			continue
		}
	}
}

// TestKillLosesNothing ends two processes that change keys at once by SIGKILL,
// again and again, and then looks for all that they had acknowledged.
func TestKillLosesNothing(t *testing.T) {
	rounds := 200
	if testing.Short() {
		rounds = 10
	}
	dir, printed := t.TempDir(), map[string]string{}
	var mu sync.Mutex
	for range rounds / 2 {
		var both sync.WaitGroup
		for range 2 {
			both.Go(func() {
				c := exec.Command(os.Args[0])
				c.Env = append(os.Environ(), "KEYS_KILL_DIR="+dir)
				out, err := c.StdoutPipe()
				if err == nil {
					err = c.Start()
				}
				if err != nil {
					t.Error(err)
					return
				}
				lines := bufio.NewScanner(out)
				for n, until := 0, 1+rand.IntN(12); lines.Scan(); n++ {
					if n == until {
						c.Process.Kill()
					}
					word, secret, _ := strings.Cut(lines.Text(), " ")
					if word == "error" {
						t.Error(lines.Text())
					}
					mu.Lock()
					printed[secret] = word
					mu.Unlock()
				}
				c.Wait()
			})
		}
		both.Wait()
	}
	db := mustDB(t, dir)
	ring, err := mustStore(t, db).Ring(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	counted := map[string]int{}
	for secret, word := range printed {
		_, err := ring.Lookup(secret)
		counted[word]++
		switch {
		case word == "good" && err != nil && !errors.Is(err, keys.ErrRevoked), // rotated, and killed before it printed it
			word == "revoked" && !errors.Is(err, keys.ErrRevoked), word == "about" && errors.Is(err, keys.ErrUnknown):
			t.Errorf("a key that was %s: %v", word, err)
		}
	}
	var verdict string
	if err := db.QueryRow(`PRAGMA integrity_check`).Scan(&verdict); err != nil || verdict != "ok" {
		t.Error(verdict, err)
	}
	if counted["good"] < rounds/4 || counted["revoked"] < rounds/4 {
		t.Errorf("too little was acknowledged to judge: %v", counted)
	}
	t.Logf("%d processes killed, acknowledged and kept: %v", rounds, counted)
}

// A ring of other settings sees the managed keys that a watch brings into the
// one before, and the other way round.
func TestRingsOfOneStoreShareItsKeys(t *testing.T) {
	s := mustStore(t, mustDB(t, t.TempDir()))
	first, err := s.Ring(t.Context(), []keys.Key{{Secret: keys.NewSecret(plain)}})
	if err != nil {
		t.Fatal(err)
	}
	second, err := first.With([]keys.Key{{Secret: keys.NewSecret("fk-other")}})
	if err != nil {
		t.Fatal(err)
	}
	_, secret := mustAdd(t, s, "alice")
	for name, loaded := range map[string]*keys.Ring{"the first": first, "the second": second} {
		if _, err := s.Load(t.Context(), loaded); err != nil {
			t.Fatal(err)
		}
		for _, ring := range []*keys.Ring{first, second} {
			if _, err := ring.Lookup(secret); err != nil {
				t.Errorf("loaded into %s: %v", name, err)
			}
		}
	}
	if _, err := s.Update(t.Context(), "alice", func(m *keys.Managed) error { m.Revoked = true; return nil }); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Load(t.Context(), first); err != nil {
		t.Fatal(err)
	}
	for _, want := range []struct {
		ring   *keys.Ring
		secret string
		err    error
	}{{second, secret, keys.ErrRevoked}, {second, "fk-other", nil}, {second, plain, keys.ErrUnknown}, {first, plain, nil}, {first, "fk-other", keys.ErrUnknown}} {
		if _, err := want.ring.Lookup(want.secret); !errors.Is(err, want.err) || want.err == nil && err != nil {
			t.Errorf("%v, want %v", err, want.err)
		}
	}
	if second.Len() != 2 {
		t.Errorf("%d keys, want 2", second.Len())
	}
	if _, err := first.With([]keys.Key{{}}); err == nil {
		t.Error("an empty key was accepted")
	}
}
