package main

import (
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"forward/internal/database"
	"forward/internal/ledger"
	"forward/internal/price"
)

// TestAllSinksGetTheRow opens the ledger with all sinks, spends half a budget
// and closes: each sink has its copy before Close returns.
func TestAllSinksGetTheRow(t *testing.T) {
	var mu sync.Mutex
	posted := map[string]string{}
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		text, _ := io.ReadAll(r.Body)
		mu.Lock()
		defer mu.Unlock()
		posted[r.URL.Path] += string(text)
		if r.Header.Get("X-Forward-Signature") == "" {
			t.Error("a post is not signed")
		}
	}))
	defer server.Close()
	dir := t.TempDir()
	file := filepath.Join(dir, "usage.jsonl")
	cfg := load(t, "DATA_DIR="+dir+"\nUSAGE_FILE="+file+"\nUSAGE_WEBHOOK="+server.URL+"/usage\nBUDGET_WEBHOOK="+server.URL+"/budget\nWEBHOOK_SECRET=whsec-0123456789\nUSAGE_STATSD=statsd://127.0.0.1:9\nLEDGER_RETENTION=0\n")
	db, err := database.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	b, err := openLedger(cfg, db, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	r := ledger.Row{ID: "a", Time: time.Now(), Key: "k", KeyName: "alice", Priced: true, Cost: price.Dollar, Status: 200}
	call, err := b.Reserve(t.Context(), ledger.Reservation{Row: r, Budgets: []ledger.Budget{{Unit: ledger.USD, Amount: 2 * int64(price.Dollar), Period: ledger.Daily}}})
	if err != nil {
		t.Fatal(err)
	}
	call.Settle(r)
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(file)
	if err != nil || !strings.Contains(string(text), `"id":"a"`) {
		t.Errorf("%q, %v", text, err)
	}
	if !strings.Contains(posted["/usage"], `"cost_usd":1`) || !strings.Contains(posted["/budget"], `"percent":50`) {
		t.Errorf("%q", posted)
	}
}

func TestALedgerThatCannotOpen(t *testing.T) {
	dir := t.TempDir()
	db, err := database.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	for _, setting := range []string{"USAGE_FILE=" + dir + "/no/such/dir/usage.jsonl", "BUDGET_WEBHOOK=http://127.0.0.1:9/\nUSAGE_FILE=" + dir} {
		if b, err := openLedger(load(t, setting), db, slog.New(slog.DiscardHandler)); err == nil || !strings.Contains(err.Error(), "USAGE_FILE") {
			t.Errorf("%s: %v, %v", setting, b, err)
		}
	}
}
