package config

import (
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"forward/internal/keys"
	"forward/internal/price"
)

const timesExample = `write "times": {"speed/fast": 2, "inference_geo/us": 1.1}`

const priceExample = `write {"my-model": {"input": 2.50, "output": 10}}, in dollars for a million tokens, or {"my-model": "openai/gpt-4o"}`

// prices reads model → rates, or model → the model of the table that costs as
// much:
//
//	prices:
//	  openai/gpt-4o: {input: 2.50, output: 10, cached_read: 1.25, batch: {input: 1.25, output: 5}}
//	  big-context: {input: 1, output: 2, tiers: [{above: 200000, input: 2, output: 4}]}
//	  team-model: openai/gpt-4o
//	  our-images: {image/1024x1024: 0.04, image: 0.08}
//	  our-claude: {input: 3, output: 15, call/web_search: 0.01, times: {speed/fast: 2, inference_geo/us: 1.1}}
func prices(l *loader, v value) (string, error) {
	if v.kind != object {
		return "", bad("prices by model were expected", priceExample)
	}
	for _, p := range v.pairs {
		override, err := l.priceOverride(p)
		if err != nil {
			return "", at(p.value, err)
		}
		l.cfg.Ledger.Prices = append(l.cfg.Ledger.Prices, override)
	}
	err := checkAliases(v.pairs, l.cfg.Ledger.Prices)
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("%d of our own", len(l.cfg.Ledger.Prices)), nil
}

// priceOverride reads the price of one model.
func (l *loader) priceOverride(p pair) (price.Override, error) {
	override := price.Override{Model: strings.TrimSpace(p.key)}
	switch {
	case override.Model == "" || p.value.empty():
		return override, bad(fmt.Sprintf("the entry %q has no price", shorten(p.key)), priceExample)
	case slices.ContainsFunc(l.cfg.Ledger.Prices, func(have price.Override) bool { return have.Model == override.Model }):
		return override, bad(fmt.Sprintf("%q has two prices", shorten(p.key)), "keep one of the two")
	case p.value.kind == scalar:
		override.Alias = strings.TrimSpace(p.value.text)
		return override, nil
	case p.value.kind != object:
		return override, bad(fmt.Sprintf("the price of %q is a list", shorten(p.key)), priceExample)
	}
	var err error
	override.Tiers, err = priceTiers(p.value)
	if err != nil {
		return override, within(shorten(p.key), err)
	}
	times, _ := p.value.get("times")
	override.Times, err = priceTimes(times)
	if err != nil {
		return override, within(shorten(p.key), err)
	}
	return override, nil
}

// checkAliases refuses models that are to cost what a model costs which the
// table does not have. The table is unpacked only where there is one.
func checkAliases(pairs []pair, overrides []price.Override) error {
	if !slices.ContainsFunc(overrides, func(o price.Override) bool { return o.Alias != "" }) {
		return nil
	}
	_, err := price.NewTable(overrides)
	if err == nil {
		return nil
	}
	var wrong []error
	for i, o := range overrides {
		if o.Alias == "" {
			continue
		}
		_, err := price.NewTable([]price.Override{o})
		if err != nil {
			wrong = append(wrong, at(pairs[i].value, bad(err.Error(), "")))
		}
	}
	return errors.Join(wrong...)
}

// priceTimes reads the factors of all rates of a model.
func priceTimes(times node) (map[string]price.Factor, error) {
	if times.kind != object && !times.empty() {
		return nil, bad("times are not an object", timesExample)
	}
	var factors map[string]price.Factor
	for _, p := range times.pairs {
		name := strings.ToLower(p.key)
		factor, err := price.ParseFactor(p.value.text)
		if err != nil || !price.IsFactor(name) {
			return nil, at(p.value, bad(fmt.Sprintf("%q is no factor of rates", shorten(p.key)), timesExample))
		}
		if factors == nil {
			factors = map[string]price.Factor{}
		}
		factors[name] = factor
	}
	return factors, nil
}

