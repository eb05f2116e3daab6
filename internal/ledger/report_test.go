package ledger_test

import (
	"context"
	"database/sql"
	"fmt"
	"strings"
	"testing"
	"time"

	"forward/internal/dialect"
	"forward/internal/ledger"
	"forward/internal/price"
)

// show writes groups one a line: values, requests, tokens, cost.
func show(groups []ledger.Group) string {
	var b strings.Builder
	for _, g := range groups {
		fmt.Fprintf(&b, "%s %d %d %s\n", strings.Join(g.Values, " "), g.Requests, g.Input+g.Output, g.Cost)
	}
	return b.String()
}

func TestReport(t *testing.T) {
	berlin := mustZone(t, "Europe/Berlin")
	l := mustOpen(t, newDB(t), ledger.Options{Location: berlin})
	at := func(s string) time.Time {
		v, err := time.ParseInLocation("2006-01-02 15:04", s, berlin)
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	for i, r := range []ledger.Row{
		{Time: at("2026-10-24 23:59"), Key: "k1", KeyName: "alice", Model: "a", User: "x", Status: 200, Cost: cents(1), Usage: dialect.Usage{Input: 1}, Tags: []string{"t"}},
		{Time: at("2026-10-25 00:00"), Key: "k1", KeyName: "alice", Model: "a", User: "y", Status: 200, Cost: cents(2), Usage: dialect.Usage{Input: 2}, Tags: []string{"t", "s"}}, // a day of 25 hours
		{Time: at("2026-10-25 23:59"), Key: "k1", KeyName: "alice", Model: "b", User: "x", Status: 429, Cost: 0},
		{Time: at("2026-10-26 00:00"), Key: "k2", KeyName: "bob", Model: "b", User: "x", Status: 200, Cost: cents(8), Usage: dialect.Usage{Input: 8}},
		{Time: at("2026-11-01 08:30"), Key: "k1", KeyName: "alicia", Model: "a", Status: 200, Cost: cents(16), Usage: dialect.Usage{Output: 16}},
	} {
		r.ID, r.Priced, r.Upstream = fmt.Sprint(i), true, "openai"
		l.Record(r)
	}
	mustFlush(t, l)
	type dims = []ledger.Dimension
	for _, c := range []struct {
		name  string
		query ledger.Query
		want  string
	}{
		{"all", ledger.Query{}, " 5 27 $0.27\n"},
		{"by day", ledger.Query{By: dims{ledger.ByDay}}, "2026-10-24 1 1 $0.01\n2026-10-25 2 2 $0.02\n2026-10-26 1 8 $0.08\n2026-11-01 1 16 $0.16\n"},
		{"by month and key", ledger.Query{By: dims{ledger.ByMonth, ledger.ByKey}}, "2026-10 k2 1 8 $0.08\n2026-10 k1 3 3 $0.03\n2026-11 k1 1 16 $0.16\n"},
		{"by key, model, day", ledger.Query{By: dims{ledger.ByKey, ledger.ByModel, ledger.ByDay}, Since: at("2026-10-25 12:00"), Until: at("2026-10-27 00:00")},
			"k1 a 2026-10-25 1 2 $0.02\nk1 b 2026-10-25 1 0 $0.00\nk2 b 2026-10-26 1 8 $0.08\n"},
		{"by model, dearest first", ledger.Query{By: dims{ledger.ByModel}}, "a 3 19 $0.19\nb 2 8 $0.08\n"},
		{"by hour", ledger.Query{By: dims{ledger.ByHour}, Since: at("2026-10-25 23:30")}, "2026-10-25T23:00:00+01:00 1 0 $0.00\n2026-10-26T00:00:00+01:00 1 8 $0.08\n2026-11-01T08:00:00+01:00 1 16 $0.16\n"},
		{"since an hour", ledger.Query{Since: at("2026-10-25 23:00")}, " 3 24 $0.24\n"},
		{"by user", ledger.Query{By: dims{ledger.ByUser}}, " 1 16 $0.16\nx 3 9 $0.09\ny 1 2 $0.02\n"},
		{"by user and model", ledger.Query{By: dims{ledger.ByUser, ledger.ByModel}, Since: at("2026-10-25 00:00"), Until: at("2026-11-01 00:00")}, "x b 2 8 $0.08\ny a 1 2 $0.02\n"},
		{"by user, model and day", ledger.Query{By: dims{ledger.ByDay, ledger.ByUser, ledger.ByModel}, Since: at("2026-10-26 10:00")}, "2026-10-26 x b 1 8 $0.08\n2026-11-01  a 1 16 $0.16\n"},
		{"by tag", ledger.Query{By: dims{ledger.ByTag}, Filter: map[ledger.Dimension]string{ledger.ByKey: "k1"}}, " 2 16 $0.16\nt 2 3 $0.03\ns 1 2 $0.02\n"},
		{"of a key by its name", ledger.Query{Filter: map[ledger.Dimension]string{ledger.ByKey: "bob"}}, " 1 8 $0.08\n"},
		{"of a key and status", ledger.Query{By: dims{ledger.ByStatus}, Filter: map[ledger.Dimension]string{ledger.ByKey: "k1", ledger.ByModel: "b"}}, "429 1 0 $0.00\n"},
		{"of no key", ledger.Query{Filter: map[ledger.Dimension]string{ledger.ByKey: "nobody"}}, ""},
		{"of no key by user and model", ledger.Query{By: dims{ledger.ByUser, ledger.ByModel}, Filter: map[ledger.Dimension]string{ledger.ByKey: "nobody"}}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := show(mustReport(t, l.Reader, c.query)); got != c.want {
				t.Errorf("\n%swant\n%s", got, c.want)
			}
		})
	}
	if g := mustReport(t, l.Reader, ledger.Query{By: dims{ledger.ByKey}}); g[0].KeyName != "alicia" || g[1].KeyName != "bob" || g[0].Errors != 1 {
		t.Errorf("%+v", g)
	}
	for _, bad := range []ledger.Query{{By: dims{"colour"}}, {By: dims{ledger.ByKey, ledger.ByKey}}, {Filter: map[ledger.Dimension]string{"1=1; --": "x"}}, {Filter: map[ledger.Dimension]string{ledger.ByDay: "x"}}} {
		if _, err := l.Report(t.Context(), bad); err == nil {
			t.Errorf("%+v was answered", bad)
		}
	}
}

