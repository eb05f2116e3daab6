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
	"strings"

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

// Asked returns the dialect that a client speaks where a host serves those of
// all providers, as far as path and header show it: by a version that only one
// has, or by a header that its clients send. Without a mark it is home. Clouds
// serve other providers' protocols below a project or publisher of their own,
// so marks do not count there.
func Asked(home *dialect.Dialect, h http.Header, method, path string) *dialect.Dialect {
	if OfCloud(path) {
		return home
	}
	for _, d := range All {
		if d.Provider.Marks.InPath(path) {
			return d
		}
	}
	for _, d := range All {
		marks := &d.Provider.Marks
		sent := marks.Header != "" && h[marks.Header] != nil
		slot := marks.Slot != "" && h[marks.Slot] != nil
		if d == home || (!sent && !slot) {
			continue
		}
		folded := dialect.Fold(path)
		found := d.Paths.Find(method, &folded).Operation
		if found == dialect.Models {
			return d
		}
		if sent && (found != dialect.Unknown || home.Paths.Find(method, &folded).Operation == dialect.Unknown) {
			return d
		}
	}
	return home
}

// OfCloud reports whether a path is below a project or a publisher of a cloud.
func OfCloud(path string) bool {
	_, project := dialect.Between(path, "projects")
	_, publisher := dialect.Between(path, "publishers")
	return project || publisher
}

// Named returns the dialect of the provider whose compatible paths a path is
// below; nil for most paths, which name no provider.
func Named(path string) *dialect.Dialect {
	for _, d := range All {
		if d.Provider.Marks.InPath(path) && d.At(path) != d {
			return d
		}
	}
	return nil
}

// OfHost returns the dialect of the provider to which a host name belongs; nil
// if it is none of those that have one.
func OfHost(host string) *dialect.Dialect {
	host = strings.ToLower(host)
	for _, d := range All {
		for _, own := range d.Provider.Hosts {
			if host == own || strings.HasSuffix(host, "."+own) {
				return d
			}
		}
	}
	return nil
}

// Serve reports whether a host whose own dialect is home may serve an operation
// in dialect d. The hosts of providers serve their own dialect and what is
// compatible there. Others may serve more than OpenAI's: vLLM, Ollama, LM
// Studio and OpenRouter do.
func Serve(home *dialect.Dialect, host string, d *dialect.Dialect, op dialect.Operation) bool {
	switch {
	case home == d:
		return true
	case OfHost(host) == nil:
		return home == Default || d == Default
	}
	c := home.Compatible
	return c != nil && c.Dialect == d && c.Serves(op)
}

// ReadSocket returns the protocol that a request asks for which changes to
// WebSocket, at a host whose own dialect is home, and its dialect. It is nil
// where no dialect knows what would be spoken.
func ReadSocket(home *dialect.Dialect, path string) (*dialect.Socket, *dialect.Dialect) {
	home = home.At(path)
	folded := dialect.Fold(path)
	best, most := home.Socket(&folded)
	spoken := home
	for _, d := range All {
		if found, weight := d.Socket(&folded); found != nil && weight > most {
			best = found
			most = weight
			spoken = d
		}
	}
	return best, spoken
}
