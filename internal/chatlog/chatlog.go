// Package chatlog writes what was asked and answered into files, and reads it back as conversations.
//
// An exchange is two JSON lines in LOG_DIR/<route>/chat/chat.log (or responses, messages, generate, …: the operation), joined by a uid: one when the request was admitted, one when
// it was over, whichever way. Two and not one, because what was asked must be there also when the process dies before the
// answer. Names, order and defaults are openai-forward's, whose logs had Python text instead; [Convert] reads both.
//
// Logging must never cost a completion anything. Request and Result make the line (secrets leave it there, so that no queue
// ever holds them) and hand it to a bounded queue; when that is full, or the disk is, lines are dropped and counted. One
// goroutine writes, each line whole and in one write call without a buffer in between: kill -9 can tear the line that
// is being written and no other. What a full disk cut short is cut back, so that every line stays a line. Nothing is
// synced: a power failure loses what the kernel had not written yet (on Linux up to 30 seconds).
//
// Files that are full are set aside and compressed (zstd) in the background; the oldest are removed by age and by what all need.
// Files rotate by size with code of our own: timberjack refuses a line longer than the file may be (chats with images
// are), leaves torn lines as they are, and creates directories that everybody can enter.
package chatlog

import (
	"cmp"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"sync/atomic"
	"syscall"
	"time"

	"forward/internal/dialect"
)

const (
	defaultDir     = "Log"
	defaultMaxSize = 50_000_000
	queueBytes     = 64 << 20 // of lines that wait to be written
	printBytes     = 4 << 20  // of lines that wait to be printed
	sayEvery       = time.Minute
)

// Options says where to log and what.
type Options struct {
	Dir       string         // "" means Log; created if it is not there
	NoFiles   bool           // conversations are only shown, see Print
	Content   string         // full, meta (no text, only roles and sizes) or redacted; "" means full
	Redactor  *Redactor      // of meta and redacted lines; nil: one without own patterns, whose pseudonyms end with the process
	MaxSize   int64          // bytes after which a file is set aside; 0 means 50 MB
	MaxTotal  int64          // bytes of all files together, those that are written to and the compressed ones; 0 means no bound
	Retention time.Duration  // how long lines are kept, up to a tenth longer; 0 means for ever
	Print     io.Writer      // where to show conversations as they happen; nil: nowhere
	Location  *time.Location // of the times in the log; nil means local time
	Log       *slog.Logger   // told about lost lines; nil means slog.Default()
}

// Request is what the first line of an exchange says.
type Request struct {
	Route string // its name, which names the directory
	UID   string // joins the two lines
	IP    string
	Key   string // name of the caller's key, "" when there is none
	User  string // used when the body names no user
	Time  time.Time

	Operation dialect.Operation
	Body      *dialect.Body // nil only when there is nothing but defaults to log
	Caching   bool
	Model     string   // used when the body names no model
	Content   string   // full, meta or redacted where the caller's key says so; "" means Options.Content
	Secrets   []string // the credentials of the exchange, which are in no line
}

// Result is what the second line of an exchange says.
type Result struct {
	Route, UID string
	Content    string   // as in Request
	Secrets    []string // as in Request
	Operation  dialect.Operation
	Answer     *dialect.Answer // as far as it came; nil if nothing did
	Status     int
	Cache      string // hit, miss or bypass
	Elapsed    time.Duration
	Complete   bool
	Cause      string // why it is not complete

	Key, User string        // who is accounted for it, "" when nobody is
	Cost      string        // in dollars, or "unpriced"; "" where no ledger is kept
	Queued    time.Duration // waited for its turn
	First     time.Duration // from the request to the answer's first byte; 0 when there is none
}

// Log is a chat log. Open makes one; its methods are safe for concurrent use. Close it.
type Log struct {
	encoders map[string]*encoder // by content; "" is that of Options.Content
	writer   writer
	lines    *queue
	packer   *packer
	screen   *printer // nil: none
	noFiles  atomic.Bool
	log      *slog.Logger
	done     chan struct{} // closed when the writer has ended

	dropped atomic.Int64
	opened  time.Time
	said    atomic.Int64 // when drops were last reported, in nanoseconds since opened
}

// Logs reports whether exchanges of an operation are logged.
func Logs(op dialect.Operation) bool { return layoutOf(op) != nil }