// TestReportsReadSums asks SQLite how it goes about the common questions: none
// may look at single rows, and all must find their times by an index.
func TestReportsReadSums(t *testing.T) {
	db := newDB(t)
	l := mustOpen(t, db, ledger.Options{})
	for _, q := range []ledger.Query{
		{By: []ledger.Dimension{ledger.ByKey, ledger.ByModel, ledger.ByDay}, Since: noon.AddDate(0, 0, -30)},
		{By: []ledger.Dimension{ledger.ByKey, ledger.ByModel, ledger.ByRoute, ledger.ByOperation, ledger.ByStatus, ledger.ByCache, ledger.ByHour}, Since: noon.Add(-7 * time.Hour)},
		{By: []ledger.Dimension{ledger.ByUser, ledger.ByKey, ledger.ByMonth}, Since: noon.AddDate(0, -1, 0)},
		{Since: noon.Add(-7 * time.Hour), Filter: map[ledger.Dimension]string{ledger.ByKey: "k1"}},
	} {
		query, args, err := ledger.PlanOf(l.Reader, q)
		if err != nil {
			t.Fatal(err)
		}
		text := planOf(t, db, query, args...)
		if strings.Contains(text, "usage_requests") || !strings.Contains(text, "SEARCH usage_") || strings.Contains(text, "SCAN usage_hours") {
			t.Errorf("%s\nis answered by: %s", query, text)
		}
	}
	query, args, err := ledger.PlanOf(l.Reader, ledger.Query{By: []ledger.Dimension{ledger.ByFinish}, Since: noon})
	if err != nil || len(args) != 2 || !strings.Contains(query, "usage_requests") {
		t.Errorf("a question about single rows: %s (%v)", query, err)
	}
	if plan := planOf(t, db, query, args...); !strings.Contains(plan, "SEARCH c USING INTEGER PRIMARY KEY") {
		t.Errorf("rows since a time are found by: %s", plan)
	}
}

// planOf returns how SQLite goes about a question.
func planOf(t testing.TB, db *sql.DB, query string, args ...any) string {
	t.Helper()
	rows, err := db.Query("EXPLAIN QUERY PLAN "+query, args...)
	if err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	defer rows.Close()
	var plan []string
	for rows.Next() {
		var id, parent, unused int
		var detail string
		if err := rows.Scan(&id, &parent, &unused, &detail); err != nil {
			t.Fatal(err)
		}
		plan = append(plan, detail)
	}
	return strings.Join(plan, "; ")
}

// TestSumsAreBoundedWhateverClientsCallThings records requests with ever new
// models and users.
func TestSumsAreBoundedWhateverClientsCallThings(t *testing.T) {
	db := newDB(t)
	l := mustOpen(t, db, ledger.Options{})
	const requests = 11_000
	for i := range requests {
		l.Record(ledger.Row{ID: fmt.Sprint(i), Time: noon, Key: "k", Model: fmt.Sprint("model", i), User: fmt.Sprint("user", i) + strings.Repeat("x", 200), Status: 404})
	}
	mustFlush(t, l)
	var days, users, longest int
	if err := db.QueryRow(`SELECT (SELECT COUNT(*) FROM usage_days), (SELECT COUNT(*) FROM usage_users), (SELECT MAX(LENGTH(user)) FROM usage_users)`).Scan(&days, &users, &longest); err != nil {
		t.Fatal(err)
	}
	if days != 501 || users != 10_001 || longest != 128 {
		t.Errorf("%d sums by model and %d by user, names up to %d bytes", days, users, longest)
	}
	if g := mustReport(t, l.Reader, ledger.Query{By: []ledger.Dimension{ledger.ByModel}}); g[0].Values[0] != "(other)" || g[0].Requests != requests-500 {
		t.Errorf("%+v", g[0])
	}
}

