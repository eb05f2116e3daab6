package config

import (
	"fmt"
	"strings"

	"forward/internal/limits"
)

// strategy accepts the three names, also with underscores, as openai-forward's web UI wrote one of them.
func strategy(l *loader, v value) (string, error) {
	s, err := limits.ParseStrategy(strings.ToLower(strings.ReplaceAll(strings.TrimSpace(v.text), "_", "-")))
	if err != nil {
		return "", bad("not a strategy", fmt.Sprintf("write %s, %s or %s", limits.FixedWindow, limits.ElasticWindow, limits.MovingWindow))
	}
	l.cfg.Strategy = string(s)
	return string(s), nil
}

func globalRate(l *loader, v value) (string, error) {
	l.cfg.GlobalRate = strings.TrimSpace(v.text)
	return "", checkRate(v.text)
}

// checkRate asks the room that enforces the limit whether it understands it.
func checkRate(s string) error {
	if _, err := limits.ParseRates(strings.TrimSpace(s)); err != nil {
		problem, _, _ := strings.Cut(err.Error(), "write it like") // it says how, too, but not for a list of paths
		return bad(strings.TrimRight(problem, "; :"), `write e.g. "100/2minutes", "60/minute;600/hour" or "inf"`)
	}
	return nil
}

// rates reads limits by path, in each form that openai-forward had:
//
//	{"/v1/chat/completions": "100/2minutes"}                              a limit for every caller
//	{"/v1/chat/completions": [{"level": 0, "limit": "100/2minutes"}]}     limits by level
//	[{"route": "/v1/chat/completions", "value": …}]                       the same in its YAML file
func rates(field func(*Config) *[]RateRule) setter {
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
		var rules []RateRule
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

func sameRule(rules []RateRule, r RateRule) int {
	for i, have := range rules {
		if have.Path == r.Path && have.Level == r.Level {
			return i
		}
	}
	return -1
}

// parseRules reads the limits of one path.
func parseRules(p pair) ([]RateRule, error) {
	path := strings.TrimSpace(p.key)
	if !strings.HasPrefix(path, "/") {
		return nil, bad(fmt.Sprintf("%q is not a path", shorten(p.key)), "write paths as clients call them, such as /v1/chat/completions")
	}
	if path = strings.TrimRight(path, "/"); path == "" {
		path = "/"
	}
	if p.value.kind == scalar {
		if p.value.empty() {
			return nil, bad(fmt.Sprintf("%s has no limit", path), `write e.g. "60/minute", or "inf" for none`)
		}
		return []RateRule{{path, AnyLevel, strings.TrimSpace(p.value.text)}}, rulesError(path, checkRate(p.value.text))
	}
	var rules []RateRule
	for _, item := range p.value.items {
		limit, ok := item.get("limit")
		if !ok {
			limit, ok = item.get("rate_limit") // openai-forward's web UI
		}
		level, hasLevel := item.get("level")
		n, err := parseLevel(level.text)
		switch {
		case !ok || limit.kind != scalar || limit.empty() || !hasLevel || err != nil:
			return nil, bad(fmt.Sprintf("the limits of %s by level are not complete", path), `write [{"level": 0, "limit": "60/minute"}]`)
		case checkRate(limit.text) != nil:
			return nil, rulesError(path, checkRate(limit.text))
		}
		rules = append(rules, RateRule{path, n, strings.TrimSpace(limit.text)})
	}
	if len(rules) == 0 {
		return nil, bad(fmt.Sprintf("%s has no limit", path), `write "60/minute" or [{"level": 0, "limit": "60/minute"}]`)
	}
	return rules, nil
}

// rulesError says which path an error is about.
func rulesError(path string, err error) error {
	if f, ok := err.(*fault); ok {
		return bad(path+": "+f.problem, f.fix)
	}
	return err
}
