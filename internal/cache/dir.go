package cache

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/dgraph-io/badger/v4"
	"github.com/dgraph-io/badger/v4/table"
)

// The cache directory holds LOCK; at most two generations, named gen-00000001,
// gen-00000002, …; at most one generation that was set aside, as
// gen-00000001.corrupt-<time>; and gen-00000001.removed while it is being
// deleted. No other file there is touched.
const (
	generationPrefix = "gen-"
	corruptInfix     = ".corrupt-"
	removedSuffix    = ".removed"

	// sentinel is a file that exists in a generation while it is being opened.
	// Badger ends the process on some kinds of damage (measured: a truncated
	// table) and on a full disk, from goroutines that cannot be recovered. If
	// the file exists at the next start, that happened, and the generation is
	// not opened again.
	sentinel        = "OPENING"
	sentinelOpened  = "opened"
	sentinelCreated = "created" // the first word in it, of a generation that holds nothing yet
)

// errBroken is wrapped by the errors of directories that must be set aside.
var errBroken = errors.New("damaged")

func generationName(n int) string { return fmt.Sprintf("%s%08d", generationPrefix, n) }

// survey lists the numbers of the generations in dir, the oldest first, and the
// newest directory that was set aside. It deletes what an earlier process did
// not get to delete.
func survey(dir string) (numbers []int, aside string, err error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, "", fmt.Errorf("reading the cache directory: %w", err)
	}
	for _, entry := range entries {
		name, ok := strings.CutPrefix(entry.Name(), generationPrefix)
		if !ok || !entry.IsDir() {
			continue
		}
		path := filepath.Join(dir, entry.Name())
		if n, err := strconv.Atoi(name); err == nil && entry.Name() == generationName(n) {
			numbers = append(numbers, n)
		} else if strings.HasSuffix(name, removedSuffix) {
			if err := os.RemoveAll(path); err != nil {
				return nil, "", fmt.Errorf("deleting an old generation: %w", err)
			}
		} else if strings.Contains(name, corruptInfix) {
			if aside != "" {
				if err := os.RemoveAll(aside); err != nil {
					return nil, "", fmt.Errorf("deleting a damaged generation: %w", err)
				}
			}
			aside = path
		}
	}
	slices.Sort(numbers)
	return numbers, aside, nil
}

// setAside renames a damaged generation, so that the operator can inspect it,
// and returns its new path.
func setAside(dir string) (string, error) {
	to := dir + corruptInfix + time.Now().UTC().Format("20060102T150405Z")
	if err := os.RemoveAll(to); err != nil {
		return "", fmt.Errorf("making space for a damaged generation: %w", err)
	}
	if err := os.Rename(dir, to); err != nil {
		return "", fmt.Errorf("setting a damaged generation aside: %w", err)
	}
	return to, nil
}

// discard deletes a generation. The rename ensures that a process that dies
// meanwhile leaves nothing that looks like a generation.
func discard(dir string) error {
	if err := os.Rename(dir, dir+removedSuffix); err != nil {
		return fmt.Errorf("deleting an old generation: %w", err)
	}
	if err := os.RemoveAll(dir + removedSuffix); err != nil {
		return fmt.Errorf("deleting an old generation: %w", err)
	}
	return nil
}

func markOpening(dir, how string) error {
	f, err := os.OpenFile(filepath.Join(dir, sentinel), os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return fmt.Errorf("marking a generation: %w", err)
	}
	_, err = fmt.Fprintf(f, "%s at %s by process %d\n", how, time.Now().UTC().Format(time.RFC3339), os.Getpid())
	if err = errors.Join(err, f.Sync(), f.Close(), syncDir(dir)); err != nil {
		return fmt.Errorf("marking a generation: %w", err)
	}
	return nil
}

// isUnfinished reports whether a process died while it created this generation,
// which therefore holds nothing.
func isUnfinished(dir string) bool {
	text, err := os.ReadFile(filepath.Join(dir, sentinel))
	if err != nil {
		return false
	}
	entries, err := os.ReadDir(dir)
	return strings.HasPrefix(string(text), sentinelCreated) || (err == nil && len(entries) == 1)
}

func clearOpening(dir string) error {
	if err := errors.Join(os.Remove(filepath.Join(dir, sentinel)), syncDir(dir)); err != nil {
		return fmt.Errorf("unmarking a generation: %w", err)
	}
	return nil
}

