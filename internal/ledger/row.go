package ledger

import (
	"encoding/json"
	"strconv"
	"time"
	"unicode/utf8"

	"forward/internal/dialect"
	"forward/internal/price"
)

// Row is what the ledger keeps of one request that reached the pipeline. Fields that do not apply stay zero.
type Row struct {
	ID        string    // the request's id; a second row of the same id is not taken
	Time      time.Time // when the request began; reports go by it
	Booked    time.Time // in whose period budgets count it; Begin sets it, zero means Time. Not kept
	Key       string    // stable id of the caller, not secret
	KeyName   string    // what it is called now
	User      string    // whom the caller named, if he may
	Tags      []string
	Route     string
	Upstream  string // provider whose prices hold
	Slot      string // which of the route's API keys was used, masked or by number
	Operation dialect.Operation
	Model     string // as asked for
	Answered  string // as the answer names it
	Status    int    // what the client got; 499 when it left first
	Cause     string // why it did not go well, in the words of the error codes
	Finish    string
	Settles   string // the id of a batch, in the one kind of row that is no request's. Not kept: the row's own id has it
	Stream    bool
	Cache     string // hit, miss or bypass
	Attempts  int

	Queue, Ask, First, Total time.Duration // wait in line; the upstream's answer; its first token; all, since Time

	Usage     dialect.Usage
	Tier      string // what it was served as, in the provider's word: "default", "priority", "flex" …
	Estimated bool   // Usage is a count of ours, not the provider's
	Priced    bool   // Cost is known; false is not the same as free
	Cost      price.Money
	Price     string      // which price it was, or why there is none
	Saved     price.Money // what a cache hit would have cost

	BytesIn, BytesOut int64
	Trail             []Step // how it went, for `forward why`
}

// Step is one line of a request's trail.
type Step struct {
	At   time.Duration `json:"at"` // since the request began
	Name string        `json:"name"`
	Text string        `json:"text"`
}

// columns are those of usage_requests, in the order of scanRow.
var columns = []string{
	"id", "time", "key", "key_name", "user", "tags", "route", "upstream", "slot", "operation", "model", "answered", "status", "cause",
	"finish", "stream", "cache", "attempts", "queue_us", "ask_us", "first_us", "total_us", "input", "cached_read", "cached_write", "cached_write_hour", "output",
	"reasoning", "audio", "audio_output", "seconds", "raw", "estimated", "cost", "price", "saved", "bytes_in", "bytes_out", "trail", "tier",
}

// callColumns are those of usage_calls, in the order of callValues. Those that most requests have nothing for are the last.
var callColumns = []string{
	"id", "time", "kind", "user", "first_us", "total_us", "input", "cached_read", "output", "raw", "cost", "bytes_in", "bytes_out", "trail",
	"queue_us", "ask_us", "cached_write", "cached_write_hour", "reasoning", "audio", "audio_output", "seconds", "saved",
}

// plainColumns is how many columns a request has that has none of the last.
const plainColumns = 14

// appendCall appends a row's values for the callColumns, or for the plainColumns where that is all there is. An unpriced row has no
// cost, which sums as nothing and still is not 0.
func (r *Row) appendCall(args []any, kind int64) []any {
	var cost any
	if r.Priced {
		cost = int64(r.Cost)
	}
	u := &r.Usage
	args = append(args, r.ID, r.Time.UnixMicro(), kind, r.User, r.First.Microseconds(), r.Total.Microseconds(), u.Input, u.CachedRead, u.Output,
		string(u.Raw), cost, r.BytesIn, r.BytesOut, marshalTrail(r.Trail))
	if r.Queue == 0 && r.Ask == 0 && u.CachedWrite == 0 && u.CachedWriteHour == 0 && u.Reasoning == 0 && u.Audio == 0 && u.AudioOutput == 0 && u.Seconds == 0 && r.Saved == 0 {
		return args
	}
	return append(args, r.Queue.Microseconds(), r.Ask.Microseconds(), u.CachedWrite, u.CachedWriteHour, u.Reasoning, u.Audio, u.AudioOutput, u.Seconds, int64(r.Saved))
}

