package config

import "strings"

// rateLimiting translates the section features.rate_limiting of Instawork's
// llm-proxy into our settings:
//
//	rate_limiting:
//	  enabled: true
//	  backend: redis
//	  redis: {url: redis://…}
//	  limits: {requests_per_minute: 60, tokens_per_day: 1000000}
//	  overrides: {per_key: {NAME: {requests_per_minute: 100}}, per_user: …, per_model: …}
//	  estimation: {chars_per_token: 4, …}
func (f *fileSettings) rateLimiting(path string, section node) {
	if on, ok := section.get("enabled"); ok {
		if enabled, err := parseBool(on.text); err == nil && !enabled {
			return
		}
	}
	backend, _ := section.get("backend")
	inRedis := strings.EqualFold(strings.TrimSpace(backend.text), "redis")
	f.scopes(path, section)
	for _, p := range section.pairs {
		member := path + "." + p.key
		switch strings.ToLower(p.key) {
		case "enabled", "limits", "overrides":
		case "estimation":
			f.add(member, "TOKEN_ESTIMATION", p.value)
		case "backend":
			if !inRedis {
				f.add(member, "REQ_RATE_LIMIT_BACKEND", p.value)
			}
		case "redis":
			if inRedis {
				f.redis(member, p.value)
			}
		default:
			f.unknown(member, p, path+".", []string{"enabled", "backend", "limits", "overrides", "estimation", "redis"})
		}
	}
}

// scopes makes QUOTAS of limits and overrides. In llm-proxy the limits hold in
// every scope, for all requests together too, so that an override above them
// has no effect. That is kept and reported in a warning: lifting a limit that a
// team relies on would be worse.
func (f *fileSettings) scopes(path string, section node) {
	limits, _ := section.get("limits")
	overrides, _ := section.get("overrides")
	for _, p := range overrides.pairs {
		switch strings.ToLower(p.key) {
		case "per_key", "per_user", "per_model":
		default:
			f.unknown(path+".overrides."+p.key, p, path+".overrides.", []string{"per_key", "per_user", "per_model"})
		}
	}
	quotas := node{kind: object, line: section.line}
	if !limits.empty() {
		quotas.pairs = append(quotas.pairs, pair{"global", limits})
	}
	for _, scope := range []string{"route", "model", "key", "user"} {
		names := node{kind: object, line: section.line}
		if !limits.empty() {
			names.pairs = append(names.pairs, pair{"*", limits})
		}
		more, _ := overrides.get("per_" + scope)
		if scope == "route" {
			more = node{} // llm-proxy has no override of this name
		}
		for _, p := range more.pairs {
			names.pairs = append(names.pairs, pair{p.key, positive(p.value)})
		}
		if !names.empty() {
			quotas.pairs = append(quotas.pairs, pair{scope, names})
		}
		if !more.empty() && !limits.empty() {
			f.warnings = append(f.warnings, Warning{path + ".overrides.per_" + scope, "limits hold for all requests together and for each route too, as in llm-proxy, " +
				"so that an override above them has no effect; write quotas: {" + scope + ": …} for limits of that scope alone", f.at(more)})
		}
	}
	if !quotas.empty() {
		f.add(path, "QUOTAS", quotas)
	}
}

// positive leaves out limits of zero: in an override of llm-proxy they mean
// nothing.
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

// redis adds the URL of llm-proxy's redis section.
func (f *fileSettings) redis(path string, n node) {
	for _, p := range n.pairs {
		name := strings.ToLower(p.key)
		if name != "url" && !p.value.empty() {
			f.problems = append(f.problems, Problem{Name: path + "." + name, Where: f.at(p.value),
				Problem: "the parts of a Redis address are not put together here", Fix: "write url: redis://user:password@host:6379/db"})
			return
		}
	}
	if url, _ := n.get("url"); !url.empty() {
		f.add(path, "REQ_RATE_LIMIT_BACKEND", url)
	}
}
