package config

import (
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"forward/internal/dialect"
	"forward/internal/dialects"
	"forward/internal/upstream"
)

// targets are the base URLs and prefixes of one kind of route, as two lists
// paired by position.
type targets struct {
	bases, prefixes []string
	keys            []upstream.APIKey
}

// target is one entry of FORWARD_CONFIG.
type target struct{ base, prefix, kind string }

// reserved are the paths of the gateway itself, which no route may take.
var reserved = []string{"/health", "/healthz", "/readyz", "/metrics", "/_"}

// cleanPrefix gives a prefix its one spelling: a leading slash, none at the
// end.
func cleanPrefix(s string) string { return "/" + strings.Trim(strings.TrimSpace(s), "/") }

var prefixForm = regexp.MustCompile(`^(/|(/[A-Za-z0-9_~.-]+)+)$`)

// checkPrefix returns what is wrong with a cleaned prefix.
func checkPrefix(prefix string) error {
	for segment := range strings.SplitSeq(prefix, "/") {
		if segment == "." || segment == ".." {
			return bad(fmt.Sprintf("the prefix %q leaves its place", prefix), "write a prefix such as /openai")
		}
	}
	if !prefixForm.MatchString(prefix) {
		return bad(fmt.Sprintf("the prefix %q has a character that cannot stand there", shorten(prefix)), "write a prefix of letters, digits and - _ . ~, such as /openai")
	}
	for _, own := range reserved {
		if prefix == own || strings.HasPrefix(prefix, own+"/") {
			return bad(fmt.Sprintf("the prefix %s belongs to forward itself", prefix), "choose another prefix")
		}
	}
	return nil
}

// parseBases reads the base URLs of one route, first|second|…; there is at
// least one.
func parseBases(s string) (list []*url.URL, err error) {
	for one := range strings.SplitSeq(s, "|") {
		base, err := parseBase(one)
		if err != nil {
			return nil, err
		}
		for _, other := range list {
			if other.String() == base.String() {
				return nil, bad(fmt.Sprintf("%q stands twice in one route", shorten(base.String())), "write each base URL of a route once")
			}
		}
		list = append(list, base)
	}
	return list, nil
}

// parseBase reads a base URL. The text in its errors has no password and no
// query.
func parseBase(s string) (*url.URL, error) {
	s = strings.TrimSpace(s)
	if strings.HasPrefix(s, unreadPrefix) {
		s = "https://" + s
	}
	shown := shorten(hideSecrets(s))
	if !strings.Contains(s, "://") {
		return nil, bad(fmt.Sprintf("%q has no scheme", shown), "write https://"+shown)
	}
	u, err := url.Parse(s)
	switch {
	case err != nil || u.Hostname() == "":
		return nil, bad(fmt.Sprintf("%q is not a URL", shown), "write https://host or https://host/path")
	case u.Scheme != "http" && u.Scheme != "https":
		return nil, bad(fmt.Sprintf("%q is neither http nor https", shown), "write https://host or http://host")
	case u.User != nil:
		return nil, bad(fmt.Sprintf("%q has a user in it", shown), "write the URL without it and the credential as an API key")
	case u.RawQuery != "" || u.ForceQuery || u.Fragment != "":
		return nil, bad(fmt.Sprintf("%q has a query or a fragment", shown), "write the URL up to the ? or #")
	}
	u.Path, u.RawPath = strings.TrimRight(u.Path, "/"), strings.TrimRight(u.RawPath, "/")
	return u, nil
}

// of returns the base URLs, prefixes and API keys of a provider's settings.
func (l *loader) of(d *dialect.Dialect) *targets {
	if l.providers == nil {
		l.providers = map[*dialect.Dialect]*targets{}
	}
	if l.providers[d] == nil {
		l.providers[d] = &targets{}
	}
	return l.providers[d]
}

// general is the kind of a route whose dialect is not written.
const general = "general"

// kinds are the kinds of routes, and the text that lists them.
func kinds() (names []string, text string) {
	for _, d := range dialects.All {
		names = append(names, d.Name)
	}
	return append(names, general), strings.Join(names, ", ") + " or " + general
}

// dialectOf guesses the dialect of a general route by its host, then by its
// prefix. A path that ends like OpenAI's name is the compatible API of another
// provider.
func dialectOf(base *url.URL, prefix string) *dialect.Dialect {
	if strings.HasSuffix(base.Path, "/"+dialects.Default.Name) {
		return dialects.Default
	}
	host := strings.ToLower(base.Hostname())
	for _, d := range dialects.All {
		byHost := slices.ContainsFunc(d.Provider.Hosts, func(suffix string) bool { return strings.HasSuffix(host, suffix) })
		byPrefix := slices.ContainsFunc(d.Provider.Words, func(word string) bool { return strings.Contains(prefix, word) })
		if d != dialects.Default && (byHost || byPrefix) {
			return d
		}
	}
	return dialects.Default
}

