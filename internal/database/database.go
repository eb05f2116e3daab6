// Package database opens the gateway's SQLite database and keeps its tables up
// to date.
//
// There is one database, forward.db in DATA_DIR, in which packages keep tables
// of their own. Several processes may use it at the same time, so commands work
// beside a running gateway: SQLite's write-ahead log lets them read while one
// writes, a writer waits for another, and a transaction takes the lock for
// writing when it starts, since one that upgrades from reading cannot wait
// (https://sqlite.org/rescode.html#busy_snapshot). What was committed survives
// a crash of the machine: the log is synced at each commit
// (https://sqlite.org/pragma.html#pragma_synchronous).
//
// The driver is modernc.org/sqlite, which needs no C compiler. No other package
// imports it.
package database

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"modernc.org/sqlite"
)

// name is that of the database's file.
const name = "forward.db"

// Each connection takes descriptors and memory, and SQLite keeps the
// descriptors of closed connections until the last one is closed. Without a
// bound, a hundred requests at the same time that read one row each leave 20
// descriptors behind for good (measured). One connection writes at a time, one
// watches the keys, and a read takes microseconds.
const (
	maxConnections     = 8
	maxIdleConnections = 4
)

// Open opens the database in dir. It makes both where they are missing,
// readable by their owner alone. The caller closes the database.
func Open(dir string) (*sql.DB, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("making DATA_DIR: %w", err)
	}
	path := filepath.Join(dir, name)
	// SQLite gives its log and its index the rights of the database, so the
	// file is made before SQLite makes it.
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("opening the database in DATA_DIR: %w", err)
	}
	if err := file.Close(); err != nil {
		return nil, err
	}
	return connect("file:"+(&url.URL{Path: path}).EscapedPath(), path)
}

// OpenMemory opens a database that ends with the process.
func OpenMemory() (*sql.DB, error) {
	db, err := connect("file::memory:", "memory")
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(1) // each connection would have a database of its own
	return db, nil
}

// Exists reports whether there is a database in dir. A directory that cannot be
// read counts as one, so that Open reports why.
func Exists(dir string) bool {
	_, err := os.Stat(filepath.Join(dir, name))
	return !errors.Is(err, fs.ErrNotExist)
}

func connect(source, shown string) (*sql.DB, error) {
	options := url.Values{
		"_txlock": {"immediate"},
		"_pragma": {fmt.Sprintf("busy_timeout(%d)", patience.Milliseconds()), "journal_mode(wal)", "synchronous(full)", "foreign_keys(on)"},
	}
	db, err := sql.Open("sqlite", source+"?"+options.Encode())
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(maxConnections)
	db.SetMaxIdleConns(maxIdleConnections)
	if err := db.Ping(); err != nil {
		db.Close()
		return nil, fmt.Errorf("opening the database %s: %w", shown, err)
	}
	return db, nil
}

// patience is how long a writer waits for another process.
const patience = 5 * time.Second

// busy is SQLite's code where it did not get a lock in time
// (https://sqlite.org/rescode.html#busy). The upper bits detail it.
const busy = 5

// Write runs f in one transaction, and commits it unless f fails. Its error
// states what to do where another process keeps the database locked.
func Write(ctx context.Context, db *sql.DB, f func(*sql.Tx) error) error {
	err := write(ctx, db, f)
	if e, ok := errors.AsType[*sqlite.Error](err); ok && e.Code()&0xff == busy {
		return fmt.Errorf("another process has locked the database for more than %v; end it, an open sqlite3 shell for example, and try again: %w", patience, err)
	}
	return err
}

func write(ctx context.Context, db *sql.DB, f func(*sql.Tx) error) error {
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback()
	if err := f(tx); err != nil {
		return err
	}
	return tx.Commit()
}
