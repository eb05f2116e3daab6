//go:build ui

package ui

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"forward/internal/database"
	"forward/internal/dialect"
	"forward/internal/keys"
	"forward/internal/ledger"
	"forward/internal/price"
)

// large is a gateway with 2,000 keys and FORWARD_UI_ROWS rows, 20,000 unless it
// is set.
func large(t testing.TB) *scene {
	t.Helper()
	rows := 20_000
	if text := os.Getenv("FORWARD_UI_ROWS"); text != "" {
		var err error
		if rows, err = strconv.Atoi(text); err != nil {
			t.Fatal(err)
		}
	}
	s := newScene(t)
	s.key("first", "--budget", "20usd/month")
	data := filepath.Join(s.Dir, "data")
	db, err := database.Open(data)
	if err != nil {
		t.Fatal(err)
	}
	l, err := ledger.Open(db, ledger.Options{Retention: -1, Delay: time.Nanosecond})
	if err != nil {
		t.Fatal(err)
	}
	fill(t, l, rows)
	if err := l.Close(context.Background()); err != nil {
		t.Fatal(err)
	}
	members(t, db)
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	s.start()
	return s
}

// members makes 2,000 keys.
func members(t testing.TB, db *sql.DB) {
	t.Helper()
	store, err := keys.Open(context.Background(), db, keys.NewSecret(pepper), nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 2000 {
		var settings keys.Settings
		if err := settings.Apply(map[string]string{"name": fmt.Sprintf("member %04d", i), "budget": "20usd/month", "tags": fmt.Sprint("team=", i%40)}, time.Now()); err != nil {
			t.Fatal(err)
		}
		if _, _, err := store.Add(context.Background(), settings); err != nil {
			t.Fatal(err)
		}
	}
}

// fill writes rows of the last 30 days: 50 keys, 20 models, 3 routes, a few
// errors and requests without a price.
func fill(t testing.TB, l *ledger.Ledger, rows int) {
	t.Helper()
	now := time.Now()
	step := 30 * 24 * time.Hour / time.Duration(rows)
	for i := range rows {
		at := now.Add(-time.Duration(rows-i) * step)
		model := i / 40 % 20
		r := ledger.Row{
			ID: fmt.Sprintf("req_%012x%020x", at.UnixMilli(), i), Time: at, Key: fmt.Sprintf("key%04d", i/40%50), KeyName: fmt.Sprint("member ", i/40%50),
			User: fmt.Sprint("user", i%300), Route: fmt.Sprint("/route", model%3), Upstream: "openai", Operation: dialect.Chat, Model: fmt.Sprint("model-", model),
			Answered: fmt.Sprint("model-", model), Stream: i%2 == 0, Cache: "bypass", Attempts: 1, Status: 200, Finish: "stop",
			First: time.Duration(200+i%700) * time.Millisecond, Total: time.Duration(900+i%5000) * time.Millisecond,
			Usage:  dialect.Usage{Input: 1000, Output: 100, Raw: json.RawMessage(`{"prompt_tokens":1000,"completion_tokens":100,"total_tokens":1100}`)},
			Priced: i%50 != 0, Cost: price.Money(1_000_000 + i%1000), Price: "list",
			Trail: []ledger.Step{{At: time.Millisecond, Name: "identify", Text: "a member of the team"}},
		}
		if i%97 == 0 {
			r.Status, r.Cause = 502, "upstream_error"
		}
		l.Record(r)
		if i%20_000 == 19_999 {
			if err := l.Flush(context.Background()); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := l.Flush(context.Background()); err != nil {
		t.Fatal(err)
	}
}
