package config

import (
	"fmt"
	"slices"
	"strings"

	"forward/internal/dialect"
	"forward/internal/limits"
)

// strategy accepts the three names, also with underscores, as openai-forward's
// web UI wrote one of them.
func strategy(l *loader, v value) (string, error) {
	s, err := limits.ParseStrategy(strings.ToLower(strings.ReplaceAll(strings.TrimSpace(v.text), "_", "-")))
	if err != nil {
		return "", bad("not a strategy", fmt.Sprintf("write %s, %s or %s", limits.FixedWindow, limits.ElasticWindow, limits.MovingWindow))
	}
	l.cfg.Limits.Strategy = s
	return string(s), nil
}

func globalRate(l *loader, v value) (string, error) {
	rates, err := parseRates(v.text)
	l.cfg.Limits.Global = rates
	return "", err
}

// parseRates reads the rates of one limit.
func parseRates(s string) ([]limits.Rate, error) {
	rates, err := limits.ParseRates(strings.TrimSpace(s))
	if err != nil {
		problem, _, _ := strings.Cut(err.Error(), "write it like") // its example does not fit a list of paths
		return nil, bad(strings.TrimRight(problem, "; :"), `write e.g. "100/2minutes", "60/minute;600/hour" or "inf"`)
	}
	return rates, nil
}

// rates reads limits by path, in each form that openai-forward had:
//
//	{"/v1/chat/completions": "100/2minutes"}                              a limit for every caller
//	{"/v1/chat/completions": [{"level": 0, "limit": "100/2minutes"}]}     limits by level
//	[{"route": "/v1/chat/completions", "value": …}]                       the same in its YAML file
func rates(field func(*Config) *[]limits.Rule) setter {
	return func(l *loader, v value) (string, error) {
		pairs := v.pairs
		wrong := bad("limits by path were expected", `write {"/v1/chat/completions": "60/minute;600/hour"}`)
		for _, item := range v.items {
			route, _ := item.get("route")
			limit, ok := item.get("value")
			if !ok {
				limit, ok = item.get("limit")
			}
			if !ok || route.empty() {
				return "", wrong
			}
			pairs = append(pairs, pair{route.text, limit})
		}
		if len(pairs) == 0 {
			return "", wrong
		}
		var rules []limits.Rule
		for _, p := range pairs {
			more, err := parseRules(p)
			if err != nil {
				return "", err
			}
			for _, r := range more {
				if at := sameRule(rules, r); at >= 0 {
					l.warn(v, fmt.Sprintf("%q is limited twice; the last entry counts", r.Path))
					rules[at] = r
					continue
				}
				rules = append(rules, r)
			}
		}
		*field(l.cfg) = rules
		return "", nil
	}
}

func sameRule(rules []limits.Rule, r limits.Rule) int {
	return slices.IndexFunc(rules, func(have limits.Rule) bool { return have.Path == r.Path && have.Level == r.Level })
}

// parseRules reads the limits of one path.
func parseRules(p pair) ([]limits.Rule, error) {
	path := strings.TrimSpace(p.key)
	if !strings.HasPrefix(path, "/") {
		return nil, bad(fmt.Sprintf("%q is not a path", shorten(p.key)), "write paths as clients call them, such as /v1/chat/completions")
	}
	path = dialect.FoldPath(dialect.JudgedPath(path)) // as requests are judged
	if p.value.kind == scalar {
		if p.value.empty() {
			return nil, bad(fmt.Sprintf("%s has no limit", path), `write e.g. "60/minute", or "inf" for none`)
		}
		rates, err := parseRates(p.value.text)
		return []limits.Rule{{Path: path, Level: limits.AnyLevel, Rates: rates}}, within(path, err)
	}
	var rules []limits.Rule
	for _, item := range p.value.items {
		limit, ok := item.get("limit")
		if !ok {
			limit, ok = item.get("rate_limit") // openai-forward's web UI
		}
		level, hasLevel := item.get("level")
		n, err := parseLevel(level.text)
		if !ok || limit.kind != scalar || limit.empty() || !hasLevel || err != nil {
			return nil, bad(fmt.Sprintf("the limits of %s by level are not complete", path), `write [{"level": 0, "limit": "60/minute"}]`)
		}
		rates, err := parseRates(limit.text)
		if err != nil {
			return nil, within(path, err)
		}
		rules = append(rules, limits.Rule{Path: path, Level: n, Rates: rates})
	}
	if len(rules) == 0 {
		return nil, bad(fmt.Sprintf("%s has no limit", path), `write "60/minute" or [{"level": 0, "limit": "60/minute"}]`)
	}
	return rules, nil
}

// within adds the part of a value to a fault that is about it.
func within(part string, err error) error {
	if f, ok := err.(*fault); ok {
		return &fault{part + ": " + f.problem, f.fix, f.line}
	}
	return err
}
