package session_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"forward/internal/database"
	"forward/internal/session"
)

var secret = []byte("a secret of the tests")

func Example() {
	db, err := database.OpenMemory()
	if err != nil {
		fmt.Println(err)
		return
	}
	defer db.Close()
	ctx := context.Background()
	store, err := session.Open(ctx, db, secret, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	cookie, err := store.Start(ctx, &session.Session{Role: session.Administrator, Proof: store.Proof("ADMIN_KEY")})
	if err != nil {
		fmt.Println(err)
		return
	}
	one, err := store.Find(ctx, cookie)
	fmt.Println(one.Role, err)
	fmt.Println(store.End(ctx, one.ID))
	_, err = store.Find(ctx, cookie)
	fmt.Println(err)
	// Output:
	// administrator <nil>
	// <nil>
	// there is no such session
}

// open returns a store in a directory of its own, at a time that the test
// moves.
func open(t *testing.T) (*session.Store, *time.Time) {
	t.Helper()
	db, err := database.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	now := time.Date(2026, 11, 21, 15, 0, 0, 0, time.UTC)
	store, err := session.Open(t.Context(), db, secret, func() time.Time { return now })
	if err != nil {
		t.Fatal(err)
	}
	return store, &now
}

// A session lasts 12 hours after each request, and 7 days at most, to the
// second.
func TestUntil(t *testing.T) {
	store, now := open(t)
	start := *now
	cookie, err := store.Start(t.Context(), &session.Session{Role: session.Holder, Key: "k", Proof: []byte{1}, Agent: strings.Repeat("é", 300)})
	if err != nil {
		t.Fatal(err)
	}
	find := func(at time.Duration, want error) {
		t.Helper()
		*now = start.Add(at)
		one, err := store.Find(t.Context(), cookie)
		if !errors.Is(err, want) {
			t.Errorf("after %v: %v, want %v", at, err, want)
		}
		if err == nil && (one.Until().After(one.Created.Add(session.Longest)) || len(one.Agent) > 200) {
			t.Errorf("after %v: %+v", at, one)
		}
	}
	for at := 11 * time.Hour; at < session.Longest; at += 11 * time.Hour {
		find(at, nil)
	}
	find(session.Longest-time.Second, nil)
	find(session.Longest, session.ErrNone)
	cookie, err = store.Start(t.Context(), &session.Session{Proof: []byte{1}})
	if err != nil {
		t.Fatal(err)
	}
	start = *now
	find(12*time.Hour-time.Second, nil)
	start = *now
	find(12*time.Hour, session.ErrNone)
}

// Of many callers with the code of one link, one signs in.
func TestALinkIsUsedOnce(t *testing.T) {
	store, now := open(t)
	code, err := store.Link(t.Context(), time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	var wait sync.WaitGroup
	var used atomic.Int32
	for range 8 {
		wait.Go(func() {
			switch err := store.Redeem(t.Context(), code); {
			case err == nil:
				used.Add(1)
			case !errors.Is(err, session.ErrUsed):
				t.Error(err)
			}
		})
	}
	wait.Wait()
	if used.Load() != 1 {
		t.Errorf("used %d times", used.Load())
	}
	code, err = store.Link(t.Context(), time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	*now = now.Add(time.Minute)
	if err := store.Redeem(t.Context(), code); !errors.Is(err, session.ErrUsed) {
		t.Errorf("after its time: %v", err)
	}
}

// A secret of one kind is none of another, and another store's secrets are
// unknown.
func TestSecretsAreOfOneKind(t *testing.T) {
	store, _ := open(t)
	other, _ := open(t)
	code, err := store.Link(t.Context(), time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	cookie, err := store.Start(t.Context(), &session.Session{Proof: []byte{1}})
	if err != nil {
		t.Fatal(err)
	}
	for _, wrong := range []string{code, "", cookie[1:]} {
		if _, err := store.Find(t.Context(), wrong); !errors.Is(err, session.ErrNone) {
			t.Errorf("%v", err)
		}
	}
	if _, err := other.Find(t.Context(), cookie); !errors.Is(err, session.ErrNone) {
		t.Errorf("%v", err)
	}
	if err := store.Redeem(t.Context(), cookie); !errors.Is(err, session.ErrUsed) {
		t.Errorf("%v", err)
	}
	if len(cookie) < 43 { // 256 bits
		t.Errorf("a secret of %d characters", len(cookie))
	}
}