// keysFor returns the API keys of a route's kind. A general route takes its
// provider's keys; without any it shares those of the default dialect, which is
// where openai-forward 0.7 and later keep the keys of every target.
func (l *loader) keysFor(kind string, d *dialect.Dialect) []upstream.APIKey {
	own := l.of(d).keys
	if kind == general && len(own) == 0 {
		return l.of(dialects.Default).keys
	}
	return own
}

// mount adds a route, or reports why it cannot be: under the setting baseName
// what is wrong with its base URL, under prefixName what is wrong with its
// prefix.
func (l *loader) mount(baseName, prefixName string, t target, edit func(*Route)) {
	prefix := cleanPrefix(t.prefix)
	bases, err := parseBases(t.base)
	if err != nil {
		f := err.(*fault)
		l.failAt(baseName, f.problem, f.fix)
	}
	wrong := checkPrefix(prefix)
	switch {
	case wrong != nil:
	case l.cfg.Benchmark && prefix == "/benchmark":
		wrong = bad("the prefix /benchmark belongs to BENCHMARK_MODE", "choose another prefix, or set BENCHMARK_MODE=false")
	case l.mounted(prefix):
		wrong = bad(fmt.Sprintf("two routes are mounted at %s", prefix), "give each route its own prefix")
	}
	if wrong != nil {
		f := wrong.(*fault)
		l.failAt(prefixName, f.problem, f.fix)
		return
	}
	if err != nil {
		return
	}
	base := bases[0]
	r := Route{Prefix: prefix, BaseURL: base, Also: bases[1:], Type: t.kind, setting: baseName}
	d, ok := dialects.ByName(t.kind)
	if !ok {
		d = dialectOf(base, prefix)
	}
	r.Dialect = d
	r.APIKeys = l.keysFor(r.Type, r.Dialect)
	if edit != nil {
		edit(&r)
	}
	if r.Dialect == dialects.Default && strings.HasSuffix(base.Path, "/v1") && !strings.HasSuffix(prefix, "/v1") && !r.Open {
		l.warn(l.chosen[baseName], fmt.Sprintf("clients call %s, which becomes %s://%s%s/v1/…; write the base URL without /v1 unless they call %s",
			strings.TrimSuffix(prefix, "/")+"/v1/…", base.Scheme, base.Host, base.Path, strings.TrimSuffix(prefix, "/")+"/chat/completions"))
	}
	l.cfg.Routes = append(l.cfg.Routes, r)
}

// pairUp mounts two lists that belong together by position.
func (l *loader) pairUp(baseName, prefixName string, t targets, kind string, edit func(*Route)) {
	if len(t.bases) != len(t.prefixes) {
		at := prefixName
		if l.chosen[at].source == Default {
			at = baseName
		}
		l.failAt(at, fmt.Sprintf("%s has %d %s and %s %d", baseName, len(t.bases), plural(len(t.bases), "entry", "entries"), prefixName, len(t.prefixes)),
			"write one prefix for each base URL, in the same order")
		return
	}
	for i := range t.bases {
		l.mount(baseName, prefixName, target{t.bases[i], t.prefixes[i], kind}, edit)
	}
}

// buildRoutes mounts the configured routes, then the built-in ones whose prefix
// is free.
func (l *loader) buildRoutes() {
	written := l.chosen["OPENAI_BASE_URL"].source != Default || l.chosen["OPENAI_ROUTE_PREFIX"].source != Default
	if written || (len(l.forward) == 0 && !l.rootWritten() && !l.leftOut(dialects.Default)) {
		l.pairUp("OPENAI_BASE_URL", "OPENAI_ROUTE_PREFIX", *l.of(dialects.Default), dialects.Default.Name, func(r *Route) { r.BuiltIn = !written })
	} else {
		l.show("OPENAI_BASE_URL", "")
		l.show("OPENAI_ROUTE_PREFIX", "")
	}
	for _, t := range l.forward {
		l.mount("FORWARD_CONFIG", "FORWARD_CONFIG", t, nil)
	}
	l.pairUp("EXTRA_BASE_URL", "EXTRA_ROUTE_PREFIX", l.extra, general, func(r *Route) { r.Open, r.APIKeys = true, nil })
	l.readRoutes()
	l.mountBuiltIn()
	alias := "/" + dialects.Default.Name
	for i := range l.cfg.Routes {
		r := &l.cfg.Routes[i]
		if r.Prefix == "/" && r.Type == dialects.Default.Name && !l.mounted(alias) {
			r.Aliases = []string{alias}
		}
	}
	l.nameRoutes()
	l.markClient()
	for _, m := range l.cfg.ModelRoutes {
		l.checkModelRoute(m)
	}
}

