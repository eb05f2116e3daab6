package jsonscan_test

import (
	"bytes"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/tidwall/gjson"

	"forward/internal/jsonscan"
)

// reduce writes the pieces and returns the objects, one a line.
func reduce(pieces ...string) string {
	var out strings.Builder
	r := jsonscan.Reducer{
		Names: map[string]bool{"usage": true, "model": true}, Count: map[string]bool{"data": true}, Max: 100,
		Each: func(data []byte) { out.Write(data); out.WriteByte('\n') },
	}
	for _, p := range pieces {
		r.Write([]byte(p))
	}
	r.Close()
	return out.String()
}

func TestReducer(t *testing.T) {
	for in, want := range map[string]string{
		`{"a":1,"usage":{"x":[1,{"y":"}"}]},"b":"\"usage\":1","model":"m"}`:                  `{"usage":{"x":[1,{"y":"}"}]},"model":"m"}`,
		`{"response":{"a":[{"usage":1}],"usage":{"x":1},"model":"m"},"z":{"q":{"usage":2}}}`: `{"response":{"usage":{"x":1},"model":"m"}}`,
		`{"choices":[{"usage":1},{"a":2},{"usage": 3,"model":"m"}],"model":"n"}`:             `{"choices":{"usage":1},"choices":{"usage": 3,"model":"m"},"model":"n"}`,
		`[{"usage":1},{"usage":2}` + "\n" + `,[{"usage":3}]]`:                                `{"usage":1} {"usage":2} {"usage":3}`,
		"data: {\"usage\":1}\n\nevent: x\ndata: {\"model\":\"m\"}\n\ndata: [DONE]\n\n":       `{"usage":1} {"model":"m"}`,
		"{\"usage\":1}\n{\"a\":2}\n{\"usage\":3}\n":                                          `{"usage":1} {"usage":3}`,
		`{"data":[{"usage":9,"e":[1,2]},[],"x",5],"model":"m"}`:                              `{"data":4,"model":"m"}`,
		`{"data":[]}`:                `{"data":0}`,
		`{"us\u0061ge":1,"usage":2}`: `{"us\u0061ge":1,"usage":2}`,
		`{"usage":1,"model":"` + strings.Repeat("m", 200) + `"}`:       `{"usage":1}`,
		`{"r":{"usage":"` + strings.Repeat("m", 200) + `"},"usage":1}`: `{"usage":1}`,
		`{"usage":1,"model":"cut`:                                      `{"usage":1}`,
		`{"r":{"usage":1,"mod`:                                         `{"r":{"usage":1}}`,
		": it's {\"\ndata: {\"usage\":1}\n":                            `{"usage":1}`,
		"{\"a\ndata: {\"usage\":1}":                                    `{"usage":1}`,
		"data: [hello\ndata: {\"usage\":1}":                            `{"usage":1}`,
		`{"a":{"usage":1}]{"usage":2}`:                                 `{"a":{"usage":1}} {"usage":2}`,
		`{"a" {"usage":2}`:                                             `{"usage":2}`,
		"no JSON, but \"usage\":1":                                     ``,
		strings.Repeat("[", 5000) + `{"usage":1}`:                      `{"usage":1}`,
	} {
		want = strings.ReplaceAll(want, "} {", "}\n{")
		if want != "" {
			want += "\n"
		}
		if diff := cmp.Diff(want, reduce(in)); diff != "" {
			t.Errorf("%.100s: %s", in, diff)
		}
		if got := reduce(strings.Split(in, "")...); got != want {
			t.Errorf("%.100s, byte by byte: %s", in, got)
		}
	}
}

