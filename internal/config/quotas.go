package config

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"forward/internal/limits"
)

const (
	quotaExample      = `write {"key": {"*": {"requests_per_minute": 60, "tokens_per_day": 1000000}, "team-a": {"tokens_per_day": 0}}}, where 0 is no limit`
	estimationExample = `write {"chars_per_token": 4, "provider_chars_per_token": {"anthropic": 3}, "max_sample_bytes": 20000}`
)

// quotas reads limits on requests and tokens by scope and name. An entry
// inherits from the "*" of its scope; 0 lifts a limit:
//
//	quotas:
//	  global: {tokens_per_day: 50000000}
//	  model: {"*": {tokens_per_minute: 100000}, "gpt-4o*": {tokens_per_minute: 400000}}
//	  user: {"*": {requests_per_minute: 20, shadow: true}}
func quotas(l *loader, v value) (string, error) {
	if v.kind != object {
		return "", bad("limits by scope were expected", quotaExample)
	}
	var scopes []string
	for _, s := range limits.Scopes() {
		scopes = append(scopes, string(s))
	}
	var wrong []error
	for _, scope := range v.pairs {
		name := strings.ToLower(strings.TrimSpace(scope.key))
		if name == "provider" {
			name = "route"
		}
		word, err := choose(name, scopes...)
		switch {
		case err != nil:
			wrong = append(wrong, bad(fmt.Sprintf("%q is not a scope", shorten(scope.key)), err.(*fault).fix))
		case limits.Scope(word) == limits.ScopeGlobal:
			wrong = append(wrong, l.quotaScope(word, node{kind: object, pairs: []pair{{"*", scope.value}}})...)
		default:
			wrong = append(wrong, l.quotaScope(word, scope.value)...)
		}
	}
	return "", errors.Join(wrong...)
}

// quotaScope reads the entries of one scope.
func (l *loader) quotaScope(scope string, n node) (wrong []error) {
	if n.kind != object {
		return []error{bad(scope+" has no names", quotaExample)}
	}
	base := limits.Quota{Scope: limits.Scope(scope)}
	if all, ok := n.get("*"); ok {
		wrong = append(wrong, readQuota(&base, scope, all)...)
	}
	for _, p := range n.pairs {
		q := base
		q.Match = strings.TrimSpace(p.key)
		path := scope + "." + shorten(p.key)
		if q.Match != "*" {
			wrong = append(wrong, readQuota(&q, path, p.value)...)
		}
		for _, have := range l.cfg.Limits.Quotas {
			if have.Scope == q.Scope && have.Match == q.Match {
				wrong = append(wrong, bad(path+" is written twice", "keep one of the two"))
			}
		}
		l.cfg.Limits.Quotas = append(l.cfg.Limits.Quotas, q)
	}
	return wrong
}

// quotaFields are the limits of a quota by their names, which are those of
// llm-proxy and, short, of its keys.
func quotaFields(q *limits.Quota) map[string]*int64 {
	return map[string]*int64{
		"requests_per_minute": &q.RequestsPerMinute, "requests_per_day": &q.RequestsPerDay, "tokens_per_minute": &q.TokensPerMinute, "tokens_per_day": &q.TokensPerDay,
		"input_tokens_per_minute": &q.InputPerMinute, "input_tokens_per_day": &q.InputPerDay, "output_tokens_per_minute": &q.OutputPerMinute, "output_tokens_per_day": &q.OutputPerDay,
		"rpm": &q.RequestsPerMinute, "rpd": &q.RequestsPerDay, "tpm": &q.TokensPerMinute, "tpd": &q.TokensPerDay,
	}
}

// quotaNames are the names of limits in messages.
const quotaNames = "requests_per_minute, requests_per_day, tokens_per_minute, tokens_per_day, input_tokens_per_…, output_tokens_per_…, shadow"

func readQuota(q *limits.Quota, path string, n node) (wrong []error) {
	if n.kind != object {
		return []error{bad(path+" has no limits", quotaExample)}
	}
	fields := quotaFields(q)
	for _, p := range n.pairs {
		name := strings.ToLower(strings.TrimSpace(p.key))
		field, ok := fields[name]
		switch {
		case name == "shadow":
			b, err := parseBool(p.value.text)
			q.Shadow = b
			if err != nil {
				wrong = append(wrong, bad(fmt.Sprintf("%s.shadow is %q", path, shorten(p.value.compact())), "write true or false"))
			}
		case !ok:
			fix := "write " + quotaNames
			if near := Nearest(name, strings.Split(quotaNames, ", ")); near != "" {
				fix = "did you mean " + near + "?"
			}
			wrong = append(wrong, bad(fmt.Sprintf("%s.%s is no limit", path, shorten(p.key)), fix))
		default:
			v, err := strconv.ParseInt(strings.TrimSpace(p.value.text), 10, 64)
			if p.value.kind != scalar || err != nil || v < 0 || v > limits.MaxQuota {
				wrong = append(wrong, bad(fmt.Sprintf("%s.%s is %q", path, name, shorten(p.value.compact())), "write a whole number, or 0 for no limit"))
				continue
			}
			*field = v
		}
	}
	return wrong
}

// estimation reads how tokens are counted by length.
func estimation(l *loader, v value) (string, error) {
	if v.kind != object {
		return "", bad("numbers by name were expected", estimationExample)
	}
	e := &l.cfg.Limits.Estimation
	e.BytesPerToken = 4
	var wrong []error
	ratio := func(path string, n node, field *float64) {
		f, err := strconv.ParseFloat(strings.TrimSpace(n.text), 64)
		*field = f
		if n.kind != scalar || err != nil || !(f > 0) || f > 1000 {
			wrong = append(wrong, bad(fmt.Sprintf("%s is %q", path, shorten(n.compact())), "write a number above zero, such as 4"))
		}
	}
	for _, p := range v.pairs {
		switch name := strings.ToLower(strings.TrimSpace(p.key)); name {
		case "chars_per_token":
			ratio(name, p.value, &e.CharsPerToken)
		case "bytes_per_token":
			ratio(name, p.value, &e.BytesPerToken)
		case "provider_chars_per_token":
			e.ByProvider = map[string]float64{}
			for _, provider := range p.value.pairs {
				var f float64
				ratio(name+"."+shorten(provider.key), provider.value, &f)
				e.ByProvider[strings.ToLower(strings.TrimSpace(provider.key))] = f
			}
			if p.value.kind != object {
				wrong = append(wrong, bad(name+" has no providers", estimationExample))
			}
		case "max_sample_bytes":
			n, err := strconv.ParseInt(strings.TrimSpace(p.value.text), 10, 64)
			e.MaxSample = n
			if err != nil || p.value.kind != scalar {
				wrong = append(wrong, bad(fmt.Sprintf("%s is %q", name, shorten(p.value.compact())), "write bytes, such as 20000; 0 for all, -1 for none"))
			}
		default:
			wrong = append(wrong, bad(fmt.Sprintf("%q is no setting of estimates", shorten(p.key)), estimationExample))
		}
	}
	return "", errors.Join(wrong...)
}
