// Package chatlog writes requests and answers to files as JSON lines, and reads
// them back as conversations.
//
// An exchange is two lines in LOG_DIR/<route>/<operation>/<operation>.log,
// joined by a uid: one written when the request is admitted and one when it
// ends, however it ends. A single line at the end would lose the request if the
// process died before the answer. Names, order and defaults of the fields are
// those of openai-forward, whose logs held Python literals instead of JSON;
// [Convert] reads both.
//
// Logging must not delay a request or make it fail. [Log.Request] and
// [Log.Result] encode the line, which removes secrets before anything is
// queued, and hand it to a bounded queue. When the queue or the disk is full,
// lines are dropped and counted. One goroutine writes whole lines without a
// buffer of its own, so kill -9 can tear only the line that is being written.
// What a full disk cut short is truncated, so that each line stays a line.
// Nothing is synced: a power failure loses what the kernel has not written yet
// (on Linux up to 30 seconds).
//
// A conversation comes again and longer with each turn, and with it its tools
// and its system prompt. What of a request line is in an earlier line of the
// same file and the same caller is a reference to that line, see memory;
// [Convert] puts it back.
//
// Full files are set aside and compressed (zstd) in the background; the oldest
// are removed by age and by the size of all. The package rotates files itself:
// timberjack refuses a line longer than the file may be (chats with images
// are), keeps torn lines, and creates directories that every user can enter.
package chatlog

import (
	"io"
	"log/slog"
	"time"

	"forward/internal/dialect"
)

// Options configure a [Log]. The zero value logs in full to the directory Log.
type Options struct {
	Dir         string         // "" means Log; created if it does not exist
	NoFiles     bool           // conversations are only printed, see Print
	Content     string         // full, meta (roles and sizes, no text) or redacted; "" means full
	KeepMedia   bool           // what is no text (images, sound, files) is written whole, and not as media type, size and digest
	KeepRepeats bool           // what a line has in common with earlier ones of its file and caller is written whole, and not as a reference
	Redactor    *Redactor      // of meta and redacted lines; nil means one without own patterns and with a random salt
	MaxSize     int64          // bytes after which a file is set aside; 0 means 50 MB
	MaxTotal    int64          // bytes of all files, current and compressed ones included; 0 means no bound
	Retention   time.Duration  // how long lines are kept, give or take a tenth; 0 means forever
	Print       io.Writer      // where conversations are shown as they happen; nil means nowhere
	Location    *time.Location // of the times in the log; nil means local time
	Log         *slog.Logger   // receives warnings about lost lines; nil means slog.Default()
}

// Request is the content of the first line of an exchange.
type Request struct {
	Route string // its name, which names the directory
	UID   string // joins the two lines
	IP    string
	Key   string // name of the caller's key, "" if it has none
	User  string // used if the body names no user
	Time  time.Time

	Session   string // the client's name for its conversation; "" without one
	Operation dialect.Operation
	Body      *dialect.Body // nil if there are only defaults to log
	Caching   bool
	Model     string   // used if the body names no model
	Content   string   // full, meta or redacted if the caller's key sets it; "" means Options.Content
	Secrets   []string // the credentials of the exchange, which no line contains
}

// Result is the content of the second line of an exchange.
type Result struct {
	Route, UID string
	Content    string   // as in Request
	Secrets    []string // as in Request
	Operation  dialect.Operation
	Answer     *dialect.Answer // what arrived of it; nil if nothing did
	Status     int
	Cache      string // hit, miss or bypass
	Elapsed    time.Duration
	Complete   bool
	Cause      string // why it is not complete

	Key, User string        // who is charged for it, "" if no ledger row is
	Session   string        // as in Request
	Cost      string        // in dollars, or "unpriced"; "" without a ledger
	ListPrice string        // in dollars, of what the caller's own credential paid: it is not billed; "" for other requests
	Queued    time.Duration // time spent in the queue of the model
	First     time.Duration // from the request to the first byte of the answer; 0 without one
}

// Logs reports whether exchanges of an operation are logged.
func Logs(op dialect.Operation) bool { return layoutOf(op) != nil }
