package price

import (
	"bytes"
	"cmp"
	_ "embed"
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/klauspost/compress/zstd"
)

//go:generate npm ci --prefix ../../tools/prices --ignore-scripts --no-audit --no-fund
//go:generate go run ./gen

//go:embed prices.json.zst
var packed []byte

// Source is where prices of the table come from.
type Source struct {
	Name    string `json:"name"`
	Version string `json:"version"`
	Date    string `json:"date"` // of its data, YYYY-MM-DD
	License string `json:"license"`
}

// Data is the embedded table's form: JSON, packed with zstd.
type Data struct {
	Date    string            `json:"date"` // of the source of most prices, YYYY-MM-DD
	Sources []Source          `json:"sources"`
	Hosts   map[string]string `json:"hosts"` // host, or the end of one that begins with "." or "-" → provider
	Rows    []List            `json:"rows"`
}

// Override is a price out of forward.yaml. It replaces whatever the table has for the model.
type Override struct {
	Model string // "provider/model", or a model of every provider, exactly as it is written in requests
	Alias string // the "provider/model" of the table whose price it has; then Tiers are empty
	Tiers []Tier // as in List
}

// Table answers what a model costs. It is read only and safe for concurrent use.
type Table struct {
	data      Data
	rows      map[string]List // by "provider/model"
	overrides map[string]Override
	ends      []string // of hosts, those of Data.Hosts that are no whole ones, the longest first

	quotes sync.Map     // what Price answered, by [2]string{provider, model}: a *quote
	quoted atomic.Int32 // how many that are
}

// quote is an answer of Price.
type quote struct {
	price List
	why   string
	ok    bool
}

// Bounds of the answers that are kept, for it is clients who name models. When there are too many, all are forgotten.
const (
	maxQuotes = 2000
	maxQuoted = 200 // bytes of a name
)

// NewTable unpacks the embedded prices and lays the overrides above them. An alias of a model that has no price is an error.
func NewTable(overrides []Override) (*Table, error) {
	data, err := unpack(packed)
	if err != nil {
		return nil, fmt.Errorf("reading the embedded prices: %w", err)
	}
	t := &Table{data: data, rows: make(map[string]List, len(data.Rows)), overrides: map[string]Override{}}
	for _, r := range data.Rows {
		t.rows[r.Provider+"/"+r.Model] = r
	}
	for host := range data.Hosts {
		if strings.ContainsAny(host[:1], ".-") {
			t.ends = append(t.ends, host)
		}
	}
	slices.SortFunc(t.ends, func(a, b string) int { return cmp.Or(cmp.Compare(len(b), len(a)), cmp.Compare(a, b)) })
	for _, o := range overrides {
		if _, known := t.rows[o.Alias]; o.Alias != "" && !known {
			return nil, fmt.Errorf("the price of %q: %q is not in the price table; write provider/model as `forward usage prices` shows it", o.Model, o.Alias)
		}
		if o.Alias == "" && len(o.Tiers) == 0 {
			return nil, fmt.Errorf("the price of %q is empty: write its rates or an alias", o.Model)
		}
		t.overrides[o.Model] = o
	}
	return t, nil
}

func unpack(packed []byte) (Data, error) {
	var data Data
	r, err := zstd.NewReader(bytes.NewReader(packed), zstd.WithDecoderConcurrency(1))
	if err != nil {
		return data, err
	}
	defer r.Close()
	err = json.NewDecoder(r).Decode(&data)
	return data, err
}

// Sources returns where the embedded prices come from.
func (t *Table) Sources() []Source { return slices.Clone(t.data.Sources) }

// Date is the day of which the prices are, YYYY-MM-DD. Those that are kept by hand can be younger.
func (t *Table) Date() string { return t.data.Date }

// Provider names whose prices hold at a host: the one the table knows there, else the home of the dialect that is spoken, for many
// gateways stand before one of the three. The dialects are openai, anthropic and gemini.
func (t *Table) Provider(host, dialect string) string {
	host = strings.ToLower(host)
	if p, ok := t.data.Hosts[host]; ok {
		return p
	}
	for _, end := range t.ends {
		if strings.HasSuffix(host, end) {
			return t.data.Hosts[end]
		}
	}
	return home(dialect)
}

// home is the provider that a dialect is named after.
func home(dialect string) string {
	if dialect == "gemini" {
		return "google"
	}
	return dialect
}

