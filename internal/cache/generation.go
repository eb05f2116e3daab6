package cache

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/dgraph-io/badger/v4"
	"github.com/dgraph-io/badger/v4/options"
)

// level0 is the number of index tables from which opening a generation merges them. There is one more after each restart
// and after each full memtable; merging while serving would write to the disk when nobody looks at how full it is.
const level0 = 16

// recordCost is more than a record takes on disk beside its own bytes: its headers and key in the value log, its key and
// pointer in the index log and later in an index table, and the end of its transaction.
const recordCost = 320

var errClosed = errors.New("the generation is closed")

// generation is one Badger directory. Many may read it; one goroutine, the disk's writer, does all the rest.
type generation struct {
	dir      string
	db       *badger.DB
	measured int64 // bytes allocated when last looked
	grown    int64 // bytes at most since
	flushed  int   // index tables when last looked
	keys     int64 // in those
	fresh    int64 // written since

	mu     sync.RWMutex // held while reading: a Badger that is closed unmaps what is being read
	closed bool
}

// used returns how many bytes the generation takes on disk, at most.
func (g *generation) used() int64 { return g.measured + g.grown }

// openGeneration opens the directory of a generation. The error wraps errBroken if it can only be set aside.
func openGeneration(dir string, s sizes, log *slog.Logger) (*generation, error) {
	if err := inspectDir(dir); err != nil {
		return nil, err
	}
	if err := markOpening(dir, sentinelOpened); err != nil {
		return nil, err
	}
	return openMarked(dir, s, log)
}

// createGeneration opens an empty directory.
func createGeneration(dir string, s sizes, log *slog.Logger) (*generation, error) {
	if err := markOpening(dir, sentinelCreated); err != nil {
		return nil, err
	}
	return openMarked(dir, s, log)
}

func openMarked(dir string, s sizes, log *slog.Logger) (*generation, error) {
	db, err := badger.Open(badgerOptions(dir, s, log))
	if err != nil {
		if clearErr := clearOpening(dir); clearErr != nil {
			return nil, clearErr
		}
		return nil, openError(dir, err)
	}
	g := &generation{dir: dir, db: db}
	if len(db.Tables()) > level0 {
		if err := db.Flatten(1); err != nil {
			log.Warn("cache: merging index tables failed", "dir", dir, "error", firstLine(err))
		}
	}
	if err := clearOpening(dir); err != nil {
		return nil, errors.Join(err, g.close())
	}
	return g, g.measure()
}

func badgerOptions(dir string, s sizes, log *slog.Logger) badger.Options {
	return badger.DefaultOptions(dir).
		WithLogger(&badgerLog{log: log}).
		WithMetricsEnabled(false).
		WithDetectConflicts(false). // one writer, and the last word on a key wins
		WithSyncWrites(false).      // survives kill -9; after a power cut the sums tell
		WithChecksumVerificationMode(options.OnBlockRead).
		WithVerifyValueChecksum(true). // or a flipped length in a value's header panics with a lock held
		WithMemTableSize(s.memtable).WithNumMemtables(2).
		// Compaction has nothing to gain here: values are not in the index, and a generation is thrown away as a whole.
		WithNumCompactors(0).WithNumLevelZeroTables(level0).WithNumLevelZeroTablesStall(1 << 30).
		WithBlockCacheSize(0).WithCompression(options.None). // bodies are compressed already, and mapped files need no cache
		WithValueThreshold(minValue).
		// A file is mapped at twice this size and must never outgrow that: Badger would move the mapping under its readers.
		WithValueLogFileSize(s.valueLog)
}

// minValue is the least length of what goes into the value log, below that of any record.
const minValue = 64

// openError tells apart what Badger may fail with: errors of the surroundings are returned as they are, everything else
// is the directory's fault. Badger's errors do not wrap, so their text has to do.
func openError(dir string, err error) error {
	text := strings.ToLower(err.Error())
	if strings.Contains(text, "acquire directory lock") {
		return fmt.Errorf("opening %q: %w", dir, ErrInUse)
	}
	for _, s := range []string{
		"no space left", "quota exceeded", "permission denied", "not permitted", "read-only file system", "too many open files", "cannot allocate memory",
	} {
		if strings.Contains(text, s) {
			return fmt.Errorf("opening %q: %s", dir, firstLine(err))
		}
	}
	return fmt.Errorf("%w: %s", errBroken, firstLine(err))
}

// get returns the entry of k, and its record if keep is set. A key that is not there gives badger.ErrKeyNotFound, a
// generation that is going away errClosed, everything else means damage.
func (g *generation) get(k Key, c *codec, keep bool) (e *Entry, record []byte, err error) {
	g.mu.RLock()
	defer g.mu.RUnlock()
	if g.closed {
		return nil, nil, errClosed
	}
	err = g.db.View(func(txn *badger.Txn) error {
		item, err := txn.Get(k[:])
		if err != nil {
			return err
		}
		return item.Value(func(mapped []byte) error {
			if e, err = c.decode(k, mapped); err == nil && keep {
				record = append([]byte(nil), mapped...)
			}
			return err
		})
	})
	return e, record, err
}

