package ledger_test

import (
	"bufio"
	"context"
	"database/sql"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"forward/internal/dialect"
	"forward/internal/ledger"
	"forward/internal/price"
)

// killedProcess is the life of the process that TestKill kills. It prints the
// id of each row that a Flush reports as written.
func killedProcess() bool {
	path := os.Getenv("USAGE_TEST_KILLED")
	if path == "" {
		return false
	}
	db, err := sql.Open("sqlite", "file:"+path+"?_pragma=journal_mode(WAL)&_pragma=busy_timeout(5000)")
	if err != nil {
		panic(err)
	}
	l, err := ledger.Open(db, ledger.Options{Delay: time.Millisecond})
	if err != nil {
		panic(err)
	}
	ctx := context.Background()
	for i := 0; ; i++ {
		var calls []*ledger.Call
		for n := range 5 {
			r := row(fmt.Sprintf("%d-%d", i, n))
			r.Cost, r.Usage = 1000, dialect.Usage{Input: 10, Output: 100}
			call, err := l.Reserve(ctx, ledger.Reservation{Row: r})
			if err != nil {
				panic(err)
			}
			calls = append(calls, call)
		}
		if i%2 == 0 { // half of them are in the database as open first
			if err := l.Flush(ctx); err != nil {
				panic(err)
			}
		}
		for n, call := range calls {
			r := row(fmt.Sprintf("%d-%d", i, n))
			r.Cost, r.Usage = 10, dialect.Usage{Input: 10, Output: 1}
			call.Settle(r)
		}
		if err := l.Flush(ctx); err != nil {
			panic(err)
		}
		for n := range calls {
			fmt.Printf("%d-%d\n", i, n)
		}
	}
}

// TestKill kills a process in the middle of its work, again and again on the
// same database: every row that was reported as written is there as it was,
// what was open is settled at its reserve, and the sums are those of the rows.
func TestKill(t *testing.T) {
	path := filepath.Join(t.TempDir(), "forward.db")
	for round := range 4 {
		command := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^$")
		command.Env = append(os.Environ(), "USAGE_TEST_KILLED="+path)
		out, err := command.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := command.Start(); err != nil {
			t.Fatal(err)
		}
		var written []string
		lines := bufio.NewScanner(out)
		for lines.Scan() {
			written = append(written, lines.Text())
			if len(written) == 37+29*round { // in the middle of something
				command.Process.Kill()
			}
		}
		command.Wait() // was killed
		if len(written) < 37 {
			t.Fatalf("the process ended by itself after %d rows", len(written))
		}
		db := openDB(t, path)
		l, err := ledger.Open(db, ledger.Options{Location: time.UTC})
		if err != nil {
			t.Fatal(err)
		}
		for _, id := range written {
			if r, open, err := l.Trail(t.Context(), id); err != nil || open || r.Estimated || r.Cost != 10 {
				t.Fatalf("round %d: %s: open %t, estimated %t, %s, %v", round, id, open, r.Estimated, r.Cost, err)
			}
		}
		rows, sums := mustReport(t, l.Reader, ledger.Query{By: []ledger.Dimension{ledger.ByAnswered}}), mustReport(t, l.Reader, ledger.Query{})
		if len(sums) != 1 || rows[0].Sums != sums[0].Sums {
			t.Fatalf("round %d: rows %+v, sums %+v", round, rows, sums)
		}
		s := sums[0]
		if s.Cost-s.EstimatedCost != price.Money(10*(s.Requests-s.Estimated)) || s.EstimatedCost != price.Money(1000*s.Estimated) {
			t.Errorf("round %d: %+v", round, s)
		}
		if err := l.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		// The next process starts again with the same ids.
		for _, table := range []string{"calls", "hours", "days", "users", "spend"} {
			if _, err := db.Exec("DELETE FROM usage_" + strings.TrimSpace(table)); err != nil {
				t.Fatal(err)
			}
		}
		db.Close()
	}
}
