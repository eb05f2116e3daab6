package main

import (
	"database/sql"
	"fmt"
	"net/url"
	"os"
	"path/filepath"

	_ "modernc.org/sqlite"
)

// databaseFile is the one database, in DATA_DIR. Rooms keep tables of their own in it.
const databaseFile = "forward.db"

// openDatabase opens the database in dir and makes both if they are not there, readable by their owner alone. Several
// processes may use it at once, so commands work beside a running gateway. What was committed survives a crash of the
// machine: the log is synced at each commit (https://sqlite.org/pragma.html#pragma_synchronous).
func openDatabase(dir string) (*sql.DB, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("making DATA_DIR: %w", err)
	}
	path := filepath.Join(dir, databaseFile)
	// SQLite gives its log and index the rights of the database, so the file is made before it would be.
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("opening the database in DATA_DIR: %w", err)
	}
	if err := file.Close(); err != nil {
		return nil, err
	}
	return connect("file:"+(&url.URL{Path: path}).EscapedPath(), path)
}

// memoryDatabase opens a database that ends with the process.
func memoryDatabase() (*sql.DB, error) {
	db, err := connect("file::memory:", "memory")
	if err == nil {
		db.SetMaxOpenConns(1) // each connection would have a database of its own
	}
	return db, err
}

const (
	mostConnections = 8 // one writes at a time, one watches the keys, and a read takes microseconds
	idleConnections = 4
)

func connect(file, shown string) (*sql.DB, error) {
	options := url.Values{"_txlock": {"immediate"}, "_pragma": {"busy_timeout(5000)", "journal_mode(wal)", "synchronous(full)", "foreign_keys(on)"}}
	db, err := sql.Open("sqlite", file+"?"+options.Encode())
	if err != nil {
		return nil, err
	}
	// Each connection takes descriptors and memory, and SQLite keeps the descriptors of closed ones until the last is closed: without a
	// bound a hundred requests at once, each asking for one row, leave dozens of descriptors behind for good. Measured: 20 after 100.
	db.SetMaxOpenConns(mostConnections)
	db.SetMaxIdleConns(idleConnections)
	if err := db.Ping(); err != nil {
		db.Close()
		return nil, fmt.Errorf("opening the database %s: %w", shown, err)
	}
	return db, nil
}
