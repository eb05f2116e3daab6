package jsonscan_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/tidwall/gjson"

	"forward/internal/jsonscan"
)

// FuzzValid: what is valid to us is valid to encoding/json, and the other way
// round.
func FuzzValid(f *testing.F) {
	for _, s := range []string{`{"a":[1,-0.5e+3,true,false,null,"x\u00e9\n"],"b":{}}`, ` [ ] `, `"`, `01`, `1.`, `-`, `{"a"}`, `{"a":1,}`, `[1,]`, `"\x"`, `"\u12g4"`, "\"a\x01\"",
		`"12345678"`, `"1234567\"8"`, "\"1234567\n8\"", `"1234567\\"`, `tru`, `nul`, "\x00", `{"a":1}{`, `1e`, `1e5`, "\"\xff\xfe\"", `"éé€𝄞 long enough for words"`, `.5`, `+1`, `1E-9`, "{\"a\":1}\x00", `[`, `{`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if jsonscan.TooDeepAt(data) >= 0 {
			return
		}
		if got, want := jsonscan.Valid(data), json.Valid(data); got != want {
			t.Fatalf("%q: %v, encoding/json reports %v", data, got, want)
		}
	})
}

// TestValidAtEveryPlace puts what ends a string at every place of words of
// eight bytes.
func TestValidAtEveryPlace(t *testing.T) {
	for n := range 20 {
		for _, c := range []string{`"`, `\`, `\"`, `\\`, "\n", "\x1f", "\x20", "\x7f", "\x80", "\xff", `\u00e9`, "€"} {
			for m := range 20 {
				data := []byte(`{"k":"` + strings.Repeat("a", n) + c + strings.Repeat("b", m) + `"}`)
				if got, want := jsonscan.Valid(data), json.Valid(data); got != want {
					t.Fatalf("%q: %v, want %v", data, got, want)
				}
			}
		}
	}
}

// BenchmarkValid compares with gjson's validator, with a chat of 1.5 KB.
func BenchmarkValid(b *testing.B) {
	data := []byte(`{"model":"gpt-4o-mini","messages":[{"role":"system","content":"Be brief."},{"role":"user","content":"` + strings.Repeat("lorem ipsum ", 120) + `"}],"temperature":0.2}`)
	for name, valid := range map[string]func([]byte) bool{"ours": jsonscan.Valid, "gjson": gjson.ValidBytes} {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(data)))
			for b.Loop() {
				if !valid(data) {
					b.Fatal("invalid")
				}
			}
		})
	}
}
