package cache_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"forward/internal/cache"
)

// question returns the n-th of many questions, which take turns with models,
// routes and callers.
func question(n int) cache.Question {
	q := chatQuestion(fmt.Sprintf(`{"messages":[{"content":"question %d","role":"user"}],"model":"gpt-%d"}`, n, n%3))
	q.Model, q.Scope = fmt.Sprintf("gpt-%d", n%3), fmt.Sprintf("key:%d", n%5)
	if n%2 == 1 {
		q.Route = "other"
	}
	return q
}

// MustPut stores answers to the questions from 0 to count and returns their
// keys.
func MustPut(t testing.TB, c *cache.Cache, count int) []cache.Key {
	t.Helper()
	var keys []cache.Key
	for n := range count {
		q := question(n)
		k := q.Key(q.Scope)
		e := answerTo(n, 100+n%100*10)
		e.Question = q
		if !c.Put(k, e) {
			t.Fatalf("%d was refused", n)
		}
		keys = append(keys, k)
	}
	return keys
}

// list returns what List visits, by key. No key may be visited twice.
func list(t testing.TB, c *cache.Cache, f cache.Filter) map[cache.Key]*cache.Info {
	t.Helper()
	found := make(map[cache.Key]*cache.Info)
	err := c.List(t.Context(), f, func(i *cache.Info) bool {
		if found[i.Key] != nil {
			t.Errorf("%s is visited twice", i.Key)
		}
		found[i.Key] = i
		return true
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func TestListsWhatWasAsked(t *testing.T) {
	eachBackend(t, func(t *testing.T, o cache.Options) {
		now := newClock()
		o.Now = now.now
		c := MustOpen(t, o)
		keys := MustPut(t, c, 200)
		for _, when := range []string{"queued", "written"} {
			all := list(t, c, cache.Filter{})
			if len(all) != len(keys) {
				t.Fatalf("%s: %d listed", when, len(all))
			}
			i, want := all[keys[7]], question(7)
			if i == nil || i.Route != "other" || i.Model != want.Model || i.Scope != want.Scope || i.Method != "POST" || i.Path != want.Path ||
				i.Header["OpenAI-Beta"] != "a" || i.Asked != int64(len(want.Body)) || i.Answered != 170 || i.Kept <= 0 || i.Body != nil || i.Status != 200 {
				t.Errorf("%s: %+v", when, i)
			}
			drain(t, c)
		}
		for name, test := range map[string]struct {
			f    cache.Filter
			want int
		}{
			"route":           {cache.Filter{Route: "other"}, 100},
			"model":           {cache.Filter{Model: "gpt-1"}, 67},
			"models":          {cache.Filter{Model: "gpt*"}, 200},
			"no model":        {cache.Filter{Model: "gpt"}, 0},
			"scope":           {cache.Filter{Scope: "key:3"}, 40},
			"route and scope": {cache.Filter{Route: "o*r", Scope: "key:3"}, 20},
			"older":           {cache.Filter{Before: now.now().Add(time.Second)}, 200},
			"not older":       {cache.Filter{Before: now.now()}, 0},
		} {
			if got := len(list(t, c, test.f)); got != test.want {
				t.Errorf("%s: %d of %d", name, got, test.want)
			}
		}
		now.advance(31 * 24 * time.Hour)
		if got := len(list(t, c, cache.Filter{})); got != 0 {
			t.Errorf("%d listed that have expired", got)
		}
	})
}

func TestFindsByTheBeginningOfAKey(t *testing.T) {
	eachBackend(t, func(t *testing.T, o cache.Options) {
		c := MustOpen(t, o)
		keys := MustPut(t, c, 40)
		drain(t, c)
		i, e, err := c.Find(t.Context(), keys[3].String()[:16])
		if err != nil || i == nil || i.Key != keys[3] || !answers(e, 3) || string(e.Question.Body) != string(question(3).Body) {
			t.Errorf("%+v, %+v, %v", i, e, err)
		}
		if _, _, err := c.Find(t.Context(), ""); err != cache.ErrAmbiguous {
			t.Error(err)
		}
		if i, _, err := c.Find(t.Context(), "not hexadecimal"); i != nil || err != nil {
			t.Error(i, err)
		}
	})
}

func TestPurgesWhatIsSelected(t *testing.T) {
	eachBackend(t, func(t *testing.T, o cache.Options) {
		c := MustOpen(t, o)
		keys := MustPut(t, c, 100)
		for round, f := range []cache.Filter{{Scope: "key:1"}, {Model: "gpt-2", Route: "openai"}} {
			selected := list(t, c, f)
			sum, err := c.Purge(t.Context(), f)
			if err != nil || sum.Entries != int64(len(selected)) || sum.Bytes <= 0 {
				t.Fatalf("%+v of %d, %v", sum, len(selected), err)
			}
			for n, k := range keys {
				if _, ok := get(c, k); ok && selected[k] != nil {
					t.Errorf("round %d: %d is still there", round, n)
				}
			}
			if round == 0 {
				drain(t, c)
			}
		}
		for n, k := range keys {
			_, ok := get(c, k)
			if gone := n%5 == 1 || n%3 == 2 && n%2 == 0; ok == gone {
				t.Errorf("%d: there %t", n, ok)
			}
		}
		if _, err := c.Purge(t.Context(), cache.Filter{}); err != nil {
			t.Fatal(err)
		}
		if left := list(t, c, cache.Filter{}); len(left) != 0 {
			t.Errorf("%d are left", len(left))
		}
		MustPut(t, c, 3)
		drain(t, c)
		if e, ok := get(c, keys[2]); !ok || !answers(e, 2) {
			t.Error("nothing is remembered after a purge")
		}
	})
}

// TestPurgeLeavesNoByte looks for an answer in the files.
func TestPurgeLeavesNoByte(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	c := MustOpen(t, cache.Options{Dir: dir})
	MustPut(t, c, 50)
	drain(t, c)
	if !inFiles(t, dir, "question 7") {
		t.Fatal("the test looks for the wrong thing")
	}
	if _, err := c.Purge(t.Context(), cache.Filter{}); err != nil {
		t.Fatal(err)
	}
	if inFiles(t, dir, "question 7") {
		t.Error("what was purged is still on disk")
	}
	if s := c.Stats(); s.Entries != 0 {
		t.Errorf("%+v", s)
	}
}

// TestListWhileAnswersComeAndGo lists and purges while generations rotate.
func TestListWhileAnswersComeAndGo(t *testing.T) {
	t.Parallel()
	c := MustOpen(t, cache.Options{Dir: t.TempDir(), MaxBytes: cache.MinBytes})
	done := make(chan struct{})
	go func() {
		defer close(done)
		for n := 0; n < 400; n += 2 {
			for !c.Put(keyOf(n), answerTo(n, 60_000)) {
				time.Sleep(time.Millisecond)
			}
			get(c, keyOf(n-20))
		}
	}()
	for running := true; running; {
		select {
		case <-done:
			running = false
		default:
		}
		if err := c.List(t.Context(), cache.Filter{}, func(*cache.Info) bool { return true }); err != nil {
			t.Fatal(err)
		}
		if _, err := c.Purge(t.Context(), cache.Filter{Model: "gpt-4o-mini", Before: time.Now().Add(-time.Millisecond)}); err != nil {
			t.Fatal(err)
		}
	}
}

func TestVerify(t *testing.T) {
	eachBackend(t, func(t *testing.T, o cache.Options) {
		c := MustOpen(t, o)
		MustPut(t, c, 30)
		drain(t, c)
		if v, err := c.Verify(t.Context()); err != nil || v.Entries != 30 || v.Damaged != 0 || v.Foreign != 0 || v.Bytes <= 0 {
			t.Errorf("%+v, %v", v, err)
		}
	})
}

func TestVerifyFindsDamage(t *testing.T) {
	t.Parallel()
	whole := t.TempDir()
	writeMatrixCache(t, whole)
	for _, file := range matrixFiles(t, whole) {
		if strings.HasSuffix(file, "000001.vlog") && strings.Contains(file, "gen-") {
			damageMiddle(t, whole, file)
			break
		}
	}
	c := MustOpen(t, cache.Options{Dir: whole, MaxBytes: 8 * cache.MinBytes})
	v, err := c.Verify(t.Context())
	if err != nil || v.Damaged == 0 || v.Entries == 0 {
		t.Errorf("%+v, %v", v, err)
	}
}

func TestAdministrationAfterClose(t *testing.T) {
	eachBackend(t, func(t *testing.T, o cache.Options) {
		c := MustOpen(t, o)
		MustPut(t, c, 3)
		MustClose(t, c)
		// Nothing may hang or panic; the store decides whether it is an error.
		c.List(t.Context(), cache.Filter{}, func(*cache.Info) bool { return true })
		c.Verify(t.Context())
		c.Purge(t.Context(), cache.Filter{Route: "openai"})
		c.Purge(t.Context(), cache.Filter{})
		c.Nearest(t.Context(), new(cache.Question))
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		c.Import(ctx, strings.NewReader(exportHead+exportedLine), 0)
	})
}
