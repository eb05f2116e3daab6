package ledger

import (
	"context"
	"maps"
	"time"
)

// Most words of a row are those of the row before: its key, route, model,
// status, price and so on. These words are its kind. A kind is written once a
// day to usage_kinds, and rows name it by a number. The view usage_requests has
// both together.
//
// The reason is the cost of handing values to SQLite, which is higher than that
// of everything else the writer does. Measured with BenchmarkBatch/250, five
// runs each in turn: 13 to 19 µs of processor time for a row with kinds, 20 to
// 30 µs with all 40 values in one table. A request with everything on takes
// about 160 µs.

// rowKind is what a row has in common with many others: all of its words but
// those that name one request or one person.
type rowKind struct {
	key, keyName, tags, route, upstream, slot, operation, model, answered string
	status                                                                int
	cause, finish                                                         string
	stream                                                                bool
	cache                                                                 string
	attempts                                                              int
	estimated                                                             bool
	price, tier                                                           string
	unmetered                                                             bool
}

// kindColumns are the columns of usage_kinds in the order of a rowKind's
// fields.
var kindColumns = []string{
	"key", "key_name", "tags", "route", "upstream", "slot", "operation", "model", "answered", "status", "cause", "finish",
	"stream", "cache", "attempts", "estimated", "price", "tier", "unmetered",
}

func (r *Row) kind() rowKind {
	return rowKind{
		r.Key, r.KeyName, marshalTags(r.keyTags()), r.Route, r.Upstream, r.Slot, string(r.Operation), r.Model, r.Answered,
		r.Status, r.Cause, r.Finish, r.Stream, r.Cache, r.Attempts, r.Estimated, r.Price, r.Tier, r.Unmetered,
	}
}

// keptKind is a kind that is in the database. No row that started after until
// names it, so that it can be removed together with its rows, and none that
// started more than kindSpan before it, so that the kinds of a time are few.
type keptKind struct {
	id    int64
	until time.Time
}

const (
	kindLife = 24 * time.Hour
	kindSpan = 2 * kindLife
	// maxKinds bounds the kinds in memory. When there are more, all are
	// removed, and a kind can be in the database twice.
	maxKinds = 10_000
)

// kindOf returns the number of a row's kind, and writes the kind where it has
// to. The writer knows what it writes after the commit.
func (t *transaction) kindOf(ctx context.Context, r *Row) (int64, error) {
	k := r.kind()
	kept, ok := t.kinds[k]
	if !ok {
		kept, ok = t.writer.kinds[k]
	}
	if ok && !r.Time.After(kept.until) && !r.Time.Before(kept.until.Add(-kindSpan)) {
		return kept.id, nil
	}
	until := r.Time.Add(kindLife)
	result, err := t.run(ctx, insertKind, until.UnixMicro(), k.key, k.keyName, k.tags, k.route, k.upstream, k.slot, k.operation,
		k.model, k.answered, k.status, k.cause, k.finish, k.stream, k.cache, k.attempts, k.estimated, k.price, k.tier, k.unmetered)
	if err != nil {
		return 0, err
	}
	id, err := result.LastInsertId()
	if err != nil {
		return 0, err
	}
	t.kinds[k] = keptKind{id, until}
	return id, nil
}

// keepKinds remembers the kinds that a transaction has written.
func (w *writer) keepKinds(kinds map[rowKind]keptKind) {
	if len(w.kinds)+len(kinds) > maxKinds {
		clear(w.kinds)
	}
	maps.Copy(w.kinds, kinds)
}

// forgetKinds removes the kinds whose rows all started before an instant, as
// the sweeper does in the database.
func (w *writer) forgetKinds(before time.Time) {
	maps.DeleteFunc(w.kinds, func(_ rowKind, k keptKind) bool { return k.until.Before(before) })
}
