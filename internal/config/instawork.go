package config

import (
	"fmt"
	"strings"
)

// rateLimiting are the names below rate_limiting of Instawork's llm-proxy.
var rateLimiting = []string{"enabled", "backend", "limits", "overrides", "estimation", "redis"}

// features reads the section of that name, or rate_limiting without it, of llm-proxy's YAML.
func features(file string, p pair, add func(path, name string, n node)) (problems []Problem, warnings []Warning) {
	if strings.EqualFold(p.key, "rate_limiting") {
		return instawork(file, p.key, p.value, add)
	}
	for _, member := range p.value.pairs {
		path := p.key + "." + member.key
		if !strings.EqualFold(member.key, "rate_limiting") {
			problems = append(problems, unknownKey(file, path, member, p.key+".", []string{"rate_limiting"}))
			continue
		}
		more, said := instawork(file, path, member.value, add)
		problems, warnings = append(problems, more...), append(warnings, said...)
	}
	return problems, warnings
}

// instawork translates the section features.rate_limiting of llm-proxy's YAML into our settings:
//
//	rate_limiting:
//	  enabled: true
//	  backend: redis
//	  redis: {url: redis://…}
//	  limits: {requests_per_minute: 60, tokens_per_day: 1000000}
//	  overrides: {per_key: {NAME: {requests_per_minute: 100}}, per_user: …, per_model: …}
//	  estimation: {chars_per_token: 4, …}
//
// There the limits hold in every scope, for all requests together too, so that an override above them has no effect. It is kept as it
// is and pointed out in a warning, because lifting a limit that somebody relies on is not ours to do.
func instawork(file, path string, section node, add func(path, name string, n node)) (problems []Problem, warnings []Warning) {
	if on, ok := section.get("enabled"); ok {
		if enabled, err := parseBool(on.text); err == nil && !enabled {
			return nil, nil
		}
	}
	at := func(n node) string { return fmt.Sprintf("%s:%d", file, n.line) }
	limits, _ := section.get("limits")
	overrides, _ := section.get("overrides")
	quotas := node{kind: object, line: section.line}
	scoped := func(scope string, more node) {
		names := node{kind: object, line: section.line}
		if !limits.empty() {
			names.pairs = append(names.pairs, pair{"*", limits})
		}
		for _, p := range more.pairs {
			names.pairs = append(names.pairs, pair{p.key, positive(p.value)})
		}
		if !names.empty() {
			quotas.pairs = append(quotas.pairs, pair{scope, names})
		}
	}
	for _, p := range overrides.pairs {
		switch strings.ToLower(p.key) {
		case "per_key", "per_user", "per_model":
		default:
			problems = append(problems, unknownKey(file, path+".overrides."+p.key, p, path+".overrides.", []string{"per_key", "per_user", "per_model"}))
		}
	}
	if !limits.empty() {
		quotas.pairs = append(quotas.pairs, pair{"global", limits})
	}
	scoped("route", node{})
	for _, scope := range []string{"model", "key", "user"} {
		more, _ := overrides.get("per_" + scope)
		scoped(scope, more)
		if !more.empty() && !limits.empty() {
			warnings = append(warnings, Warning{path + ".overrides.per_" + scope, "limits hold for all requests together and for each route too, as in llm-proxy, so that an override above them has no effect; write quotas: {" + scope + ": …} for limits of that scope alone", at(more)})
		}
	}
	if !quotas.empty() {
		add(path, "QUOTAS", quotas)
	}
	for _, p := range section.pairs {
		switch strings.ToLower(p.key) {
		case "enabled", "limits", "overrides":
		case "estimation":
			add(path+"."+p.key, "TOKEN_ESTIMATION", p.value)
		case "backend":
			if !strings.EqualFold(strings.TrimSpace(p.value.text), "redis") {
				add(path+"."+p.key, "REQ_RATE_LIMIT_BACKEND", p.value)
			}
		case "redis":
			more, found := redisOf(file, path+"."+p.key, section, p.value)
			problems = append(problems, more...)
			if !found.empty() {
				add(path+"."+p.key, "REQ_RATE_LIMIT_BACKEND", found)
			}
		default:
			problems = append(problems, unknownKey(file, path+"."+p.key, p, path+".", append([]string(nil), rateLimiting...)))
		}
	}
	return problems, warnings
}

// positive leaves out limits of zero: in an override of llm-proxy they say nothing.
func positive(n node) node {
	out := n
	out.pairs = nil
	for _, p := range n.pairs {
		if strings.TrimSpace(p.value.text) != "0" || p.value.kind != scalar {
			out.pairs = append(out.pairs, p)
		}
	}
	return out
}

// redisOf returns the URL of llm-proxy's redis section, if its backend is Redis.
func redisOf(file, path string, section, n node) ([]Problem, node) {
	backend, _ := section.get("backend")
	if !strings.EqualFold(strings.TrimSpace(backend.text), "redis") {
		return nil, node{}
	}
	url, _ := n.get("url")
	for _, p := range n.pairs {
		if name := strings.ToLower(p.key); name != "url" && !p.value.empty() {
			return []Problem{{Name: path + "." + name, Where: fmt.Sprintf("%s:%d", file, p.value.line), Problem: "the parts of a Redis address are not put together here", Fix: "write url: redis://user:password@host:6379/db"}}, node{}
		}
	}
	return nil, url
}
