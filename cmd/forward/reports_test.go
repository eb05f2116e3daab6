package main

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// endlessReports makes reports that read single rows never end, in the database
// itself. What the ledger writes stays as it is.
func endlessReports(t *testing.T, a *app) {
	t.Helper()
	var text string
	if err := a.db.QueryRow(`SELECT sql FROM sqlite_master WHERE name = 'usage_requests'`).Scan(&text); err != nil {
		t.Fatal(err)
	}
	head, from, ok := strings.Cut(text, "FROM usage_calls c")
	if !ok {
		t.Fatalf("the view is %s", text)
	}
	rows := "FROM (WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT x FROM n) CROSS JOIN usage_calls c"
	if _, err := a.db.Exec(`DROP VIEW usage_requests; ` + head + rows + from); err != nil {
		t.Fatal(err)
	}
}

// D15, without a clock: while as many reports as may run are in the database,
// and more wait for their turn, requests are answered and their rows written,
// before any report ends. Neither the requests nor the writer wait for a
// connection that a report has.
func TestReportsHoldUpNoRequest(t *testing.T) {
	const requests = 30
	up := upstreamOf(t)
	l, server := MustReload(t, "OPENAI_BASE_URL="+up.URL+"\nOPENAI_API_KEY=sk-real-0123456789\nADMIN_KEY="+apiAdmin+"\nDATA_DIR=data\nTZ=UTC\nFORWARD_KEY=ci=fk-declared-0123456789\nPRICES={\"m\": {\"input\": 1, \"output\": 1}}\n")
	_, text := api(t, "POST", server.URL+"/_/api/keys", `{"fields": {"name": "alice", "budget": "500usd/month,1mtokens/day", "rpm": "1000"}}`)
	alice := made(t, 201, text)
	within(t, "the new key works", func() bool {
		status, _ := ask(t, server.URL, alice.Secret)
		return status == http.StatusOK
	})
	written := func() (n int) {
		t.Helper()
		if err := l.db.QueryRow(`SELECT COUNT(*) FROM usage_calls JOIN usage_kinds k ON k.id = kind WHERE k.status = 200`).Scan(&n); err != nil {
			t.Fatal(err)
		}
		return n
	}
	within(t, "the first row is written", func() bool { return written() == 1 })
	endlessReports(t, l.app)
	ctx, cancel := context.WithCancel(t.Context())
	var reports sync.WaitGroup
	var ended atomic.Int32
	for range 6 { // two wait for their turn
		reports.Go(func() {
			r, _ := http.NewRequestWithContext(ctx, "GET", server.URL+"/_/api/usage?by=finish", nil)
			r.Header.Set("Authorization", "Bearer "+apiAdmin)
			res, err := http.DefaultClient.Do(r)
			if err != nil {
				return // it was cancelled
			}
			res.Body.Close()
			if res.StatusCode != http.StatusTooManyRequests {
				ended.Add(1)
			}
		})
	}
	defer reports.Wait()
	defer cancel()
	within(t, "four reports are in the database", func() bool { return l.db.Stats().InUse >= 4 })
	var programs sync.WaitGroup
	for i := range requests {
		programs.Go(func() {
			if status, body := ask(t, server.URL, alice.Secret); status != http.StatusOK {
				t.Errorf("request %d: %d %s", i, status, body)
			}
		})
	}
	programs.Wait()
	within(t, fmt.Sprintf("%d rows are written", requests+1), func() bool { return written() == requests+1 })
	if n := ended.Load(); n > 0 {
		t.Errorf("%d reports had to end before the requests", n)
	}
	if n := l.db.Stats().InUse; n < 4 {
		t.Errorf("%d reports are left in the database: nothing was tested", n)
	}
}

// within waits until something is the case.
func within(t *testing.T, what string, is func() bool) {
	t.Helper()
	for end := time.Now().Add(4 * time.Second); !is(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not within 4 s: %s", what)
		}
	}
}
