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
)

// disk keeps entries in Badger.
//
// Badger bounds nothing: deleted and expired values stay on disk until its collector gets to them, which it does not
// under load (measured: 464 MB for 3 s of answers). So there are two generations, each a Badger of its own with half of
// the bytes. All writes go to the newer one; reads try it, then the older one, and what is found there is written again.
// When the newer one is full, the older one is closed and deleted as a whole, and a new one begun.
//
// Badger writes to mapped files: on a full disk that is SIGBUS, the end of the process. So the writer asks for the free
// space before each batch and writes nothing below a floor; see space.go.
type disk struct {
	dir   string
	sizes sizes
	codec *codec
	queue *queue
	now   func() time.Time
	log   *slog.Logger
	lock  *os.File

	// Of the writer alone.
	aside      string // directory set aside, empty if none
	asideBytes int64
	full       bool      // writing is off because the disk is nearly full
	resume     time.Time // writing stays off until then

	mu          sync.RWMutex
	generations []*generation // the newest first; replaced as a whole, never changed in place

	disabled atomic.Pointer[string] // why nothing is written; nil: it is
	stored   atomic.Int64
	dropped  atomic.Int64
	damaged  atomic.Int64
	keys     atomic.Int64
	lost     complaint
	wrong    complaint

	tasks chan func() // what the writer does besides writing
	stop  chan struct{}
	done  chan struct{}
	once  sync.Once
	err   error // of closing
}

func openDisk(o Options, c *codec) (store, error) {
	if err := os.MkdirAll(o.Dir, 0o700); err != nil {
		return store{}, notOurs(o.Dir, err)
	}
	lockFile, err := os.OpenFile(filepath.Join(o.Dir, "LOCK"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return store{}, notOurs(o.Dir, err)
	}
	if err := lock(lockFile); err != nil {
		lockFile.Close()
		return store{}, fmt.Errorf("opening the cache directory %q: %w; stop it, or give this one a directory of its own", o.Dir, err)
	}
	d := &disk{
		dir: o.Dir, codec: c, now: o.Now, log: o.Log, lock: lockFile,
		tasks: make(chan func()), stop: make(chan struct{}), done: make(chan struct{}),
	}
	if err := d.begin(o); err != nil {
		lockFile.Close()
		return store{}, err
	}
	go d.run()
	return store{get: d.get, put: d.put, report: d.report, close: d.close, each: d.each, load: d.load, remove: d.remove, clear: d.clear}, nil
}

// notOurs explains a directory that this process may not write.
func notOurs(dir string, err error) error {
	if errors.Is(err, fs.ErrPermission) || errors.Is(err, syscall.EROFS) {
		return fmt.Errorf("the cache directory %q cannot be written by user %d: %w; change its owner, or name another directory", dir, os.Getuid(), err)
	}
	return fmt.Errorf("opening the cache directory %q: %w", dir, err)
}

// begin plans the sizes and opens what is there, if the disk has room for that.
func (d *disk) begin(o Options) error {
	free, total, err := volume(d.dir)
	if err != nil {
		return err
	}
	d.sizes = plan(o.MaxBytes, o.MaxEntryBytes, total)
	if d.sizes.max < o.MaxBytes {
		d.log.Warn("cache: the volume is small, so the cache takes half of it at most", "dir", d.dir, "bytes", d.sizes.max, "configured", o.MaxBytes)
	}
	d.queue = newQueue(d.sizes.batch)
	if free < d.sizes.floor {
		d.short(free)
		return nil
	}
	if err := d.openGenerations(); err != nil && isFull(err) {
		d.full = true
		d.disable(firstLine(err))
		return nil
	} else if err != nil {
		return err
	}
	return nil
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
	s.Entries, s.MaxBytes, s.Pending = d.keys.Load(), d.sizes.max, d.queue.len()
	s.Stored, s.Dropped, s.Damaged = d.stored.Load(), d.dropped.Load(), d.damaged.Load()
	if reason := d.disabled.Load(); reason != nil {
		s.Disabled = *reason
	}
	var err error
	if s.Bytes, err = measure(d.dir, 0); err != nil {
		s.Bytes = -1
	}
}

// run is the writer: the only goroutine that changes anything on disk.
func (d *disk) run() {
	defer close(d.done)
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-d.queue.ready:
			d.write()
		case task := <-d.tasks:
			task()
		case <-tick.C:
			d.inspect()
		case <-d.stop:
			for d.queue.len() > 0 {
				d.write()
			}
			d.err = d.end()
			return
		}
	}
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
	if !d.room(bytes) {
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

// removeDamaged deletes a damaged record where it was found, if that is still there.
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
	d.once.Do(func() {
		d.queue.close()
		close(d.stop)
		<-d.done
		d.err = errors.Join(d.err, d.lock.Close())
	})
	return d.err
}

// complaint is a line of the log that is written once a minute at most, however often its cause comes up.
type complaint struct{ last atomic.Int64 }

func (c *complaint) log(log *slog.Logger, message string, err error) {
	now := time.Now().Unix()
	if last := c.last.Load(); now-last >= 60 && c.last.CompareAndSwap(last, now) {
		log.Warn(message, "error", firstLine(err))
	}
}
