package ledger

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"time"

	"forward/internal/dialect"
	"forward/internal/price"
)

// BatchOperation is the operation of rows that settle a batch. No request has it.
const BatchOperation dialect.Operation = "batch"

// maxBatchModels bounds the rows of one batch. Providers take one model for a batch, or a handful.
const maxBatchModels = 100

// Batch is a batch that the gateway has seen made, or told of in an answer.
type Batch struct {
	Host    string // of the provider that has it: ids are its own
	ID      string
	Results string // the file with its results, once one is known
	Model   string // of all its requests, where the provider tells one

	// Who made it, and with which request. Empty for batches that were made elsewhere.
	Key, KeyName, User string
	Tags               []string
	Route, Request     string
}

// Settlement adds up the answers of one batch, and makes the rows that settle it: one for each model that answered, with an id that is
// the same whenever the results are read. Not safe for concurrent use.
type Settlement struct {
	Batch  Batch
	Prices *price.Table
	// Upstream is the provider whose prices hold.
	Upstream string

	models map[string]*modelSum
	lost   int // answers of more models than there are rows for
}

// modelSum is what one model answered in a batch.
type modelSum struct {
	price price.List
	why   string
	ok    bool
	usage dialect.Usage
	parts []price.Part
}

// batchUsage is the usage object of a row that settles a batch.
type batchUsage struct {
	Parts []price.Part `json:"batch"`
}

// Add counts an answer in.
func (s *Settlement) Add(i BatchItem) {
	m := s.models[i.Model]
	if m == nil {
		if len(s.models) == maxBatchModels {
			s.lost++
			return
		}
		if s.models == nil {
			s.models = map[string]*modelSum{}
		}
		m = &modelSum{}
		m.price, m.why, m.ok = s.Prices.Answered(s.Upstream, cmp.Or(s.Batch.Model, i.Model), i.Model)
		s.models[i.Model] = m
	}
	m.add(i.Usage)
}

func (m *modelSum) add(u dialect.Usage) {
	for _, f := range []struct{ sum, one *int64 }{
		{&m.usage.Input, &u.Input}, {&m.usage.Output, &u.Output}, {&m.usage.CachedRead, &u.CachedRead}, {&m.usage.CachedWrite, &u.CachedWrite},
		{&m.usage.CachedWriteHour, &u.CachedWriteHour}, {&m.usage.Reasoning, &u.Reasoning}, {&m.usage.Audio, &u.Audio}, {&m.usage.AudioOutput, &u.AudioOutput},
	} {
		*f.one = min(max(*f.one, 0), price.MaxCount)
		*f.sum = price.Add(*f.sum, *f.one)
	}
	m.usage.Seconds += u.Seconds
	m.parts = m.price.AddPart(m.parts, u)
}

// Empty reports whether no answer had a usage.
func (s *Settlement) Empty() bool { return len(s.models) == 0 }

// Rows returns the rows that settle the batch, as of now. by names the request that fetched the results.
func (s *Settlement) Rows(now time.Time, by string) (rows []Row) {
	b := &s.Batch
	for _, model := range slices.Sorted(maps.Keys(s.models)) {
		m := s.models[model]
		answers := int64(0)
		for _, p := range m.parts {
			answers += p.Answers
		}
		r := Row{
			ID: b.Host + "/" + b.ID + "/" + cmp.Or(model, "-"), Time: now, Key: b.Key, KeyName: b.KeyName, User: b.User, Tags: b.Tags, Route: b.Route,
			Upstream: s.Upstream, Operation: BatchOperation, Model: cmp.Or(b.Model, model), Answered: model, Status: 200, Cache: "bypass", Usage: m.usage, Settles: b.ID,
		}
		r.Usage.Total = price.Add(m.usage.Input, m.usage.Output)
		if raw, err := json.Marshal(batchUsage{m.parts}); err == nil { // strings and numbers only: it cannot fail
			r.Usage.Raw = raw
		}
		step := func(name, text string) { r.Trail = append(r.Trail, Step{Name: name, Text: text}) }
		step("batch", fmt.Sprintf("%d answers of %s", answers, b.ID))
		switch {
		case b.Request != "":
			step("made", "by request "+b.Request)
		default:
			step("made", "without this gateway: it counts for whoever fetched its results first")
		}
		step("fetched", "by request "+by)
		if s.lost > 0 {
			step("lost", fmt.Sprintf("%d answers of more than %d models", s.lost, maxBatchModels))
		}
		r.priceBatch(m.price, m.why, m.ok, m.parts)
		rows = append(rows, r)
	}
	return rows
}

// priceBatch works out what a row costs that settles a batch; why says which price it is, or why there is none.
func (r *Row) priceBatch(list price.List, why string, ok bool, parts []price.Part) {
	r.Priced, r.Cost, r.Price = false, 0, why
	if !ok {
		return
	}
	cost, err := list.BatchCost(parts)
	if err != nil {
		r.Price = err.Error()
		return
	}
	r.Priced, r.Cost, r.Price = true, cost.Total, why+", in a batch"
	for _, l := range cost.Lines {
		r.Trail = append(r.Trail, Step{Name: "price", Text: l.String()})
	}
}
