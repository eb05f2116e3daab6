package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"forward/internal/lockfile"
)

// restartPatience is how long a gateway waits for the one before it to end.
const restartPatience = 5 * time.Second

// holdDataDir keeps DATA_DIR for this gateway, whatever is kept in it, until it
// is closed. Of two gateways on one ledger each would settle the calls of the
// other as interrupted, and each would give away the whole of a budget.
// Commands need no lock: the database is made for several processes.
//
// A directory that cannot be written has no lock, and the gateway keeps
// nothing.
func holdDataDir(ctx context.Context, dir string, log *slog.Logger) (io.Closer, error) {
	if os.MkdirAll(dir, 0o700) != nil {
		return io.NopCloser(nil), nil
	}
	if absolute, err := filepath.Abs(dir); err == nil {
		dir = absolute
	}
	ctx, cancel := context.WithTimeout(ctx, restartPatience)
	defer cancel()
	lock, err := lockfile.Wait(ctx, filepath.Join(dir, "forward.lock"), func() {
		log.Info("another forward runs on this DATA_DIR: waiting for it to end", "DATA_DIR", dir, "up to", restartPatience)
	})
	switch {
	case errors.Is(err, lockfile.ErrHeld):
		return nil, fmt.Errorf("another forward runs on DATA_DIR %s, and two would spoil each other's ledger and budgets: stop it, or give this one a DATA_DIR of its own", dir)
	case err != nil:
		log.Warn("another gateway on this DATA_DIR would not be noticed", "error", err)
		return io.NopCloser(nil), nil
	}
	return lock, nil
}
