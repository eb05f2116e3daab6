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
	lookEvery  = time.Second / 10 // how often a file that is being written is looked for in its directory
	retryEvery = time.Minute      // how often it is tried to set a file aside
)

// file is one log that rotates. It holds whole lines, except where a process was killed.
type file struct {
	path     string
	max      int64         // bytes
	span     time.Duration // how long one file is written to, 0: until it is full
	location *time.Location
	log      *slog.Logger
	rotated  func() // told when it was set aside

	f      *os.File // nil when closed
	info   os.FileInfo
	size   int64
	torn   bool      // it does not end with a line end
	born   time.Time // of its first line
	looked time.Time
	last   time.Time // the greatest stamp of a file set aside
	stuck  time.Time // when it last could not be set aside
}

// maxJoined bounds how many bytes of lines are written in one call.
const maxJoined = 64 << 10

// fitting is how many of the first lines go to one file and fit into it together.
func (f *file) fitting(lines []line) int {
	size := f.size
	if f.f == nil || f.torn {
		return 1
	}
	for n, next := range lines {
		size += int64(len(next.text))
		if next.target != lines[0].target || size > f.max || size-f.size > maxJoined {
			return n
		}
	}
	return len(lines)
}

// write appends whole lines, in one call. What could be written only in part is taken back.
func (f *file) write(text []byte) error {
	if err := f.ready(int64(len(text))); err != nil {
		return err
	}
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

// takeBack cuts the last n bytes off, unless somebody else has written behind them.
func (f *file) takeBack(n int64) {
	end, err := f.f.Seek(0, io.SeekCurrent) // after an appending write: the end of what was written
	info, statErr := f.f.Stat()
	if err == nil && statErr == nil && info.Size() == end && f.f.Truncate(end-n) == nil {
		f.size = end - n
		return
	}
	f.torn = true
}

// ready sees to it that there is an open file with room for n bytes.
func (f *file) ready(n int64) error {
	now := time.Now()
	if f.f != nil && now.Sub(f.looked) >= lookEvery {
		f.looked = now
		// Somebody may have moved or removed it, or another process rotated it.
		if info, err := os.Stat(f.path); err != nil || !os.SameFile(info, f.info) {
			f.close()
		}
	}
	if f.f == nil {
		if err := f.open(now); err != nil {
			return err
		}
	}
	full := f.size > 0 && f.size+n > f.max
	old := f.span > 0 && f.size > 0 && now.Sub(f.born) >= f.span
	if (full || old) && now.Sub(f.stuck) >= retryEvery {
		f.rotate(now)
	}
	if f.f == nil {
		return f.open(now)
	}
	return nil
}

// open opens the file to append to it.
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
	f.f, f.info, f.size, f.looked, f.born, f.torn = file, info, info.Size(), now, now, false
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

// firstTime returns the time of the first line. A file that does not say when it began counts as old.
func (f *file) firstTime() time.Time {
	line, _, whole, err := newLineReader(io.NewSectionReader(f.f, 0, f.size), maxLine).next()
	var p parser
	if v, ok := p.line(line); ok && whole && err == nil {
		if t, err := time.ParseInLocation(time.DateTime, v.Get("datetime").Str, f.location); err == nil {
			return t
		}
	}
	return time.Time{}
}

// rotate closes the file and sets it aside. When that cannot be done the file goes on, longer than it should be: better a
// long log than a lost one.
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

// nextAside returns a name that is free and sorts behind all that were given before. The clock may go back; names do not.
func (f *file) nextAside(now time.Time) (path string, stamp time.Time) {
	if f.last.IsZero() {
		f.last = newestStamp(f.path)
	}
	if stamp = now.UTC().Truncate(time.Microsecond); !stamp.After(f.last) {
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

// A file that was set aside is chat.2026-11-21_15-27-12_000000.log, as openai-forward named them, but in UTC: local time goes
// back each autumn.
const stampLayout = "2006-01-02_15-04-05.000000"

func formatStamp(t time.Time) string {
	return strings.Replace(t.UTC().Format(stampLayout), ".", "_", 1)
}

func parseStamp(s string) (time.Time, error) {
	if i := strings.LastIndexByte(s, '_'); i >= 0 {
		s = s[:i] + "." + s[i+1:]
	}
	return time.Parse(stampLayout, s)
}

// stampOf returns when a file with this name was set aside, if it is a rotated one of the log called base.
func stampOf(base, name string) (time.Time, bool) {
	rest, ok := strings.CutPrefix(name, strings.TrimSuffix(base, "log"))
	if !ok {
		return time.Time{}, false
	}
	for _, suffix := range []string{".gz", packed} {
		rest = strings.TrimSuffix(rest, suffix)
	}
	if rest, ok = strings.CutSuffix(rest, ".log"); !ok {
		return time.Time{}, false
	}
	t, err := parseStamp(rest)
	return t, err == nil
}

// newestStamp returns the greatest stamp beside a log, zero if there is none.
func newestStamp(path string) (newest time.Time) {
	entries, _ := os.ReadDir(filepath.Dir(path))
	for _, e := range entries {
		if t, ok := stampOf(filepath.Base(path), e.Name()); ok && t.After(newest) {
			newest = t
		}
	}
	return newest
}
