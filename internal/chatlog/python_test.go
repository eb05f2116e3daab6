package chatlog

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
)

func TestLiteral(t *testing.T) {
	tests := []struct{ name, in, want string }{
		{"dict in its order", `{'b': 1, "a": {}, }`, `{"b":1,"a":{}}`},
		{"list", `[1, [], [2,],]`, `[1,[],[2]]`},
		{"tuple", `((), (1,), (1, 2), (3), ((4)), ("a, b"))`, `[[],[1],[1,2],3,4,"a, b"]`},
		{"words", `[None, True, False, nan, inf, -inf]`, `[null,true,false,null,null,null]`},
		{"quotes", `['it\'s "x"', "it's \"x\"", '''a'b"c''', """a""b""", '', "", '''''']`, `["it's \"x\"","it's \"x\"","a'b\"c","a\"\"b","","",""]`},
		{"escapes", `'\\\a\b\f\n\r\t\v\x41\101\0\7z\u4f60\U0001F600\q'`, `"\\\u0007\u0008\u000c\n\r\t\u000bAA\u0000\u0007z你😀\\q"`},
		{"text as it is", "'<b>&\u2028中😀'", "\"<b>&\u2028中😀\""},
		{"surrogates", `['\ud83d\ude00', 'a\ud83d', '\ude00b', '\ud83d\u0041']`, `["😀","a","b","A"]`},
		{"prefixes", `[u'a', r'\n', b'\xff\n', br'\x', R"\"", U"x"]`, `["a","\\n","ÿ\n","\\x","\\\"","x"]`},
		{"strings side by side", `{'a' "b": 'c' u'd' r'\e'}`, `{"ab":"cd\\e"}`},
		{"continued line", "'a\\\nb'", `"ab"`},
		{"line in triple quotes", "'''a\nb'''", `"a\nb"`},
		{"numbers", `[0, -1, +1, 00, 1_000, 123456789012345678901234567890, 1.5, 1., .5, -0.0, 1e5, 1E-7, 1e+22, 0x1F, 0o17, 0b101, - 3]`,
			`[0,-1,1,0,1000,123456789012345678901234567890,1.5,1.0,0.5,-0.0,1e5,1e-7,1e+22,31,15,5,-3]`},
		{"keys that are no strings", `{1: 1, -2: 2, 1.5: 3, None: 4, True: 5}`, `{"1":1,"-2":2,"1.5":3,"null":4,"true":5}`},
		{"white space", " \t{ 'a'\n:\r\n1 , }\f ", `{"a":1}`},
		{"JSON without its words", `{"a":[1,{"b":"\u00e9"}]}`, `{"a":[1,{"b":"é"}]}`},
		{"not UTF-8", "'\xff'", "\"\uFFFD\""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := appendLiteral(nil, []byte(tt.in))
			if err != nil || string(got) != tt.want {
				t.Errorf("%s\n got %s, %v\nwant %s", tt.in, got, err, tt.want)
			}
			if !json.Valid(got) {
				t.Errorf("no JSON: %s", got)
			}
		})
	}
}

func TestNoLiteral(t *testing.T) {
	for _, in := range []string{
		"", " ", "{", "{'a'", "{'a':", "{'a':1", "{'a':1,", "{'a' 1}", "{'a'}", "{,}", "[1 2]", "[,]", "[1,,2]", "(1", "[1)", "{1:2]",
		"'a", `'a\`, `'a\'`, "'a\nb'", "'''a''", `'\x4'`, `'\xg0'`, `'\u123'`, `'\U00110000'`, `'\N{DASH}'`, "fr''", "f'x'", "ub''", "x''",
		"none", "null", "true", "undefined", "NaN", "Ellipsis", "...", "1j", "1+2j", "007", "1__0", "1_", "_1", "0x", "0xg", "0b2", "1e", "1e+", "1.2.3", "--1", "+", "-", ".", "- True", "1a",
		"{[1]: 2}", "{(1, 2): 3}", "{1, 2}", "set()", "datetime.now()", "a.b", "1 if 2 else 3", "{} {}", "1,", "'a';", "# c", "lambda: 0", "__import__('os')",
		strings.Repeat("[", 2000) + strings.Repeat("]", 2000), strings.Repeat("(", 1<<20), "0x" + strings.Repeat("f", 1<<20),
	} {
		if got, err := appendLiteral(nil, []byte(in)); !errors.Is(err, errLiteral) {
			t.Errorf("%.40q is %.40s, %v", in, got, err)
		}
	}
}

// FuzzLiteral: whatever the text, what is read is JSON, and reading that again
// as a literal changes nothing more.
func FuzzLiteral(f *testing.F) {
	for _, s := range []string{`{'a': [None, True, (1,), 'x\n\u4f60', b'\xff', 1.5e3, 0x1f], "b": '''c''' 'd'}`, `{-1: '\ud83d\ude00'}`, "'\xff'", "((((1))))"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		out, err := appendLiteral(nil, in)
		if err != nil {
			if !errors.Is(err, errLiteral) {
				t.Fatal(err)
			}
			return
		}
		if !json.Valid(out) {
			t.Fatalf("%q became %q", in, out)
		}
		words := strings.NewReplacer("null", "None", "true", "True", "false", "False")
		if strings.ContainsAny(string(in), "lTF") { // the words could be in strings
			return
		}
		again, err := appendLiteral(nil, []byte(words.Replace(string(out))))
		if err != nil || string(again) != string(out) {
			t.Fatalf("%q became %q and then %q, %v", in, out, again, err)
		}
	})
}

// FuzzLines: the line reader gives back every byte it was fed but line ends,
// whatever the length of its buffer.
func FuzzLines(f *testing.F) {
	f.Add([]byte("a\nbb\r\n\n\nlong long line\nend"), 8)
	f.Fuzz(func(t *testing.T, in []byte, max int) {
		if max = max & 0xff; max == 0 {
			return
		}
		r := newLineReader(strings.NewReader(string(in)), max)
		var want int64
		for rest := string(in); ; {
			line, err := r.next()
			if err != nil {
				if rest != "" {
					t.Fatalf("%q is missing", rest)
				}
				return
			}
			expect, after, _ := strings.Cut(rest, "\n")
			if line.offset != want {
				t.Fatalf("offset %d, not %d", line.offset, want)
			}
			clean := strings.TrimRight(expect, "\r")
			if (line.whole && string(line.text) != clean) || (!line.whole && len(expect) < max) {
				t.Fatalf("line %q (%v), not %q", line.text, line.whole, clean)
			}
			want += int64(len(rest) - len(after))
			rest = after
		}
	})
}
