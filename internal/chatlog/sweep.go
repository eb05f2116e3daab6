package chatlog

import (
	"errors"
	"io/fs"
	"os"
	"time"
)

// sweep sets files aside that have been written to for long enough, and removes
// files whose last line is older than the retention, also of routes that no
// longer exist. It removes only regular files with names that this package or
// openai-forward gives.
func (w *writer) sweep() {
	now := time.Now()
	open := make(map[string]bool)
	for _, f := range w.files {
		if f.f == nil {
			continue
		}
		if f.size > 0 && now.Sub(f.born) >= f.span {
			f.rotate(now)
		}
		open[f.path] = f.f != nil
	}
	for _, f := range asides(w.dir) {
		if !f.unfinished && !open[f.path] {
			w.removeOld(f, now)
		}
	}
}

// removeOld removes a file if it is older than the retention.
func (w *writer) removeOld(f aside, now time.Time) {
	if !w.isOld(f, now) {
		return
	}
	if err := os.Remove(f.path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		w.log.Warn("removing an old chat log", "error", err)
	}
}

// isOld reports whether a file has outlived the retention, both by its name and
// by its last change: openai-forward named files by the time of their first
// line, and copying makes files new.
func (w *writer) isOld(f aside, now time.Time) bool {
	return w.retention > 0 && now.Sub(f.info.ModTime()) >= w.retention && now.Sub(f.stamp) >= w.retention
}
