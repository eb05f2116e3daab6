package cache

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"forward/internal/glob"
)

// Info describes an entry without its bodies.
type Info struct {
	Key      Key       `json:"key"`
	Question           // without its Body
	Status   int       `json:"status"`
	Stream   bool      `json:"stream"`
	Stored   time.Time `json:"stored"`
	Expires  time.Time `json:"expires"`
	Asked    int64     `json:"request_bytes"`
	Answered int64     `json:"response_bytes"`
	Kept     int64     `json:"kept_bytes"` // of both as they are kept, with this description
}

// Filter selects entries. The zero value selects all.
type Filter struct {
	Route, Model string    // patterns of package glob
	Scope        string    // exactly this one
	Before       time.Time // stored earlier than this
}

// All reports whether the filter selects every entry.
func (f Filter) All() bool { return f == Filter{} }

func (f Filter) selects(i *Info) bool {
	return (f.Route == "" || glob.Match(f.Route, i.Question.Route)) &&
		(f.Model == "" || glob.Match(f.Model, i.Question.Model)) &&
		(f.Scope == "" || f.Scope == i.Question.Scope) &&
		(f.Before.IsZero() || i.Stored.Before(f.Before))
}

// List visits every entry that the filter selects and that has not expired, in
// no order, until visit returns false. Entries that arrive or are used
// meanwhile may be missed or visited twice.
func (c *Cache) List(ctx context.Context, f Filter, visit func(*Info) bool) error {
	return c.store.each(ctx, func(h item) bool {
		i, err := h.info()
		return err != nil || !f.selects(i) || !c.now().Before(i.Expires) || visit(i)
	})
}

// info reads the description of the entry. The error is errRecord or
// errVersion.
func (h item) info() (*Info, error) {
	if e := h.entry; e != nil {
		i := &Info{
			Key: h.key, Question: e.Question, Status: e.Status, Stream: e.Stream,
			Stored: e.Stored, Expires: e.Expires,
			Asked: e.Question.size, Answered: int64(len(e.Body)), Kept: int64(e.weight()),
		}
		i.Question.Body = nil
		return i, nil
	}
	r, err := open(h.key, h.record)
	if err != nil {
		return nil, err
	}
	return &r.info, nil
}

// ErrAmbiguous is returned by Find for a prefix that several keys have.
var ErrAmbiguous = errors.New("several entries have a key that starts so")

// Find returns the entry whose key starts with these hexadecimal digits, with
// the body of its question. It returns nil if there is none.
func (c *Cache) Find(ctx context.Context, prefix string) (*Info, *Entry, error) {
	found, err := c.find(ctx, prefix)
	if err != nil || found == nil {
		return nil, nil, err
	}
	i, err := found.info()
	if err != nil {
		return nil, nil, fmt.Errorf("entry %s: %w", found.key, err)
	}
	e, err := c.whole(*found)
	return i, e, err
}

// find returns the entry whose key is, or starts with, these digits; nil if
// there is none.
func (c *Cache) find(ctx context.Context, prefix string) (found *item, err error) {
	var k Key
	if k.UnmarshalText([]byte(prefix)) == nil {
		if h, ok := c.store.load(ctx, k); ok {
			return &h, nil
		}
		return nil, nil
	}
	ambiguous := false
	err = c.store.each(ctx, func(h item) bool {
		if strings.HasPrefix(h.key.String(), prefix) {
			ambiguous = found != nil && found.key != h.key
			found = &h
		}
		return !ambiguous
	})
	if err == nil && ambiguous {
		return nil, ErrAmbiguous
	}
	return found, err
}

// whole returns the entry with the body of its question.
func (c *Cache) whole(h item) (*Entry, error) {
	if h.entry != nil {
		e := h.entry.clone()
		e.Question.shorten()
		return e, nil
	}
	return c.codec.decodeWhole(h.key, h.record)
}

// Sum is a number of entries and of the bytes in which they are kept.
type Sum struct {
	Entries int64 `json:"entries"`
	Bytes   int64 `json:"bytes"`
}

// Count adds up what the filter selects.
func (c *Cache) Count(ctx context.Context, f Filter) (Sum, error) {
	var s Sum
	err := c.List(ctx, f, func(i *Info) bool {
		s.Entries++
		s.Bytes += i.Kept
		return true
	})
	return s, err
}

// Purge deletes what the filter selects. From then on each such entry is a
// miss. On disk its bytes remain until its generation is deleted; a filter that
// selects every entry deletes the files.
func (c *Cache) Purge(ctx context.Context, f Filter) (Sum, error) {
	if f.All() {
		s, err := c.Count(ctx, f)
		if err == nil {
			err = c.store.clear(ctx)
		}
		return s, err
	}
	var s Sum
	var keys []Key
	seen := make(map[Key]bool)
	err := c.List(ctx, f, func(i *Info) bool {
		if !seen[i.Key] {
			seen[i.Key] = true
			s.Entries++
			s.Bytes += i.Kept
			keys = append(keys, i.Key)
		}
		return true
	})
	if err == nil {
		err = c.store.remove(ctx, keys)
	}
	return s, err
}

// Verified is the result of Verify.
type Verified struct {
	Sum
	Damaged int64 `json:"damaged"` // records that are not what was written; they are misses
	Foreign int64 `json:"foreign"` // records of another format version; they are misses too
}

// Verify reads every record whole and unpacks it.
func (c *Cache) Verify(ctx context.Context) (Verified, error) {
	var v Verified
	err := c.store.each(ctx, func(h item) bool {
		_, err := c.whole(h)
		switch {
		case errors.Is(err, errVersion):
			v.Foreign++
		case err != nil:
			v.Damaged++
		default:
			i, _ := h.info() // what is whole can be read
			v.Entries++
			v.Bytes += i.Kept
		}
		return true
	})
	return v, err
}
