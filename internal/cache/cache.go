// Package cache stores whole answers by the question that was asked.
//
// An answer from the cache must never be wrong, and no failure of the store may
// become a failure of the gateway. So every record carries its own key and a
// SHA-256 that is checked on each read; a record that does not match is a miss.
// Put queues the answer in a bounded queue and returns; Get finds what is still
// queued. A store that is broken, full, slow or gone is a miss and a line in
// the log.
//
// There are three stores: Badger on disk (disk.go has what keeps it from
// filling the disk and from crashing with it), otter in memory, and Redis,
// which the replicas of a gateway share. A Question gives the Key of an answer;
// its body is in the canonical form of package jsonscan, so that equal
// questions have equal keys.
//
// Operators list, export, import, verify and purge entries while the gateway
// runs, because Badger's directory can be open in one process only.
package cache

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Entry is one stored answer.
type Entry struct {
	Status  int
	Header  http.Header     // only what is replayed
	Body    []byte          // the bytes of the answer; of a stream, all its events
	Zstd    []byte          // from Get: Body as one zstd frame, if it is kept in that form
	Stream  bool            // Body is a stream of events
	Gaps    []time.Duration // of a stream: the time before each event, in whole milliseconds
	Stored  time.Time       // zero in Put: now
	Expires time.Time       // zero in Put: Stored plus Options.TTL

	Question Question // what was asked; from Get without its Body
}

// Options set where answers are kept and how many. Zero fields mean the
// defaults given.
type Options struct {
	Backend       string           // BADGER, MEMORY, redis://…, rediss://… or unix://…; BADGER
	Dir           string           // of BADGER; ./data/cache
	TTL           time.Duration    // 30 days
	MaxBytes      int64            // bound on disk or in memory, at least MinBytes; 1 GiB; not for Redis
	MaxEntryBytes int64            // longest body that is kept, in bytes; 8 MiB
	Now           func() time.Time // time.Now
	Log           *slog.Logger     // nil: silent
}

// MinBytes is the least Options.MaxBytes. Below it the store's own files would
// leave no space for answers.
const MinBytes = 16 << 20

var (
	// ErrInUse is returned by Open when another process holds the directory.
	ErrInUse = errors.New("another forward is running on this cache directory")
	// ErrOptions is returned by Open for options that cannot work.
	ErrOptions = errors.New("invalid cache options")
	// ErrClosed is returned by operations on a closed cache.
	ErrClosed = errors.New("the cache is closed")
)

// Stats counts what the cache has done since Open, and what it holds.
type Stats struct {
	Backend  string `json:"backend"`
	Entries  int64  `json:"entries"`   // about; a replaced entry counts twice for a while; -1: unknown
	Bytes    int64  `json:"bytes"`     // allocated on disk or held in memory; -1: unknown
	MaxBytes int64  `json:"max_bytes"` // 0: not bounded by the gateway
	Pending  int    `json:"pending"`   // entries queued and not yet written
	Hits     int64  `json:"hits"`
	Misses   int64  `json:"misses"`
	Stored   int64  `json:"stored"`   // entries written
	Dropped  int64  `json:"dropped"`  // entries not stored: queue full, too large, writing off, errors
	Damaged  int64  `json:"damaged"`  // records found that are not what was written
	Disabled string `json:"disabled"` // why writing is off; empty: it is on
}

// Cache is a store of answers. Open returns one. It is safe for concurrent use;
// its user closes it.
type Cache struct {
	backend      string
	store        store
	codec        *codec     // for what has to be read beside answers
	nearest      sync.Mutex // one search at a time
	ttl          time.Duration
	patience     time.Duration // of one Get; 0: the store needs no bound
	maxEntry     int64
	now          func() time.Time
	hits, misses atomic.Int64
	refused      atomic.Int64
}

// store is what the backends have in common. Any trouble in get is a miss. put
// takes over e and never blocks.
type store struct {
	get    func(context.Context, Key) (*Entry, bool)
	put    func(Key, *Entry) bool
	report func(*Stats)
	close  func() error

	// each visits every entry until visit returns false. Entries that arrive or
	// move meanwhile may be missed or visited twice.
	each   func(ctx context.Context, visit func(item) bool) error
	load   func(context.Context, Key) (item, bool) // as each has it
	remove func(context.Context, []Key) error
	clear  func(context.Context) error
}

// item is an entry as a store holds it: in memory, or as a record.
type item struct {
	key    Key
	entry  *Entry
	record []byte
}

// Open opens the store that the options name. It fails only for what its user
// can change: options, a directory that cannot be written or is in use. A store
// that is damaged is set aside, and one that cannot be reached is retried.
func Open(o Options) (*Cache, error) {
	o.setDefaults()
	if err := o.check(); err != nil {
		return nil, err
	}
	codec, err := newCodec()
	if err != nil {
		return nil, err
	}
	c := &Cache{codec: codec, ttl: o.TTL, maxEntry: o.MaxEntryBytes, now: o.Now}
	if err := c.openStore(o); err != nil {
		codec.close()
		return nil, err
	}
	return c, nil
}

