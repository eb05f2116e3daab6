package chatlog

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"forward/internal/backlog"
)

const (
	defaultDir     = "Log"
	defaultMaxSize = 50_000_000
	warnEvery      = time.Minute
)

// Log is a chat log. [Open] makes one and [Log.Close] ends it. Its methods are
// safe for concurrent use.
type Log struct {
	encoders map[string]*encoder // by content; "" is that of Options.Content
	writer   writer
	lines    *backlog.Queue[line]
	packer   *packer
	screen   *printer // nil without Options.Print
	noFiles  atomic.Bool
	log      *slog.Logger
	closing  sync.Once

	dropped atomic.Int64
	opened  time.Time
	warned  atomic.Int64 // when drops were last logged, in nanoseconds since opened
}

// Open opens the chat log in a directory. It fails if no file can be created
// there, except on a full disk, which may have space again later.
func Open(o Options) (*Log, error) {
	l := &Log{log: cmp.Or(o.Log, slog.Default()), opened: time.Now()}
	l.warned.Store(int64(-warnEvery))
	location := cmp.Or(o.Location, time.Local)
	redactor := o.Redactor
	if redactor == nil {
		var err error
		if redactor, err = NewRedactor(nil, []byte(rand.Text())); err != nil {
			return nil, err
		}
	}
	l.encoders = map[string]*encoder{
		"full":     {location: location, media: o.KeepMedia},
		"meta":     {location: location, redactor: redactor, meta: true},
		"redacted": {location: location, redactor: redactor, redacted: true, media: o.KeepMedia},
	}
	l.encoders[""] = l.encoders[cmp.Or(o.Content, "full")]
	if l.encoders[""] == nil {
		return nil, fmt.Errorf("opening chat log: unknown content %q: write full, meta or redacted", o.Content)
	}
	l.writer = writer{
		dir:       cmp.Or(o.Dir, defaultDir),
		maxSize:   cmp.Or(o.MaxSize, defaultMaxSize),
		retention: o.Retention,
		location:  location,
		files:     make(map[target]*file),
		memory:    newMemory(),
		whole:     o.KeepRepeats,
		drop:      l.drop,
		log:       l.log,
	}
	l.packer = newPacker(&l.writer, o.MaxTotal, l.noFiles.Load)
	l.writer.rotated = l.packer.rotated
	l.noFiles.Store(true)
	if err := l.TryFiles(!o.NoFiles); err != nil {
		return nil, fmt.Errorf("opening chat log: %w", err)
	}
	l.KeepFiles(!o.NoFiles)
	if o.Print != nil {
		l.screen = newPrinter(o.Print)
	}
	go l.packer.run()
	l.lines = backlog.New(l.writer.options())
	return l, nil
}

// TryFiles returns the error with which KeepFiles(keep) would fail to write
// files.
func (l *Log) TryFiles(keep bool) error {
	if keep && l.noFiles.Load() {
		return l.tryDir(l.writer.dir)
	}
	return nil
}

// KeepFiles sets whether lines are written to files from now on. TryFiles
// checks beforehand that they can be.
func (l *Log) KeepFiles(keep bool) {
	l.noFiles.Store(!keep)
	l.packer.rotated() // files of an earlier time may wait for compression
}

// tryDir creates the directory and tries to create a file in it.
func (l *Log) tryDir(dir string) error {
	err := os.MkdirAll(dir, 0o700)
	if err == nil {
		var f *os.File
		if f, err = os.CreateTemp(dir, ".try-*"); err == nil {
			f.Close()
			err = os.Remove(f.Name())
		}
	}
	switch {
	case errors.Is(err, syscall.ENOSPC):
		l.log.Warn("no space for chat logs, lines are lost until there is", "dir", dir, "error", err)
		return nil
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("%w; give uid %d the right to write there or set LOG_DIR", err, os.Getuid())
	}
	return err
}

// Request logs that a request was admitted. It does not block.
func (l *Log) Request(r Request) {
	if Logs(r.Operation) {
		n := line{target: target{r.Route, r.Operation}, text: l.encoder(r.Content, r.Secrets).request(r)}
		if grows(r.Operation) {
			n.uid = r.UID
			n.caller = cmp.Or(r.Key, r.IP)
		}
		l.put(n)
	}
}

// Result logs how a request ended. It does not block.
func (l *Log) Result(r Result) {
	if Logs(r.Operation) {
		l.put(line{target: target{r.Route, r.Operation}, text: l.encoder(r.Content, r.Secrets).result(r)})
	}
}

// encoder returns what encodes lines with a content. An unknown content keeps
// the least.
func (l *Log) encoder(content string, secrets []string) *encoder {
	e := l.encoders[content]
	if e == nil {
		e = l.encoders["meta"]
	}
	own := *e
	own.secrets = secrets
	return &own
}

var errFull = errors.New("lines come faster than they can be written")

func (l *Log) put(n line) {
	if l.screen != nil {
		l.screen.lines.Put(n)
	}
	if !l.noFiles.Load() && !l.lines.Put(n) {
		l.drop(errFull)
	}
}

// drop counts a lost line. It logs a warning once in warnEvery, for a full disk
// loses thousands.
func (l *Log) drop(err error) {
	n := l.dropped.Add(1)
	now := int64(time.Since(l.opened))
	last := l.warned.Load()
	if now-last >= int64(warnEvery) && l.warned.CompareAndSwap(last, now) {
		l.log.Warn("chat log loses lines", "error", err, "lost", n)
	}
}

// Dropped returns the number of lines lost since Open.
func (l *Log) Dropped() int64 { return l.dropped.Load() }

// Close writes the queued lines and closes the files. Lines that are logged
// after it are dropped.
func (l *Log) Close() (err error) {
	l.closing.Do(func() { err = l.close() })
	return err
}

func (l *Log) close() error {
	// The writer drops what it cannot write, so nothing is left over.
	_ = l.lines.Close(context.Background())
	if l.screen != nil {
		l.screen.close()
	}
	if n := l.dropped.Load(); n > 0 {
		l.log.Warn("chat log lost lines", "lost", n)
	}
	l.packer.close()
	return l.writer.close()
}
