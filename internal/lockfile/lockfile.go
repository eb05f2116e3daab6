// Package lockfile gives a directory to one process. The process locks a file
// in it, and the kernel releases the lock when the process ends, in whatever
// way, so a lock is never left behind. What is in the file does not matter.
//
// On systems without flock every lock is free.
package lockfile

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"
)

// ErrHeld reports that another process has the lock.
var ErrHeld = errors.New("another process has the lock")

// Lock is a file that is locked. Close releases it.
type Lock struct{ file *os.File }

// Take locks a file, which it makes where it is missing. Its error is [ErrHeld]
// where another process has the lock.
func Take(path string) (*Lock, error) {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := lock(file); err != nil {
		file.Close()
		return nil, err
	}
	return &Lock{file}, nil
}

// retry is the time between two attempts to take a lock.
const retry = 50 * time.Millisecond

// Wait takes a lock as soon as it is free, until ctx ends. It calls waiting
// once where it has to wait.
func Wait(ctx context.Context, path string, waiting func()) (*Lock, error) {
	for first := true; ; first = false {
		l, err := Take(path)
		if !errors.Is(err, ErrHeld) {
			return l, err
		}
		if first {
			waiting()
		}
		select {
		case <-ctx.Done():
			return nil, err
		case <-time.After(retry):
		}
	}
}

// Close releases the lock. The file stays, because another process may have
// opened it to wait.
func (l *Lock) Close() error {
	// To close the file is not enough: a child that was forked meanwhile has it
	// open until its exec, and the lock belongs to both.
	if err := errors.Join(unlock(l.file), l.file.Close()); err != nil {
		return fmt.Errorf("releasing %s: %w", l.file.Name(), err)
	}
	return nil
}
