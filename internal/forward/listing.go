package forward

import (
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"

	"forward/internal/dialect"
	"forward/internal/dialects"
	"forward/internal/upstream"
)

// Which models there are is for the gateway to answer: on /, where several
// providers are behind one address, and on every route where the caller may not
// use all of them. The answer has the form of the dialect in which it is asked,
// with the pages of that one.

// modelsPath cuts a path that lists models, or shows one: where the list is,
// and the name of the model, "" for the list.
func modelsPath(path string) (list, id string) {
	folded := dialect.FoldPath(path)
	const segment = "/models"
	i := strings.Index(folded+"/", segment+"/")
	if i < 0 {
		return path, ""
	}
	i += len(segment)
	return path[:i], strings.TrimPrefix(path[i:], "/")
}

// listsModels reports whether the gateway itself answers which models there
// are. It takes keys of ours to ask every provider.
func (g *Gateway) listsModels(a *ask, to target) bool {
	from := &a.from
	if from.op != dialect.Models || a.in.r.Method != http.MethodGet || !to.swap || from.dialect.Provider.Lists == nil {
		return false
	}
	list, id := modelsPath(from.plain)
	usable := g.mayName(&a.who, id)
	if _, alias := g.aliasOf(&a.who, id); alias {
		return true
	}
	if from.mount != "/" {
		return g.restricted(&a.who) && (id == "" || !usable)
	}
	lists := from.dialect.Provider.Lists
	switch {
	case id != "":
		return !usable || to.route.Dialect != from.dialect
	case g.restricted(&a.who) || g.hasAliases(&a.who) || from.dialect != from.route.Dialect:
		return true
	}
	return dialect.FoldPath(list) == lists.Path && len(g.listedRoutes(a)) > 1
}

// listedRoutes returns the routes that may serve models in the dialect of a
// request, each once: the one under which it came first.
func (g *Gateway) listedRoutes(a *ask) []*upstream.Route {
	home := a.from.route
	if a.from.mount != "/" {
		return []*upstream.Route{home}
	}
	d := a.from.dialect
	op := d.Provider.Lists.Operation
	var list []*upstream.Route
	add := func(r *upstream.Route) {
		if serves(r, d, op) && !slices.Contains(list, r) {
			list = append(list, r)
		}
	}
	add(home)
	for _, m := range g.Models {
		if m.Dialect == nil || m.Dialect == d {
			add(m.Route)
		}
	}
	own, usable := g.firstOf(a, d)
	if usable && home.Dialect != d {
		add(own)
	}
	return list
}

// listModels answers with the models of all providers that the caller may use.
// A provider that does not list its own is left out, and only when none does
// the answer is an error.
func (g *Gateway) listModels(a *ask, to target) (status int, cause string, err error) {
	_, id := modelsPath(a.from.plain)
	if id != "" && !g.mayName(&a.who, id) {
		return 0, "", noModel(id)
	}
	models, asked, err := g.modelsFor(a, to)
	if err != nil {
		return 0, "", err
	}
	models = g.withAliases(a, models)
	lists := a.from.dialect.Provider.Lists
	var body []byte
	if id == "" {
		body, err = lists.List(models, a.in.r.URL.RawQuery)
	} else {
		i := slices.IndexFunc(models, func(m dialect.Model) bool { return m.ID == id })
		if i < 0 {
			return 0, "", noModel(id)
		}
		body = lists.One(models[i])
	}
	if err != nil {
		return 0, "", err
	}
	h := a.in.w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("X-Forward-Upstream", strings.Join(asked, ", "))
	h.Set(a.from.dialect.RequestIDHeader, a.in.id)
	a.in.w.WriteHeader(http.StatusOK)
	_, failed := a.in.w.Write(body)
	if failed != nil {
		cause = clientGone
	}
	return http.StatusOK, cause, nil
}

