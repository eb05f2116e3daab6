package admin_test

import (
	"database/sql"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"forward/internal/admin"
)

// endless makes reports that read single rows never end, in the database
// itself. The other tables stay as they are.
func endless(t *testing.T, db *sql.DB) {
	t.Helper()
	var text string
	if err := db.QueryRow(`SELECT sql FROM sqlite_master WHERE name = 'usage_requests'`).Scan(&text); err != nil {
		t.Fatal(err)
	}
	rows := "(WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT x FROM n) CROSS JOIN "
	head, from, ok := strings.Cut(text, "FROM usage_calls c")
	if !ok {
		t.Fatalf("the view is %s", text)
	}
	if _, err := db.Exec(`DROP VIEW usage_requests; ` + head + "FROM " + rows + "usage_calls c" + from); err != nil {
		t.Fatal(err)
	}
}

const heavy = "/_/api/usage?by=finish"

// S12: four reports run at once. One more is refused after it has waited for
// its turn, one that takes too long is ended in the database, and after both
// there is place for others.
func TestReportsAreBounded(t *testing.T) {
	t.Cleanup(admin.QuickReports(50*time.Millisecond, 2*time.Second))
	h := newFixture(t).spent()
	endless(t, h.db)
	answers := make(chan *httptest.ResponseRecorder, 4)
	for range 4 {
		go func() { answers <- h.ask(http.MethodGet, heavy, "admin") }()
	}
	for end := time.Now().Add(time.Second); h.db.Stats().InUse < 4; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%d reports are in the database", h.db.Stats().InUse)
		}
	}
	for _, target := range []string{heavy, "/_/api/usage", "/_/api/requests", "/_/api/requests/histogram", "/_/api/latency", "/_/api/requests/1", "/_/api/requests/1/content"} {
		w := h.ask(http.MethodGet, target, "alice")
		h.wantStatus(w, http.StatusTooManyRequests, "too_many_reports")
		if w.Header().Get("Retry-After") != "1" {
			t.Errorf("%s: %v", target, w.Header())
		}
	}
	if n := len(answers); n != 0 || h.db.Stats().InUse != 4 {
		t.Errorf("%d reports ended, %d connections are taken", n, h.db.Stats().InUse)
	}
	h.wantStatus(h.ask(http.MethodGet, "/_/api/me", "alice"), http.StatusOK, "") // is no report
	for range 4 {
		h.wantStatus(<-answers, http.StatusGatewayTimeout, "query_too_wide")
	}
	if n := h.db.Stats().InUse; n != 0 {
		t.Errorf("%d connections work on after the end", n)
	}
	h.wantStatus(h.ask(http.MethodGet, "/_/api/usage", "alice"), http.StatusOK, "")
}