// Price returns the price of a model at a provider (also by the name of a dialect), and in words why it is this one. It looks for
// the exact name, then for the name without the date at its end; in each step overrides come first. There is no guessing by
// likeness: a model that is not found has no price, and ok is false.
func (t *Table) Price(provider, model string) (row List, why string, ok bool) {
	if q, known := t.quotes.Load([2]string{provider, model}); known {
		q := q.(*quote)
		return q.price, q.why, q.ok
	}
	row, why, ok = t.find(home(provider), model)
	if len(model) <= maxQuoted {
		if t.quoted.Add(1) > maxQuotes {
			t.quotes.Clear()
			t.quoted.Store(0)
		}
		t.quotes.Store([2]string{provider, strings.Clone(model)}, &quote{row, why, ok}) // the name is a part of a body
	}
	return row, why, ok
}

// Answered returns the price of an answer, and why it is this one: the price of the model as it was asked for when forward.yaml names it,
// else of the model that answered, else of the one that was asked for.
func (t *Table) Answered(provider, asked, answered string) (row List, why string, ok bool) {
	if answered != "" && !t.overridden(provider, asked) {
		if row, why, ok := t.Price(provider, answered); ok {
			return row, why, true
		}
	}
	return t.Price(provider, asked)
}

// overridden reports whether forward.yaml names a model as it was asked for.
func (t *Table) overridden(provider, model string) bool {
	if len(t.overrides) == 0 {
		return false
	}
	_, everywhere := t.overrides[model]
	_, there := t.overrides[home(provider)+"/"+model]
	return everywhere || there
}

func (t *Table) find(provider, model string) (row List, why string, ok bool) {
	name := model
	if provider == "google" {
		name = strings.TrimPrefix(name, "models/") // Gemini's long form of the same name
	}
	if row, why, ok = t.exact(provider, name); ok {
		return row, why, true
	}
	if undated, has := withoutDate(name); has {
		if row, why, ok = t.exact(provider, undated); ok {
			return row, why + ", the name without its date", true
		}
	}
	return List{}, fmt.Sprintf("no price of %q at %s: neither forward.yaml nor the table of %s has it", model, provider, t.Date()), false
}

func (t *Table) exact(provider, model string) (List, string, bool) {
	for _, name := range []string{provider + "/" + model, model} {
		o, ok := t.overrides[name]
		switch {
		case ok && o.Alias != "":
			return t.rows[o.Alias].clone(), fmt.Sprintf("forward.yaml says that %s is priced as %s", name, o.Alias), true
		case ok:
			return List{Provider: provider, Model: model, Tiers: o.Tiers, Source: "forward.yaml"}, "forward.yaml has a price of " + name, true
		}
	}
	row, ok := t.rows[provider+"/"+model]
	return row, fmt.Sprintf("%s/%s in the table of %s", provider, model, t.Date()), ok
}

// dated matches a date at the end of a model's name: gpt-4o-2024-08-06, claude-opus-4-5-20251101, and Vertex's @20251101.
var dated = regexp.MustCompile(`[-@](\d{4}-\d{2}-\d{2}|\d{8})$`)

func withoutDate(model string) (string, bool) {
	at := dated.FindStringIndex(model)
	if at == nil || at[0] == 0 {
		return model, false
	}
	if _, err := time.Parse("20060102", strings.ReplaceAll(model[at[0]+1:], "-", "")); err != nil {
		return model, false
	}
	return model[:at[0]], true
}

// Match is a price that holds for a name somewhere.
type Match struct {
	Price List // its Provider is "" when forward.yaml has it for every one
	Why   string
}

// Find returns every price that a name has: at each provider, and as "provider/model".
func (t *Table) Find(name string) []Match {
	var found []Match
	undated, _ := withoutDate(name)
	for _, n := range []string{name, undated} {
		if price, why, ok := t.exact("", n); ok {
			return []Match{{price, why}}
		}
	}
	for _, provider := range t.providers() {
		if price, why, ok := t.Price(provider, name); ok {
			found = append(found, Match{price, why})
		}
	}
	if provider, model, ok := strings.Cut(name, "/"); ok {
		if price, why, ok := t.Price(provider, model); ok {
			found = append(found, Match{price, why})
		}
	}
	return found
}

// providers returns the names of all providers, in order.
func (t *Table) providers() []string {
	var names []string
	for _, r := range t.data.Rows {
		if len(names) == 0 || names[len(names)-1] != r.Provider { // rows are in that order
			names = append(names, r.Provider)
		}
	}
	for name := range t.overrides {
		if provider, _, ok := strings.Cut(name, "/"); ok {
			names = append(names, provider)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}
