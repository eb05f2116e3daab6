//go:build ui

package ui

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"path/filepath"
	"testing"
	"time"

	"forward/internal/database"
	"forward/internal/dialect"
	"forward/internal/keys"
	"forward/internal/ledger"
	"forward/internal/price"
)

// example is a gateway with two weeks of a small team's use, for the picture in
// the README.
func example(t testing.TB) *scene {
	t.Helper()
	s := newScene(t)
	db, err := database.Open(filepath.Join(s.Dir, "data"))
	if err != nil {
		t.Fatal(err)
	}
	store, err := keys.Open(context.Background(), db, keys.NewSecret(pepper), nil)
	if err != nil {
		t.Fatal(err)
	}
	type member struct{ name, id string }
	var members []member
	for _, m := range [][2]string{{"alice", "60usd/month"}, {"bob", "40usd/month"}, {"ci", "25usd/month"}, {"support-bot", "20usd/month"}, {"carol", "15usd/month"}} {
		var settings keys.Settings
		if err := settings.Apply(map[string]string{"name": m[0], "budget": m[1]}, time.Now()); err != nil {
			t.Fatal(err)
		}
		key, _, err := store.Add(context.Background(), settings)
		if err != nil {
			t.Fatal(err)
		}
		members = append(members, member{m[0], key.ID})
	}
	l, err := ledger.Open(db, ledger.Options{Retention: -1, Delay: time.Nanosecond})
	if err != nil {
		t.Fatal(err)
	}
	models := []struct {
		name, upstream string
		cost           float64 // nano-dollars
	}{{"claude-sonnet-5", "anthropic", 31e6}, {"gpt-4o", "openai", 12e6}, {"gemini-2.5-pro", "gemini", 9e6}, {"gpt-4o-mini", "openai", 0.9e6}, {"claude-haiku-4-5", "anthropic", 4e6}}
	now := time.Now()
	for i := range 6000 {
		at := now.Add(-time.Duration(float64(14*24*time.Hour) * (1 - float64(i)/6000)))
		// More by day than by night, and a little more each day.
		wave := 0.55 + 0.45*math.Sin(float64(at.Hour()-9)/24*2*math.Pi)
		if float64(i*7919%1000)/1000 > wave*(0.6+0.4*float64(i)/6000) {
			continue
		}
		who, model := members[[]int{0, 0, 0, 1, 1, 2, 3, 3, 4, 0}[i*31%10]], models[[]int{0, 1, 0, 2, 3, 3, 4, 1, 0, 3, 4}[i*17%11]]
		size := 0.4 + float64(i*104729%1000)/800
		r := ledger.Row{
			ID: fmt.Sprintf("req_%012x%020x", at.UnixMilli(), i), Time: at, Key: who.id, KeyName: who.name, Route: model.upstream, Upstream: model.upstream,
			Operation: dialect.Chat, Model: model.name, Answered: model.name, Stream: i%3 != 0, Cache: "miss", Attempts: 1, Status: 200, Finish: "stop",
			First: time.Duration(280+i*131%600) * time.Millisecond, Total: time.Duration(1200+i*577%7000) * time.Millisecond,
			Usage:  dialect.Usage{Input: int64(3000 * size), Output: int64(420 * size), Raw: json.RawMessage(`{}`)},
			Priced: true, Cost: price.Money(model.cost * size), Price: "list",
		}
		switch {
		case i%11 == 3:
			r.Cache, r.Saved, r.Cost = "hit", r.Cost, 0
		case i%83 == 5:
			r.Status, r.Cause, r.Cost = 429, "rate_limit_exceeded", 0
		}
		l.Record(r)
	}
	if err := l.Close(context.Background()); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	return s.start()
}
