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

// level0 is the number of index tables from which opening a generation merges
// them. Each restart and each full memtable adds one. Merging while serving
// would write to the disk without a check of the free space.
const level0 = 16

// recordCost is an upper bound of what a record takes on disk beside its own
// bytes: its headers and key in the value log, its key and pointer in the index
// log and later in an index table, and the end of its transaction.
const recordCost = 320

var errClosed = errors.New("the generation is closed")

// generation is one Badger directory. Any goroutine may read it; only the
// disk's writer does anything else.
type generation struct {
	dir      string
	db       *badger.DB
	measured int64 // bytes allocated at the last measurement
	grown    int64 // upper bound of the bytes written since
	flushed  int   // index tables at the last measurement
	keys     int64 // in these tables
	fresh    int64 // keys written since

	mu     sync.RWMutex // held while reading: a Badger that is closed unmaps what is being read
	closed bool
}

// used returns an upper bound of the bytes that the generation takes on disk.
func (g *generation) used() int64 { return g.measured + g.grown }

// openGeneration opens the directory of a generation. The error wraps errBroken
// if the directory can only be set aside.
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
	db, err := openBadger(badgerOptions(dir, s, log))
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

// lockPatience is how long Badger's own lock may be held by what is no gateway.
const lockPatience = 2 * time.Second

// openBadger opens Badger. This process has the lock of the whole cache, so
// where Badger's is held, its holder is a child that was forked while another
// Badger had it open, and that has not come to its exec.
func openBadger(o badger.Options) (*badger.DB, error) {
	for end := time.Now().Add(lockPatience); ; time.Sleep(10 * time.Millisecond) {
		db, err := badger.Open(o)
		if err == nil || !isLocked(err) || time.Now().After(end) {
			return db, err
		}
	}
}

// isLocked reports whether an error is that another process has the directory.
func isLocked(err error) bool {
	return strings.Contains(strings.ToLower(err.Error()), "acquire directory lock")
}

func badgerOptions(dir string, s sizes, log *slog.Logger) badger.Options {
	return badger.DefaultOptions(dir).
		WithLogger(&badgerLog{log: log}).
		WithMetricsEnabled(false).
		WithDetectConflicts(false). // one writer, and the last word on a key wins
		WithSyncWrites(false).      // survives kill -9; after a power cut the sums decide
		WithChecksumVerificationMode(options.OnBlockRead).
		WithVerifyValueChecksum(true). // or a flipped length in a value's header panics with a lock held
		WithMemTableSize(s.memtable).WithNumMemtables(2).
		// Compaction gains nothing here: values are not in the index, and a
		// generation is deleted as a whole.
		WithNumCompactors(0).WithNumLevelZeroTables(level0).WithNumLevelZeroTablesStall(1 << 30).
		WithBlockCacheSize(0).WithCompression(options.None). // bodies are compressed already, and mapped files need no cache
		WithValueThreshold(minValue).
		// A file is mapped at twice this size and must never grow beyond that:
		// Badger would move the mapping while others read it.
		WithValueLogFileSize(s.valueLog)
}

// minValue is the least length of a value that goes into the value log. Every
// record is longer.
const minValue = 64

// openError classifies an error of opening Badger: errors of the environment
// are returned as they are, every other error means that the directory is
// damaged. Badger's errors do not wrap, so their text decides.
func openError(dir string, err error) error {
	if isLocked(err) {
		return fmt.Errorf("opening %q: %w", dir, ErrInUse)
	}
	text := strings.ToLower(err.Error())
	for _, s := range []string{
		"no space left", "quota exceeded", "permission denied", "not permitted",
		"read-only file system", "too many open files", "cannot allocate memory",
	} {
		if strings.Contains(text, s) {
			return fmt.Errorf("opening %q: %s", dir, firstLine(err))
		}
	}
	return fmt.Errorf("%w: %s", errBroken, firstLine(err))
}

// get returns the entry of k, and its record if keep is set. The error is
// badger.ErrKeyNotFound for a key that is absent and errClosed for a generation
// that is being closed; every other error means damage.
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

// commit writes the batch, with records in its order. When it returns, the
// batch survives the end of the process.
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
		// Badger counts lifetimes in whole seconds and by its own clock. The
		// lifetime is rounded up, and the record has the exact time.
		entry := badger.NewEntry(p.key[:], records[i]).WithTTL(expires.Sub(now) + time.Second)
		err := txn.SetEntry(entry)
		if errors.Is(err, badger.ErrTxnTooBig) {
			if err := txn.Commit(); err != nil {
				return err
			}
			txn = g.db.NewTransaction(true)
			err = txn.SetEntry(entry)
		}
		if err != nil {
			return err
		}
		g.grown += int64(len(records[i])) + recordCost
		g.fresh++
	}
	return txn.Commit()
}

// remove deletes records. Their bytes stay on disk as long as the generation
// does.
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

// page returns up to count records in the order of their keys, the first one at
// or after the key after, and the key at which to continue, nil at the end.
// Values that cannot be read are left out. It holds the generation only while
// it reads, so that the generation can be closed between two pages.
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
			// A value that Badger cannot read is as damaged as one that does
			// not match its sum.
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

// has reports whether the generation has the key.
func (g *generation) has(k Key) bool {
	g.mu.RLock()
	defer g.mu.RUnlock()
	if g.closed {
		return false
	}
	err := g.db.View(func(txn *badger.Txn) error {
		_, err := txn.Get(k[:])
		return err
	})
	return err == nil
}

// measure reads how much the directory takes on disk. It also removes other
// users' access to the files, which Badger creates readable for all.
func (g *generation) measure() error {
	bytes, err := measure(g.dir, 0o600)
	if err != nil {
		return err
	}
	g.measured = bytes
	g.grown = 0
	if tables := g.db.Tables(); len(tables) != g.flushed {
		g.flushed = len(tables)
		g.keys = 0
		g.fresh = 0
		for _, t := range tables {
			g.keys += int64(t.KeyCount)
		}
	}
	return nil
}

// measure adds up what dir and the files in it take on disk. A mode other than
// 0 is set on each file that has another one.
func measure(dir string, mode fs.FileMode) (int64, error) {
	var sum int64
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err == nil {
			err = measureEntry(path, entry, mode, &sum)
		}
		if errors.Is(err, fs.ErrNotExist) { // Badger deletes files at any time
			return nil
		}
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("measuring the cache: %w", err)
	}
	return sum, nil
}

func measureEntry(path string, entry fs.DirEntry, mode fs.FileMode, sum *int64) error {
	info, err := entry.Info()
	if err != nil {
		return err
	}
	*sum += allocated(info)
	if mode != 0 && info.Mode().IsRegular() && info.Mode().Perm() != mode {
		return os.Chmod(path, mode)
	}
	return nil
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

// badgerLog passes on Badger's warnings, one a minute and without the values
// that they dump. Badger repeats itself for each damaged value, and the number
// is in Stats anyway.
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
