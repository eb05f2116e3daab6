package cache

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// sizes are the bounds that follow from Options.MaxBytes, all in bytes.
type sizes struct {
	max      int64 // of everything on disk
	limit    int64 // of one generation, before the next is created
	memtable int64 // index entries kept in memory, and in a log on disk
	valueLog int64 // of one file of values
	entry    int64 // longest body
	batch    int64 // written at once
	floor    int64 // free on the volume, or nothing is written
}

// plan divides max bytes on a volume of total bytes.
//
// A generation gets half, less what Badger takes beside the values: closing or
// filling a memtable writes an index table while the log that it comes from
// still exists, and some files have a fixed size.
//
// The floor is 5 % of the volume, because below that other programs on it are
// in trouble too, but at most 512 MiB, which is enough on a large disk. On a
// small volume 5 % would be too little: other programs may fill the disk
// between the check and the end of what Badger then writes. So the floor is at
// least 32 MiB (an eighth of a volume under 256 MiB), and at least four
// memtables, the most that Badger writes at once. A tmpfs of 200 MB with the
// default MaxBytes gets a cache of 100 MB and a floor of 25 MB.
func plan(maxBytes, maxEntry, total int64) sizes {
	s := sizes{max: max(MinBytes, min(maxBytes, total/2))}
	half := s.max / 2
	s.memtable = min(max(half/64, 1<<20), 16<<20)
	s.limit = half - 2*s.memtable - 1<<20
	s.batch = min(s.limit/4, 4<<20)
	s.entry = min(maxEntry, s.limit/4)
	s.valueLog = max(min(half/8, 64<<20), s.batch+2*s.entry+1<<20)
	s.floor = max(min(total/20, 512<<20), min(total/8, 32<<20), 4*s.memtable)
	return s
}

// short turns writing off because the disk is nearly full.
func (d *disk) short(free int64) {
	d.full = true
	d.disable(fmt.Sprintf("the disk is nearly full: %d MiB free, %d MiB are kept free", free>>20, d.sizes.floor>>20))
}

// disable turns writing off and logs that once. inspect turns it on again.
func (d *disk) disable(reason string) {
	if d.disabled.Swap(&reason) == nil {
		d.log.Warn("cache: writing is off", "dir", d.dir, "reason", reason)
	}
}

// fail turns writing off for a while after an error that is not about space.
func (d *disk) fail(what string, err error) {
	d.resume = time.Now().Add(10 * time.Second)
	d.disable(what + ": " + firstLine(err))
}

// inspect runs once a second: it measures the disk, and turns writing off or on
// again.
func (d *disk) inspect() {
	free, _, err := volume(d.dir)
	if err != nil {
		d.fail("looking at the disk failed", err)
		return
	}
	for _, g := range d.current() {
		if err := g.measure(); err != nil {
			d.lost.log(d.log, "cache: measuring failed", err)
		}
	}
	d.countKeys()
	if free < d.sizes.floor {
		d.short(free)
		return
	}
	// Twice the floor, so that a disk that is just full does not turn writing
	// off and on every second.
	if d.disabled.Load() == nil || (d.full && free < 2*d.sizes.floor) || time.Now().Before(d.resume) {
		return
	}
	if len(d.current()) == 0 {
		if err := d.openGenerations(); err != nil {
			d.fail("opening failed", err)
			return
		}
	}
	d.full = false
	d.disabled.Store(nil)
	d.log.Info("cache: writing is on again", "dir", d.dir)
}

// makeSpace reports whether bytes more can be written, after it has deleted old
// answers for them where needed.
func (d *disk) makeSpace(bytes int64) bool {
	if d.disabled.Load() != nil || len(d.current()) == 0 {
		return false
	}
	free, _, err := volume(d.dir)
	if err != nil {
		d.fail("looking at the disk failed", err)
		return false
	}
	if free < d.sizes.floor+bytes {
		d.short(free)
		return false
	}
	newest := d.current()[0]
	if newest.used()+bytes > d.sizes.limit {
		// used is an upper bound. Measure before half of the answers are
		// deleted.
		if err := newest.measure(); err != nil || newest.used()+bytes > d.sizes.limit {
			if err := d.rotate(); err != nil {
				d.fail("creating a generation failed", err)
				return false
			}
		}
	}
	d.yield(bytes, d.current())
	return true
}

// yield deletes the directory that was set aside when its bytes are needed,
// because the bound includes it.
func (d *disk) yield(bytes int64, all []*generation) {
	sum := d.asideBytes + bytes + 2*(2*d.sizes.memtable+1<<20)
	for _, g := range all {
		sum += g.used()
	}
	if d.aside == "" || sum <= d.sizes.max {
		return
	}
	if err := os.RemoveAll(d.aside); err != nil {
		d.lost.log(d.log, "cache: deleting the damaged directory failed", err)
		return
	}
	d.log.Info("cache: deleted the damaged directory, its space is needed", "dir", d.aside)
	d.aside, d.asideBytes = "", 0
}

