package dialect

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/tidwall/gjson"
)

// FuzzParts: whatever valid JSON, at every level the parts are those of gjson.
func FuzzParts(f *testing.F) {
	for _, pattern := range []string{"testdata/*/*.json"} {
		files, _ := filepath.Glob(pattern)
		for _, file := range files {
			data, _ := os.ReadFile(file)
			f.Add(data)
		}
	}
	for _, s := range []string{` { "a\"b" : [ 1 , -2.5e3 , {} , [ ] , "x\\" , null ] , "" : true , "a" : "é" } `, `[]`, `{}`, `[[["]"]],{"}":"{"}]`, `5`, `{"k":"12345678\""}`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if tooDeepAt(data) >= 0 || !json.Valid(data) {
			return
		}
		var compare func(v gjson.Result, depth int)
		compare = func(v gjson.Result, depth int) {
			if depth > 20 || !v.IsObject() && !v.IsArray() {
				return
			}
			p := partsOf(v)
			v.ForEach(func(key, value gjson.Result) bool {
				if !p.next() {
					t.Fatalf("%q: no part where gjson has %q: %q", v.Raw, key.Str, value.Raw)
				}
				if p.key != key.Str || p.raw() != value.Raw {
					t.Fatalf("%q: %q: %q, gjson says %q: %q", v.Raw, p.key, p.raw(), key.Str, value.Raw)
				}
				compare(p.value(), depth+1)
				return true
			})
			if p.next() {
				t.Fatalf("%q: %q: %q is one too many", v.Raw, p.key, p.raw())
			}
		}
		compare(view(data), 0)

		// Going inside comes to the same places as passing over.
		var inside func(p *parts, depth int) (said string)
		inside = func(p *parts, depth int) (said string) {
			for p.next() {
				said += p.key + string(p.first())
				if c := p.first(); depth < 20 && (c == '{' || c == '[') {
					in := p.inside()
					said += "(" + inside(&in, depth+1) + ")"
					p.leave(&in)
				}
			}
			return said
		}
		var passed func(p *parts, depth int) (said string)
		passed = func(p *parts, depth int) (said string) {
			for p.next() {
				said += p.key + string(p.first())
				if c := p.first(); depth < 20 && (c == '{' || c == '[') {
					in := partsOf(p.value())
					said += "(" + passed(&in, depth+1) + ")"
				}
			}
			return said
		}
		one, other := partsAt(data, space(data, 0)), partsOf(view(data))
		if a, b := inside(&one, 0), passed(&other, 0); a != b {
			t.Fatalf("%q: inside %q, passed %q", data, a, b)
		}
	})
}
