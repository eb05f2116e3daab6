package config

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/joho/godotenv"
)

// FuzzCutJSON: of a JSON text that ends early, only entries that are whole may
// be read, as they were.
func FuzzCutJSON(f *testing.F) {
	f.Add(`{"/a": "1/minute", "/b": [{"level": 0, "limit": "2/minute"}], "c": 12}`, 20)
	f.Add(`[{"base_url":"https://a","route":"/"},{"base_url":"https://b\"]}","route":"/b"}]`, 40)
	f.Add(`{"a":{},"b":[],"":null,"c":"\\"}`, 30)
	f.Fuzz(func(t *testing.T, text string, at int) {
		whole, err := parseJSON(text)
		if text = strings.TrimSpace(text); err != nil || whole.kind == scalar || at < 0 || at > len(text) {
			return
		}
		closed := closeJSON(text[:at])
		if closed == "" {
			return
		}
		if !json.Valid([]byte(closed)) {
			t.Fatalf("%q closed as %q is not JSON", text[:at], closed)
		}
		part, err := parseJSON(closed)
		if err != nil {
			t.Fatal(err)
		}
		got, want := strings.TrimRight(part.compact(), "]}"), whole.compact()
		if part.kind != whole.kind || len(part.pairs) > len(whole.pairs) || len(part.items) > len(whole.items) || !strings.HasPrefix(want, got) {
			t.Fatalf("%q closed as %q", text[:at], closed)
		}
	})
}

// FuzzUndocker: quoting a JSON text as a .env file does, and passing it as
// docker does, gives it back.
func FuzzUndocker(f *testing.F) {
	f.Add(`{"a": "it's # 1"}`)
	f.Add("[\n\"a\",\n\"b\"\n]")
	f.Fuzz(func(t *testing.T, text string) {
		n, err := parseJSON(text)
		if err != nil || n.kind == scalar {
			return
		}
		text = strings.TrimSpace(text)
		for _, passed := range []string{text, "'" + text + "'", ` '` + text + `' `, text + " # x", `'` + text + `' # x`} {
			got, cut := undocker(passed, nil)
			if cut != nil || got != text {
				t.Fatalf("%q came back as %q", passed, got)
			}
		}
	})
}

// FuzzNumbers: whatever is accepted is finite and not negative.
func FuzzNumbers(f *testing.F) {
	for _, s := range []string{"10", "1.5h", "30d", "1e300w", "NaN", "inf", "0x10", "64MiB", "1e400g", "-1", ".", "d", "tib"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if d, err := ParseDuration(s); err == nil && d < 0 {
			t.Fatalf("duration %q is %v", s, d)
		}
		if n, err := parseSize(s); err == nil && n < 0 {
			t.Fatalf("size %q is %d", s, n)
		}
	})
}

// FuzzDotEnvAgrees: apart from the two differences that readDotEnv documents,
// godotenv reads a whole file as we do.
func FuzzDotEnvAgrees(f *testing.F) {
	f.Add("A=1\nB='x\ny' # c\nexport C=\"a\\nb\"\n# d\nE: f\n")
	f.Fuzz(func(t *testing.T, text string) {
		if strings.ContainsAny(text, "$\r\v\f\x00") || strings.Count(text, "#") > 1 || strings.Contains(text, "\ufeff") {
			return
		}
		for _, c := range text {
			if c > 126 {
				return
			}
		}
		ours, problems, _ := readDotEnv(".env", text)
		theirs, err := godotenv.Unmarshal(text)
		if len(problems) > 0 || err != nil {
			return
		}
		for name, v := range ours {
			if theirs[name] != v.text && name != "export" {
				t.Fatalf("%s is %q, godotenv reads %q in %q", name, v.text, theirs[name], text)
			}
		}
	})
}

// FuzzYAML: any bytes end in a tree or in an error that names a line.
func FuzzYAML(f *testing.F) {
	f.Add("a: &a [1, *a]\nb: {<<: *a}\n---\nc: 1")
	f.Add("{\n\t\"a\": [0123, null, true, .inf, |\n x]\n}")
	f.Fuzz(func(t *testing.T, text string) {
		n, err := readYAML([]byte(text))
		if err == nil {
			flatten("f", n)
		} else if form := new(yamlError); !asYAMLError(err, &form) || form.line < 1 {
			t.Fatalf("%T %v", err, err)
		}
	})
}

func asYAMLError(err error, to **yamlError) bool {
	form, ok := err.(*yamlError)
	*to = form
	return ok
}
