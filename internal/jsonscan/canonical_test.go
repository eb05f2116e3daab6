package jsonscan_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"testing"
	"unicode/utf16"

	"pgregory.net/rapid"

	"forward/internal/jsonscan"
)

func MustCanonical(t interface {
	Helper()
	Fatalf(string, ...any)
}, body []byte) string {
	t.Helper()
	out, err := jsonscan.Canonical(body, nil)
	if err != nil {
		t.Fatalf("Canonical(%q): %v", body, err)
	}
	return string(out)
}

func TestCanonical(t *testing.T) {
	for name, test := range map[string]struct{ in, want string }{
		"order":                    {`{"b":1,"a":2}`, `{"a":2,"b":1}`},
		"order below":              {`[{"b":{"d":1,"c":2},"a":2}]`, `[{"a":2,"b":{"c":2,"d":1}}]`},
		"prefix of a name":         {`{"ab":1,"a":2,"":3}`, `{"":3,"a":2,"ab":1}`},
		"white space":              {" { \"a\" :\t[ 1 ,\r\n2 ] } ", `{"a":[1,2]}`},
		"nothing in it":            {`{"a":{ },"b":[ ]}`, `{"a":{},"b":[]}`},
		"words":                    {`[true,false,null]`, `[true,false,null]`},
		"escapes":                  {`"\u0041\/\u00e9\u4e2d\n\u000A\t\u001f\"\u0022\\"`, "\"A/é中\\u000a\\u000a\\u0009\\u001f\\\"\\\"\\\\\""},
		"surrogate pair":           {`"\ud83d\uDE00"`, `"😀"`},
		"half a pair":              {`"\uD83D"`, `"\ud83d"`},
		"half a pair, letter":      {`"\uD83Dx\uDE00"`, `"\ud83dx\ude00"`},
		"two halves, wrong order":  {`"\uDE00\uD83D"`, `"\ude00\ud83d"`},
		"half a pair, then a pair": {`"\ud83d\ud83d\ude00"`, `"\ud83d😀"`},
		"delete and above":         {"\"\x7f\u2028\"", "\"\x7f\u2028\""},
		"not UTF-8":                {"\"\xff\xfe\"", "\"\xff\xfe\""},
		"escaped name":             {`{"b":1,"\u0061":2}`, `{"a":2,"b":1}`},
		"name of quotes":           {`{"\"":1,"!":2}`, `{"!":2,"\"":1}`},
		"duplicates stay":          {`{"b":0,"a":2,"a":1,"a":3}`, `{"a":2,"a":1,"a":3,"b":0}`},
		"many duplicates stay": {
			`{"b":1,"a":1,"b":2,"a":2,"b":3,"a":3,"b":4,"a":4,"b":5,"a":5,"b":6,"a":6,"b":7,"a":7,"b":8,"a":8}`,
			`{"a":1,"a":2,"a":3,"a":4,"a":5,"a":6,"a":7,"a":8,"b":1,"b":2,"b":3,"b":4,"b":5,"b":6,"b":7,"b":8}`,
		},
		"numbers stay": {`[1,1.0,1e0,1E+0,-0,0,12345678901234567890,0.1e-7]`, `[1,1.0,1e0,1E+0,-0,0,12345678901234567890,0.1e-7]`},
		"no object":    {` "x" `, `"x"`},
	} {
		if got := MustCanonical(t, []byte(test.in)); got != test.want {
			t.Errorf("%s: %s, want %s", name, got, test.want)
		}
	}
}

func TestCanonicalKeepsApart(t *testing.T) {
	for _, pair := range [][2]string{
		{`1`, `1.0`}, {`0`, `-0`}, {`1`, `"1"`}, {`null`, `"null"`}, {`[]`, `{}`}, {`[1,2]`, `[2,1]`}, {`[[1],2]`, `[1,[2]]`},
		{`9007199254740993`, `9007199254740992`}, {`"\ud83d"`, `"\ufffd"`}, {`"\ud83d"`, `"\ude00"`}, {"\"\xff\"", "\"\xfe\""},
		{"\"\xed\xa0\xbd\"", `"\ud83d"`}, {`"\\u0041"`, `"A"`}, {`"\\ud83d"`, `"\ud83d"`}, {`"\u0000"`, `"0"`}, {`"a"`, `"A"`},
		{`{"a":1}`, `{"a":1,"a":1}`}, {`{"a":1,"a":2}`, `{"a":2,"a":1}`}, {`{"a":1}`, `{"A":1}`}, {`{"a":{"b":1}}`, `{"a":{},"b":1}`},
		{"\"\u00e9\"", "\"e\u0301\""}, {`"s"`, `"ſ"`}, {`{"a":null}`, `{}`},
	} {
		if a, b := MustCanonical(t, []byte(pair[0])), MustCanonical(t, []byte(pair[1])); a == b {
			t.Errorf("%s and %s are both %s", pair[0], pair[1], a)
		}
	}
}

