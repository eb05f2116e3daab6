// Package dialects registers the protocols that the gateway speaks. A new one
// is a folder of package dialect and a line here.
package dialects

import (
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