func syncDir(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// inspectDir finds the damage for which Badger would end the process, before
// Badger reads it.
func inspectDir(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return fmt.Errorf("reading a generation: %w", err)
	}
	data := false
	for _, entry := range entries {
		if entry.Name() == sentinel {
			return fmt.Errorf("%w: an earlier start did not live through opening it", errBroken)
		}
		switch filepath.Ext(entry.Name()) {
		case ".sst":
			data = true
		case ".vlog", ".mem":
			data = true
			if err := inspectLog(filepath.Join(dir, entry.Name())); err != nil {
				return err
			}
		}
	}
	keys, err := badger.OpenKeyRegistry(badger.KeyRegistryOptions{Dir: dir, ReadOnly: true})
	if err != nil {
		return fmt.Errorf("%w: %s: %s", errBroken, badger.KeyRegistryFileName, firstLine(err))
	}
	if err := keys.Close(); err != nil {
		return fmt.Errorf("reading a generation: %w", err)
	}
	f, err := os.Open(filepath.Join(dir, badger.ManifestFilename))
	if errors.Is(err, fs.ErrNotExist) {
		if data {
			return fmt.Errorf("%w: %s is missing", errBroken, badger.ManifestFilename)
		}
		return nil
	}
	if err != nil {
		return fmt.Errorf("reading a generation: %w", err)
	}
	defer f.Close()
	manifest, _, err := badger.ReplayManifestFile(f, 0, badger.DefaultOptions(dir).WithLogger(nil))
	if err != nil {
		return fmt.Errorf("%w: %s: %s", errBroken, badger.ManifestFilename, firstLine(err))
	}
	// Other tables may exist, half written when a process died. Badger deletes
	// those without reading them.
	for id := range manifest.Tables {
		name := table.NewFilename(id, dir)
		if err := inspectTable(name); err != nil {
			return fmt.Errorf("%w: %s: %s", errBroken, filepath.Base(name), firstLine(err))
		}
	}
	return nil
}

// inspectLog checks the head of a log of values or of index entries: it starts
// with the number of its encryption key, which is 0 here. A process that dies
// between creating a file and sizing it leaves an empty one. That file holds
// nothing, but Badger would not open the directory because of it.
func inspectLog(name string) error {
	f, err := os.Open(name)
	if err != nil {
		return fmt.Errorf("reading a generation: %w", err)
	}
	defer f.Close()
	var key [8]byte
	switch _, err := io.ReadFull(f, key[:]); {
	case err == io.EOF:
		if err := os.Remove(name); err != nil {
			return fmt.Errorf("deleting an empty log: %w", err)
		}
	case err == io.ErrUnexpectedEOF:
	case err != nil:
		return fmt.Errorf("reading a generation: %w", err)
	case binary.BigEndian.Uint64(key[:]) != 0:
		return fmt.Errorf("%w: %s does not start as a log does", errBroken, filepath.Base(name))
	}
	return nil
}

// inspectTable verifies the index of a table, without which Badger cannot open
// the table. Blocks are verified when they are read. The layout from the end of
// the file backwards: length of the checksum, checksum, length of the index,
// index.
func inspectTable(name string) error {
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	end := info.Size()
	back := func(n int64) ([]byte, error) {
		if n < 0 || n > end {
			return nil, errors.New("the table is cut off")
		}
		end -= n
		b := make([]byte, n)
		_, err := f.ReadAt(b, end)
		return b, err
	}
	counted := func() ([]byte, error) {
		length, err := back(4)
		if err != nil {
			return nil, err
		}
		return back(int64(binary.BigEndian.Uint32(length)))
	}
	sum, err := counted()
	if err != nil {
		return err
	}
	index, err := counted()
	if err != nil {
		return err
	}
	if want, ok := tableSum(sum); !ok || want != uint64(crc32.Checksum(index, crc32.MakeTable(crc32.Castagnoli))) {
		return errors.New("the index of the table does not match its checksum")
	}
	return nil
}

// tableSum reads Badger's pb.Checksum message: field 1 is the algorithm, 0
// (left out) for CRC-32C, and field 2 the sum.
func tableSum(message []byte) (sum uint64, ok bool) {
	if len(message) == 0 || message[0] != 2<<3 {
		return 0, false
	}
	sum, n := binary.Uvarint(message[1:])
	return sum, n > 0 && 1+n == len(message)
}