// rotate creates a new generation. The oldest is deleted first, so that there
// are never more than two on disk.
func (d *disk) rotate() error {
	for all := d.current(); len(all) > 1; all = d.current() {
		doomed := all[len(all)-1]
		d.show(all[:len(all)-1])
		if err := errors.Join(doomed.close(), discard(doomed.dir)); err != nil {
			return err
		}
	}
	number := 1
	if all := d.current(); len(all) > 0 {
		number = numberOf(all[0].dir) + 1
	}
	g, err := d.create(number)
	if err != nil {
		return err
	}
	d.show(append([]*generation{g}, d.current()...))
	return nil
}

func (d *disk) show(generations []*generation) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.generations = generations
}

func numberOf(dir string) int {
	n, _ := strconv.Atoi(strings.TrimPrefix(filepath.Base(dir), generationPrefix)) // survey has parsed it
	return n
}

func (d *disk) create(number int) (*generation, error) {
	dir := filepath.Join(d.dir, generationName(number))
	if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, os.ErrExist) {
		return nil, notOurs(dir, err)
	}
	return createGeneration(dir, d.sizes, d.log)
}

// openGenerations opens the generations on disk and creates the first where
// there is none.
func (d *disk) openGenerations() error {
	numbers, aside, err := survey(d.dir)
	if err != nil {
		return err
	}
	d.aside = aside
	if aside != "" {
		if d.asideBytes, err = measure(aside, 0); err != nil {
			return err
		}
	}
	numbers = slices.DeleteFunc(numbers, func(n int) bool {
		dir := filepath.Join(d.dir, generationName(n))
		return isUnfinished(dir) && discard(dir) == nil
	})
	for ; len(numbers) > 2; numbers = numbers[1:] {
		if err := discard(filepath.Join(d.dir, generationName(numbers[0]))); err != nil {
			return err
		}
	}
	next := 1
	var all []*generation
	for _, n := range numbers {
		next = n + 1
		dir := filepath.Join(d.dir, generationName(n))
		g, err := openGeneration(dir, d.sizes, d.log)
		if errors.Is(err, errBroken) {
			err = d.giveUp(dir, err)
		}
		if err != nil {
			return errors.Join(err, closeAll(all))
		}
		if g != nil {
			all = append([]*generation{g}, all...)
		}
	}
	all, err = d.shrink(all)
	if err != nil {
		return errors.Join(err, closeAll(all))
	}
	if len(all) == 0 {
		g, err := d.create(next)
		if err != nil {
			return err
		}
		all = []*generation{g}
	}
	d.show(all)
	d.countKeys()
	return nil
}

// giveUp sets a damaged generation aside. Only one is kept.
func (d *disk) giveUp(dir string, cause error) error {
	if d.aside != "" {
		if err := os.RemoveAll(d.aside); err != nil {
			return fmt.Errorf("deleting a damaged generation: %w", err)
		}
	}
	to, err := setAside(dir)
	if err != nil {
		return err
	}
	d.log.Warn("cache: a part of the cache is damaged and was set aside; its answers are asked for again",
		"dir", to, "reason", firstLine(cause))
	d.aside = to
	d.asideBytes, err = measure(to, 0)
	return err
}

// shrink deletes generations that exceed the bound because it was lowered
// meanwhile.
func (d *disk) shrink(all []*generation) ([]*generation, error) {
	var kept []*generation
	for i, g := range all {
		if g.used() <= d.sizes.max/2 {
			kept = append(kept, g)
			continue
		}
		d.log.Warn("cache: a part of the cache is larger than its bound allows, and is deleted",
			"dir", g.dir, "bytes", g.used(), "most", d.sizes.max/2)
		if err := errors.Join(g.close(), discard(g.dir)); err != nil {
			return append(kept, all[i+1:]...), err
		}
	}
	d.yield(0, kept)
	return kept, nil
}

// end closes what is open. Closing writes index tables, which on a full disk
// would be the end of the process. There the files are left as kill -9 leaves
// them, and the next start repairs that.
func (d *disk) end() error {
	all := d.current()
	d.show(nil)
	if free, _, err := volume(d.dir); err != nil || free < 2*d.sizes.memtable*int64(len(all)) {
		d.log.Warn("cache: not closed in order, because the disk is full", "dir", d.dir)
		return err
	}
	return closeAll(all)
}

func closeAll(all []*generation) error {
	var errs []error
	for _, g := range all {
		errs = append(errs, g.close())
	}
	return errors.Join(errs...)
}

// isFull reports whether err means that the volume or the process's share of it
// is used up. Badger's errors do not wrap.
func isFull(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) ||
		strings.Contains(err.Error(), syscall.ENOSPC.Error()) || strings.Contains(err.Error(), syscall.EDQUOT.Error())
}
