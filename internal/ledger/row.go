package ledger

import (
	"encoding/json"
	"strconv"
	"time"

	"forward/internal/dialect"
	"forward/internal/jsonscan"
	"forward/internal/price"
)

// Row is what the ledger keeps of one request that reached the pipeline. Fields
// that do not apply stay zero. It has as many fields as the table has columns.
type Row struct {
	ID     string    // the request's id; a second row with the same id is not taken
	Time   time.Time // when the request started; reports go by it
	Booked time.Time // when budgets count it. Reserve sets it, zero means Time; not kept

	Key     string // stable id of the caller, not secret
	KeyName string // its current name
	User    string // the user that the caller named, where it may
	Tags    []string
	Added   int // how many of Tags, the last ones, the request brought beside those of the key

	Route     string
	Upstream  string // the provider whose prices apply
	Slot      string // the API key of the route that was used, masked or by number
	Operation dialect.Operation
	Model     string // as requested
	Alias     string // by which the client called it; "": by its name
	Answered  string // the model that the answer names
	Stream    bool
	Cache     string // hit, miss or bypass
	Attempts  int

	Status int    // what the client got; 499 when it left first
	Cause  string // why the request failed, as an error code
	Finish string
	// Settles is the id of a batch, in the one kind of row that belongs to no
	// request. Not kept: the row's own id has it.
	Settles string

	// Queue is the time in the queue, Ask the time until the upstream answered,
	// First until its first token, Total all time since Time.
	Queue, Ask, First, Total time.Duration
	BytesIn, BytesOut        int64

	Usage     dialect.Usage
	Tier      string // the service tier in the provider's word: "default", "priority", "flex" …
	Estimated bool   // the gateway counted Usage, because the provider did not report it
	Unmetered bool   // it was sent, and nothing is known of what it used
	Session   string // the client's name for its conversation
	Priced    bool   // Cost is known; false is not the same as free
	Cost      price.Money
	Price     string      // which price applied, or why there is none
	Saved     price.Money // what an answer of the cache would have cost
	Listed    bool        // the caller's own credential paid the provider, so nothing is billed: Cost is 0
	List      price.Money // what a Listed row costs by the price list
	CountList bool        // budgets in dollars count List; not kept
	Trail     []Step      // what happened to the request, for `forward why`
}

// Step is one line of a request's trail.
type Step struct {
	At   time.Duration `json:"at"` // since the request started
	Name string        `json:"name"`
	Text string        `json:"text"`
}

// Tokens returns what a budget in tokens counts: all tokens in and out.
func (r *Row) Tokens() int64 { return max(0, r.Usage.Input) + max(0, r.Usage.Output) }

// booked returns when a row counts in budgets. A request that was queued over
// midnight was let through in the new day.
func (r *Row) booked() time.Time {
	if r.Booked.IsZero() {
		return r.Time
	}
	return r.Booked
}

// size returns about what a row takes in memory, in bytes.
func (r *Row) size() int64 {
	n := 1024 + len(r.Usage.Raw)
	for _, s := range r.Trail {
		n += len(s.Name) + len(s.Text) + 48
	}
	return int64(n)
}

// callColumns are the columns of usage_calls in the order of appendCall.
var callColumns = []string{
	"number", "id", "time", "kind", "user", "session", "queue_us", "ask_us", "first_us", "total_us",
	"input", "cached_read", "cached_write", "cached_write_hour", "output", "reasoning", "audio", "audio_output", "seconds",
	"quantities", "raw", "cost", "reported", "saved", "bytes_in", "bytes_out", "trail", "tags", "list", "alias",
}

// appendCall appends a row's values for the callColumns. An unpriced row has
// the cost NULL, which adds nothing to a sum and is not 0. What most rows do
// not have is NULL too, because that costs nothing to hand over.
func (r *Row) appendCall(args []any, number, kind int64) []any {
	u := &r.Usage
	return append(args,
		number, r.ID, r.Time.UnixMicro(), kind, r.User, orNull(r.Session, r.Session != ""),
		r.Queue.Microseconds(), r.Ask.Microseconds(), r.First.Microseconds(), r.Total.Microseconds(),
		u.Input, u.CachedRead, u.CachedWrite, u.CachedWriteHour, u.Output, u.Reasoning, u.Audio, u.AudioOutput, u.Seconds,
		marshalQuantities(u), string(u.Raw), orNull(int64(r.Cost), r.Priced), orNull(u.Terms.Reported, u.Terms.HasReported),
		int64(r.Saved), r.BytesIn, r.BytesOut, marshalTrail(r.Trail), orNull(marshalTags(r.Tags), r.Added > 0),
		orNull(int64(r.List), r.Listed), orNull(r.Alias, r.Alias != ""))
}

