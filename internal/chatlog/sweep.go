package chatlog

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// sweep removes files whose last line is older than the retention, of all routes that ever were, and sets those aside that
// have been written to for long enough. It removes nothing but regular files with the names that this package gives, or
// openai-forward gave.
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
	dirs, _ := fs.Glob(os.DirFS(w.dir), "*/*")
	for _, dir := range dirs {
		dir = filepath.Join(w.dir, dir)
		entries, _ := os.ReadDir(dir)
		base := filepath.Base(dir) + ".log"
		for _, e := range entries {
			path := filepath.Join(dir, e.Name())
			stamp, rotated := stampOf(base, e.Name())
			if !rotated && (e.Name() != base || open[path]) {
				continue
			}
			w.removeOld(path, e, now, stamp)
		}
	}
}

// removeOld removes a file if it is older than the retention, by its name and by its last change: openai-forward named files
// by the time of their first line, and copying makes files new.
func (w *writer) removeOld(path string, e fs.DirEntry, now, stamp time.Time) {
	info, err := e.Info()
	if err != nil || !info.Mode().IsRegular() || now.Sub(info.ModTime()) < w.retention || now.Sub(stamp) < w.retention {
		return
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		w.log.Warn("removing an old chat log", "error", err)
	}
}
