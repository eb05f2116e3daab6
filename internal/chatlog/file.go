package chatlog

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"
)

const (
	lookEvery  = time.Second / 10 // how often the path of an open file is checked to be still its own
	retryEvery = time.Minute      // how often setting a file aside is tried again
	maxJoined  = 64 << 10         // bytes of lines that are written in one call
)

// file is one log that rotates. It holds whole lines, except where a process
// was killed. It is used by the writer's goroutine only.
type file struct {
	path     string
	max      int64         // bytes
	span     time.Duration // how long one file is written to; 0: until it is full
	location *time.Location
	log      *slog.Logger
	rotated  func() // called after the file was set aside

	segment uint64 // of the writer's memory: what lines may refer to

	f      *os.File // nil while closed
	info   os.FileInfo
	size   int64
	torn   bool      // the last line has no line end
	born   time.Time // of the first line
	looked time.Time // when the path was last checked
	last   time.Time // the greatest stamp given to a file set aside
	stuck  time.Time // when setting aside last failed
}

// fitting returns how many of the first lines belong to one file and fit into
// it together.
func (f *file) fitting(lines []line) int {
	if f.f == nil || f.torn {
		return 1
	}
	size := f.size
	for n, next := range lines {
		size += int64(len(next.text))
		if next.target != lines[0].target || size > f.max || size-f.size > maxJoined {
			return n
		}
	}
	return len(lines)
}

// write appends whole lines in one call, after prepare and makeSpace. It
// removes again what was written of them if not all could be.
func (f *file) write(text []byte) error {
	if f.torn {
		text = append([]byte{'\n'}, text...)
	}
	n, err := f.f.Write(text)
	f.size += int64(n)
	if err == nil {
		f.torn = false
		return nil
	}
	if n > 0 {
		f.takeBack(int64(n))
	}
	return err
}

// takeBack cuts the last n bytes off, unless another process has written behind
// them.
func (f *file) takeBack(n int64) {
	end, err := f.f.Seek(0, io.SeekCurrent) // after an appending write: the end of what was written
	info, statErr := f.f.Stat()
	if err == nil && statErr == nil && info.Size() == end && f.f.Truncate(end-n) == nil {
		f.size = end - n
		return
	}
	f.torn = true
}

// prepare opens the file if that is necessary before lines are appended. It
// reports whether lines of before may not be in the file any more.
func (f *file) prepare() (fresh bool, err error) {
	now := time.Now()
	if f.f != nil && now.Sub(f.looked) >= lookEvery {
		f.looked = now
		// An operator may have moved, removed or emptied it, or another process
		// rotated it.
		info, err := os.Stat(f.path)
		if err != nil || !os.SameFile(info, f.info) || info.Size() < f.size {
			f.close()
		}
	}
	if f.f == nil {
		fresh = true
		err = f.open(now)
	}
	return fresh, err
}

// makeSpace sets the file aside before n bytes are appended, if that is
// necessary. It reports whether it did, or tried to, and must be prepared
// again.
func (f *file) makeSpace(n int64) bool {
	now := time.Now()
	full := f.size > 0 && f.size+n > f.max
	old := f.span > 0 && f.size > 0 && now.Sub(f.born) >= f.span
	if (!full && !old) || now.Sub(f.stuck) < retryEvery {
		return false
	}
	f.rotate(now)
	return true
}

// open opens the file for appending.
func (f *file) open(now time.Time) error {
	if err := os.MkdirAll(filepath.Dir(f.path), 0o700); err != nil {
		return fmt.Errorf("opening chat log: %w", err)
	}
	file, err := os.OpenFile(f.path, os.O_RDWR|os.O_APPEND|os.O_CREATE, 0o600)
	if err != nil {
		return fmt.Errorf("opening chat log: %w", err)
	}
	info, err := file.Stat()
	if err != nil {
		file.Close()
		return fmt.Errorf("opening chat log: %w", err)
	}
	f.f = file
	f.info = info
	f.size = info.Size()
	f.looked = now
	f.born = now
	f.torn = false
	if f.size == 0 {
		return nil
	}
	end := make([]byte, 1)
	_, err = file.ReadAt(end, f.size-1)
	f.torn = err != nil || end[0] != '\n'
	if f.span > 0 {
		f.born = f.firstTime()
	}
	return nil
}

// firstTime returns the time of the first line, or the zero time if it has
// none: a file of unknown age counts as old.
func (f *file) firstTime() time.Time {
	l, err := newLineReader(io.NewSectionReader(f.f, 0, f.size), maxLine).next()
	var p parser
	if v, ok := p.line(l.text); ok && l.whole && err == nil {
		if t, err := time.ParseInLocation(time.DateTime, v.Get("datetime").Str, f.location); err == nil {
			return t
		}
	}
	return time.Time{}
}

// rotate closes the file and sets it aside. If that fails, the file grows
// beyond its bound, for a long log is better than a lost one.
func (f *file) rotate(now time.Time) {
	f.close()
	aside, stamp := f.nextAside(now)
	if err := os.Rename(f.path, aside); err != nil && !errors.Is(err, fs.ErrNotExist) {
		f.stuck = now
		f.log.Warn("chat log cannot be rotated and grows on", "error", err)
		return
	}
	f.last = stamp
	f.rotated()
}

// nextAside returns a free name that sorts behind all names given before. The
// clock may go back, but names must not.
func (f *file) nextAside(now time.Time) (path string, stamp time.Time) {
	if f.last.IsZero() {
		f.last = newestStamp(f.path)
	}
	stamp = now.UTC().Truncate(time.Microsecond)
	if !stamp.After(f.last) {
		stamp = f.last.Add(time.Microsecond)
	}
	for ; ; stamp = stamp.Add(time.Microsecond) {
		path = strings.TrimSuffix(f.path, "log") + formatStamp(stamp) + ".log"
		if _, err := os.Lstat(path); errors.Is(err, fs.ErrNotExist) {
			return path, stamp
		}
	}
}

func (f *file) close() error {
	if f.f == nil {
		return nil
	}
	err := f.f.Close()
	f.f = nil
	if err != nil {
		return fmt.Errorf("closing chat log: %w", err)
	}
	return nil
}
