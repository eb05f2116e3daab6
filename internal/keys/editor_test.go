package keys_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"forward/internal/keys"
)

// every has a text for each setting of a key, as Texts writes it.
var every = map[string]string{
	"name": "alice", "level": "3", "models": "gpt-*,!gpt-4*", "alias": "best=o9,fast=gpt-4o-mini", "routes": "openai,!/anthropic", "ips": "10.0.0.0/8,192.0.2.7/32",
	"expires": "2027-01-31T00:00:00Z", "rpm": "60", "tpm": "90000", "parallel": "4", "budget": "20usd/month@Europe/Berlin,500ktokens/day", "unknown-price": "allow",
	"overrun": "allow", "ephemeral": "deny", "objects": "own", "credentials": "client", "count-list": "true", "unknown-operations": "deny", "cache": "shared",
	"log": "redacted", "priority": "-7", "tags": "team=search,ci", "set-user": "true",
}

// Texts writes what Apply reads the same from, each setting by itself and all
// together, also after the database.
func TestTextsRoundTrip(t *testing.T) {
	now := time.Date(2026, 12, 1, 12, 0, 0, 0, time.UTC)
	var all keys.Settings
	if err := all.Apply(every, now); err != nil {
		t.Fatal(err)
	}
	if got := all.Texts(); !maps.Equal(got, every) {
		t.Errorf("the texts are %v, not %v", got, every)
	}
	for _, f := range keys.Fields() {
		text, ok := every[f.Name]
		if !ok {
			t.Errorf("%s has no text here", f.Name)
			continue
		}
		one, without := keys.Settings{Name: "x"}, all
		if err := one.Apply(map[string]string{f.Name: text}, now); err != nil || one.Texts()[f.Name] != text {
			t.Errorf("%s: %v becomes %v, %v", f.Name, text, one.Texts(), err)
		}
		if f.Name == "name" {
			continue
		}
		err := without.Apply(map[string]string{f.Name: ""}, now)
		if _, still := without.Texts()[f.Name]; err != nil || still || len(without.Texts()) != len(every)-1 {
			t.Errorf("%s is not taken away: %v, %v", f.Name, without.Texts(), err)
		}
	}
	s := mustStore(t, mustDB(t, t.TempDir()))
	m, _, err := s.Add(t.Context(), all)
	if err != nil {
		t.Fatal(err)
	}
	m, err = s.Find(t.Context(), m.ID)
	if err != nil {
		t.Fatal(err)
	}
	if v := m.View(now); !maps.Equal(v.Fields, every) {
		t.Errorf("out of the database they are %v", v.Fields)
	}
	var again keys.Settings
	err = again.Apply(m.View(now).Fields, now)
	again.Expires = again.Expires.UTC()
	all.Expires = all.Expires.UTC()
	if err != nil || !reflect.DeepEqual(again, all) {
		t.Errorf("the settings are %+v, not %+v: %v", again, all, err)
	}
}

func mustEditor(t testing.TB, declared ...keys.Key) (*keys.Editor, *sql.DB) {
	db := mustDB(t, t.TempDir())
	return &keys.Editor{Store: mustStore(t, db), Declared: declared, Zone: time.UTC}, db
}

func named(name string) map[string]string { return map[string]string{"name": name} }