// modelsFor returns the models that a caller may use where and in the dialect
// in which it asks, and the routes that listed them.
func (g *Gateway) modelsFor(a *ask, to target) (models []dialect.Model, asked []string, err error) {
	d := a.from.dialect
	op := d.Provider.Lists.Operation
	routes := g.listedRoutes(a)
	if len(routes) == 0 {
		return nil, nil, notServed(a, d, nil, nil, "")
	}
	lists := make([][]dialect.Model, len(routes))
	errs := make([]error, len(routes))
	var wg sync.WaitGroup
	for i, r := range routes {
		if r.Client || (r.Keys.Len() > 0 && !r.Keys.Serves(a.who.level)) || a.who.checkRoute(r) != nil {
			continue
		}
		wg.Go(func() { lists[i], errs[i] = g.modelsOf(catalogueKey{r, a.who.level, listPath(a, r)}) })
	}
	wg.Wait()
	seen := map[string]bool{}
	for i, r := range routes {
		if errs[i] != nil || lists[i] == nil {
			continue
		}
		asked = append(asked, r.Name)
		for _, m := range lists[i] {
			if seen[m.ID] || !g.allowsModel(&a.who, m.ID) {
				continue
			}
			if a.from.mount == "/" {
				led, err := g.routeOf(a, d, op, m.ID)
				if err != nil || led != r {
					continue
				}
			}
			seen[m.ID] = true
			if r.Dialect != d {
				m.Raw = nil
			}
			models = append(models, m)
		}
	}
	if len(asked) > 0 {
		return models, asked, nil
	}
	err = errors.Join(errs...)
	if err == nil {
		err = &upstream.Error{Cause: upstream.NoKey, Err: upstream.ErrNoKey, Route: to.route.Name}
	}
	return nil, nil, err
}

// mayName reports whether a caller may use the model of a name, which may be an
// alias.
func (g *Gateway) mayName(who *caller, name string) bool {
	model, ok := g.aliasOf(who, name)
	if !ok {
		model = name
	}
	return g.allowsModel(who, model)
}

// withAliases adds the caller's aliases of models to a list: with the entries
// of these, or of their own where no provider lists the model. A name that is
// an alias is not that of a model any more.
func (g *Gateway) withAliases(a *ask, models []dialect.Model) []dialect.Model {
	all := maps.Clone(g.Aliases)
	if all == nil {
		all = map[string]string{}
	}
	maps.Copy(all, a.who.policy.Aliases)
	listed := map[string]dialect.Model{}
	for _, m := range models {
		listed[m.ID] = m
	}
	models = slices.DeleteFunc(models, func(m dialect.Model) bool { return all[m.ID] != "" })
	d := a.from.dialect
	for _, alias := range slices.Sorted(maps.Keys(all)) {
		m, ok := listed[all[alias]]
		if !ok {
			if !g.allowsModel(&a.who, all[alias]) || a.from.mount != "/" {
				continue
			}
			r, err := g.routeOf(a, d, d.Provider.Lists.Operation, all[alias])
			leads := func(m ModelRoute) bool { return m.Route == r && m.matches(d, all[alias]) }
			if err != nil || (r != a.from.route && !slices.ContainsFunc(g.Models, leads)) {
				continue
			}
			m = dialect.Model{ID: all[alias], Owner: "forward"}
		}
		models = append(models, m.Renamed(alias))
	}
	return models
}

// listPath returns where a route lists its models: as the client asks where it
// asks in the route's own dialect, because base URLs differ.
func listPath(a *ask, r *upstream.Route) string {
	path := r.Dialect.Provider.Lists.Path
	if r == a.from.route && r.Dialect == a.from.dialect && a.from.dialect == dialects.Default {
		path, _ = modelsPath(a.from.plain)
	}
	return path
}

// noModel reports that there is no model of a name, or that the caller may not
// use it: which of the two is not for the caller to know.
func noModel(id string) error {
	return &refusal{status: http.StatusNotFound, code: "model_not_found", param: "model",
		message: fmt.Sprintf("There is no model %q, or your key may not use it.", id)}
}
