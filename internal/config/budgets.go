package config

import (
	"errors"
	"fmt"
	"strings"

	"forward/internal/keys"
	"forward/internal/ledger"
)

const budgetsExample = `write [{"tag": "team=search", "limit": "500usd/month"}]`

// budgets reads what all requests with a tag may use together. A limit is a
// budget as keys have it, or a list of several:
//
//	budgets:
//	  - {tag: team=search, limit: 500usd/month}
//	  - {tag: nightly, limit: [5usd/day, 20mtokens/week], overrun: allow, unknown_price: allow}
func budgets(l *loader, v value) (string, error) {
	if v.kind != list {
		return "", bad("a list of budgets was expected", budgetsExample)
	}
	var wrong []error
	for i, item := range v.items {
		read, err := readBudgets(fmt.Sprintf("entry %d", i+1), item)
		if err != nil {
			wrong = append(wrong, at(item, err))
			continue
		}
		for _, b := range read {
			if l.hasBudget(b) {
				wrong = append(wrong, at(item, bad(fmt.Sprintf("tag %q has two budgets of %s/%s", b.Tag, b.Limit.Unit, b.Limit.Period), "keep one of them")))
				continue
			}
			l.cfg.Limits.Budgets = append(l.cfg.Limits.Budgets, b)
		}
	}
	return "", errors.Join(wrong...)
}

// hasBudget reports whether there is a budget of the same tag for the same
// period.
func (l *loader) hasBudget(b ledger.TagBudget) bool {
	for _, o := range l.cfg.Limits.Budgets {
		if o.Tag == b.Tag && o.Limit.Unit == b.Limit.Unit && o.Limit.Period == b.Limit.Period && o.Limit.Zone == b.Limit.Zone {
			return true
		}
	}
	return false
}

// readBudgets reads one entry: a tag and its limits.
func readBudgets(path string, n node) (read []ledger.TagBudget, err error) {
	if n.kind != object {
		return nil, bad(path+" is not an object", budgetsExample)
	}
	var b ledger.TagBudget
	var limits []string
	for _, p := range n.pairs {
		switch name := strings.ToLower(strings.TrimSpace(p.key)); name {
		case "tag":
			b.Tag = strings.TrimSpace(p.value.text)
		case "limit":
			limits = []string{p.value.text}
			if p.value.kind == list {
				limits = p.value.texts()
			}
		case "overrun", "unknown_price":
			word, err := choose(p.value.text, "deny", "allow")
			if err != nil {
				return nil, bad(fmt.Sprintf("%s.%s is %q", path, name, shorten(p.value.compact())), "write deny or allow")
			}
			if name == "overrun" {
				b.Overrun = word
			} else {
				b.UnknownPrice = word
			}
		default:
			return nil, bad(fmt.Sprintf("%s has a member %q", path, shorten(p.key)), "write tag, limit, overrun and unknown_price only")
		}
	}
	if err := keys.CheckTag(b.Tag); err != nil {
		return nil, bad(path+".tag: "+err.Error(), budgetsExample)
	}
	if len(limits) == 0 {
		return nil, bad(path+" has no limit", budgetsExample)
	}
	for _, text := range limits {
		b.Limit, err = keys.ParseBudget(text)
		if err != nil {
			return nil, bad(path+".limit: "+err.Error(), budgetsExample)
		}
		read = append(read, b)
	}
	return read, nil
}
