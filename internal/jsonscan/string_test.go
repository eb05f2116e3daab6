package jsonscan_test

import (
	"bytes"
	"encoding/json"
	"testing"
	"unicode/utf8"

	"forward/internal/jsonscan"
)

// FuzzString writes any text as JSON and reads it back, by this package and by
// encoding/json.
func FuzzString(f *testing.F) {
	for _, s := range []string{"", "plain text of some length", "\"\\/\b\f\n\r\t\x00\x1f\x7f", "<a>&\u2028", "é中😀", "\xff\xed\xa0\xbdx", "12345678\n", "1234567\xff8"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		raw := jsonscan.AppendString(nil, s)
		var back string
		if err := json.Unmarshal(raw, &back); err != nil {
			t.Fatalf("%q gives %q: %v", s, raw, err)
		}
		if want := string([]rune(s)); back != want {
			t.Fatalf("%q gives %q, which is %q", s, raw, back)
		}
		if text, ok := jsonscan.Unquote(string(raw)); !ok || text != back {
			t.Fatalf("%q unquoted is %q, %v", raw, text, ok)
		}
	})
}

func TestAppendString(t *testing.T) {
	for in, want := range map[string]string{
		"a<b>&c":       `"a<b>&c"`,
		"\n\r\t":       `"\n\r\t"`,
		"\x00\x1f\x7f": "\"\\u0000\\u001f\x7f\"",
		`"\/`:          `"\"\\/"`,
		"é\u2028":      "\"é\u2028\"",
		"a\xffb":       "\"a\ufffdb\"",
	} {
		if got := string(jsonscan.AppendString(nil, in)); got != want {
			t.Errorf("%q gives %s, want %s", in, got, want)
		}
	}
}

func TestUnquote(t *testing.T) {
	for in, want := range map[string]string{
		`"a\u00e9\n\/"`:  "aé\n/",
		`"\ud83d\ude00"`: "😀",
		`""`:             "",
		`"\ufffd"`:       "\ufffd",
	} {
		if got, ok := jsonscan.Unquote(in); !ok || got != want {
			t.Errorf("%s is %q, %v", in, got, ok)
		}
	}
	for _, in := range []string{`"\ud83d"`, `"\ude00\ud83d"`, `"\ud83dx"`, `"\ud83d\n"`, "\"\xff\""} {
		if got, ok := jsonscan.Unquote(in); ok {
			t.Errorf("%s is %q, want none", in, got)
		}
	}
}

// FuzzCompact compares with encoding/json.
func FuzzCompact(f *testing.F) {
	for _, s := range odd {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if !utf8.Valid(data) || !jsonscan.Valid(data) {
			return
		}
		var want bytes.Buffer
		if err := json.Compact(&want, data); err != nil {
			t.Fatal(err)
		}
		if got := jsonscan.AppendCompact(nil, string(data)); !bytes.Equal(got, want.Bytes()) {
			t.Fatalf("%q gives %q, want %q", data, got, want.Bytes())
		}
	})
}
