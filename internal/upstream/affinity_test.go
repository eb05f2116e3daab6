package upstream_test

import (
	"database/sql"
	"net/http"
	"testing"
	"time"

	"forward/internal/database"
	"forward/internal/upstream"
)

// openDatabase opens the database in dir.
func openDatabase(t testing.TB, dir string) *sql.DB {
	t.Helper()
	db, err := database.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}

func TestAffinity(t *testing.T) {
	dir := t.TempDir()
	c := newClock()
	open := func() *upstream.Affinity {
		a, err := upstream.NewAffinity(openDatabase(t, dir), c.now)
		if err != nil {
			t.Fatal(err)
		}
		return a
	}
	find := func(a *upstream.Affinity, route string, objects ...string) upstream.Place {
		p, err := a.Find(t.Context(), route, objects)
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	a := open()
	if err := a.Remember(t.Context(), "openai", []string{"file-1", "file-2"}, "here"); err != nil {
		t.Fatal(err)
	}
	if got := find(a, "openai", "file-0", "file-2"); got != "here" {
		t.Errorf("file-2 is at %q", got)
	}
	for _, p := range []upstream.Place{find(a, "openai"), find(a, "openai", "file-0"), find(a, "gemini", "file-1")} {
		if p != "" {
			t.Errorf("found %q", p)
		}
	}
	a.Remember(t.Context(), "openai", []string{"file-1"}, "there")
	c.advance(399 * 24 * time.Hour)
	a = open() // after a restart
	if got := find(a, "openai", "file-1"); got != "there" {
		t.Errorf("file-1 is at %q", got)
	}
	c.advance(399 * 24 * time.Hour)
	a = open()
	if one, two := find(a, "openai", "file-1"), find(a, "openai", "file-2"); one != "there" || two != "" {
		t.Errorf("file-1, which was asked for, is at %q, and file-2, which was not, at %q", one, two)
	}
}

func TestStick(t *testing.T) {
	up := serve(t, func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(429) })
	a, r := attempts(t, up.URL, 3)
	also(t, a, up.URL+"/other")
	if n := a.Route.Places(); n != 6 {
		t.Errorf("%d places", n)
	}
	a.Route.Keys.Order(0) // the next one starts with the second key
	res, err := a.RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	read(t, res)
	if a.Place == "" || up.used() != "120" {
		t.Fatalf("keys %s, place %q", up.used(), a.Place)
	}
	// The key that made it, and no other, however it is doing.
	place := a.Place
	for range 3 {
		b, r := attempts(t, up.URL, 3)
		b.Route, b.Stick.Only = a.Route, place
		res, err := b.RoundTrip(r)
		if err != nil {
			t.Fatal(err)
		}
		read(t, res)
		if b.KeyIndex != 0 || b.Count != 1 || b.Place != place {
			t.Errorf("key %d after %d attempts", b.KeyIndex, b.Count)
		}
	}
	// One that is gone from the configuration leaves the choice free.
	b, r := attempts(t, up.URL, 3)
	b.Stick.Only = "gone"
	if res, err = b.RoundTrip(r); err != nil || b.Count != 3 {
		t.Errorf("%d attempts, %v", b.Count, err)
	}
	read(t, res)
}

func TestOnePlace(t *testing.T) {
	up := serve(t, func(http.ResponseWriter, *http.Request) {})
	for _, n := range []int{0, 1} {
		a, r := attempts(t, up.URL, n)
		res, err := a.RoundTrip(r)
		if err != nil {
			t.Fatal(err)
		}
		read(t, res)
		if a.Place != "" || a.Route.Places() != 1 {
			t.Errorf("place %q of %d", a.Place, a.Route.Places())
		}
	}
}