func TestEditorRefuses(t *testing.T) {
	ctx := t.Context()
	e, _ := mustEditor(t, keys.Key{Name: "ci", Secret: keys.NewSecret("fk-declared-0123456789")})
	made, err := e.Create(ctx, named("alice"), keys.Creation{})
	if err != nil {
		t.Fatal(err)
	}
	gone, err := e.Create(ctx, named("old"), keys.Creation{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := e.Revoke(ctx, "old"); err != nil {
		t.Fatal(err)
	}
	input := func(err error) bool { return errors.As(err, new(*keys.InputError)) }
	is := func(want error) func(error) bool { return func(err error) bool { return errors.Is(err, want) } }
	for name, test := range map[string]struct {
		do   func() error
		want func(error) bool
	}{
		"a wrong setting": {func() error {
			_, err := e.Create(ctx, map[string]string{"name": "bob", "rpm": "many"}, keys.Creation{})
			return err
		}, input},
		"no name":                   {func() error { _, err := e.Create(ctx, nil, keys.Creation{}); return err }, input},
		"a name of the settings":    {func() error { _, err := e.Create(ctx, named("ci"), keys.Creation{}); return err }, is(keys.ErrDeclared)},
		"a name that is taken":      {func() error { _, err := e.Create(ctx, named("alice"), keys.Creation{}); return err }, is(keys.ErrNameTaken)},
		"a change of the settings":  {func() error { _, err := e.Change(ctx, "ci", keys.Change{}); return err }, is(keys.ErrDeclared)},
		"a rename to the settings'": {func() error { _, err := e.Change(ctx, "alice", keys.Change{Texts: named("ci")}); return err }, is(keys.ErrDeclared)},
		"a change of a revoked key": {func() error { _, err := e.Change(ctx, gone.Key.ID, keys.Change{}); return err }, is(keys.ErrGone)},
		"a change of no key":        {func() error { _, err := e.Change(ctx, "dave", keys.Change{}); return err }, is(keys.ErrNoSuchKey)},
		"a wrong grace":             {func() error { _, _, err := e.Rotate(ctx, "alice", "soon"); return err }, input},
		"a rotation of settings":    {func() error { _, _, err := e.Rotate(ctx, "ci", ""); return err }, is(keys.ErrDeclared)},
		"a link for a revoked key":  {func() error { _, _, err := e.Handover(ctx, gone.Key.ID); return err }, is(keys.ErrGone)},
		"no store":                  {func() error { _, err := (&keys.Editor{}).Create(ctx, named("x"), keys.Creation{}); return err }, is(keys.ErrNoStore)},
		"a text of many": {func() error {
			_, _, err := e.ChangeAll(ctx, []string{"alice"}, keys.Change{Texts: map[string]string{"expires": "soon"}})
			return err
		}, input},
	} {
		if err := test.do(); !test.want(err) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if m, err := e.Store.Find(ctx, made.Key.ID); err != nil || m.Version != made.Key.Version {
		t.Errorf("a refused change has changed the key: %+v, %v", m, err)
	}
}

// Of two changes that were made of the same version, the second is refused, and
// reports the version that is there.
func TestChangeOfAnotherVersion(t *testing.T) {
	e, _ := mustEditor(t)
	made, err := e.Create(t.Context(), named("alice"), keys.Creation{})
	if err != nil {
		t.Fatal(err)
	}
	read := made.Key.Version
	var wg sync.WaitGroup
	var won, lost int
	var mu sync.Mutex
	for i := range 8 {
		wg.Go(func() {
			_, err := e.Change(t.Context(), "alice", keys.Change{Texts: map[string]string{"rpm": fmt.Sprint(i + 1)}, Version: read})
			mu.Lock()
			defer mu.Unlock()
			version, ok := errors.AsType[*keys.VersionError](err)
			switch {
			case err == nil:
				won++
			case ok && version.Version > read:
				lost++
			default:
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if won != 1 || lost != 7 {
		t.Errorf("%d changes were made and %d refused", won, lost)
	}
	m, err := e.Store.Find(t.Context(), "alice")
	if err != nil || m.Version <= read {
		t.Fatal(m, err)
	}
	on := true
	done, err := e.Change(t.Context(), "alice", keys.Change{Disabled: &on, Version: m.Version})
	if err != nil || done.Before.Disabled || !done.After.Disabled || done.After.Version <= m.Version || done.After.Policy.RPM == 0 {
		t.Errorf("%+v, %v", done.After, err)
	}
}

func TestChangeAll(t *testing.T) {
	e, _ := mustEditor(t, keys.Key{Name: "ci", Secret: keys.NewSecret("fk-declared-0123456789")})
	refs := []string{"ci", "dave"}
	for i := range 50 {
		made, err := e.Create(t.Context(), named(fmt.Sprint("key", i)), keys.Creation{})
		if err != nil {
			t.Fatal(err)
		}
		refs = append(refs, made.Key.ID)
	}
	on := true
	done, failed, err := e.ChangeAll(t.Context(), refs, keys.Change{Texts: map[string]string{"expires": "30d"}, Disabled: &on})
	if err != nil || len(done) != 50 || len(failed) != 2 || !errors.Is(failed["ci"], keys.ErrDeclared) || !errors.Is(failed["dave"], keys.ErrNoSuchKey) {
		t.Fatalf("%d changed, %v failed, %v", len(done), failed, err)
	}
	m, err := e.Store.Find(t.Context(), "key7")
	if err != nil || !m.Disabled || m.Expires.IsZero() {
		t.Errorf("%+v, %v", m, err)
	}
}

// A key has no secret until its link is opened, which can be done once. The
// running ring knows all of it.
func TestHandover(t *testing.T) {
	ctx := t.Context()
	e, db := mustEditor(t)
	made, err := e.Create(ctx, named("alice"), keys.Creation{Pending: true})
	if err != nil {
		t.Fatal(err)
	}
	if !made.Secret.IsZero() || !made.Key.Pending || made.Key.Masked() != "" {
		t.Errorf("a pending key is %+v with %v", made.Key, made.Secret)
	}
	ring, err := e.Store.Ring(ctx, nil)
	if err != nil {
		t.Fatal(err)
	}
	if ring.Len() == 0 {
		t.Error("a gateway whose only key is pending asks for none")
	}
	if _, err := ring.Lookup("fk-" + made.Key.ID); !errors.Is(err, keys.ErrUnknown) {
		t.Error(err)
	}
	if _, err := ring.ByID(made.Key.ID); !errors.Is(err, keys.ErrRevoked) {
		t.Errorf("a pending key is used by its id: %v", err)
	}
	// A second link replaces the first.
	_, link, err := e.Handover(ctx, "alice")
	if err != nil {
		t.Fatal(err)
	}
	for _, code := range []string{"", "x", made.Link.Code.Reveal()} {
		if _, _, err := e.Store.Open(ctx, code); !errors.Is(err, keys.ErrLink) {
			t.Errorf("%q: %v", code, err)
		}
	}
	done, secret, err := e.Store.Open(ctx, link.Code.Reveal())
	if err != nil || !done.Before.Pending {
		t.Fatal(done, err)
	}
	m := done.After
	if m.ID != made.Key.ID || m.Pending || m.Masked() != secret.String() || !m.Grace.IsZero() {
		t.Fatalf("%+v, %v", m, err)
	}
	wants(t, e.Store, secret.Reveal(), nil)
	if _, _, err := e.Store.Open(ctx, link.Code.Reveal()); !errors.Is(err, keys.ErrLink) {
		t.Errorf("opened again: %v", err)
	}
	if found, err := e.Store.Find(ctx, "alice"); err != nil || found.Masked() != secret.String() || found.Pending {
		t.Errorf("%+v, %v", found, err)
	}
	assertNotInDatabase(t, db, secret.Reveal(), link.Code.Reveal(), made.Link.Code.Reveal())
	// A key with a secret keeps it for a while.
	_, link, err = e.Handover(ctx, "alice")
	if err != nil {
		t.Fatal(err)
	}
	wants(t, e.Store, secret.Reveal(), nil)
	done, next, err := e.Store.Open(ctx, link.Code.Reveal())
	if err != nil || done.After.Grace.IsZero() {
		t.Fatal(done, err)
	}
	wants(t, e.Store, secret.Reveal(), nil)
	wants(t, e.Store, next.Reveal(), nil)
	// What comes after a link ends it.
	_, link, err = e.Handover(ctx, "alice")
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := e.Rotate(ctx, "alice", "0"); err != nil {
		t.Fatal(err)
	}
	if _, _, err := e.Store.Open(ctx, link.Code.Reveal()); !errors.Is(err, keys.ErrLink) {
		t.Errorf("rotated, and the link opens: %v", err)
	}
	_, link, err = e.Handover(ctx, "alice")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := e.Revoke(ctx, "alice"); err != nil {
		t.Fatal(err)
	}
	if _, _, err := e.Store.Open(ctx, link.Code.Reveal()); !errors.Is(err, keys.ErrLink) {
		t.Errorf("revoked, and the link opens: %v", err)
	}
}

// Of callers that open a link at the same time, one gets the secret.
func TestALinkIsOpenedOnce(t *testing.T) {
	e, _ := mustEditor(t)
	made, err := e.Create(t.Context(), named("alice"), keys.Creation{Pending: true})
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	secrets := make(chan keys.Secret, 8)
	for range cap(secrets) {
		wg.Go(func() {
			_, secret, err := e.Store.Open(t.Context(), made.Link.Code.Reveal())
			switch {
			case err == nil:
				secrets <- secret
			case !errors.Is(err, keys.ErrLink):
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if len(secrets) != 1 {
		t.Errorf("%d callers got a secret", len(secrets))
	}
}

func TestALinkExpires(t *testing.T) {
	clock := time.Date(2026, 12, 1, 12, 0, 0, 0, time.UTC)
	s, err := keys.Open(t.Context(), mustDB(t, t.TempDir()), keys.NewSecret(storeSecret), func() time.Time { return clock })
	if err != nil {
		t.Fatal(err)
	}
	for _, age := range []time.Duration{keys.LinkLife - time.Second, keys.LinkLife} {
		made, err := s.Create(t.Context(), keys.Creation{Settings: keys.Settings{Name: age.String()}, Pending: true})
		if err != nil || !made.Link.Until.Equal(clock.Add(keys.LinkLife)) {
			t.Fatal(made, err)
		}
		clock = clock.Add(age)
		_, _, err = s.Open(t.Context(), made.Link.Code.Reveal())
		if expired := age == keys.LinkLife; errors.Is(err, keys.ErrLink) != expired {
			t.Errorf("after %v: %v", age, err)
		}
	}
}

// A creation that comes again makes no second key, at the same time, later and
// after a restart. The secret is answered again for a while, and is nowhere but
// in memory.
func TestCreateOnce(t *testing.T) {
	ctx := t.Context()
	clock := time.Date(2026, 12, 1, 12, 0, 0, 0, time.UTC)
	now := func() time.Time { return clock }
	db := mustDB(t, t.TempDir())
	open := func() *keys.Store {
		s, err := keys.Open(ctx, db, keys.NewSecret(storeSecret), now)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	s := open()
	alice := keys.Creation{Settings: keys.Settings{Name: "alice"}, Token: "token-1", Request: "alice"}
	var wg sync.WaitGroup
	var mu sync.Mutex
	secrets := map[string]bool{}
	for range 8 {
		wg.Go(func() {
			made, err := s.Create(ctx, alice)
			if err != nil {
				t.Error(err)
				return
			}
			mu.Lock()
			defer mu.Unlock()
			secrets[made.Key.ID+made.Secret.Reveal()] = true
		})
	}
	wg.Wait()
	if len(secrets) != 1 {
		t.Errorf("%d answers differ", len(secrets))
	}
	other := alice
	other.Request = "bob"
	if _, err := s.Create(ctx, other); !errors.Is(err, keys.ErrRepeated) {
		t.Errorf("another key with the same token: %v", err)
	}
	for name, again := range map[string]*keys.Store{"after a restart": open(), "later": s} {
		if name == "later" {
			clock = clock.Add(11 * time.Minute)
		}
		made, err := again.Create(ctx, alice)
		if err != nil || made.Key.Name != "alice" || !made.Secret.IsZero() {
			t.Errorf("%s: %+v, %v", name, made, err)
		}
	}
	list, err := s.List(ctx)
	if err != nil || len(list) != 1 {
		t.Errorf("%d keys, %v", len(list), err)
	}
	for text := range secrets {
		assertNotInDatabase(t, db, text[8:], "token-1")
	}
}

func TestWhois(t *testing.T) {
	ctx := t.Context()
	e, _ := mustEditor(t, keys.Key{Name: "ci", Secret: keys.NewSecret("fk-declared-0123456789")})
	made, err := e.Create(ctx, named("alice"), keys.Creation{})
	if err != nil {
		t.Fatal(err)
	}
	_, next, err := e.Rotate(ctx, "alice", "1h")
	if err != nil {
		t.Fatal(err)
	}
	for secret, want := range map[string]string{"fk-declared-0123456789": "ci false", made.Secret.Reveal(): "alice true", next.Reveal(): "alice false"} {
		v, replaced, err := e.Whois(ctx, secret)
		if got := fmt.Sprint(v.Name, " ", replaced); err != nil || got != want {
			t.Errorf("%s, %v; want %s", got, err, want)
		}
	}
	if v, _, _ := e.Whois(ctx, next.Reveal()); v.Masked != next.String() {
		t.Errorf("masked is %q, not %q", v.Masked, next)
	}
	if _, _, err := e.Whois(ctx, ""); err == nil {
		t.Error("no secret is one of a key")
	}
}

// Keys of a database of before links are as they were. The end of their secrets
// is not known.
func TestAnOlderSchemaIsBroughtUpToDate(t *testing.T) {
	db := mustDB(t, t.TempDir())
	_, secret := mustAdd(t, mustStore(t, db), "alice")
	if _, err := db.Exec(`ALTER TABLE keys_secrets DROP COLUMN tail; DROP TABLE keys_links; DROP TABLE keys_made; DELETE FROM keys_schema WHERE version = 3`); err != nil {
		t.Fatal(err)
	}
	s := mustStore(t, db)
	wants(t, s, secret, nil)
	m, err := s.Find(t.Context(), "alice")
	if err != nil || m.Masked() != "" || m.Pending {
		t.Errorf("%+v, %v", m, err)
	}
	m, next, err := s.Rotate(t.Context(), "alice", time.Hour)
	if err != nil || m.Masked() != next.String() {
		t.Errorf("%+v, %v", m, err)
	}
}

// assertNotInDatabase looks for texts in the files of a database.
func assertNotInDatabase(t *testing.T, db *sql.DB, texts ...string) {
	t.Helper()
	var seq int
	var name, path string
	if err := db.QueryRowContext(context.Background(), `PRAGMA database_list`).Scan(&seq, &name, &path); err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(path + "*")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	for _, file := range files {
		content, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, text := range texts {
			if len(text) < 7 || strings.Contains(string(content), text) {
				t.Errorf("%s contains %s", filepath.Base(file), text)
			}
		}
	}
}
