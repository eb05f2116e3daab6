// Package dialects registers the protocols that the gateway speaks. A new one
// is a folder of package dialect and a line here.
//
// It also determines which of them a request speaks. Many hosts serve several
// protocols: vLLM, LM Studio and OpenRouter have Anthropic's paths beside
// OpenAI's, Google's clouds those of other publishers. So the end of the path
// determines the protocol, and the route only which of two is meant where both
// have the path.
package dialects

import (
	"net/http"
	"slices"

	"forward/internal/dialect"
	"forward/internal/dialect/anthropic"
	"forward/internal/dialect/gemini"
	"forward/internal/dialect/ollama"
	"forward/internal/dialect/openai"
)

// All are the dialects. They must not be changed.
var All = []*dialect.Dialect{openai.Dialect, anthropic.Dialect, gemini.Dialect, ollama.Dialect}

// Default is the dialect of requests that no route is known for, and the one
// that other providers are compatible with.
var Default = openai.Dialect

// ByName returns the dialect with a name.
func ByName(name string) (d *dialect.Dialect, ok bool) {
	i := slices.IndexFunc(All, func(d *dialect.Dialect) bool { return d.Name == name })
	if i < 0 {
		return nil, false
	}
	return All[i], true
}

// Read returns what a request asks for at a host whose own dialect is home, and
// the dialect in which it is asked, answered and refused. path is one that
// [dialect.JudgedPath] returned. Of several dialects that have the path the one
// that names more of it counts, and home before the others. Stored objects of
// protocols that are not served at home, such as files, are not looked for:
// their names mean something else in each. A request that no dialect has is
// Unknown, in home's.
func Read(home *dialect.Dialect, method, path string) (op dialect.Operation, spoken *dialect.Dialect) {
	home = home.At(path)
	if method == http.MethodOptions || (method == http.MethodHead && path == "/") {
		return dialect.Other, home // what is allowed, and whether the host is up: no API does more
	}
	folded := dialect.Fold(path)
	best := home.Paths.Find(method, &folded)
	spoken = home
	for _, d := range All {
		if d == home {
			continue
		}
		found := d.Paths.Find(method, &folded)
		served := home.Compatible != nil && home.Compatible.Dialect == d && home.Compatible.Below == ""
		if found.Weight > best.Weight && (served || !found.Shared || found.Operation != dialect.Other) {
			best = found
			spoken = d
		}
	}
	return best.Operation, spoken
}
