package cache

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
)

// pageRecords is how many records are copied at a time when all are visited.
const pageRecords = 64

// each visits the older generation first. An entry in use moves to the newer
// one; in this order it is visited twice rather than not at all.
func (d *disk) each(ctx context.Context, visit func(item) bool) error {
	waiting := make(map[Key]bool)
	for _, h := range d.queue.waiting() {
		waiting[h.key] = true
		if !visit(h) {
			return nil
		}
	}
	all := d.current()
	for i, g := range slices.Backward(all) {
		newer := func(h item) bool {
			return waiting[h.key] || slices.ContainsFunc(all[:i], func(n *generation) bool { return n.has(h.key) })
		}
		for at := []byte{}; at != nil && ctx.Err() == nil; {
			list, next, err := g.page(at, pageRecords)
			if errors.Is(err, errClosed) {
				break // deleted meanwhile
			}
			if err != nil {
				return fmt.Errorf("reading %q: %s", g.dir, firstLine(err))
			}
			for _, h := range list {
				if !newer(h) && !visit(h) {
					return nil
				}
			}
			at = next
		}
	}
	return ctx.Err()
}

func (d *disk) load(_ context.Context, k Key) (item, bool) {
	if e := d.queue.get(k); e != nil {
		return item{key: k, entry: e}, true
	}
	for _, g := range d.current() {
		if list, _, err := g.page(k[:], 1); err == nil && len(list) == 1 && list[0].key == k {
			return list[0], true
		}
	}
	return item{}, false
}

// remove has the writer delete the keys. It refuses on a full disk, because a
// deletion is a write too.
func (d *disk) remove(ctx context.Context, keys []Key) error {
	for batch := range slices.Chunk(keys, batchEntries) {
		err := d.do(func() error {
			if reason := d.disabled.Load(); reason != nil {
				return fmt.Errorf("nothing can be deleted one by one: %s; purging everything works", *reason)
			}
			d.queue.forget(batch...)
			if !d.makeSpace(int64(len(batch)) * recordCost) {
				return errors.New("nothing can be deleted one by one: the disk is nearly full; purging everything works")
			}
			for _, g := range d.current() {
				if err := g.remove(batch...); err != nil {
					return fmt.Errorf("deleting: %s", firstLine(err))
				}
			}
			d.countKeys()
			return nil
		})
		if err := errors.Join(err, ctx.Err()); err != nil {
			return err
		}
	}
	return nil
}

// clear has the writer delete all generations, and what was set aside, as
// directories. That also works on a full disk, and no byte of an answer
// remains.
func (d *disk) clear(context.Context) error {
	return d.do(func() error {
		d.queue.forget()
		all := d.current()
		d.show(nil)
		var errs []error
		for _, g := range all {
			errs = append(errs, g.close(), discard(g.dir))
		}
		numbers, aside, err := survey(d.dir)
		errs = append(errs, err)
		for _, n := range numbers { // left by a start on a full disk
			errs = append(errs, discard(filepath.Join(d.dir, generationName(n))))
		}
		if aside != "" {
			errs = append(errs, os.RemoveAll(aside))
		}
		if err := errors.Join(errs...); err != nil {
			return err
		}
		free, _, err := volume(d.dir)
		if err != nil {
			return err
		}
		if d.disabled.Load() != nil || free < d.sizes.floor {
			d.aside, d.asideBytes = "", 0
			d.countKeys()
			return nil // inspect opens it when there is space
		}
		return d.openGenerations()
	})
}
