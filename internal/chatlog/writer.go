package chatlog

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"path/filepath"
	"strings"
	"time"
	"unicode"

	"forward/internal/backlog"
	"forward/internal/dialect"
)

// queueBytes bounds the lines that wait to be written.
const queueBytes = 64 << 20

// target names a log file.
type target struct {
	route     string
	operation dialect.Operation
}

// path returns the path of the log below a directory.
func (t target) path(dir string) string {
	name := string(t.operation)
	return filepath.Join(dir, dirName(t.route), name, name+".log")
}

// line is a line for a file, with its line end.
type line struct {
	target
	text        []byte
	uid, caller string // of the request of a conversation, whose text may be referred to; else ""
}

func (n line) size() int64 { return int64(len(n.text)) }

// writer owns the files. Its methods are called by the goroutine of the queue
// only.
type writer struct {
	dir       string
	maxSize   int64
	retention time.Duration // 0: forever
	location  *time.Location
	files     map[target]*file
	memory    *memory
	whole     bool   // lines do not refer to others
	joined    []byte // buffer of lines that are written together
	drop      func(error)
	rotated   func() // called after a file was set aside
	log       *slog.Logger
}

// options are those of the queue of lines that wait to be written.
func (w *writer) options() backlog.Options[line] {
	o := backlog.Options[line]{Write: w.writeAll, MaxBytes: queueBytes, Size: line.size}
	if w.retention > 0 {
		o.Tick = w.sweep
		o.Interval = min(w.segment(), time.Hour)
	}
	return o
}

// writeAll writes a batch. It drops lines that cannot be written instead of
// returning an error: those that come after them may still fit.
func (w *writer) writeAll(_ context.Context, batch []line) error {
	for len(batch) > 0 {
		batch = batch[w.write(batch):]
	}
	return nil
}

// write writes the first of lines, together with those that follow it for the
// same file and fit. It returns their number.
func (w *writer) write(lines []line) int {
	f := w.file(lines[0])
	if n := f.fitting(lines); n > 1 && w.append(f, lines[:n]) == nil {
		return n
	}
	// Of several lines that cannot be written together some may still fit.
	if err := w.append(f, lines[:1]); err != nil {
		w.drop(err)
	}
	return 1
}

// append writes lines to a file. What is in the file decides what they can
// refer to, so they are joined again after the file was set aside.
func (w *writer) append(f *file, lines []line) error {
	for {
		fresh, err := f.prepare()
		if err != nil {
			return err
		}
		if fresh {
			f.segment = w.memory.segment()
		}
		text := w.join(lines, f.segment)
		if f.makeSpace(int64(len(text))) {
			continue
		}
		if err := f.write(text); err != nil {
			f.segment = w.memory.segment() // nothing may refer to lines that were not written
			return err
		}
		return nil
	}
}

// join concatenates lines, for a system call costs more than a line.
func (w *writer) join(lines []line, segment uint64) []byte {
	w.joined = w.joined[:0]
	for _, n := range lines {
		if w.whole {
			w.joined = append(w.joined, n.text...)
		} else {
			w.joined = w.memory.append(w.joined, n, segment)
		}
	}
	return w.joined
}

// file returns the file of a line.
func (w *writer) file(n line) *file {
	f := w.files[n.target]
	if f == nil {
		f = &file{
			path:     n.target.path(w.dir),
			max:      w.maxSize,
			location: w.location,
			log:      w.log,
			rotated:  w.rotated,
		}
		if w.retention > 0 {
			f.span = w.segment()
		}
		w.files[n.target] = f
	}
	return f
}

// segment is how long one file is written to if lines are removed by age: only
// whole files can be removed.
func (w *writer) segment() time.Duration { return max(w.retention/10, time.Second) }

func (w *writer) close() error {
	var errs []error
	for _, f := range w.files {
		errs = append(errs, f.close())
	}
	return errors.Join(errs...)
}

// dirName returns the directory of a route as openai-forward named it: a_b for
// /a/b, and openai for /.
func dirName(route string) string {
	name := strings.Map(func(r rune) rune {
		if strings.ContainsRune(`/\:*?"<>|`, r) || !unicode.IsPrint(r) {
			return '_'
		}
		return r
	}, route)
	return cmp.Or(strings.Trim(name, "_. "), "openai")
}