// Open opens the chat log in a directory, and fails if nothing can be written there. A full disk is no failure: there may
// be room later.
func Open(o Options) (*Log, error) {
	l := &Log{lines: newQueue(queueBytes), log: cmp.Or(o.Log, slog.Default()), done: make(chan struct{}), opened: time.Now()}
	l.said.Store(int64(-sayEvery))
	location := cmp.Or(o.Location, time.Local)
	redactor := o.Redactor
	if redactor == nil {
		var err error
		if redactor, err = NewRedactor(nil, []byte(rand.Text())); err != nil {
			return nil, err
		}
	}
	l.encoders = map[string]*encoder{
		"full": {location: location}, "meta": {location: location, meta: true, redactor: redactor}, "redacted": {location: location, redacted: true, redactor: redactor},
	}
	if l.encoders[""] = l.encoders[cmp.Or(o.Content, "full")]; l.encoders[""] == nil {
		return nil, fmt.Errorf("opening chat log: unknown content %q: write full, meta or redacted", o.Content)
	}
	l.writer = writer{dir: cmp.Or(o.Dir, defaultDir), maxSize: cmp.Or(o.MaxSize, defaultMaxSize), retention: o.Retention,
		location: location, files: make(map[target]*file), drop: l.drop, log: l.log}
	l.packer = newPacker(l.writer.dir, o.MaxTotal, l.writer.isOld, l.noFiles.Load, l.log)
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
	go func() {
		defer close(l.done)
		l.writer.run(l.lines)
	}()
	return l, nil
}

// TryFiles reports whether KeepFiles could begin to write files, if it is to be told so.
func (l *Log) TryFiles(keep bool) error {
	if keep && l.noFiles.Load() {
		return l.tryDir(l.writer.dir)
	}
	return nil
}

// KeepFiles says whether lines are written to files from now on. TryFiles says before whether they can be.
func (l *Log) KeepFiles(keep bool) {
	l.noFiles.Store(!keep)
	l.packer.rotated() // there may be some from before
}

// encoderOf returns what writes lines with a content; one that nobody knows keeps the least.
func (l *Log) encoderOf(content string) *encoder {
	if e := l.encoders[content]; e != nil {
		return e
	}
	return l.encoders["meta"]
}

// tryDir makes the directory and sees whether files can be made in it.
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
		l.log.Warn("no room for chat logs, lines are lost until there is", "dir", dir, "error", err)
		return nil
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("%w; give uid %d the right to write there or set LOG_DIR", err, os.Getuid())
	}
	return err
}

// Request logs that a request was admitted. It does not wait for anything.
func (l *Log) Request(r Request) {
	if Logs(r.Operation) {
		l.put(line{target{r.Route, r.Operation}, l.encoderOf(r.Content).with(r.Secrets).request(r)})
	}
}

// Result logs what became of a request. It does not wait for anything.
func (l *Log) Result(r Result) {
	if Logs(r.Operation) {
		l.put(line{target{r.Route, r.Operation}, l.encoderOf(r.Content).with(r.Secrets).result(r)})
	}
}

var errFull = errors.New("lines come faster than they can be written")

func (l *Log) put(n line) {
	if l.screen != nil {
		l.screen.lines.put(n)
	}
	if !l.noFiles.Load() && !l.lines.put(n) {
		l.drop(errFull)
	}
}

// drop counts a lost line and says so, but not for every line: a full disk loses thousands.
func (l *Log) drop(err error) {
	n := l.dropped.Add(1)
	now, last := int64(time.Since(l.opened)), l.said.Load()
	if now-last >= int64(sayEvery) && l.said.CompareAndSwap(last, now) {
		l.log.Warn("chat log loses lines", "error", err, "lost", n)
	}
}

// Dropped returns how many lines were lost since Open.
func (l *Log) Dropped() int64 { return l.dropped.Load() }

// Close writes what waits and closes the files. What comes after it is dropped.
func (l *Log) Close() error {
	if !l.lines.close() {
		<-l.done
		return nil
	}
	<-l.done
	if l.screen != nil {
		l.screen.close()
	}
	if n := l.dropped.Load(); n > 0 {
		l.log.Warn("chat log lost lines", "lost", n)
	}
	l.packer.close()
	return l.writer.close()
}
