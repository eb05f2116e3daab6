package main

import (
	"crypto/sha256"
	"maps"
	"os"
	"os/signal"
	"syscall"
	"time"
)

// watchInterval is how often the files of the settings are read. They are small, and to read them by their paths sees every way in
// which they change: also by the symbolic link through which Kubernetes exchanges a mounted ConfigMap, and by the editors that put a new
// file in the old one's place, where a watch on the file itself would go on looking at the old one.
//
// A change counts when it is seen twice, so it is in force after half a second, and a program has as long between the parts in which
// it writes a file.
const watchInterval = 250 * time.Millisecond

// contents are the digests of files by path. A file that is not there, or cannot be read, or is empty has the zero digest: settings are
// never empty on purpose, but a file that is just being written is, and so is the place of one that is being replaced.
type contents map[string][sha256.Size]byte

func readContents(paths []string) contents {
	c := contents{}
	for _, path := range paths {
		c[path] = [sha256.Size]byte{}
		if info, err := os.Stat(path); err != nil || !info.Mode().IsRegular() { // a pipe, as of a shell's <(…), tells once
			continue
		}
		if text, err := os.ReadFile(path); err == nil && len(text) > 0 {
			c[path] = sha256.Sum256(text)
		}
	}
	return c
}

// hangup is SIGHUP, from onHangup to stop.
type hangup struct{ signals chan os.Signal }

func onHangup() hangup {
	h := hangup{make(chan os.Signal, 1)} // one more while one is answered is enough
	signal.Notify(h.signals, syscall.SIGHUP)
	return h
}

func (h hangup) stop() { signal.Stop(h.signals) }

// watch reloads at each signal and when a file has changed, until stop.
func (l *reloader) watch(signals <-chan os.Signal) {
	l.beside.Go(func() {
		ticker := time.NewTicker(watchInterval)
		defer ticker.Stop()
		var w fileWatch
		for {
			select {
			case <-l.ctx.Done():
				return
			case <-signals:
				l.reload("SIGHUP")
			case <-ticker.C:
				l.mu.Lock()
				files, seen := l.cfg.Files(), l.seen
				l.mu.Unlock()
				changed, lost := w.look(readContents(files), seen)
				if lost != "" {
					l.log.Warn("a file of the settings is gone or empty; what it said stays in force until it is back, or until forward reload", "file", lost)
				}
				if changed {
					l.reload("a changed file")
				}
			}
		}
	})
}

// fileWatch tells changes of files from what only looks like one. The zero fileWatch is ready.
type fileWatch struct {
	last contents
	lost string // a file that was there when settings were read, and has been told to be gone
}

// look reports whether the files hold something else than when they were seen, and have since the last look. A file that has gone
// changes nothing; it is lost, which is said once.
func (w *fileWatch) look(now, seen contents) (changed bool, lost string) {
	settled := maps.Equal(now, w.last)
	w.last = now
	if !settled {
		return false, ""
	}
	for path, sum := range now {
		if sum == ([sha256.Size]byte{}) && seen[path] != sum {
			if w.lost == "" {
				lost, w.lost = path, path
			}
			return false, lost
		}
	}
	w.lost = ""
	return !maps.Equal(now, seen), ""
}
