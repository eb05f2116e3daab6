package price

import (
	"bytes"
	"cmp"
	_ "embed"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/klauspost/compress/zstd"
)

//go:generate npm ci --prefix ../../tools/prices --ignore-scripts --no-audit --no-fund
//go:generate go run ./gen

//go:embed prices.json.zst
var packed []byte

// Data is the form of the embedded table: JSON packed with zstd.
type Data struct {
	Date    string            `json:"date"` // of the source of most prices, YYYY-MM-DD
	Sources []Source          `json:"sources"`
	Hosts   map[string]string `json:"hosts"` // host, or the end of one that starts with "." or "-" → provider
	Rows    []List            `json:"rows"`  // sorted by provider and model
	// Providers has what applies to all models of a provider.
	Providers map[string]Terms `json:"providers"`
}

// Terms are what a provider charges whatever the model.
type Terms struct {
	Fees Rates `json:"fees,omitempty"` // of calls of tools
	// Reports is true where answers have the amount that the provider charges
	// for them. It comes before the amount of the table.
	Reports bool `json:"reports,omitempty"`
	// Variants are the ends of names that select how a model is served, such as
	// ":floor". True: it is free, false: it has the price of the name without
	// the end.
	Variants map[string]bool `json:"variants,omitempty"`
}

// Source is where prices of the table come from.
type Source struct {
	Name    string `json:"name"`
	Version string `json:"version"`
	Date    string `json:"date"` // of its data, YYYY-MM-DD
	License string `json:"license"`
}

// Override is a price from forward.yaml. It replaces the table's price of the
// model.
type Override struct {
	Model string // "provider/model", or a model at every provider, exactly as requests name it
	Alias string // the "provider/model" of the table whose price it has; then Tiers are empty
	Tiers []Tier // as in List
	Times map[string]Factor
}

// Table knows what each model costs. It is read only and safe for concurrent
// use.
type Table struct {
	data      Data
	lists     map[string]List // by "provider/model"
	overrides map[string]Override
	ends      []string // the keys of Data.Hosts that are ends of hosts, the longest first

	// quotes are the results of Price, by [2]string{provider, model}: a *quote.
	// A request needs three, and the search of one takes 3 µs.
	quotes sync.Map
	quoted atomic.Int32 // how many quotes were stored since they were last cleared
}

// quote is a result of Table.Price.
type quote struct {
	list List
	why  string
	ok   bool
}

// Bounds of the quotes, because clients choose the names of models. When there
// are too many, all are removed.
const (
	maxQuotes    = 2000
	maxQuoteName = 200 // bytes
)

// NewTable unpacks the embedded prices and puts the overrides above them. An
// alias of a model without a price is an error.
func NewTable(overrides []Override) (*Table, error) {
	data, err := unpack(packed)
	if err != nil {
		return nil, fmt.Errorf("reading the embedded prices: %w", err)
	}
	t := &Table{data: data, lists: make(map[string]List, len(data.Rows)), overrides: map[string]Override{}}
	for _, l := range data.Rows {
		l.Fees = data.Providers[l.Provider].Fees
		t.lists[l.Provider+"/"+l.Model] = l
	}
	for host := range data.Hosts {
		if strings.ContainsAny(host[:1], ".-") {
			t.ends = append(t.ends, host)
		}
	}
	slices.SortFunc(t.ends, func(a, b string) int { return cmp.Or(cmp.Compare(len(b), len(a)), cmp.Compare(a, b)) })
	for _, o := range overrides {
		_, known := t.lists[o.Alias]
		if o.Alias != "" && !known {
			return nil, fmt.Errorf("the price of %q: %q is not in the price table; write provider/model as `forward usage prices` shows it",
				o.Model, o.Alias)
		}
		if o.Alias == "" && len(o.Tiers) == 0 {
			return nil, fmt.Errorf("the price of %q is empty: write its rates or an alias", o.Model)
		}
		t.overrides[o.Model] = o
	}
	return t, nil
}

func unpack(packed []byte) (data Data, err error) {
	r, err := zstd.NewReader(bytes.NewReader(packed), zstd.WithDecoderConcurrency(1))
	if err != nil {
		return data, err
	}
	defer r.Close()
	err = json.NewDecoder(r).Decode(&data)
	return data, err
}

// Reports reports whether answers of a provider have the amount that it
// charges.
func (t *Table) Reports(provider string) bool { return t.data.Providers[provider].Reports }

// Sources returns where the embedded prices come from.
func (t *Table) Sources() []Source { return slices.Clone(t.data.Sources) }

// Date returns the day that the prices are of, YYYY-MM-DD. Those that are kept
// by hand can be younger.
func (t *Table) Date() string { return t.data.Date }

// Provider returns the provider whose prices apply at a host: the one that the
// table knows there, else the given one, because many gateways stand in front
// of one of the large providers.
func (t *Table) Provider(host, otherwise string) string {
	host = strings.ToLower(host)
	if p, ok := t.data.Hosts[host]; ok {
		return p
	}
	for _, end := range t.ends {
		if strings.HasSuffix(host, end) {
			return t.data.Hosts[end]
		}
	}
	return otherwise
}