// checkModelRoute reports a model route to a prefix that is not mounted, or to
// a route that does not speak its dialect.
func (l *loader) checkModelRoute(m ModelRoute) {
	i := slices.IndexFunc(l.cfg.Routes, func(r Route) bool { return r.Prefix == m.Prefix || slices.Contains(r.Aliases, m.Prefix) })
	if i < 0 {
		l.failAt("MODEL_ROUTES", fmt.Sprintf("no route is mounted at %s", m.Prefix), "write the prefix of a route")
		return
	}
	r := l.cfg.Routes[i]
	if m.Dialect != nil && !dialects.Serve(r.Dialect, r.BaseURL.Hostname(), m.Dialect, dialect.Other) {
		l.failAt("MODEL_ROUTES", fmt.Sprintf("the route at %s does not speak the protocol %s", m.Prefix, m.Dialect.Name), "write a route of this type")
	}
}

// mountBuiltIn mounts the routes of providers that no other route has taken the
// prefix of.
func (l *loader) mountBuiltIn() {
	for _, d := range dialects.All {
		bases := l.of(d).bases
		if d == dialects.Default || l.mounted("/"+d.Name) || len(bases) == 0 || l.leftOut(d) {
			continue
		}
		name := strings.ToUpper(d.Name) + "_BASE_URL"
		l.mount(name, name, target{strings.Join(bases, ","), "/" + d.Name, d.Name}, func(r *Route) { r.BuiltIn = true })
	}
}

// leftOut reports whether the built-in route of a provider is not mounted: in
// the place of LLProxy only its own routes are, unless a setting names the
// provider.
func (l *loader) leftOut(d *dialect.Dialect) bool {
	name := strings.ToUpper(d.Name)
	return l.onlyRoutes && l.chosen[name+"_BASE_URL"].source == Default && l.chosen[name+"_API_KEY"].empty()
}

// rootWritten reports whether forward.yaml has a route of its own at /, which
// takes the place of the default one.
func (l *loader) rootWritten() bool {
	return slices.ContainsFunc(l.routes.pairs, func(p pair) bool {
		prefix := p.key
		for _, name := range []string{"prefix", "route"} {
			if v, ok := p.value.get(name); ok {
				prefix = v.text
			}
		}
		return cleanPrefix(prefix) == "/"
	})
}

// markClient marks the routes of CLIENT_CREDENTIALS.
func (l *loader) markClient() {
	for _, text := range l.client {
		prefix := cleanPrefix(text)
		i := slices.IndexFunc(l.cfg.Routes, func(r Route) bool { return r.Prefix == prefix || slices.Contains(r.Aliases, prefix) })
		if i < 0 {
			l.failAt("CLIENT_CREDENTIALS", fmt.Sprintf("no route is mounted at %s", prefix), "write prefixes of routes, such as /anthropic")
			continue
		}
		l.cfg.Routes[i].Client = true
	}
}

func (l *loader) mounted(prefix string) bool {
	return slices.ContainsFunc(l.cfg.Routes, func(r Route) bool { return r.Prefix == prefix })
}

// show changes what `forward check` prints for a setting that has no effect.
func (l *loader) show(name, text string) {
	for i := range l.cfg.settings {
		if l.cfg.settings[i].Name == name {
			l.cfg.settings[i].Value = text
		}
	}
}

// nameRoutes gives each route its name for logs, as openai-forward names its
// directories: the prefix with "/" as "_", the root "openai". Written routes
// come before built-in ones, and a name taken gets a number.
func (l *loader) nameRoutes() {
	taken := map[string]bool{}
	name := func(builtIn bool) {
		for i := range l.cfg.Routes {
			r := &l.cfg.Routes[i]
			if r.BuiltIn != builtIn {
				continue
			}
			base := strings.ReplaceAll(strings.Trim(r.Prefix, "/"), "/", "_")
			if base == "" {
				base = dialects.Default.Name
			}
			r.Name = base
			for n := 2; taken[r.Name]; n++ {
				r.Name = fmt.Sprintf("%s-%d", base, n)
			}
			taken[r.Name] = true
		}
	}
	name(false)
	name(true)
	for i := range l.cfg.Models {
		for _, r := range l.cfg.Routes {
			if r.Prefix == l.cfg.Models[i].Route {
				l.cfg.Models[i].Route = r.Name
			}
		}
	}
}
