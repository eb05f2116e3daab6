package jsonscan_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/tidwall/gjson"

	"forward/internal/jsonscan"
)

// FuzzParts: whatever valid JSON, at every level the parts are those of gjson.
func FuzzParts(f *testing.F) {
	for _, pattern := range []string{"../dialect/testdata/*/*.json"} {
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
		if jsonscan.TooDeepAt(data) >= 0 || !json.Valid(data) {
			return
		}
		var compare func(v gjson.Result, depth int)
		compare = func(v gjson.Result, depth int) {
			if depth > 20 || !v.IsObject() && !v.IsArray() {
				return
			}
			p := jsonscan.WalkValue(v)
			v.ForEach(func(key, value gjson.Result) bool {
				if !p.Next() {
					t.Fatalf("%q: no part where gjson has %q: %q", v.Raw, key.Str, value.Raw)
				}
				if p.Key != key.Str || p.Raw() != value.Raw {
					t.Fatalf("%q: %q: %q, gjson says %q: %q", v.Raw, p.Key, p.Raw(), key.Str, value.Raw)
				}
				compare(p.Value(), depth+1)
				return true
			})
			if p.Next() {
				t.Fatalf("%q: %q: %q is one too many", v.Raw, p.Key, p.Raw())
			}
		}
		compare(jsonscan.View(data), 0)

		// Going inside comes to the same places as passing over.
		var inside func(p *jsonscan.Walker, depth int) (said string)
		inside = func(p *jsonscan.Walker, depth int) (said string) {
			for p.Next() {
				said += p.Key + string(p.First())
				if c := p.First(); depth < 20 && (c == '{' || c == '[') {
					in := p.Enter()
					said += "(" + inside(&in, depth+1) + ")"
					p.Leave(&in)
				}
			}
			return said
		}
		var passed func(p *jsonscan.Walker, depth int) (said string)
		passed = func(p *jsonscan.Walker, depth int) (said string) {
			for p.Next() {
				said += p.Key + string(p.First())
				if c := p.First(); depth < 20 && (c == '{' || c == '[') {
					in := jsonscan.WalkValue(p.Value())
					said += "(" + passed(&in, depth+1) + ")"
				}
			}
			return said
		}
		one, other := jsonscan.Walk(data), jsonscan.WalkValue(jsonscan.View(data))
		if a, b := inside(&one, 0), passed(&other, 0); a != b {
			t.Fatalf("%q: inside %q, passed %q", data, a, b)
		}
	})
}
