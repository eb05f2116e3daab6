package dialect_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"testing"

	"forward/internal/dialect"

	"github.com/google/go-cmp/cmp"
)

func TestScanRefuses(t *testing.T) {
	syntax := func(reason string, at int) error { return &dialect.SyntaxError{Offset: at, Reason: reason} }
	twice := func(key string) error { return &dialect.DuplicateError{Key: key} }
	tests := map[string]struct {
		body string
		want error
	}{
		"nothing":                     {"", syntax("unexpected end", 0)},
		"only white space":            {" \n", syntax("unexpected end", 2)},
		"cut in a string":             {`{"model":"gp`, syntax("unexpected end", 12)},
		"cut behind a comma":          {`{"model":"a",`, syntax("unexpected end", 13)},
		"no quotes":                   {`{model:1}`, syntax("invalid character 'm' looking for beginning of object key string", 1)},
		"trailing comma":              {`{"a":1,}`, syntax("invalid character '}' looking for beginning of object key string", 7)},
		"two values":                  {`{} {}`, syntax("invalid character '{' after top-level value", 3)},
		"byte order mark":             {"\xEF\xBB\xBF{}", syntax("byte order mark", 0)},
		"an array":                    {` [1]`, syntax("no JSON object", 1)},
		"a string":                    {`"model"`, syntax("no JSON object", 0)},
		"null":                        {`null`, syntax("no JSON object", 0)},
		"a key that is not UTF-8":     {"{\"a\":1,\"\xff\":2}", syntax("key that is not UTF-8", 7)},
		"a control byte":              {"{\"a\":\"\x01\"}", syntax(`invalid character '\x01' in string literal`, 6)},
		"1,001 levels":                {`{"a":` + strings.Repeat("[", 1000) + strings.Repeat("]", 1000) + `}`, syntax("nested more than 1000 levels deep", 1004)},
		"a bomb":                      {strings.Repeat("[", 8<<20), syntax("nested more than 1000 levels deep", 1000)},
		"a bomb behind quotes":        {`{"b":"\"","c":"\\","a":` + strings.Repeat("[", 8<<20), syntax("nested more than 1000 levels deep", 1022)},
		"a bomb of objects":           {strings.Repeat(`{"a":`, 2<<20), syntax("nested more than 1000 levels deep", 5000)},
		"model twice":                 {`{"model":"o1-pro","model":"cheap"}`, twice("model")},
		"model escaped":               {`{"model":"o1-pro","mod\u0065l":"cheap"}`, twice("model")},
		"model escaped first":         {`{"\u006dodel":"o1-pro","x":{},"model":"cheap"}`, twice("model")},
		"Model beside model":          {`{"model":"o1-pro","Model":"cheap"}`, twice("model")},
		"MODEL before model":          {`{"MODEL":"o1-pro","model":"cheap"}`, twice("model")},
		"long s beside stream":        {`{"stream":true,"ſtream":false}`, twice("stream")},
		"escaped long s":              {`{"stream":true,"\u017ftream":false}`, twice("stream")},
		"Kelvin sign in max_tokens":   {`{"max_to\u212aens":1,"max_tokens":2}`, twice("max_tokens")},
		"stream_options":              {`{"stream_options":1,"Stream_Options":2}`, twice("stream_options")},
		"caching":                     {`{"caching":true,"caching":true}`, twice("caching")},
		"max_completion_tokens":       {`{"max_completion_tokens":1,"max_completion_tokens":1}`, twice("max_completion_tokens")},
		"n":                           {`{"n":1,"N":100}`, twice("n")},
		"messages":                    {`{"messages":[],"messages":[1]}`, twice("messages")},
		"user":                        {`{"user":"a","USER":"b"}`, twice("user")},
		"the twins, then the guarded": {`{"Model":1,"MODEL":2,"model":3}`, twice("model")},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := dialect.Scan([]byte(test.body))
			if fmt.Sprintf("%#v", err) != fmt.Sprintf("%#v", test.want) {
				t.Errorf("got  %#v\nwant %#v", err, test.want)
			}
		})
	}
}

