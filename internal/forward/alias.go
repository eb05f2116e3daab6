package forward

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"forward/internal/dialect"
)

// An alias is another name for a model, of the settings or of one key. The one
// word is replaced where a request names its model, before anything is judged,
// so that rules, prices, queues, limits and the cache know the model alone. The
// ledger keeps the alias beside it.

// aliasOf returns the model for which a name is an alias of the caller's: those
// of its key come before those of the settings.
func (g *Gateway) aliasOf(who *caller, name string) (model string, ok bool) {
	if name == "" {
		return "", false
	}
	model, ok = who.policy.Aliases[name]
	if !ok {
		model, ok = g.Aliases[name]
	}
	return model, ok
}

// hasAliases reports whether a caller may use names that are aliases, so that
// requests have to be read for them.
func (g *Gateway) hasAliases(who *caller) bool {
	return len(g.Aliases) > 0 || len(who.policy.Aliases) > 0
}

// unalias replaces the alias of a model that a request names, in the body or in
// the path. Where it cannot be replaced, the request is refused.
func (g *Gateway) unalias(a *ask) error {
	if !g.hasAliases(&a.who) || !a.from.op.RunsModel() || a.from.op == dialect.Unknown {
		return nil
	}
	alias := strings.TrimPrefix(a.req.Model, "models/")
	model, ok := g.aliasOf(&a.who, alias)
	if !ok {
		return nil
	}
	if !a.replacePath(alias, model) && !a.replaceBody(alias, model) {
		return fixedAlias(alias, model)
	}
	a.alias = alias
	a.read()
	clean := a.req.Model == model
	a.models(func(named string) bool {
		clean = clean && strings.TrimPrefix(named, "models/") != alias
		return clean
	})
	if !clean {
		return fixedAlias(alias, model)
	}
	return nil
}

// replaceBody replaces the model at the top of a JSON body by offset.
func (a *ask) replaceBody(alias, model string) bool {
	if a.body == nil || a.packed {
		return false
	}
	value := a.body.Get("model")
	if value.Str != alias {
		return false
	}
	raw := a.body.Raw()
	raw = slices.Concat(raw[:value.Index], []byte(quoted(model)), raw[value.Index+len(value.Raw):])
	body, err := dialect.Scan(raw)
	if err != nil {
		return false
	}
	a.raw = raw
	a.body = body
	return true
}

// replacePath replaces the one segment of the path that names the model.
func (a *ask) replacePath(alias, model string) bool {
	if a.from.dialect.Request(a.from.op, a.from.plain, "", nil).Model != alias {
		return false
	}
	segments := strings.Split(a.from.rest, "/")
	at := -1
	for i, segment := range segments {
		name, _, _ := strings.Cut(segment, ":")
		name, err := url.PathUnescape(name)
		if err != nil || name != alias {
			continue
		}
		if at >= 0 {
			return false
		}
		at = i
	}
	if at < 0 {
		return false
	}
	_, verb, method := strings.Cut(segments[at], ":")
	segments[at] = url.PathEscape(model)
	if method {
		segments[at] += ":" + verb
	}
	a.from.setRest(strings.Join(segments, "/"), a.in.r.Method)
	return true
}

// fixedAlias reports an alias where it cannot be replaced.
func fixedAlias(alias, model string) error {
	return &refusal{status: http.StatusBadRequest, code: "invalid_body", param: "model",
		message: fmt.Sprintf("%q is an alias of the model %q, and is replaced only where it is the one model in a path or at the top of a JSON body. Name the model itself here.", alias, model)}
}