func TestCanonicalRefuses(t *testing.T) {
	for _, in := range []string{
		``, ` `, `{`, `}`, `[`, `[1`, `[1,`, `[1,]`, `[,1]`, `{"a"}`, `{"a":}`, `{"a":1,}`, `{,}`, `{a:1}`, `{1:1}`, `{"a":1 "b":2}`, `{"a" 1}`, `[1 2]`,
		`1 2`, `{} {}`, `{}x`, `01`, `+1`, `-`, `.5`, `1.`, `1e`, `1e+`, `0x1`, `NaN`, `Infinity`, `tru`, `nul`, `True`, `"`, `"a`, `"\x"`, `"\u12"`, `"\u12g4"`, `"\`, `"\u`,
		"\"\n\"", "\"\x00\"", "\x00", "{\"a\":1}\x00", "\xef\xbb\xbf{}", `'a'`, `{"a":1}//`, `"\ud83d\u"`, `"\ud83d\u12`,
	} {
		if out, err := jsonscan.Canonical([]byte(in), nil); err == nil || json.Valid([]byte(in)) {
			t.Errorf("%q gives %q", in, out)
		}
	}
}

func TestCanonicalDepth(t *testing.T) {
	nested := func(n int) []byte { return []byte(strings.Repeat("[", n) + strings.Repeat("]", n)) }
	if _, err := jsonscan.Canonical(nested(900), nil); err != nil {
		t.Error(err)
	}
	for _, deep := range [][]byte{nested(2000), nested(1_000_000), []byte(strings.Repeat(`{"a":`, 1_000_000))} {
		if _, err := jsonscan.Canonical(deep, nil); !errors.Is(err, jsonscan.ErrDepth) {
			t.Error(err)
		}
	}
}

// TestCanonicalBoundsMembers is about memory: the members of an object are
// sorted, and each takes several times its shortest spelling for that.
func TestCanonicalBoundsMembers(t *testing.T) {
	object := func(n int) []byte {
		return []byte(`{"x":{` + strings.TrimSuffix(strings.Repeat(`"":0,`, n), ",") + `}}`)
	}
	if _, err := jsonscan.Canonical(object(50_000), nil); err != nil {
		t.Error(err)
	}
	body := object(2_000_000)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	_, err := jsonscan.Canonical(body, nil)
	runtime.ReadMemStats(&after)
	if n := after.TotalAlloc - before.TotalAlloc; !errors.Is(err, jsonscan.ErrMembers) || n > 3*uint64(len(body)) {
		t.Errorf("%v after %d bytes were allocated for a body of %d", err, n, len(body))
	}
	if _, err := jsonscan.Canonical([]byte(`[`+strings.TrimSuffix(strings.Repeat("0,", 2_000_000), ",")+`]`), nil); err != nil {
		t.Errorf("a long list: %v", err)
	}
}