// keyTags returns the tags of the row's key.
func (r *Row) keyTags() []string { return r.Tags[:len(r.Tags)-min(max(r.Added, 0), len(r.Tags))] }

// orNull returns a value for SQL, which is NULL unless there is one.
func orNull[T any](value T, is bool) any {
	if !is {
		return nil
	}
	return value
}

// rowColumns are the columns of usage_requests in the order of scanRow.
var rowColumns = []string{
	"id", "time", "key", "key_name", "user", "tags", "route", "upstream", "slot", "operation", "model", "answered",
	"status", "cause", "finish", "stream", "cache", "attempts", "queue_us", "ask_us", "first_us", "total_us",
	"input", "cached_read", "cached_write", "cached_write_hour", "output", "reasoning", "audio", "audio_output", "seconds",
	"raw", "estimated", "cost", "price", "saved", "bytes_in", "bytes_out", "trail", "tier",
	"unmetered", "session", "reported", "quantities", "list", "alias",
}

// scanRow reads a row, by a Scan of the rowColumns.
func scanRow(scan func(...any) error) (Row, error) {
	var r Row
	var at, queue, ask, first, total int64
	var tags, raw, trail, quantities string
	var cost, reported, listed *int64
	u := &r.Usage
	err := scan(
		&r.ID, &at, &r.Key, &r.KeyName, &r.User, &tags, &r.Route, &r.Upstream, &r.Slot, &r.Operation, &r.Model, &r.Answered,
		&r.Status, &r.Cause, &r.Finish, &r.Stream, &r.Cache, &r.Attempts, &queue, &ask, &first, &total,
		&u.Input, &u.CachedRead, &u.CachedWrite, &u.CachedWriteHour, &u.Output, &u.Reasoning, &u.Audio, &u.AudioOutput, &u.Seconds,
		&raw, &r.Estimated, &cost, &r.Price, &r.Saved, &r.BytesIn, &r.BytesOut, &trail, &r.Tier,
		&r.Unmetered, &r.Session, &reported, &quantities, &listed, &r.Alias)
	if err != nil {
		return r, err
	}
	r.Time = time.UnixMicro(at)
	r.Queue = time.Duration(queue) * time.Microsecond
	r.Ask = time.Duration(ask) * time.Microsecond
	r.First = time.Duration(first) * time.Microsecond
	r.Total = time.Duration(total) * time.Microsecond
	u.Total = u.Input + u.Output
	if raw != "" {
		u.Raw = json.RawMessage(raw)
	}
	if cost != nil {
		r.Priced = true
		r.Cost = price.Money(*cost)
	}
	if listed != nil {
		r.Listed = true
		r.List = price.Money(*listed)
	}
	unmarshalQuantities(u, quantities)
	if reported != nil {
		u.Terms.Reported = *reported
		u.Terms.HasReported = true
	}
	// An error means that a person edited the row. The rest of it is good.
	_ = json.Unmarshal([]byte(tags), &r.Tags)
	_ = json.Unmarshal([]byte(trail), &r.Trail)
	return r, nil
}

// marshalTrail returns steps as JSON, and none as "". It appends by hand,
// because every row has steps.
func marshalTrail(steps []Step) string {
	if len(steps) == 0 {
		return ""
	}
	b := append(make([]byte, 0, 256), '[')
	for i, s := range steps {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, `{"at":`...)
		b = strconv.AppendInt(b, int64(s.At), 10)
		b = append(b, `,"name":`...)
		b = jsonscan.AppendString(b, s.Name)
		b = append(b, `,"text":`...)
		b = jsonscan.AppendString(b, s.Text)
		b = append(b, '}')
	}
	return string(append(b, ']'))
}

// marshalTags returns tags as JSON, and none as "".
func marshalTags(tags []string) string {
	if len(tags) == 0 {
		return ""
	}
	b := append(make([]byte, 0, 64), '[')
	for i, tag := range tags {
		if i > 0 {
			b = append(b, ',')
		}
		b = jsonscan.AppendString(b, tag)
	}
	return string(append(b, ']'))
}

// openRow is a Row in the form in which usage_open has it: all fields by their
// names in Go, and not those of Row.MarshalJSON, which are for other programs.
type openRow Row

func marshalRow(r *Row) (string, error) {
	text, err := json.Marshal((*openRow)(r))
	return string(text), err
}

// unmarshalRow reads the row of an open call.
func unmarshalRow(text string) (Row, error) {
	var r openRow
	err := json.Unmarshal([]byte(text), &r)
	if string(r.Usage.Raw) == "null" {
		r.Usage.Raw = nil
	}
	return Row(r), err
}