func ExampleLedger() {
	db := exampleDB()
	defer db.Close()
	l, err := ledger.Open(db, ledger.Options{Location: time.UTC})
	if err != nil {
		panic(err)
	}
	ctx := context.Background()
	table, err := price.NewTable(nil)
	if err != nil {
		panic(err)
	}
	list, why, _ := table.Price("openai", "gpt-4o-mini")

	// Before the call: what it can cost at most.
	row := ledger.Row{ID: "req-1", Time: time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC), Key: "k1", KeyName: "alice", Model: "gpt-4o-mini", Priced: true}
	row.Cost, _ = list.Reserve(dialect.Usage{Input: 1000, Output: 500}, "")
	call, err := l.Reserve(ctx, ledger.Reservation{Row: row, Budgets: []ledger.Budget{{Unit: ledger.USD, Amount: int64(20 * price.Dollar), Period: ledger.Monthly}}})
	if err != nil {
		panic(err) // a *ledger.BudgetError: 429
	}
	// After it: what it cost.
	row.Usage = dialect.Usage{Input: 900, CachedRead: 400, Output: 100}
	cost, _ := list.Cost(row.Usage, "")
	row.Status, row.Cost, row.Price = 200, cost.Total, why
	call.Settle(row)

	if err := l.Close(ctx); err != nil {
		panic(err)
	}
	groups, _ := l.Report(ctx, ledger.Query{By: []ledger.Dimension{ledger.ByKey, ledger.ByDay}})
	for _, g := range groups {
		fmt.Println(g.KeyName, g.Values[1], g.Requests, g.Cost)
	}
	for _, line := range cost.Lines {
		fmt.Println(line)
	}
	// Output:
	// alice 2026-11-21 1 $0.000165
	// 500 input × $0.15/M = $0.000075
	// 400 cached_read × $0.075/M = $0.00003
	// 100 output × $0.60/M = $0.00006
}

// TestReportsOfFewRequests keeps requests by what only single rows have.
func TestReportsOfFewRequests(t *testing.T) {
	l := mustOpen(t, newDB(t), ledger.Options{})
	for i, r := range []ledger.Row{
		{Tags: []string{"a", "b"}, Session: "s1", Priced: true, Cost: cents(1)},
		{Tags: []string{"b"}, Session: "s1", Unmetered: true, Priced: true, Cost: cents(2), Estimated: true},
		{Session: "s2", Unmetered: true}, // without a token
		{Priced: true, Cost: cents(4)},
	} {
		r.ID, r.Time, r.Key, r.Status, r.Operation = fmt.Sprint(i), noon, "k", 200, dialect.Chat
		l.Record(r)
	}
	mustFlush(t, l)
	type dims = []ledger.Dimension
	type filter = map[ledger.Dimension]string
	for _, c := range []struct {
		name  string
		query ledger.Query
		want  string
	}{
		{"of a tag", ledger.Query{Filter: filter{ledger.ByTag: "b"}}, " 2 0 $0.03\n"},
		{"of a tag by tag", ledger.Query{By: dims{ledger.ByTag}, Filter: filter{ledger.ByTag: "a"}}, "a 1 0 $0.01\nb 1 0 $0.01\n"},
		{"by session", ledger.Query{By: dims{ledger.BySession}}, " 1 0 $0.04\ns1 2 0 $0.03\ns2 1 0 $0.00\n"},
		{"of a session", ledger.Query{Filter: filter{ledger.BySession: "s1"}}, " 2 0 $0.03\n"},
		{"unmetered", ledger.Query{Unmetered: true}, " 2 0 $0.02\n"},
		{"unmetered by key and day", ledger.Query{By: dims{ledger.ByKey, ledger.ByDay}, Unmetered: true}, "k 2026-11-21 2 0 $0.02\n"},
	} {
		if got := show(mustReport(t, l.Reader, c.query)); got != c.want {
			t.Errorf("%s:\n%swant\n%s", c.name, got, c.want)
		}
	}
	for _, by := range []ledger.Dimension{ledger.ByKey, ledger.ByDay, ledger.ByUser, ledger.ByFinish} { // from sums, and from rows
		s := ledger.SumUp(mustReport(t, l.Reader, ledger.Query{By: dims{by}}))
		if s.Unmetered != 2 || s.Unpriced != 1 {
			t.Errorf("by %s: %+v", by, s)
		}
	}
	var out strings.Builder
	if err := ledger.WriteJSON(&out, ledger.Query{}, mustReport(t, l.Reader, ledger.Query{}), ledger.SumUp(mustReport(t, l.Reader, ledger.Query{}))); err != nil || !strings.Contains(out.String(), `"unmetered": 2`) ||
		!strings.Contains(out.String(), `"cached_write_hour_tokens": 0`) {
		t.Errorf("%v\n%s", err, out.String())
	}
}
