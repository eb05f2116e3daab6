package database_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"forward/internal/database"
)

var notes = database.Schema{Table: "notes_schema", Steps: []string{
	`CREATE TABLE notes (text TEXT NOT NULL)`,
	`ALTER TABLE notes ADD COLUMN author TEXT NOT NULL DEFAULT 'unknown'`,
}}

func Example() {
	db, err := database.OpenMemory()
	if err != nil {
		fmt.Println(err)
		return
	}
	defer db.Close()
	ctx := context.Background()
	if err := notes.Migrate(ctx, db); err != nil {
		fmt.Println(err)
		return
	}
	err = database.Write(ctx, db, func(tx *sql.Tx) error {
		_, err := tx.Exec(`INSERT INTO notes (text) VALUES ('hello')`)
		return err
	})
	var author string
	fmt.Println(err, db.QueryRow(`SELECT author FROM notes`).Scan(&author), author)
	// Output: <nil> <nil> unknown
}

func open(t *testing.T, dir string) *sql.DB {
	t.Helper()
	db, err := database.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}

func TestOpenMakesAPrivateDatabase(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a?b#c", "data") // a name that means something in a URL
	if database.Exists(dir) {
		t.Error("there is one before Open")
	}
	db := open(t, dir)
	if _, err := db.Exec(`CREATE TABLE t (x)`); err != nil {
		t.Fatal(err)
	}
	if !database.Exists(dir) {
		t.Error("there is none after Open")
	}
	files, err := os.ReadDir(dir)
	if err != nil || len(files) != 3 { // with its log and its index
		t.Errorf("%v, %v", files, err)
	}
	for _, file := range files {
		if info, err := file.Info(); err != nil || info.Mode().Perm() != 0o600 || !strings.HasPrefix(file.Name(), "forward.db") {
			t.Errorf("%v, %v", info, err)
		}
	}
	for pragma, want := range map[string]string{"journal_mode": "wal", "synchronous": "2", "foreign_keys": "1", "busy_timeout": "5000"} {
		var got string
		if err := db.QueryRow(`PRAGMA ` + pragma).Scan(&got); err != nil || got != want {
			t.Errorf("%s is %s, %v", pragma, got, err)
		}
	}
}

func TestOpenReportsWhatIsInTheWay(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "file"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := database.Open(filepath.Join(dir, "file")); err == nil || !strings.Contains(err.Error(), "DATA_DIR") {
		t.Errorf("a file in place of the directory: %v", err)
	}
	if err := os.WriteFile(filepath.Join(dir, "forward.db"), []byte(strings.Repeat("no database ", 100)), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := database.Open(dir); err == nil || !strings.Contains(err.Error(), "forward.db") {
		t.Errorf("another file: %v", err)
	}
}

func TestWriteCommitsAllOrNothing(t *testing.T) {
	db, ctx := open(t, t.TempDir()), t.Context()
	if err := notes.Migrate(ctx, db); err != nil {
		t.Fatal(err)
	}
	wrong := errors.New("wrong")
	for _, err := range []error{nil, wrong} {
		got := database.Write(ctx, db, func(tx *sql.Tx) error {
			if _, err := tx.Exec(`INSERT INTO notes (text) VALUES ('x')`); err != nil {
				return err
			}
			return err
		})
		if !errors.Is(got, err) {
			t.Errorf("%v", got)
		}
	}
	var n int
	if err := db.QueryRow(`SELECT COUNT(*) FROM notes`).Scan(&n); err != nil || n != 1 {
		t.Errorf("%d rows, %v", n, err)
	}
}

// TestWritersWait fails with deferred transactions: one that has read cannot
// wait for another to write.
func TestWritersWait(t *testing.T) {
	dir, ctx := t.TempDir(), t.Context()
	if _, err := open(t, dir).Exec(`CREATE TABLE counter AS SELECT 0 AS n`); err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	for range 2 {
		db := open(t, dir)
		for range 4 {
			all.Go(func() {
				for range 10 {
					err := database.Write(ctx, db, func(tx *sql.Tx) error {
						var n int
						if err := tx.QueryRow(`SELECT n FROM counter`).Scan(&n); err != nil {
							return err
						}
						_, err := tx.Exec(`UPDATE counter SET n = ?`, n+1)
						return err
					})
					if err != nil {
						t.Error(err)
					}
				}
			})
		}
	}
	all.Wait()
	var n int
	if err := open(t, dir).QueryRow(`SELECT n FROM counter`).Scan(&n); err != nil || n != 80 {
		t.Errorf("%d, %v", n, err)
	}
}

// TestWriteStatesWhatLocks writes while another process keeps the lock (M16).
func TestWriteStatesWhatLocks(t *testing.T) {
	t.Parallel() // it waits
	dir := t.TempDir()
	other, err := open(t, dir).BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer other.Rollback()
	err = database.Write(t.Context(), open(t, dir), func(*sql.Tx) error { return nil })
	if err == nil || !strings.Contains(err.Error(), "another process has locked the database") || !strings.Contains(err.Error(), "end it") {
		t.Error(err)
	}
}

func TestMigrate(t *testing.T) {
	db, ctx := open(t, t.TempDir()), t.Context()
	older := database.Schema{Table: notes.Table, Steps: notes.Steps[:1]}
	for _, s := range []database.Schema{older, older, notes, notes} {
		if err := s.Migrate(ctx, db); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := db.Exec(`INSERT INTO notes (text, author) VALUES ('x', 'y')`); err != nil {
		t.Error(err)
	}
	if err := older.Migrate(ctx, db); err == nil || !strings.Contains(err.Error(), "version 2, this program knows 1: use a newer forward") {
		t.Errorf("an older program: %v", err)
	}
	later := database.Schema{Table: notes.Table, First: 3, Steps: []string{`CREATE TABLE n (x)`}}
	if err := later.Migrate(ctx, db); err == nil || !strings.Contains(err.Error(), "never released") {
		t.Errorf("a version that was never released: %v", err)
	}
	broken := database.Schema{Table: notes.Table, Steps: append(notes.Steps[:2:2], `CREATE TABLE half (x)`, `nonsense`)}
	if err := broken.Migrate(ctx, db); err == nil || !strings.Contains(err.Error(), "version 4") {
		t.Errorf("a step that fails: %v", err)
	}
	if err := notes.Migrate(ctx, db); err != nil { // nothing of the failed migration is left
		t.Error(err)
	}
	if v := later.Version(); v != 3 {
		t.Errorf("version %d", v)
	}
}
