package reload

import (
	"crypto/sha256"
	"maps"
	"os"
	"time"
)

// watchInterval is how often the files of the settings are read. They are
// small, and reading them by their paths sees every way in which they change:
// also the symbolic link by which Kubernetes replaces a mounted ConfigMap, and
// editors that move a new file into the old one's place, where inotify would
// keep watching the old inode.
//
// A change counts when it is seen twice, so it is applied after half a second,
// and a program has as long between two writes of one file.
const watchInterval = 250 * time.Millisecond

// contents are the digests of files by path. A file that is missing, unreadable
// or empty has the zero digest: settings are never empty on purpose, but a file
// that is being written or replaced is.
type contents map[string][sha256.Size]byte

func readContents(paths []string) contents {
	c := contents{}
	for _, path := range paths {
		c[path] = [sha256.Size]byte{}
		if info, err := os.Stat(path); err != nil || !info.Mode().IsRegular() { // a pipe, as of a shell's <(…), can be read once
			continue
		}
		if text, err := os.ReadFile(path); err == nil && len(text) > 0 {
			c[path] = sha256.Sum256(text)
		}
	}
	return c
}

// fileWatch distinguishes changes of files from the states in between. The zero
// fileWatch is ready.
type fileWatch struct {
	last contents
	lost string // a file that is gone and has been reported
}

// look reports whether the content of the files differs from seen and has
// settled since the last look. A file that is gone changes nothing; it is
// returned as lost, once.
func (w *fileWatch) look(now, seen contents) (changed bool, lost string) {
	settled := maps.Equal(now, w.last)
	w.last = now
	if !settled {
		return false, ""
	}
	for path, sum := range now {
		if sum != ([sha256.Size]byte{}) || seen[path] == sum {
			continue
		}
		if w.lost == "" {
			w.lost = path
			lost = path
		}
		return false, lost
	}
	w.lost = ""
	return !maps.Equal(now, seen), ""
}
