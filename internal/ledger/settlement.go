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

// BatchOperation is the operation of rows that settle a batch. No request has
// it.
const BatchOperation dialect.Operation = "batch"

// maxBatchModels bounds the rows of one batch. Providers accept one model in a
// batch, or a handful.
const maxBatchModels = 100

// Settlement adds up the answers of one batch and makes the rows that settle
// it: one for each model that answered, with an id that is the same whenever
// the results are read. Not safe for concurrent use.
type Settlement struct {
	Batch    Batch
	Prices   *price.Table
	Upstream string // the provider whose prices apply
	Listed   bool   // see Row.Listed

	models map[string]*modelSum
	lost   int // answers of more models than there are rows for
}

// modelSum is what one model answered in a batch.
type modelSum struct {
	list  price.List
	why   string // this price, or none
	ok    bool
	usage dialect.Usage
	parts []price.Part
}

// batchUsage is the usage object of a row that settles a batch. Its parts stand
// for the usage objects of the single answers, so that the row can be priced
// again.
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
		m.list, m.why, m.ok = s.Prices.Answered(s.Upstream, cmp.Or(s.Batch.Model, i.Model), i.Model)
		s.models[i.Model] = m
	}
	m.add(i.Usage)
}

func (m *modelSum) add(u dialect.Usage) {
	for _, f := range []struct{ sum, one *int64 }{
		{&m.usage.Input, &u.Input}, {&m.usage.Output, &u.Output},
		{&m.usage.CachedRead, &u.CachedRead}, {&m.usage.CachedWrite, &u.CachedWrite}, {&m.usage.CachedWriteHour, &u.CachedWriteHour},
		{&m.usage.Reasoning, &u.Reasoning}, {&m.usage.Audio, &u.Audio}, {&m.usage.AudioOutput, &u.AudioOutput},
	} {
		*f.one = min(max(*f.one, 0), price.MaxCount)
		*f.sum = price.Add(*f.sum, *f.one)
	}
	m.usage.Seconds += u.Seconds
	m.parts = m.list.AddPart(m.parts, u)
}

// Empty reports whether no answer had a usage.
func (s *Settlement) Empty() bool { return len(s.models) == 0 }

// Rows returns the rows that settle the batch at now. by is the id of the
// request that fetched the results.
func (s *Settlement) Rows(now time.Time, by string) []Row {
	var rows []Row
	for _, model := range slices.Sorted(maps.Keys(s.models)) {
		rows = append(rows, s.row(model, now, by))
	}
	return rows
}

func (s *Settlement) row(model string, now time.Time, by string) Row {
	b := &s.Batch
	m := s.models[model]
	r := Row{
		ID: b.Host + "/" + b.ID + "/" + cmp.Or(model, "-"), Settles: b.ID, Time: now,
		Key: b.Key, KeyName: b.KeyName, User: b.User, Tags: b.Tags,
		Route: b.Route, Upstream: s.Upstream, Operation: BatchOperation, Model: cmp.Or(b.Model, model), Answered: model,
		Status: 200, Cache: "bypass", Usage: m.usage, Listed: s.Listed,
	}
	r.Usage.Total = price.Add(m.usage.Input, m.usage.Output)
	raw, err := json.Marshal(batchUsage{m.parts})
	if err == nil { // always: strings and numbers only
		r.Usage.Raw = raw
	}
	step := func(name, text string) { r.Trail = append(r.Trail, Step{Name: name, Text: text}) }
	answers := int64(0)
	for _, p := range m.parts {
		answers += p.Answers
	}
	step("batch", fmt.Sprintf("%d answers of %s", answers, b.ID))
	if b.Request != "" {
		step("made", "by request "+b.Request)
	} else {
		step("made", "without this gateway: it counts for the key that fetched its results first")
	}
	step("fetched", "by request "+by)
	if s.lost > 0 {
		step("lost", fmt.Sprintf("%d answers of more than %d models", s.lost, maxBatchModels))
	}
	r.billBatch(m)
	return r
}

// billBatch works out what a row that settles a batch costs.
func (r *Row) billBatch(m *modelSum) {
	r.Priced = false
	r.Cost = 0
	r.List = 0
	r.Price = m.why
	if !m.ok {
		return
	}
	cost, err := m.list.BatchCost(m.parts)
	if err != nil {
		r.Price = err.Error()
		return
	}
	r.Priced = true
	r.Cost = cost.Total
	r.Price = m.why + ", in a batch"
	for _, l := range cost.Lines {
		r.Trail = append(r.Trail, Step{Name: "price", Text: l.String()})
	}
	r.list()
}