// commit writes the batch, records in the order of batch, and returns when it would survive the end of the process.
func (g *generation) commit(batch []*pending, records [][]byte, now time.Time) error {
	txn := g.db.NewTransaction(true)
	defer func() { txn.Discard() }()
	for i, p := range batch {
		if records[i] == nil {
			continue
		}
		expires := p.expires
		if p.entry != nil {
			expires = p.entry.Expires
		}
		// Badger counts lifetimes in whole seconds and by its own clock: round up, the record says it exactly.
		entry := badger.NewEntry(p.key[:], records[i]).WithTTL(expires.Sub(now) + time.Second)
		err := txn.SetEntry(entry)
		if errors.Is(err, badger.ErrTxnTooBig) {
			if err = txn.Commit(); err == nil {
				txn = g.db.NewTransaction(true)
				err = txn.SetEntry(entry)
			}
		}
		if err != nil {
			return err
		}
		g.grown += int64(len(records[i])) + recordCost
		g.fresh++
	}
	return txn.Commit()
}

// remove deletes records; their bytes stay on disk until the generation goes.
func (g *generation) remove(keys ...Key) error {
	return g.db.Update(func(txn *badger.Txn) error {
		for i := range keys {
			g.grown += recordCost
			if err := txn.Delete(keys[i][:]); err != nil {
				return err
			}
		}
		return nil
	})
}

// page returns up to count records whose keys come after one, in their order, and where to go on; nil at the end. What
// cannot be read is left out. It holds the generation only as long as that takes, so that it can be closed between two pages.
func (g *generation) page(after []byte, count int) (list []item, next []byte, err error) {
	g.mu.RLock()
	defer g.mu.RUnlock()
	if g.closed {
		return nil, nil, errClosed
	}
	err = g.db.View(func(txn *badger.Txn) error {
		o := badger.DefaultIteratorOptions
		o.PrefetchValues = false
		it := txn.NewIterator(o)
		defer it.Close()
		for it.Seek(after); it.Valid() && len(list) < count; it.Next() {
			found := it.Item()
			h := item{}
			if len(found.Key()) != len(h.key) {
				continue
			}
			copy(h.key[:], found.Key())
			// A value that Badger cannot read is as damaged as one that does not match its sum.
			if record, err := found.ValueCopy(nil); err == nil {
				h.record = record
			}
			list = append(list, h)
		}
		if it.Valid() {
			next = it.Item().KeyCopy(nil)
		}
		return nil
	})
	return list, next, err
}

// has reports whether the generation knows the key.
func (g *generation) has(k Key) bool {
	g.mu.RLock()
	defer g.mu.RUnlock()
	return !g.closed && g.db.View(func(txn *badger.Txn) error { _, err := txn.Get(k[:]); return err }) == nil
}

// measure looks how much the directory takes on disk, and sees to it that only our user can read it: Badger creates its
// files for everybody.
func (g *generation) measure() error {
	bytes, err := measure(g.dir, 0o600)
	if err != nil {
		return err
	}
	g.measured, g.grown = bytes, 0
	if tables := g.db.Tables(); len(tables) != g.flushed {
		g.flushed, g.keys, g.fresh = len(tables), 0, 0
		for _, t := range tables {
			g.keys += int64(t.KeyCount)
		}
	}
	return nil
}

// measure adds up what the files in dir and dir itself take on disk. A mode other than 0 is given to each file that has
// another.
func measure(dir string, mode fs.FileMode) (int64, error) {
	var sum int64
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err == nil {
			var info fs.FileInfo
			if info, err = entry.Info(); err == nil {
				sum += allocated(info)
				if mode != 0 && info.Mode().IsRegular() && info.Mode().Perm() != mode {
					err = os.Chmod(path, mode)
				}
			}
		}
		if errors.Is(err, fs.ErrNotExist) { // Badger deletes files when it likes
			return nil
		}
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("measuring the cache: %w", err)
	}
	return sum, nil
}

// close waits for readers and closes Badger.
func (g *generation) close() error {
	g.mu.Lock()
	g.closed = true
	g.mu.Unlock()
	if err := g.db.Close(); err != nil {
		return fmt.Errorf("closing %q: %s", g.dir, firstLine(err))
	}
	return nil
}

// badgerLog passes on what Badger has to complain of, a line a minute and less the values it dumps. It repeats itself
// for each damaged value, and what matters is counted in Stats.
type badgerLog struct {
	log      *slog.Logger
	warnings complaint
}

func (l *badgerLog) Errorf(format string, args ...any) {
	l.warnings.log(l.log, "cache: badger", fmt.Errorf(format, args...))
}

func (l *badgerLog) Warningf(format string, args ...any) { l.Errorf(format, args...) }

func (*badgerLog) Infof(string, ...any)  {}
func (*badgerLog) Debugf(string, ...any) {}