// reference reduces valid JSON by gjson.
func reference(v gjson.Result, out *[]string) {
	if v.IsArray() {
		for w := jsonscan.WalkValue(v); w.Next(); {
			reference(w.Value(), out)
		}
	}
	if !v.IsObject() {
		return
	}
	wanted := func(key string) bool { return key == "usage" || key == "model" }
	var members []string
	for w := jsonscan.WalkValue(v); w.Next(); {
		name, value := w.Key, w.Value()
		items := []gjson.Result{value}
		if value.IsArray() {
			items = value.Array()
		}
		switch {
		case wanted(name):
			members = append(members, name+"="+value.Raw)
			continue
		case name == "data" && value.IsArray():
			members = append(members, name+"=#"+gjson.Parse(value.Raw).Get("#").Raw)
			continue
		}
		for _, item := range items {
			if !item.IsObject() {
				continue
			}
			for in := jsonscan.WalkValue(item); in.Next(); {
				if wanted(in.Key) {
					members = append(members, name+"/"+in.Key+"="+strings.TrimSpace(in.Raw()))
				}
			}
		}
	}
	*out = append(*out, members...)
}

// FuzzReducer: of valid JSON, in whatever pieces it comes, the same is kept as
// gjson finds; other input never fails, and what is kept of it is valid.
func FuzzReducer(f *testing.F) {
	for _, seed := range []string{
		`{"usage":{"a":1},"x":{"usage":2,"model":"m"},"y":[{"model":"n"},5,{"usage":null}],"data":[1,{"usage":3},[]]}`,
		`[{"usage":1},[{"model":"m\\\"}"}]]`, `{"m\u006fdel":"\ud83d\ude00","a":{"b":{"usage":1}},"usage" : [ 1 , { } ] }`, "{\"usage\":1}\n{\"usage\":2}", "data: {\"usage\":{}}\n\n",
	} {
		f.Add(seed, uint16(3))
	}
	f.Fuzz(func(t *testing.T, in string, cut uint16) {
		var got []string
		whole := true
		r := jsonscan.Reducer{
			Names: map[string]bool{"usage": true, "model": true}, Count: map[string]bool{"data": true}, Max: 1 << 20,
			Each: func(data []byte) {
				if !gjson.ValidBytes(data) {
					whole = false
					return
				}
				for w := jsonscan.Walk(bytes.Clone(data)); w.Next(); {
					switch inner := w.Enter(); {
					case w.Key == "data" && w.First() >= '0' && w.First() <= '9':
						got = append(got, w.Key+"=#"+w.Raw())
					case w.Key == "usage" || w.Key == "model":
						got = append(got, w.Key+"="+w.Raw())
					default:
						for inner.Next() {
							got = append(got, w.Key+"/"+inner.Key+"="+inner.Raw())
						}
					}
				}
			},
		}
		for rest := []byte(in); len(rest) > 0; {
			n := min(int(cut)%len(rest)+1, len(rest))
			r.Write(rest[:n])
			rest = rest[n:]
		}
		r.Close()
		if !jsonscan.Valid([]byte(in)) {
			return
		}
		if !whole {
			t.Fatalf("%q: what is kept is not valid", in)
		}
		var want []string
		reference(gjson.Parse(in), &want)
		if diff := cmp.Diff(want, got); diff != "" && !long(in) {
			t.Fatalf("%q: %s", in, diff)
		}
	})
}

// long reports whether names may be longer than those that are compared.
func long(in string) bool { return len(in) > 64 && strings.Count(in, `"`) < len(in)/32 }

func BenchmarkReducer(b *testing.B) {
	for name, piece := range map[string]string{
		"base64": `{"data":[{"b64_json":"` + strings.Repeat("QUJD", 1<<18) + `"}],"usage":{"input_tokens":1}}`,
		"floats": `{"data":[{"embedding":[` + strings.Repeat("-0.0123456789,", 1<<16) + `1]}],"usage":{"input_tokens":1}}`,
	} {
		b.Run(name, func(b *testing.B) {
			r := jsonscan.Reducer{Names: map[string]bool{"usage": true}, Max: 1 << 10, Each: func([]byte) {}}
			b.SetBytes(int64(len(piece)))
			b.ReportAllocs()
			for b.Loop() {
				for rest := []byte(piece); len(rest) > 0; {
					n := min(32<<10, len(rest))
					r.Write(rest[:n])
					rest = rest[n:]
				}
			}
		})
	}
}
