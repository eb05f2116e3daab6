package jsonscan_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
	"unicode/utf8"

	"github.com/tidwall/gjson"

	"forward/internal/jsonscan"
)

// odd are values that are spelled in unusual ways.
var odd = []string{
	` { "a\"b" : [ 1 , -2.5e3 , {} , [ ] , "x\\" , null ] , "" : true , "a" : "é" } `,
	`[]`, `{}`, `[[["]"]],{"}":"{"}]`, `5`, `{"k":"12345678\""}`, ` { } `, `{"messages":[null,1,"x",[],{},{"content":[[[]]]}]}`,
	"{\"a\\u0062\":\"\\u00e9\\ud83d\\ude00\\ud83d x\\\\\\\"\"\t,\r\n\"\":[ 1 ,2.5e3,true , null]}",
	`"\u0041\/\b\f\n\r\t\ud83d\ude00"`,
}

// FuzzWalk holds a Walker to gjson at every level of any valid JSON, and
// Unescape to encoding/json for every string.
func FuzzWalk(f *testing.F) {
	files, err := filepath.Glob("../dialect/testdata/*/*.json")
	if err != nil || len(files) == 0 {
		f.Fatalf("no transcripts: %v", err)
	}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	for _, s := range odd {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if !jsonscan.Valid(data) {
			return
		}
		compare(t, jsonscan.View(data), 0)
		one, other := jsonscan.Walk(data), jsonscan.WalkValue(jsonscan.View(data))
		if a, b := entered(&one, 0), passed(&other, 0); a != b {
			t.Fatalf("%q: entered %q, passed %q", data, a, b)
		}
	})
}

// compare walks v and what it holds.
func compare(t *testing.T, v gjson.Result, depth int) {
	if v.Type == gjson.String {
		var want string
		if err := json.Unmarshal([]byte(v.Raw), &want); err == nil && utf8.ValidString(v.Raw) {
			if got := jsonscan.Unescape(jsonscan.Inner(v.Raw)); got != want {
				t.Fatalf("%q unescaped is %q, want %q", v.Raw, got, want)
			}
		}
	}
	if depth > 20 || (!v.IsObject() && !v.IsArray()) {
		return
	}
	w := jsonscan.WalkValue(v)
	v.ForEach(func(key, value gjson.Result) bool {
		if !w.Next() {
			t.Fatalf("%q: the end where gjson has %q: %q", v.Raw, key.Str, value.Raw)
		}
		if w.Key != key.Str || w.Raw() != value.Raw {
			t.Fatalf("%q: %q: %q, gjson has %q: %q", v.Raw, w.Key, w.Raw(), key.Str, value.Raw)
		}
		compare(t, w.Value(), depth+1)
		return true
	})
	if w.Next() {
		t.Fatalf("%q: %q: %q is one too many", v.Raw, w.Key, w.Raw())
	}
}

// entered visits a tree by Enter and Leave.
func entered(w *jsonscan.Walker, depth int) (visited string) {
	for w.Next() {
		visited += w.Key + string(w.First())
		if c := w.First(); depth < 20 && (c == '{' || c == '[') {
			inside := w.Enter()
			visited += "(" + entered(&inside, depth+1) + ")"
			w.Leave(&inside)
		}
	}
	return visited
}

// passed visits the same tree by Value.
func passed(w *jsonscan.Walker, depth int) (visited string) {
	for w.Next() {
		visited += w.Key + string(w.First())
		if c := w.First(); depth < 20 && (c == '{' || c == '[') {
			inside := jsonscan.WalkValue(w.Value())
			visited += "(" + passed(&inside, depth+1) + ")"
		}
	}
	return visited
}

// TestBrokenJSON reads text that Valid refuses: a Walker ends whatever it is
// given, and no function panics.
func TestBrokenJSON(t *testing.T) {
	for _, raw := range append(odd, `{"a`, `{"a"`, `{"a":`, `{"a":"`, `{"a":"\`, `[`, `[[`, `[}`, `{7}`, `]`, `"`, `{"a":}`, `[,,]`, `{:`, `{"`, `"\u12`, `"\ud83d\u1`) {
		for n := range len(raw) + 1 {
			visitAll(jsonscan.WalkString(raw[:n]), 0)
			jsonscan.Unescape(raw[:n])
			jsonscan.Unescape(jsonscan.Inner(raw[:n]))
			jsonscan.AppendCompact(nil, raw[:n])
		}
	}
}

// FuzzBrokenJSON is TestBrokenJSON of any bytes.
func FuzzBrokenJSON(f *testing.F) {
	for _, s := range odd {
		f.Add(s)
	}
	f.Fuzz(func(_ *testing.T, raw string) {
		visitAll(jsonscan.WalkString(raw), 0)
		jsonscan.Unescape(raw)
		jsonscan.AppendCompact(nil, raw)
	})
}

func visitAll(w jsonscan.Walker, depth int) {
	for w.Next() {
		if depth < 20 {
			visitAll(w.Enter(), depth+1)
		}
		w.Raw()
	}
}