// priceTiers reads the rates of a model and, in tiers, those above so many
// prompt tokens.
func priceTiers(n node) ([]price.Tier, error) {
	base, err := priceTier(n, "tiers", "times")
	if err != nil {
		return nil, err
	}
	tiers := []price.Tier{base}
	more, _ := n.get("tiers")
	for _, item := range more.items {
		above, _ := item.get("above")
		t, err := priceTier(item, "above")
		if err != nil {
			return nil, err
		}
		t.Above, err = strconv.ParseInt(strings.TrimSpace(above.text), 10, 64)
		if err != nil || t.Above <= tiers[len(tiers)-1].Above {
			return nil, at(item, bad("tiers need rising numbers of prompt tokens", `write "tiers": [{"above": 200000, "input": 5, "output": 20}]`))
		}
		tiers = append(tiers, t)
	}
	if more.kind != list && !more.empty() {
		return nil, bad("tiers are not a list", `write "tiers": [{"above": 200000, "input": 5, "output": 20}]`)
	}
	return tiers, nil
}

// priceTier reads one price list, with what a batch and priority processing
// cost; others are what it may also have.
func priceTier(n node, others ...string) (t price.Tier, err error) {
	rest := node{kind: object}
	for _, p := range n.pairs {
		key := strings.ToLower(p.key)
		switch {
		case key == "batch":
			t.Batch, err = priceRates(p.value)
		case key == "priority":
			t.Priority, err = priceRates(p.value)
		case slices.Contains(others, key):
		default:
			rest.pairs = append(rest.pairs, p)
		}
		if err != nil {
			return t, err
		}
	}
	t.Rates, err = priceRates(rest)
	return t, err
}

func priceRates(n node) (price.Rates, error) {
	var names []string
	for _, q := range price.Quantities() {
		names = append(names, string(q))
	}
	rates := price.Rates{}
	for _, p := range n.pairs {
		name := strings.ToLower(p.key)
		quantity, ok := price.ParseQuantity(name)
		if !ok {
			fix := "write " + strings.Join(names, ", ")
			if base, _, has := strings.Cut(name, "/"); has && slices.Contains(names, base) {
				fix = "only image, video_second and call have kinds: write image/1024x1024/hd, video_second/1280x720, call/web_search"
			} else if near := Nearest(name, names); near != "" {
				fix = "did you mean " + near + "?"
			}
			return nil, at(p.value, bad(fmt.Sprintf("%q is nothing that has a rate", shorten(p.key)), fix))
		}
		amount, err := price.ParseDollars(p.value.text)
		if p.value.kind != scalar || err != nil {
			return nil, at(p.value, bad(fmt.Sprintf("the rate of %s is not an amount of dollars", name), "write it like 2.50, for a million tokens"))
		}
		rates[quantity] = amount
	}
	if len(rates) == 0 {
		return nil, bad("there is no rate", priceExample)
	}
	return rates, nil
}

// statsD reads datadog://host:8125 or statsd://host:8125.
func statsD(l *loader, v value) (string, error) {
	u, err := url.Parse(strings.TrimSpace(v.text))
	if err != nil || (u.Scheme != "datadog" && u.Scheme != "statsd") || u.Hostname() == "" || u.Path != "" || u.User != nil {
		return "", bad("not an address of a StatsD server", "write datadog://localhost:8125, or statsd://localhost:8125 for one that knows no tags")
	}
	if u.Port() == "" {
		u.Host += ":8125"
	}
	l.cfg.Ledger.StatsD = u
	return "", nil
}

// webhook reads an address to post to. It may hold a token, and so it is a
// secret as a whole.
func webhook(field func(*Config) *keys.Secret) setter {
	return func(l *loader, v value) (string, error) {
		u, err := url.Parse(strings.TrimSpace(v.text))
		if err != nil || u.Host == "" || (u.Scheme != "https" && u.Scheme != "http") {
			return "", bad("not an address to post to", "write https://host/path")
		}
		*field(l.cfg) = keys.NewSecret(u.String())
		return u.Scheme + "://" + u.Host + "/…", nil
	}
}

func secret(field func(*Config) *keys.Secret) setter {
	return func(l *loader, v value) (string, error) {
		s, err := l.newSecret(v, v.text)
		*field(l.cfg) = s
		return s.String(), err
	}
}