// scanRow reads the columns back.
func scanRow(scan func(...any) error) (Row, error) {
	var r Row
	var at, queue, ask, first, total int64
	var tags, raw, trail string
	var cost *int64
	err := scan(&r.ID, &at, &r.Key, &r.KeyName, &r.User, &tags, &r.Route, &r.Upstream, &r.Slot, &r.Operation, &r.Model, &r.Answered, &r.Status, &r.Cause,
		&r.Finish, &r.Stream, &r.Cache, &r.Attempts, &queue, &ask, &first, &total,
		&r.Usage.Input, &r.Usage.CachedRead, &r.Usage.CachedWrite, &r.Usage.CachedWriteHour, &r.Usage.Output,
		&r.Usage.Reasoning, &r.Usage.Audio, &r.Usage.AudioOutput, &r.Usage.Seconds, &raw, &r.Estimated, &cost, &r.Price, &r.Saved, &r.BytesIn, &r.BytesOut, &trail, &r.Tier)
	if err != nil {
		return r, err
	}
	micro := func(n int64) time.Duration { return time.Duration(n) * time.Microsecond }
	r.Time, r.Queue, r.Ask, r.First, r.Total = time.UnixMicro(at), micro(queue), micro(ask), micro(first), micro(total)
	r.Usage.Total = r.Usage.Input + r.Usage.Output
	if raw != "" {
		r.Usage.Raw = json.RawMessage(raw)
	}
	if cost != nil {
		r.Priced, r.Cost = true, price.Money(*cost)
	}
	// Both were written by values; a row that somebody edited by hand keeps the rest.
	_ = json.Unmarshal([]byte(tags), &r.Tags)
	_ = json.Unmarshal([]byte(trail), &r.Trail)
	return r, nil
}

// marshalTrail writes steps as JSON, and none as nothing: by hand, because every row has some.
func marshalTrail(steps []Step) string {
	if len(steps) == 0 {
		return ""
	}
	b := make([]byte, 0, 256)
	for i, s := range steps {
		b = append(b, ",["[1-min(i, 1)])
		b = strconv.AppendInt(append(b, `{"at":`...), int64(s.At), 10)
		b = appendString(append(b, `,"name":`...), s.Name)
		b = append(appendString(append(b, `,"text":`...), s.Text), '}')
	}
	return string(append(b, ']'))
}

// marshalTags writes tags as JSON, and none as nothing.
func marshalTags(tags []string) string {
	if len(tags) == 0 {
		return ""
	}
	b := make([]byte, 0, 64)
	for i, tag := range tags {
		b = appendString(append(b, ",["[1-min(i, 1)]), tag)
	}
	return string(append(b, ']'))
}

// appendString appends a JSON string.
func appendString(b []byte, s string) []byte {
	plain := utf8.ValidString(s)
	for i := 0; plain && i < len(s); i++ {
		plain = s[i] >= ' ' && s[i] != '"' && s[i] != '\\'
	}
	if plain {
		return append(append(append(b, '"'), s...), '"')
	}
	text, _ := json.Marshal(s) // a string: it cannot fail
	return append(b, text...)
}

// booked is when a row counts in budgets. A request that waited in line over midnight was let through in the new day.
func (r *Row) booked() time.Time {
	if r.Booked.IsZero() {
		return r.Time
	}
	return r.Booked
}

// Tokens is what a budget in tokens counts: everything that went in and came out.
func (r *Row) Tokens() int64 { return max(0, r.Usage.Input) + max(0, r.Usage.Output) }

// size is about what a row takes in memory, in bytes.
func (r *Row) size() int64 {
	n := 1024 + len(r.Usage.Raw)
	for _, s := range r.Trail {
		n += len(s.Name) + len(s.Text) + 48
	}
	return int64(n)
}

// openRow is a Row in the form in which open calls are kept: all its fields, and not those that are for others to read.
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