func TestCanonicalDrops(t *testing.T) {
	drop := func(name string) bool { return name == "stream" || name == `a"b\` || name == "\n" }
	for in, want := range map[string]string{
		`{"stream":true}`: `{}`,
		`{"stream":true,"b":1,"a":2,"stream":false}`:   `{"a":2,"b":1}`,
		`{"b":1,"str\u0065am":{"x":[1,{"y":2}]}}`:      `{"b":1}`,
		`{"b":{"stream":1},"c":["stream"]}`:            `{"b":{"stream":1},"c":["stream"]}`,
		`{"Stream":1,"stream ":2,"\ud83d":3,"\\n":4}`:  `{"Stream":1,"\\n":4,"\ud83d":3,"stream ":2}`,
		`{"a\"b\\":1,"\u000a":2,"z":3}`:                `{"z":3}`,
		`[{"stream":true}]`:                            `[{"stream":true}]`,
		`{"c":1,"stream":{"b":2,"a":[{"d":1,"c":2}]}}`: `{"c":1}`,
	} {
		got, err := jsonscan.Canonical([]byte(in), drop)
		if err != nil || string(got) != want {
			t.Errorf("%s gives %s, want %s (%v)", in, got, want, err)
		}
	}
}

// FuzzCanonical holds it against encoding/json: the same bodies are valid, the
// result is valid, has the same value, and is its own canonical form.
func FuzzCanonical(f *testing.F) {
	for _, seed := range []string{`{"b":[1,2.50,{"x":"\ud83d\ude00"}],"a":null}`, `{"a":1,"a":2,"\u0061":3}`, `"\ud83d"`, "\"\xff\"", ` [ ] `, `-0.0e+1`, `{"a":{"a":{"b":1,"a":2}}}`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		before := bytes.Clone(body)
		out, err := jsonscan.Canonical(body, nil)
		if !bytes.Equal(before, body) {
			t.Fatal("the body was changed")
		}
		if errors.Is(err, jsonscan.ErrDepth) {
			return
		}
		if valid := json.Valid(body); (err == nil) != valid {
			t.Fatalf("%q is valid %t, Canonical returns %v", body, valid, err)
		}
		if err != nil {
			return
		}
		if !json.Valid(out) {
			t.Fatalf("%q gives %q, which is not valid", body, out)
		}
		again := MustCanonical(t, out)
		if again != string(out) {
			t.Fatalf("%q gives %q gives %q", body, out, again)
		}
		if a, b := decoded(t, body), decoded(t, out); a != b {
			t.Fatalf("%q became %q", a, b)
		}
	})
}

// decoded prints what encoding/json makes of a body, with numbers as they are
// written.
func decoded(t *testing.T, body []byte) string {
	var v any
	d := json.NewDecoder(bytes.NewReader(body))
	d.UseNumber()
	if err := d.Decode(&v); err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("%#v", v)
}

// node is a JSON value that can be written in many ways.
type node struct {
	literal string // number or word
	text    []rune // string, with halves of surrogate pairs
	isText  bool
	items   []node
	names   [][]rune // of an object's items, no two equal
	isList  bool
}

func drawNode(t *rapid.T, depth int) node {
	kinds := 3
	if depth > 0 {
		kinds = 5
	}
	switch rapid.IntRange(0, kinds-1).Draw(t, "kind") {
	case 0:
		return node{literal: rapid.SampledFrom([]string{"0", "-0", "1", "1.0", "1e3", "12345678901234567890", "true", "false", "null"}).Draw(t, "literal")}
	case 1, 2:
		return node{isText: true, text: drawText(t)}
	case 3:
		n := node{isList: true}
		for range rapid.IntRange(0, 3).Draw(t, "items") {
			n.items = append(n.items, drawNode(t, depth-1))
		}
		return n
	}
	var n node
	for range rapid.IntRange(0, 4).Draw(t, "members") {
		name := drawText(t)
		if !slices.ContainsFunc(n.names, func(other []rune) bool { return slices.Equal(name, other) }) {
			n.names = append(n.names, name)
			n.items = append(n.items, drawNode(t, depth-1))
		}
	}
	return n
}

func drawText(t *rapid.T) []rune {
	alphabet := []rune{'a', 'b', 'A', '"', '\\', '/', '\n', 0, 0x1f, 0x7f, 'u', '0', 'é', '中', 0x2028, 0xfffd, 0x1f600}
	text := rapid.SliceOfN(rapid.SampledFrom(alphabet), 0, 5).Draw(t, "text")
	if rapid.IntRange(0, 9).Draw(t, "half") == 0 {
		text = append(text, 0xd83d) // last, so that it stays alone however what follows is written
	}
	return text
}

// write spells n in one of its many ways.
func (n node) write(r *rand.Rand, out []byte) []byte {
	space := func() {
		for r.IntN(3) == 0 {
			out = append(out, " \t\r\n"[r.IntN(4)])
		}
	}
	space()
	switch {
	case n.literal != "":
		out = append(out, n.literal...)
	case n.isText:
		out = writeText(r, out, n.text)
	default:
		order := make([]int, len(n.items))
		for i := range order {
			order[i] = i
		}
		brackets := "[]"
		if !n.isList {
			brackets = "{}"
			r.Shuffle(len(order), func(i, j int) { order[i], order[j] = order[j], order[i] })
		}
		out = append(out, brackets[0])
		for at, i := range order {
			if at > 0 {
				out = append(out, ',')
			}
			if space(); !n.isList {
				out = writeText(r, out, n.names[i])
				space()
				out = append(out, ':')
			}
			out = n.items[i].write(r, out)
		}
		space()
		out = append(out, brackets[1])
	}
	space()
	return out
}

func writeText(r *rand.Rand, out []byte, text []rune) []byte {
	unit := func(u rune) {
		out = fmt.Appendf(out, []string{`\u%04x`, `\u%04X`}[r.IntN(2)], u)
	}
	short := map[rune]string{'"': `\"`, '\\': `\\`, '/': `\/`, '\n': `\n`}
	out = append(out, '"')
	for _, c := range text {
		must := c < ' ' || c == '"' || c == '\\' || utf16.IsSurrogate(c)
		switch {
		case short[c] != "" && r.IntN(2) == 0:
			out = append(out, short[c]...)
		case !must && r.IntN(2) == 0:
			out = append(out, string(c)...)
		case c > 0xffff:
			high, low := utf16.EncodeRune(c)
			unit(high)
			unit(low)
		default:
			unit(c)
		}
	}
	return append(out, '"')
}

// TestCanonicalProperty: all spellings of a value have one form, and two values
// that differ have two.
func TestCanonicalProperty(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "spelling"), 1))
		one, other := drawNode(t, 3), drawNode(t, 3)
		first := one.write(r, nil)
		form := MustCanonical(t, first)
		for range 5 {
			if spelling := one.write(r, nil); MustCanonical(t, spelling) != form {
				t.Fatalf("%q and %q are one value, but %q and %q", first, spelling, form, MustCanonical(t, spelling))
			}
		}
		// The forms must be equal exactly if the values are, for which a plain
		// spelling in sorted order is the judge.
		if same := one.plain() == other.plain(); same != (form == MustCanonical(t, other.write(r, nil))) {
			t.Fatalf("%q and %q: same %t", first, other.write(r, nil), same)
		}
	})
}

