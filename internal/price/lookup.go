package price

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"forward/internal/dialects"
)

// Price returns the price of a model at a provider, and in words why it is this
// one. It looks for the exact name, then for the name without the date at its
// end, then without the variant of its provider; in each step overrides come
// first. Similar names do not count: gpt-4o-mine is not priced as gpt-4o.
func (t *Table) Price(provider, model string) (list List, why string, ok bool) {
	id := [2]string{provider, model}
	if known, ok := t.quotes.Load(id); ok {
		q := known.(*quote)
		return q.list, q.why, q.ok
	}
	list, why, ok = t.find(provider, model)
	if len(model) <= maxQuoteName {
		if t.quoted.Add(1) > maxQuotes {
			t.quotes.Clear()
			t.quoted.Store(0)
		}
		id[1] = strings.Clone(model) // the name aliases a request's body
		t.quotes.Store(id, &quote{list, why, ok})
	}
	return list, why, ok
}

// Answered returns the price of an answer, and why it is this one: the price of
// the requested model when forward.yaml names it, else of the model that
// answered, else of the requested one.
func (t *Table) Answered(provider, requested, answered string) (list List, why string, ok bool) {
	if answered != "" && !t.overridden(provider, requested) {
		list, why, ok := t.Price(provider, answered)
		if ok || requested == "" { // a body that cannot be read names no model
			return list, why, ok
		}
	}
	return t.Price(provider, requested)
}

// overridden reports whether forward.yaml names a model as it was requested.
func (t *Table) overridden(provider, model string) bool {
	if len(t.overrides) == 0 {
		return false
	}
	_, everywhere := t.overrides[model]
	_, there := t.overrides[provider+"/"+model]
	return everywhere || there
}

func (t *Table) find(provider, model string) (list List, why string, ok bool) {
	name := model
	if provider == "google" {
		name = strings.TrimPrefix(name, "models/") // Gemini's long form of the same name
	}
	if list, why, ok := t.exact(provider, name); ok {
		return list, why, true
	}
	if undated, has := withoutDate(name); has {
		if list, why, ok := t.exact(provider, undated); ok {
			return list, why + ", the name without its date", true
		}
	}
	for end, free := range t.data.Providers[provider].Variants {
		base, has := strings.CutSuffix(name, end)
		switch {
		case !has || base == "":
		case free:
			rates := Rates{Input: 0, Output: 0, Request: 0}
			list = List{Provider: provider, Model: model, Tiers: []Tier{{Rates: rates}}, Source: "hand.json"}
			return list, fmt.Sprintf("%s is free at %s", end, provider), true
		default:
			if list, why, ok := t.find(provider, base); ok {
				return list, why + ", the name without " + end, true
			}
		}
	}
	why = fmt.Sprintf("no price of %q at %s: neither forward.yaml nor the table of %s has it", model, provider, t.Date())
	return List{}, why, false
}

func (t *Table) exact(provider, model string) (list List, why string, ok bool) {
	for _, name := range []string{provider + "/" + model, model} {
		o, ok := t.overrides[name]
		switch {
		case ok && o.Alias != "":
			return t.lists[o.Alias].clone(), fmt.Sprintf("forward.yaml: %s is priced as %s", name, o.Alias), true
		case ok:
			list = List{Provider: provider, Model: model, Tiers: o.Tiers, Times: o.Times, Source: "forward.yaml",
				Fees: t.data.Providers[provider].Fees}
			return list, "forward.yaml has a price of " + name, true
		}
	}
	list, ok = t.lists[provider+"/"+model]
	return list, fmt.Sprintf("%s/%s in the table of %s", provider, model, t.Date()), ok
}

// dated matches a date at the end of a model's name: gpt-4o-2024-08-06,
// claude-opus-4-5-20251101, and Vertex's @20251101.
var dated = regexp.MustCompile(`[-@](\d{4}-\d{2}-\d{2}|\d{8})$`)

func withoutDate(model string) (undated string, has bool) {
	at := dated.FindStringIndex(model)
	if at == nil || at[0] == 0 {
		return model, false
	}
	if _, err := time.Parse("20060102", strings.ReplaceAll(model[at[0]+1:], "-", "")); err != nil {
		return model, false
	}
	return model[:at[0]], true
}

// Match is a price that a name has at one provider. Its fields are the JSON of
// `forward usage prices -o json`.
type Match struct {
	Price List // its Provider is "" when forward.yaml has it for every provider
	Why   string
}

// Find returns every price that a name has: at each provider, and as
// "provider/model".
func (t *Table) Find(name string) []Match {
	undated, _ := withoutDate(name)
	for _, n := range []string{name, undated} {
		if list, why, ok := t.exact("", n); ok {
			return []Match{{list, why}}
		}
	}
	var found []Match
	for _, provider := range t.providers() {
		if list, why, ok := t.Price(provider, name); ok {
			found = append(found, Match{list, why})
		}
	}
	if provider, model, ok := strings.Cut(name, "/"); ok {
		if list, why, ok := t.Price(provider, model); ok {
			found = append(found, Match{list, why})
		}
	}
	return found
}

// Lookup returns the prices of a model at a provider, which may be named by its
// dialect, or at each provider for "".
func (t *Table) Lookup(provider, model string) []Match {
	if provider == "" {
		return t.Find(model)
	}
	if d, ok := dialects.ByName(provider); ok {
		provider = d.PriceName()
	}
	if list, why, ok := t.Price(provider, model); ok {
		return []Match{{list, why}}
	}
	return nil
}

// Unpriced returns what to do about a model without a price.
func Unpriced(model string) string {
	return fmt.Sprintf("%q has no price, so its calls count as unpriced; write one into forward.yaml: prices: {%q: {input: 2.50, output: 10}}, in dollars for a million tokens, or the model that it is: prices: {%q: openai/gpt-4o}", model, model, model)
}

// providers returns the names of all providers in order.
func (t *Table) providers() []string {
	var names []string
	for _, l := range t.data.Rows {
		if len(names) == 0 || names[len(names)-1] != l.Provider {
			names = append(names, l.Provider)
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
