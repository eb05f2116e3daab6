package cache

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Place is where an entry is in the list of all, the latest first. The zero
// value is before the first one.
type Place struct {
	Stored time.Time
	Key    Key
}

// Place returns where the entry is.
func (i *Info) Place() Place { return Place{i.Stored, i.Key} }

// Compare orders places: the latest entry first, keys decide between two of one
// moment.
func (p Place) Compare(other Place) int {
	return cmp.Or(other.Stored.Compare(p.Stored), bytes.Compare(p.Key[:], other.Key[:]))
}

// String returns a place as ParsePlace reads it.
func (p Place) String() string { return fmt.Sprintf("%d-%s", p.Stored.UnixNano(), p.Key) }

// ParsePlace is the reverse of String.
func ParsePlace(s string) (p Place, err error) {
	stored, key, _ := strings.Cut(s, "-")
	nanos, err := strconv.ParseInt(stored, 10, 64)
	if err != nil {
		return p, errors.New("a place starts with a number and a hyphen")
	}
	p.Stored = time.Unix(0, nanos)
	return p, p.Key.UnmarshalText([]byte(key))
}

// Latest returns up to n entries that the filter selects and that come after a
// place, the latest first, and reports whether there are more. It looks at all
// entries and keeps n of them in memory.
func (c *Cache) Latest(ctx context.Context, f Filter, after Place, n int) (list []Info, more bool, err error) {
	err = c.List(ctx, f, func(i *Info) bool {
		if after != (Place{}) && i.Place().Compare(after) <= 0 {
			return true
		}
		at, there := slices.BinarySearchFunc(list, i.Place(), func(i Info, p Place) int { return i.Place().Compare(p) })
		switch {
		case there:
		case at < n:
			list = slices.Insert(list, at, *i)
			if len(list) > n {
				list = list[:n]
				more = true
			}
		default:
			more = true
		}
		return true
	})
	return list, more, err
}

// Delete deletes one entry, and reports whether there was one.
func (c *Cache) Delete(ctx context.Context, k Key) (found bool, err error) {
	if _, ok := c.store.load(ctx, k); !ok {
		return false, nil
	}
	return true, c.store.remove(ctx, []Key{k})
}