// plain prints n so that it is equal for equal values only, without the code
// under test.
func (n node) plain() string {
	switch {
	case n.literal != "":
		return n.literal
	case n.isText:
		return fmt.Sprintf("%x", n.text)
	case n.isList:
		var items []string
		for _, item := range n.items {
			items = append(items, item.plain())
		}
		return fmt.Sprintf("list%q", items)
	}
	var members []string
	for i, item := range n.items {
		members = append(members, fmt.Sprintf("%x=%s", n.names[i], item.plain()))
	}
	slices.Sort(members)
	return fmt.Sprintf("object%q", members)
}

// TestCanonicalOfChanges: a value that is changed in one place, however small,
// has another form.
func TestCanonicalOfChanges(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "spelling"), 1))
		form := func(n node) string { return MustCanonical(t, n.write(r, nil)) }
		body := node{names: [][]rune{[]rune("messages"), []rune("model")}, items: []node{drawNode(t, 3), drawNode(t, 1)}}
		one := form(body)
		if form(body) != one {
			t.Fatalf("two spellings of %s have two forms", body.plain())
		}
		changed := body.changed(r)
		if form(changed) == one {
			t.Fatalf("%s and %s have one form", body.plain(), changed.plain())
		}
	})
}

// changed returns n with one thing in it changed, somewhere.
func (n node) changed(r *rand.Rand) node {
	switch {
	case n.literal != "":
		return node{isText: true, text: []rune(n.literal)} // "1" is not 1
	case n.isText:
		n.text = append([]rune{'x'}, n.text...)
	case len(n.items) > 0 && r.IntN(2) == 0:
		n.items = slices.Clone(n.items)
		at := r.IntN(len(n.items))
		n.items[at] = n.items[at].changed(r)
	case len(n.items) > 0 && r.IntN(2) == 0:
		n.items = n.items[1:]
		if !n.isList {
			n.names = n.names[1:]
		}
	default:
		n.items = append(slices.Clone(n.items), node{literal: "1"})
		if !n.isList {
			n.names = append(slices.Clone(n.names), []rune("a new name"))
		}
	}
	return n
}

func BenchmarkCanonical(b *testing.B) {
	var text strings.Builder
	for range 20 {
		text.WriteString(`{"role":"user","content":"What is the \"meaning\" of life, the universe and everything?\nPlease."},`)
	}
	body := []byte(`{"model":"gpt-4o-mini","stream":true,"temperature":0.2,"messages":[` + strings.TrimSuffix(text.String(), ",") + `]}`)
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := jsonscan.Canonical(body, func(name string) bool { return name == "stream" }); err != nil {
			b.Fatal(err)
		}
	}
}
