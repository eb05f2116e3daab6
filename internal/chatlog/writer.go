package chatlog

import (
	"errors"
	"log/slog"
	"path/filepath"
	"strings"
	"time"
	"unicode"
)

// writer is the goroutine that owns the files.
type writer struct {
	dir       string
	maxSize   int64
	retention time.Duration // 0: for ever
	location  *time.Location
	files     map[target]*file
	drop      func(error)
	log       *slog.Logger
}

// run writes lines until the queue is closed and empty.
func (w *writer) run(q *queue) {
	var sweep <-chan time.Time
	if w.retention > 0 {
		w.sweep()
		ticker := time.NewTicker(min(w.segment(), time.Hour))
		defer ticker.Stop()
		sweep = ticker.C
	}
	var batch []line
	for {
		select {
		case <-sweep:
			w.sweep()
		case <-q.ready:
			for {
				var open bool
				if batch, open = q.take(batch); len(batch) == 0 {
					if !open {
						return
					}
					break
				}
				for _, n := range batch {
					w.write(n)
				}
			}
		}
	}
}

func (w *writer) write(n line) {
	f := w.files[n.target]
	if f == nil {
		name := string(n.operation)
		f = &file{path: filepath.Join(w.dir, dirName(n.route), name, name+".log"), max: w.maxSize, location: w.location, log: w.log}
		if w.retention > 0 {
			f.span = w.segment()
		}
		w.files[n.target] = f
	}
	if err := f.write(n.text); err != nil {
		w.drop(err)
	}
}

// segment is how long a file is written to when lines are to be removed by age: what is removed are whole files.
func (w *writer) segment() time.Duration { return max(w.retention/10, time.Second) }

func (w *writer) close() error {
	var errs []error
	for _, f := range w.files {
		errs = append(errs, f.close())
	}
	return errors.Join(errs...)
}

// dirName makes the name of a route the name of one directory, as openai-forward did it: /a/b is a_b, and / is openai.
func dirName(route string) string {
	name := strings.Map(func(r rune) rune {
		if strings.ContainsRune(`/\:*?"<>|`, r) || !unicode.IsPrint(r) {
			return '_'
		}
		return r
	}, route)
	if name = strings.Trim(name, "_. "); name == "" {
		return "openai"
	}
	return name
}