func TestScanAllows(t *testing.T) {
	for name, body := range map[string]string{
		"empty object":              ` {} `,
		"twins alone":               `{"Model":"a","MODEL":"b"}`,
		"unguarded twice":           `{"temperature":1,"temperature":2}`,
		"nested twice":              `{"messages":[{"model":1,"model":2}],"x":{"stream":1,"stream":2}}`,
		"999 levels":                `{"a":` + strings.Repeat("[", 999) + strings.Repeat("]", 999) + `}`,
		"a thousand flat brackets":  `{"a":[` + strings.Repeat("[],", 5000) + `0],"b":"` + strings.Repeat("[{", 5000) + `\"["}`,
		"a value that is not UTF-8": "{\"a\":\"\xff\"}",
	} {
		t.Run(name, func(t *testing.T) {
			b, err := dialect.Scan([]byte(body))
			if err != nil || string(b.Raw()) != body {
				t.Errorf("error %v, raw %q", err, b.Raw())
			}
		})
	}
}

func TestSyntaxErrorNamesThePlace(t *testing.T) {
	body := `{"model":"gpt-4o","messages":[` + strings.Repeat(" ", 89) + `1`
	_, err := dialect.Scan([]byte(body))
	if err == nil || err.Error() != "unexpected end at byte 120" {
		t.Errorf("got %v", err)
	}
	_, err = dialect.Scan([]byte(`{"n":1,"n":2}`))
	var twice *dialect.DuplicateError
	if !errors.As(err, &twice) || err.Error() != `key "n" occurs more than once` {
		t.Errorf("got %v", err)
	}
}

func TestGet(t *testing.T) {
	raw := "\n  {\"mod\\u0065l\" : \"a\\n\", \"Stream\":true, \"x\":{\"model\":1},\"y\":[ 1 ],\"n\":1e2 , \"n.\":0, \"last\":null}"
	b, err := dialect.Scan([]byte(raw))
	if err != nil {
		t.Fatal(err)
	}
	for key, want := range map[string]string{"model": `"a\n"`, "x": `{"model":1}`, "y": `[ 1 ]`, "n": "1e2", "n.": "0", "last": "null", "stream": "", "Model": "", "*": "", "x.model": ""} {
		v := b.Get(key)
		if v.Raw != want || v.Exists() != (want != "") {
			t.Errorf("%s: got %q, want %q", key, v.Raw, want)
		}
		if v.Exists() && !strings.HasPrefix(raw[v.Index:], want) {
			t.Errorf("%s: index %d points to %q", key, v.Index, raw[v.Index:])
		}
	}
	if got := b.Get("model").Str; got != "a\n" {
		t.Errorf("model is %q", got)
	}
}

func TestWithout(t *testing.T) {
	cut := []string{"caching", "b"}
	for name, test := range map[string]struct{ in, want string }{
		"nothing":         {`{"a":1, "Caching":2}`, `{"a":1, "Caching":2}`},
		"empty":           {` { } `, ` { } `},
		"first":           {"\n{ \"caching\" : true , \"a\" : 1 }\n", "\n{ \"a\" : 1 }\n"},
		"middle":          {`{"a":1, "caching":true, "c":2}`, `{"a":1, "c":2}`},
		"last":            {`{"a":1 , "caching":true }`, `{"a":1 }`},
		"only":            {`{ "caching": true }`, `{  }`},
		"both, only":      {` {"b":1,"caching":{"b":[","]}}`, ` {}`},
		"both at the end": {`{"a":1,"caching":"}","b":2}`, `{"a":1}`},
		"both apart":      {`{"b":1,"a":"caching\":","caching":false,"c":[2]}`, `{"a":"caching\":","c":[2]}`},
		"ends":            {`{"b":1,"a":0,"caching":false}`, `{"a":0}`},
		"escaped":         {`{"a":1,"c\u0061ching":true}`, `{"a":1}`},
		"unguarded twice": {`{"b":1,"a":1,"b":2,"c":3,"b":3}`, `{"a":1,"c":3}`},
		"big numbers":     {`{"caching":true,"seed":12345678901234567890,"x":1.0e+5,"y":"<&>"}`, `{"seed":12345678901234567890,"x":1.0e+5,"y":"<&>"}`},
	} {
		t.Run(name, func(t *testing.T) {
			b, err := dialect.Scan([]byte(test.in))
			if err != nil {
				t.Fatal(err)
			}
			if got := string(b.Without(cut...)); got != test.want {
				t.Errorf("got  %q\nwant %q", got, test.want)
			}
			if string(b.Raw()) != test.in {
				t.Errorf("raw is now %q", b.Raw())
			}
		})
	}
	b, _ := dialect.Scan([]byte(`{"a":1}`))
	if got := b.Without("b"); &got[0] != &b.Raw()[0] {
		t.Error("nothing to cut, and yet it was copied")
	}
}

