package ledger

import (
	"encoding/json"
	"time"
)

// wireRow is the form in which a row leaves the program. Other programs read
// it, so its names do not change.
type wireRow struct {
	ID           string          `json:"id"`
	Time         string          `json:"time"` // RFC 3339, UTC
	Key          string          `json:"key"`
	KeyName      string          `json:"key_name"`
	User         string          `json:"user"`
	Tags         []string        `json:"tags"`
	Session      string          `json:"session"`
	Route        string          `json:"route"`
	Upstream     string          `json:"upstream"`
	Slot         string          `json:"slot"`
	Operation    string          `json:"operation"`
	Model        string          `json:"model"`
	Alias        string          `json:"alias,omitempty"` // by which the client called the model
	Answered     string          `json:"answered"`
	Status       int             `json:"status"`
	Cause        string          `json:"cause"`
	Finish       string          `json:"finish_reason"`
	Tier         string          `json:"service_tier"`
	Stream       bool            `json:"stream"`
	Cache        string          `json:"cache"`
	Attempts     int             `json:"attempts"`
	QueueMS      float64         `json:"queue_ms"`
	UpstreamMS   float64         `json:"upstream_ms"`
	FirstTokenMS float64         `json:"first_token_ms"`
	TotalMS      float64         `json:"total_ms"`
	Input        int64           `json:"input_tokens"`
	CachedRead   int64           `json:"cached_read_tokens"`
	CachedWrite  int64           `json:"cached_write_tokens"`
	WriteHour    int64           `json:"cached_write_hour_tokens"` // of these, kept for an hour
	Output       int64           `json:"output_tokens"`
	Reasoning    int64           `json:"reasoning_tokens"`
	Audio        int64           `json:"audio_tokens"`
	AudioOutput  int64           `json:"audio_output_tokens"`
	Seconds      float64         `json:"audio_seconds,omitzero"`
	Quantities   *quantities     `json:"quantities,omitempty"` // what is billed beside tokens
	Estimated    bool            `json:"estimated"`
	Unmetered    bool            `json:"unmetered"`     // sent, and nothing is known of what it used
	CostNano     *int64          `json:"cost_nano_usd"` // null: unpriced
	CostUSD      *float64        `json:"cost_usd"`
	ReportedNano *int64          `json:"reported_nano_usd"` // the provider's own amount; null: none
	Price        string          `json:"price"`
	SavedNano    int64           `json:"saved_nano_usd"`
	ListNano     *int64          `json:"list_nano_usd"` // by the price list, paid by the caller's own credential; null: what it costs is billed
	BytesIn      int64           `json:"bytes_in"`
	BytesOut     int64           `json:"bytes_out"`
	Usage        json.RawMessage `json:"usage"` // as the provider reported it
	Trail        []Step          `json:"trail,omitempty"`
}

// MarshalJSON writes a row with stable names. Money is in nano-dollars, and
// beside it in dollars for programs that need no more.
func (r Row) MarshalJSON() ([]byte, error) {
	ms := func(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
	u := &r.Usage
	w := wireRow{
		ID: r.ID, Time: r.Time.UTC().Format(time.RFC3339Nano), Key: r.Key, KeyName: r.KeyName, User: r.User, Tags: r.Tags,
		Route: r.Route, Upstream: r.Upstream, Slot: r.Slot, Operation: string(r.Operation), Model: r.Model, Alias: r.Alias, Answered: r.Answered,
		Status: r.Status, Cause: r.Cause, Finish: r.Finish, Tier: r.Tier, Stream: r.Stream, Cache: r.Cache, Attempts: r.Attempts,
		QueueMS: ms(r.Queue), UpstreamMS: ms(r.Ask), FirstTokenMS: ms(r.First), TotalMS: ms(r.Total),
		Input: u.Input, CachedRead: u.CachedRead, CachedWrite: u.CachedWrite,
		WriteHour: u.CachedWriteHour, AudioOutput: u.AudioOutput, Seconds: u.Seconds, Session: r.Session, Unmetered: r.Unmetered, Output: u.Output, Reasoning: u.Reasoning, Audio: u.Audio,
		Estimated: r.Estimated, Price: r.Price, SavedNano: int64(r.Saved), BytesIn: r.BytesIn, BytesOut: r.BytesOut, Trail: r.Trail,
	}
	if r.Priced {
		nano := int64(r.Cost)
		usd := r.Cost.Dollars()
		w.CostNano = &nano
		w.CostUSD = &usd
	}
	if r.Listed {
		nano := int64(r.List)
		w.ListNano = &nano
	}
	if q, ok := quantitiesOf(u); ok {
		w.Quantities = &q
	}
	if u.Terms.HasReported {
		w.ReportedNano = &u.Terms.Reported
	}
	if len(u.Raw) > 0 && json.Valid(u.Raw) {
		w.Usage = u.Raw
	}
	return json.Marshal(w)
}

// MarshalJSON writes a warning with stable names.
func (w Warning) MarshalJSON() ([]byte, error) {
	b := w.Balance
	return json.Marshal(struct {
		Time    time.Time `json:"time"`
		Key     string    `json:"key"`
		KeyName string    `json:"key_name"`
		Tag     string    `json:"tag,omitempty"` // whose budget it is; the key is empty then
		Percent int       `json:"percent"`
		Budget  string    `json:"budget"`
		Unit    Unit      `json:"unit"`
		Spent   int64     `json:"spent"` // nano-dollars or tokens, by unit
		Limit   int64     `json:"limit"`
		Reset   time.Time `json:"reset,omitzero"`
	}{w.Time, w.Key, w.KeyName, b.Budget.Tag, w.Percent, b.Budget.String(), b.Budget.Unit, b.Spent, b.Budget.Amount, b.Reset})
}
