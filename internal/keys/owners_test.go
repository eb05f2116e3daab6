package keys_test

import (
	"testing"
	"time"

	"forward/internal/database"
	"forward/internal/keys"
)

func TestOwners(t *testing.T) {
	db, err := database.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	now := time.Date(2026, 12, 1, 8, 0, 0, 0, time.UTC)
	open := func() *keys.Owners {
		o, err := keys.NewOwners(db, func() time.Time { return now })
		if err != nil {
			t.Fatal(err)
		}
		return o
	}
	ctx := t.Context()
	o := open()
	for _, err := range []error{
		o.Note(ctx, "openai", []string{"file-1", "resp_1"}, "alice"),
		o.Note(ctx, "openai", []string{"file-1", "file-2"}, "bob"),
		o.NoteSecret(ctx, "openai", keys.NewSecret("ek_1"), "alice", now.Add(time.Minute)),
		o.NoteSecret(ctx, "openai", keys.NewSecret("ek_2"), "bob", now.Add(time.Hour*1000)),
		o.NoteSecret(ctx, "openai", keys.NewSecret("ek_3"), "", time.Time{}),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	owner := func(route, object, want string) {
		t.Helper()
		got, err := o.Of(ctx, route, object)
		if got != want || err != nil {
			t.Errorf("%s of %s is of %q, %v; want %q", object, route, got, err, want)
		}
	}
	secret := func(route, presented, want string, known bool) {
		t.Helper()
		got, ok := o.OfSecret(route, presented)
		if ok != known || (ok && got != want) {
			t.Errorf("%s of %s is of %q, %t; want %q, %t", presented, route, got, ok, want, known)
		}
	}
	for range 2 { // the second time after a restart
		owner("openai", "file-1", "alice")
		owner("openai", "resp_1", "alice")
		owner("openai", "file-2", "bob")
		owner("openai", "file-3", "")
		owner("other", "file-1", "")
		secret("openai", "ek_1", "alice", true)
		secret("openai", "ek_2", "bob", true)
		secret("openai", "ek_3", "", true)
		secret("openai", "ek_4", "", false)
		secret("other", "ek_1", "", false)
		secret("openai", "", "", false)
		o = open()
	}
	now = now.Add(time.Minute)
	secret("openai", "ek_1", "", false)
	now = now.Add(24 * time.Hour)
	secret("openai", "ek_2", "", false)
	o = open()
	secret("openai", "ek_2", "", false)
	now = now.Add(401 * 24 * time.Hour)
	owner("openai", "file-2", "bob") // asked for, and so remembered
	o = open()
	owner("openai", "file-2", "bob")
	owner("openai", "file-1", "")
	var none *keys.Owners
	if key, err := none.Of(ctx, "openai", "file-1"); key != "" || err != nil {
		t.Error("a nil Owners knows an object")
	}
}