// FuzzScan holds Scan and Without against encoding/json.
func FuzzScan(f *testing.F) {
	for _, s := range []string{`{"model":"a","caching":true}`, ` {"caching" : 1 , "x":[{}] }`, `{"ſtream":1,"stream":2}`, `{"a":1,"a":2,"":3}`, "\xEF\xBB\xBF{}", `{"\ud83d":1}`, `[[[[`, `{"a":"\u00zz"}`} {
		f.Add([]byte(s), "caching", "a")
	}
	f.Fuzz(func(t *testing.T, raw []byte, k1, k2 string) {
		b, err := dialect.Scan(raw)
		if err != nil {
			var syntax *dialect.SyntaxError
			if errors.As(err, &syntax) && (syntax.Offset < 0 || syntax.Offset > len(raw) || syntax.Reason == "invalid JSON") {
				t.Fatalf("%#v for %d bytes", syntax, len(raw))
			}
			return
		}
		var before, after map[string]json.RawMessage
		if err := json.Unmarshal(raw, &before); err != nil {
			t.Fatalf("accepted %q: %v", raw, err)
		}
		out := b.Without(k1, k2)
		if err := json.Unmarshal(out, &after); err != nil {
			t.Fatalf("%q without %q and %q is %q: %v", raw, k1, k2, out, err)
		}
		for _, k := range []string{k1, k2} {
			if b.Get(k).Exists() {
				delete(before, k)
			}
		}
		if diff := cmp.Diff(before, after); diff != "" {
			t.Fatalf("%q without %q and %q is %q\n%s", raw, k1, k2, out, diff)
		}
		for k, v := range after {
			if again, _ := dialect.Scan(out); !bytes.Equal([]byte(again.Get(k).Raw), v) && strings.Count(string(out), k) < 2 && !strings.Contains(string(out), `\`) {
				t.Fatalf("%q: %q is %q, want %q", out, k, again.Get(k).Raw, v)
			}
		}
	})
}

// request is a chat request of 1.5 KB.
var request = []byte(`{"model":"gpt-4o-mini","messages":[{"role":"system","content":"You are a helpful assistant."},{"role":"user","content":"` +
	strings.Repeat("The quick brown fox jumps over the lazy dog. ", 26) + `"}],"temperature":0.2,"top_p":1,"max_tokens":512,"stream":true,"stream_options":{"include_usage":true},"caching":true,"user":"alice","tools":[{"type":"function","function":{"name":"f"}}]}`)

func BenchmarkScan(b *testing.B) {
	b.SetBytes(int64(len(request)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := dialect.Scan(request); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkScanAndWithout(b *testing.B) {
	b.SetBytes(int64(len(request)))
	b.ReportAllocs()
	for b.Loop() {
		body, err := dialect.Scan(request)
		if err != nil || len(body.Without("caching")) >= len(request) {
			b.Fatal(err)
		}
	}
}

// TestMembersAreBoundedAsBytesAre is about memory: where a member is takes
// several times its shortest spelling.
func TestMembersAreBoundedAsBytesAre(t *testing.T) {
	body := []byte(`{"model":"m"` + strings.Repeat(`,"":0`, 2_500_000) + `}`)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	_, err := dialect.Scan(body)
	runtime.ReadMemStats(&after)
	if n := after.TotalAlloc - before.TotalAlloc; !errors.Is(err, dialect.ErrMembers) || n > 2<<20 {
		t.Errorf("%v after %d bytes were allocated", err, n)
	}
	if _, err := dialect.Scan([]byte(`{"model":"m"` + strings.Repeat(`,"":0`, dialect.MaxMembers-1) + `}`)); err != nil {
		t.Error(err)
	}
}
