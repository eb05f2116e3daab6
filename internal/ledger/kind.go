package ledger

import (
	"context"
	"time"
)

// rowKind is what a row has in common with many others: all of its words but those that name one request or one person. It is written
// once in a while and named by a number in each row, which makes rows small and cheap to write.
type rowKind struct {
	key, keyName, tags, route, upstream, slot, operation, model, answered string
	status                                                                int
	cause, finish                                                         string
	stream                                                                bool
	cache                                                                 string
	attempts                                                              int
	estimated                                                             bool
	price, tier                                                           string
}

// kindColumns are those of usage_kinds, in the order of a rowKind's fields.
var kindColumns = []string{"key", "key_name", "tags", "route", "upstream", "slot", "operation", "model", "answered", "status", "cause", "finish",
	"stream", "cache", "attempts", "estimated", "price", "tier"}

func (r *Row) kind() rowKind {
	return rowKind{r.Key, r.KeyName, marshalTags(r.Tags), r.Route, r.Upstream, r.Slot, string(r.Operation), r.Model, r.Answered, r.Status, r.Cause, r.Finish,
		r.Stream, r.Cache, r.Attempts, r.Estimated, r.Price, r.Tier}
}

// keptKind is a kind that is in the database. No row that began after until names it, so that it can be removed with the rows.
type keptKind struct {
	id    int64
	until time.Time
}

const (
	kindLife = 24 * time.Hour
	maxKinds = 10_000 // in memory; when there are more, the writer begins anew, and a kind is in the database twice
)

// kindOf returns the number of a row's kind, and writes the kind if it has to. What it writes is known to the ledger after the commit.
func (b *booking) kindOf(ctx context.Context, r *Row) (int64, error) {
	k := r.kind()
	kept, ok := b.kinds[k]
	if !ok {
		kept, ok = b.l.kinds[k]
	}
	if ok && !r.Time.After(kept.until) {
		return kept.id, nil
	}
	kept.until = r.Time.Add(kindLife)
	result, err := b.run(ctx, insertKind, kept.until.UnixMicro(), k.key, k.keyName, k.tags, k.route, k.upstream, k.slot, k.operation, k.model, k.answered,
		k.status, k.cause, k.finish, k.stream, k.cache, k.attempts, k.estimated, k.price, k.tier)
	if err != nil {
		return 0, err
	}
	if kept.id, err = result.LastInsertId(); err == nil {
		b.kinds[k] = kept
	}
	return kept.id, err
}

// keepKinds remembers the kinds that a transaction has written.
func (l *Ledger) keepKinds(kinds map[rowKind]keptKind) {
	if len(l.kinds)+len(kinds) > maxKinds {
		clear(l.kinds)
	}
	for k, kept := range kinds {
		l.kinds[k] = kept
	}
}
