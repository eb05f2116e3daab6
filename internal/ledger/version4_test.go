package ledger_test

import (
	"database/sql"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"forward/internal/ledger"
)

// version4 makes a ledger out of what version 4 wrote.
func version4(t testing.TB, path string) *sql.DB {
	t.Helper()
	text, err := os.ReadFile("testdata/version4.sql")
	if err != nil {
		t.Fatal(err)
	}
	db := openDB(t, path)
	if _, err := db.Exec(string(text)); err != nil {
		t.Fatal(err)
	}
	return db
}

// TestVersion4 opens the ledger of an older version: all rows are found, by
// their ids and in the order of time, and the sums have what is counted since.
func TestVersion4(t *testing.T) {
	db := version4(t, filepath.Join(t.TempDir(), "forward.db"))
	if _, err := ledger.NewReader(db, nil).Report(t.Context(), ledger.Query{}); err != ledger.ErrOldLedger {
		t.Errorf("a report before the gateway ran: %v", err)
	}
	id := func(ms int64, rest string) string {
		return fmt.Sprintf("req_%012x%s", noon.UnixMilli()+ms, rest+strings.Repeat("0", 20-len(rest)))
	}
	l := mustOpen(t, db, ledger.Options{Location: mustZone(t, "Europe/Berlin"), Retention: -1})
	for id, cost := range map[string]int64{
		id(0, "abcdef0"): 5_615_000, id(0, "abcdef1"): 5_615_000, id(0, "abcdef2"): 5_615_000,
		id(60_000, "01"): 0, id(61_000, "02"): 0, id(62_000, "03"): 0, id(63_000, "04"): 4_250_000, // the last was open
		"api.openai.com/batch_1/gpt-4o": 1000, "api.openai.com/batch_1/gpt-4o-mini": 1000,
	} {
		r, open, err := l.Trail(t.Context(), id)
		if err != nil || open || r.ID != id || int64(r.Cost) != cost || r.Key != "k1" {
			t.Errorf("%s: open %t, %+v, %v", id, open, r, err)
		}
	}
	for _, by := range []ledger.Dimension{ledger.ByKey, ledger.ByDay, ledger.ByUser, ledger.ByHour, ledger.ByFinish} {
		groups := mustReport(t, l.Reader, ledger.Query{By: []ledger.Dimension{by}})
		s := ledger.SumUp(groups)
		if s.Requests != 9 || s.Unpriced != 3 || s.Unmetered != 2 || s.CachedWriteHour != 8 || s.Cost != 3*5_615_000+4_250_000+2000 {
			t.Errorf("by %s: %+v", by, s)
		}
	}
	var last int64
	rows, err := db.Query(`SELECT number, time FROM usage_requests ORDER BY number`)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		var number, at int64
		if err := rows.Scan(&number, &at); err != nil {
			t.Fatal(err)
		}
		if at < last || at/1000-number>>21 > 3 {
			t.Errorf("number %d at %d, after %d", number, at, last)
		}
		last = at
	}
}

// TestVersion4Killed kills processes while they bring a ledger up to date. The
// one that lives finds all rows.
func TestVersion4Killed(t *testing.T) {
	path := filepath.Join(t.TempDir(), "forward.db")
	db := version4(t, path)
	const more = 20_000
	_, err := db.Exec(`WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?1)
		INSERT INTO usage_calls (id, time, kind, user, total_us, input, output, raw, bytes_in, bytes_out, trail)
		SELECT printf('req_%012x%020x', ?2 + i / 10, i), 1000 * (?2 + i / 10), 1, '', 1, 1, 1, ?3, 1, 1, '' FROM n`, more, time.Now().UnixMilli(), strings.Repeat("x", 400))
	if err != nil {
		t.Fatal(err)
	}
	version := func() (v int) {
		if err := db.QueryRow(`SELECT MAX(version) FROM usage_schema`).Scan(&v); err != nil {
			t.Fatal(err)
		}
		return v
	}
	killed := 0
	for pause := 10 * time.Millisecond; version() == 4 && pause < time.Minute; pause *= 2 {
		command := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^$")
		command.Env = append(os.Environ(), "USAGE_TEST_KILLED="+path)
		if err := command.Start(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(pause) // this is how far it gets
		command.Process.Kill()
		command.Wait() // was killed
		killed++
	}
	if killed < 2 {
		t.Error("no process was killed before it was done")
	}
	var rows, numbers, ids int
	err = db.QueryRow(`SELECT COUNT(*), COUNT(DISTINCT number), COUNT(DISTINCT id) FROM usage_calls WHERE raw LIKE 'xxx%'`).Scan(&rows, &numbers, &ids)
	if err != nil || rows != more || numbers != more || ids != more {
		t.Errorf("%d rows, %d numbers, %d ids, %v", rows, numbers, ids, err)
	}
}
