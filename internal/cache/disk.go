package cache

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/dgraph-io/badger/v4"

	"forward/internal/lockfile"
)

// disk keeps entries in Badger.
//
// Badger does not bound its size: deleted and expired values stay on disk until
// its collector reaches them, and under load it does not (measured: 464 MB for
// 3 s of answers). So there are two generations, each a Badger of its own with
// half of the bytes. All writes go to the newer one. Reads try it first, then
// the older one, and write again what they find there. When the newer one is
// full, the older one is closed and deleted as a whole, and a new one is
// created.
//
// Badger writes to mapped files, so a full disk is SIGBUS, the end of the
// process. The writer therefore checks the free space before each batch and
// writes nothing below a floor; see space.go.
type disk struct {
	dir   string
	sizes sizes
	codec *codec
	now   func() time.Time
	log   *slog.Logger
	lock  *lockfile.Lock
	*writer
	counters

	// The fields below belong to the writer alone.
	aside      string // directory set aside, empty if none
	asideBytes int64
	full       bool      // writing is off because the disk is nearly full
	resume     time.Time // writing stays off until then

	mu          sync.RWMutex
	generations []*generation // the newest first; replaced as a whole, never changed in place

	disabled atomic.Pointer[string] // why writing is off; nil: it is on
	keys     atomic.Int64
	lost     complaint
	wrong    complaint

	err error // of closing
}

func openDisk(o Options, c *codec) (store, error) {
	if err := os.MkdirAll(o.Dir, 0o700); err != nil {
		return store{}, notOurs(o.Dir, err)
	}
	lock, err := lockfile.Take(filepath.Join(o.Dir, "LOCK"))
	switch {
	case errors.Is(err, lockfile.ErrHeld):
		return store{}, fmt.Errorf("opening the cache directory %q: %w; stop it, or give this one a directory of its own", o.Dir, ErrInUse)
	case err != nil:
		return store{}, notOurs(o.Dir, err)
	}
	d := &disk{dir: o.Dir, codec: c, now: o.Now, log: o.Log, lock: lock}
	if err := d.start(o); err != nil {
		lock.Close()
		return store{}, err
	}
	go d.run(d.write, time.Second, d.inspect, func() { d.err = d.end() })
	return store{
		get: d.get, put: d.put, report: d.report, close: d.close,
		each: d.each, load: d.load, remove: d.remove, clear: d.clear,
	}, nil
}

// notOurs explains why this process cannot write a directory.
func notOurs(dir string, err error) error {
	if errors.Is(err, fs.ErrPermission) || errors.Is(err, syscall.EROFS) {
		return fmt.Errorf("the cache directory %q cannot be written by user %d: %w; change its owner, or name another directory",
			dir, os.Getuid(), err)
	}
	return fmt.Errorf("opening the cache directory %q: %w", dir, err)
}

// start computes the sizes and opens the generations, if the disk has space for
// that.
func (d *disk) start(o Options) error {
	free, total, err := volume(d.dir)
	if err != nil {
		return err
	}
	d.sizes = plan(o.MaxBytes, o.MaxEntryBytes, total)
	if d.sizes.max < o.MaxBytes {
		d.log.Warn("cache: the volume is small, so the cache takes half of it at most",
			"dir", d.dir, "bytes", d.sizes.max, "configured", o.MaxBytes)
	}
	d.writer = newWriter(newQueue(d.sizes.batch))
	if free < d.sizes.floor {
		d.short(free)
		return nil
	}
	err = d.openGenerations()
	if err != nil && isFull(err) {
		d.full = true
		d.disable(firstLine(err))
		return nil
	}
	return err
}

func (d *disk) get(_ context.Context, k Key) (*Entry, bool) {
	if e := d.queue.get(k); e != nil {
		return e, true
	}
	for i, g := range d.current() {
		e, record, err := g.get(k, d.codec, i > 0)
		switch {
		case err == nil:
			if i > 0 && d.disabled.Load() == nil {
				d.queue.put(&pending{key: k, raw: record, expires: e.Expires})
			}
			return e, true
		case errors.Is(err, badger.ErrKeyNotFound), errors.Is(err, errClosed), errors.Is(err, errVersion):
		default:
			d.damaged.Add(1)
			d.wrong.log(d.log, "cache: a record is damaged; it is deleted and asked for again", err)
			d.queue.put(&pending{key: k, damaged: g})
		}
	}
	return nil, false
}

func (d *disk) current() []*generation {
	d.mu.RLock()
	defer d.mu.RUnlock()
	return d.generations
}

func (d *disk) put(k Key, e *Entry) bool {
	if d.disabled.Load() != nil || int64(len(e.Body)) > d.sizes.entry {
		return false
	}
	return d.queue.put(&pending{key: k, entry: e})
}

func (d *disk) report(s *Stats) {
	s.Entries = d.keys.Load()
	s.MaxBytes = d.sizes.max
	s.Pending = d.queue.len()
	d.counters.report(s)
	if reason := d.disabled.Load(); reason != nil {
		s.Disabled = *reason
	}
	bytes, err := measure(d.dir, 0)
	if err != nil {
		bytes = -1
	}
	s.Bytes = bytes
}

// write writes one batch.
func (d *disk) write() {
	batch := d.queue.take()
	defer d.queue.done(batch)
	records := make([][]byte, len(batch))
	var count, bytes int64
	for i, p := range batch {
		switch {
		case p.entry != nil:
			records[i] = d.codec.encode(p.key, p.entry)
		case p.raw != nil:
			records[i] = p.raw
		default:
			d.removeDamaged(p)
			continue
		}
		count++
		bytes += int64(len(records[i])) + recordCost
	}
	if count == 0 {
		return
	}
	if !d.makeSpace(bytes) {
		d.dropped.Add(count)
		return
	}
	g := d.current()[0]
	if err := g.commit(batch, records, d.now()); err != nil {
		d.dropped.Add(count)
		d.fail("writing failed", err)
		return
	}
	d.stored.Add(count)
	d.countKeys()
}

// removeDamaged deletes a damaged record where it was found, if that generation
// still exists.
func (d *disk) removeDamaged(p *pending) {
	for _, g := range d.current() {
		if g == p.damaged && d.disabled.Load() == nil {
			if err := g.remove(p.key); err != nil {
				d.lost.log(d.log, "cache: deleting a damaged record failed", err)
			}
		}
	}
}

func (d *disk) countKeys() {
	var keys int64
	for _, g := range d.current() {
		keys += g.keys + g.fresh
	}
	d.keys.Store(keys)
}

func (d *disk) close() error {
	d.writer.close(func() { d.err = errors.Join(d.err, d.lock.Close()) })
	return d.err
}

// complaint is a log line that is written once a minute at most, however often
// its cause occurs. The zero value is ready.
type complaint struct{ last atomic.Int64 }

func (c *complaint) log(log *slog.Logger, message string, err error) {
	now := time.Now().Unix()
	if last := c.last.Load(); now-last >= 60 && c.last.CompareAndSwap(last, now) {
		log.Warn(message, "error", firstLine(err))
	}
}