func (o *Options) setDefaults() {
	o.Backend = cmp.Or(o.Backend, "BADGER")
	o.Dir = cmp.Or(o.Dir, "./data/cache")
	o.TTL = cmp.Or(o.TTL, 30*24*time.Hour)
	o.MaxBytes = cmp.Or(o.MaxBytes, 1<<30)
	o.MaxEntryBytes = cmp.Or(o.MaxEntryBytes, 8<<20)
	o.Log = cmp.Or(o.Log, slog.New(slog.DiscardHandler))
	if o.Now == nil {
		o.Now = time.Now
	}
}

func (o *Options) check() error {
	switch {
	case o.MaxBytes < MinBytes:
		return fmt.Errorf("%w: a bound of %d bytes is too small, the least is %d", ErrOptions, o.MaxBytes, MinBytes)
	case o.MaxEntryBytes < 0 || o.MaxEntryBytes > maxBody:
		return fmt.Errorf("%w: an entry of %d bytes is not possible, the most is %d", ErrOptions, o.MaxEntryBytes, maxBody)
	case o.TTL < 0:
		return fmt.Errorf("%w: a lifetime of %s is negative", ErrOptions, o.TTL)
	}
	return nil
}

func (c *Cache) openStore(o Options) (err error) {
	scheme, _, _ := strings.Cut(o.Backend, "://")
	switch {
	case o.Backend == "BADGER":
		c.backend = "BADGER"
		c.store, err = openDisk(o, c.codec)
	case o.Backend == "MEMORY":
		c.backend = "MEMORY"
		c.store, err = openMemory(o)
	case o.Backend != scheme && (scheme == "redis" || scheme == "rediss" || scheme == "unix"):
		c.backend = "REDIS"
		c.patience = redisPatience
		c.store, err = openRedis(o, c.codec)
	default: // the value is not repeated: a URL may hold a password
		err = fmt.Errorf("%w: the backend is none of BADGER, MEMORY and redis://…", ErrOptions)
	}
	return err
}

// Get returns the answer to the first of the keys that has one: the caller's
// own key, then that of an imported answer. The entry is the caller's to
// change. An answer that has expired, cannot be verified or takes longer than a
// request may wait is a miss.
func (c *Cache) Get(ctx context.Context, keys ...Key) (*Entry, bool) {
	if c.patience > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, c.patience, errPatience)
		defer cancel()
	}
	for _, k := range keys {
		if ctx.Err() != nil {
			break
		}
		if e, ok := c.store.get(ctx, k); ok && c.now().Before(e.Expires) {
			c.hits.Add(1)
			return e, true
		}
	}
	c.misses.Add(1)
	return nil, false
}

// Put takes over an answer to be stored under k, and reports whether it was
// queued: the queue may be full, the answer too long, or writing off. Get finds
// it from then on. The caller must not change what e points to afterwards.
func (c *Cache) Put(k Key, e *Entry) (queued bool) {
	if !c.put(k, e) {
		c.refused.Add(1)
		return false
	}
	return true
}

func (c *Cache) put(k Key, e *Entry) bool {
	kept := *e
	kept.Question.seal()
	now := c.now()
	if kept.Stored.IsZero() {
		kept.Stored = now
	}
	if kept.Expires.IsZero() {
		kept.Expires = kept.Stored.Add(c.ttl)
	}
	fits := int64(len(e.Body)) <= c.maxEntry && e.Status >= 100 && e.Status <= 999
	return fits && now.Before(kept.Expires) && c.store.put(k, &kept)
}

// Stats returns a snapshot of the counters.
func (c *Cache) Stats() Stats {
	s := Stats{Backend: c.backend, Hits: c.hits.Load(), Misses: c.misses.Load()}
	c.store.report(&s)
	s.Dropped += c.refused.Load()
	return s
}

// Backend returns the kind of store: BADGER, MEMORY or REDIS.
func (c *Cache) Backend() string { return c.backend }

// Healthy reports whether answers are being stored, and if not, why.
func (c *Cache) Healthy() (ok bool, detail string) {
	var s Stats
	c.store.report(&s)
	return s.Disabled == "", s.Disabled
}

// Close writes what is queued and closes the store. After it Get misses and Put
// refuses. It may be called more than once.
func (c *Cache) Close() error {
	err := c.store.close()
	c.codec.close()
	return err
}

// clone returns a copy that shares nothing with e.
func (e *Entry) clone() *Entry {
	c := *e
	c.Header = e.Header.Clone()
	c.Body = append([]byte(nil), e.Body...)
	return &c
}

// firstLine shortens an error to what may be logged: Badger appends a hex dump
// of the value.
func firstLine(err error) string {
	line, _, _ := strings.Cut(err.Error(), "\n")
	if len(line) > 300 {
		line = line[:300] + "…"
	}
	return line
}
