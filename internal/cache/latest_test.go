package cache_test

import (
	"slices"
	"testing"
	"time"

	"forward/internal/cache"
)

// TestLatest reads all entries in pages: each once, the latest first, also
// where several have one moment and where the entry before a page is gone.
func TestLatest(t *testing.T) {
	eachBackend(t, func(t *testing.T, o cache.Options) {
		clock := newClock()
		o.Now = clock.now
		c, err := cache.Open(o)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		for n := range 25 {
			q := question(n)
			e := answerTo(n, 100)
			e.Question = q
			e.Stored = clock.now().Add(-time.Duration(n/3) * time.Minute) // three of each moment
			if !c.Put(q.Key(q.Scope), e) {
				t.Fatalf("%d was refused", n)
			}
		}
		drain(t, c)
		var all []cache.Info
		var after cache.Place
		for {
			page, more, err := c.Latest(t.Context(), cache.Filter{}, after, 4)
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, page...)
			if !more {
				break
			}
			last := page[len(page)-1]
			after, err = cache.ParsePlace(last.Place().String())
			if err != nil || len(page) != 4 {
				t.Fatalf("a page of %d, %v", len(page), err)
			}
			if len(all) == 8 {
				if found, err := c.Delete(t.Context(), last.Key); !found || err != nil {
					t.Fatal(found, err)
				}
			}
		}
		if len(all) != 25 || !slices.IsSortedFunc(all, func(a, b cache.Info) int { return a.Place().Compare(b.Place()) }) {
			t.Errorf("%d entries", len(all))
		}
		if again, err := c.Delete(t.Context(), all[7].Key); again || err != nil {
			t.Errorf("deleted twice: %v %v", again, err)
		}
		if sum, err := c.Count(t.Context(), cache.Filter{}); err != nil || sum.Entries != 24 {
			t.Errorf("%+v %v", sum, err)
		}
		if d, err := c.Show(t.Context(), all[0].Key.String()); err != nil || d == nil || d.Key != all[0].Key {
			t.Errorf("%+v %v", d, err)
		}
		if d, err := c.Show(t.Context(), all[7].Key.String()); err != nil || d != nil {
			t.Errorf("a deleted entry is shown: %+v %v", d, err)
		}
		filtered, _, err := c.Latest(t.Context(), cache.Filter{Route: "other", Model: "gpt-1"}, cache.Place{}, 100)
		if err != nil || len(filtered) == 0 || slices.ContainsFunc(filtered, func(i cache.Info) bool { return i.Route != "other" || i.Model != "gpt-1" }) {
			t.Errorf("%d entries, %v", len(filtered), err)
		}
	})
	for _, bad := range []string{"", "1", "x-00", "1-00", "-"} {
		if _, err := cache.ParsePlace(bad); err == nil {
			t.Errorf("%q is taken for a place", bad)
		}
	}
}
