package config

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"forward/internal/dialects"
	"forward/internal/queue"
)

// forwardConfig reads openai-forward's list of targets: [{"base_url": …,
// "route": …, "type": …}].
func forwardConfig(l *loader, v value) (string, error) {
	example := `write [{"base_url": "https://api.openai.com", "route": "/", "type": "openai"}]`
	if v.kind != list {
		return "", bad("a JSON list was expected", example)
	}
	known, names := kinds()
	for i, item := range v.items {
		if item.kind != object {
			return "", bad(fmt.Sprintf("entry %d is not an object", i+1), example)
		}
		t := target{kind: general} // what openai-forward takes a target without type for
		for _, p := range item.pairs {
			switch strings.ToLower(p.key) {
			case "base_url":
				t.base = p.value.text
			case "route":
				t.prefix = p.value.text
			case "type":
				t.kind = strings.ToLower(strings.TrimSpace(p.value.text))
			case "backend", "model_map", "api_base": // type custom
			default:
				return "", bad(fmt.Sprintf("entry %d has a member %q", i+1, shorten(p.key)), "write base_url, route and type only")
			}
		}
		if t.kind == "custom" {
			l.warn(v, fmt.Sprintf("entry %d has the type custom, which is forwarded as openai; its model_map is not applied", i+1))
			t.kind = dialects.Default.Name
		}
		switch {
		case t.base == "" || t.prefix == "":
			return "", bad(fmt.Sprintf("entry %d lacks base_url or route", i+1), example)
		case !slices.Contains(known, t.kind):
			return "", bad(fmt.Sprintf("entry %d has the type %q", i+1, shorten(t.kind)), "write "+names)
		}
		l.forward = append(l.forward, t)
	}
	return "", nil
}

// readRoutes mounts `routes` of forward.yaml, which LLProxy's config.json has
// in the same shape:
//
//	routes: {NAME: {forward: URL or [URL, …], provider: openai, prefix: /NAME, keys: …, credentials: client, models: {MODEL: {rpm: 200, tpm: 40000, …}}}}
func (l *loader) readRoutes() {
	if l.routes.kind != object {
		if !l.routes.empty() {
			l.failFile("routes", l.routes, "an object was expected", "write routes: {NAME: {forward: https://…}}")
		}
		return
	}
	for _, p := range l.routes.pairs {
		l.readRoute("routes."+p.key, p)
	}
}

func (l *loader) readRoute(path string, p pair) {
	t := target{prefix: p.key, kind: dialects.Default.Name}
	var keys value
	var models node
	client := false
	for _, member := range p.value.pairs {
		switch strings.ToLower(member.key) {
		case "forward", "base_url":
			t.base = member.value.text
			if member.value.kind == list { // of one route: tried in turn
				t.base = strings.Join(member.value.texts(), "|")
			}
		case "provider", "type":
			t.kind = strings.ToLower(strings.TrimSpace(member.value.text))
		case "prefix", "route":
			t.prefix = member.value.text
		case "keys":
			keys = value{node: member.value, name: path + ".keys", source: File, where: l.at(member.value)}
		case "credentials":
			client = strings.EqualFold(member.value.text, "client")
			if !client && !strings.EqualFold(member.value.text, "gateway") {
				l.failFile(path+".credentials", member.value, fmt.Sprintf("%q is not known", shorten(member.value.text)),
					"write client, so that the clients' own credentials go there, or gateway")
			}
		case "models":
			models = member.value
		default:
			l.problems = append(l.problems, unknownName(path+"."+member.key, l.at(member.value), path+".", []string{"forward", "provider", "prefix", "keys", "credentials", "models"}))
		}
	}
	known, names := kinds()
	switch {
	case t.base == "":
		l.failFile(path, p.value, "the route has no forward", "write forward: https://…")
		return
	case !slices.Contains(known, t.kind):
		l.failFile(path+".provider", p.value, fmt.Sprintf("%q is not a provider", shorten(t.kind)), "write "+names)
		return
	}
	base, err := l.expanderOf(value{source: File})(t.base)
	if err != nil {
		l.failFile(path+".forward", p.value, err.(*fault).problem, err.(*fault).fix)
		return
	}
	t.base = base
	row := setting{name: path, secret: true, tree: true}
	l.chosen[path] = value{name: path, source: File, where: l.at(p.value)}
	l.mount(path, path, t, func(r *Route) {
		r.Client = client
		if keys.empty() {
			return
		}
		resolved, err := l.resolve(row, keys)
		if err == nil {
			r.APIKeys, err = l.parseAPIKeys(resolved)
		}
		if err != nil {
			l.fail(row, keys, err)
		}
	})
	l.readModels(path+".models", cleanPrefix(t.prefix), models)
}

// The defaults of a model's queue. It has one unless it is set to 0: rpm and
// tpm are there so that requests wait.
const (
	defaultQueueSize = 100
	defaultQueueWait = 60 * time.Second
)

// readModels reads the bounds of a route's models. LLProxy's cpm was parsed and
// never used; it is accepted and not used.
func (l *loader) readModels(path, prefix string, models node) {
	for _, p := range models.pairs {
		m := queue.Model{}
		var parallel int64
		size := int64(defaultQueueSize)
		wait := int64(defaultQueueWait / time.Second)
		fields := map[string]*int64{"rpm": &m.RPM, "tpm": &m.TPM, "cpm": new(int64), "max_parallel": &parallel, "maxqueuesize": &size, "maxqueuewait": &wait}
		for _, member := range p.value.pairs {
			field, ok := fields[strings.ToLower(member.key)]
			if !ok {
				l.problems = append(l.problems, unknownName(path+"."+p.key+"."+member.key, l.at(member.value), "", slices.Sorted(maps.Keys(fields))))
				continue
			}
			n, err := strconv.ParseInt(strings.TrimSpace(member.value.text), 10, 64)
			if err != nil || n < 0 || n > 1<<40 {
				l.failFile(path+"."+p.key+"."+member.key, member.value, "not a whole number", "write a number, such as 200")
				continue
			}
			*field = n
		}
		m.MaxParallel = int(parallel)
		m.MaxQueue = int(size)
		m.MaxWait = time.Duration(min(wait, 86400)) * time.Second
		l.cfg.Models = append(l.cfg.Models, queue.Rule{Route: prefix, Models: p.key, Model: m})
	}
}

// at is the place of a node in forward.yaml.
func (l *loader) at(n node) string { return fmt.Sprintf("%s:%d", l.file, n.line) }

// failFile reports a mistake in the structured part of forward.yaml.
func (l *loader) failFile(path string, n node, problem, fix string) {
	l.problems = append(l.problems, Problem{Name: path, Where: l.at(n), Problem: problem, Fix: fix})
}
