package dialect

import (
	"bytes"
	"encoding/json"
	"strconv"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/tidwall/gjson"

	"forward/internal/jsonscan"
)

// fields are the members of a JSON object in their order, each as it is spelled.
type fields []fieldText

type fieldText struct {
	key   string
	value string // JSON text
}

// maxFields bounds the members of an object that is taken apart: of the protocols' own none has a tenth of that.
const maxFields = 256

// fieldsOf takes an object apart. It refuses what is no object and a key that is there twice, for no two readers agree
// about those.
func fieldsOf(v gjson.Result) (all fields, ok bool) {
	if ok = v.IsObject(); !ok {
		return nil, false
	}
	v.ForEach(func(k, v gjson.Result) bool {
		key, plain := unquote(k.Raw)
		ok = plain && len(all) < maxFields && all.index(key) < 0
		all = append(all, fieldText{key, v.Raw})
		return ok
	})
	return all, ok
}

func (f fields) index(key string) int {
	for i := range f {
		if f[i].key == key {
			return i
		}
	}
	return -1
}

// get returns the JSON text of a member, "" when there is none.
func (f fields) get(key string) string {
	if i := f.index(key); i >= 0 {
		return f[i].value
	}
	return ""
}

// set gives a member another value, or adds it.
func (f *fields) set(key, value string) {
	if i := f.index(key); i >= 0 {
		(*f)[i].value = value
		return
	}
	*f = append(*f, fieldText{key, value})
}

// replace gives a member another value if it is there.
func (f fields) replace(key, value string) {
	if i := f.index(key); i >= 0 {
		f[i].value = value
	}
}

// only reports whether there are no members but those named.
func (f fields) only(keys ...string) bool {
	for _, m := range f {
		known := false
		for _, key := range keys {
			known = known || m.key == key
		}
		if !known {
			return false
		}
	}
	return true
}

func (f fields) appendTo(dst []byte) []byte {
	dst = append(dst, '{')
	for i, m := range f {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(jsonscan.AppendString(dst, m.key), ':')
		dst = append(dst, m.value...)
	}
	return append(dst, '}')
}

func (f fields) String() string { return string(f.appendTo(nil)) }

// isAbsent reports whether a member is absent or null.
func isAbsent(raw string) bool { return raw == "" || raw == "null" }

func isString(raw string) bool { return len(raw) >= 2 && raw[0] == '"' }

func isObjectText(raw string) bool { return raw != "" && raw[0] == '{' }

func isArrayText(raw string) bool { return raw != "" && raw[0] == '[' }

// inner returns what is between the quotes or brackets.
func inner(raw string) string { return raw[1 : len(raw)-1] }

// eachItem calls f with the items of a JSON array, in order, until it is false; it reports whether all were.
func eachItem(raw string, f func(gjson.Result) bool) bool {
	all := true
	gjson.Parse(raw).ForEach(func(_, v gjson.Result) bool {
		all = f(v)
		return all
	})
	return all
}

// unquote decodes a valid JSON string. ok is false when it holds the half of a surrogate pair, which has no UTF-8
// (gjson makes U+FFFD of it, or of the escape behind it) or bytes that are not UTF-8.
func unquote(raw string) (s string, ok bool) {
	text := inner(raw)
	if !utf8.ValidString(text) {
		return "", false
	}
	out := make([]byte, 0, len(text))
	for i := 0; i < len(text); {
		if text[i] != '\\' {
			out = append(out, text[i])
			i++
			continue
		}
		switch c := text[i+1]; c {
		case 'b', 'f', 'n', 'r', 't':
			out = append(out, "\b\f\n\r\t"[bytes.IndexByte([]byte("bfnrt"), c)])
			i += 2
		case 'u':
			r, n := rune(hex4(text[i+2:])), 6
			if utf16.IsSurrogate(r) {
				if len(text) < i+12 || text[i+6] != '\\' || text[i+7] != 'u' {
					return "", false
				}
				if r, n = utf16.DecodeRune(r, rune(hex4(text[i+8:]))), 12; r == utf8.RuneError {
					return "", false
				}
			}
			out = utf8.AppendRune(out, r)
			i += n
		default:
			out = append(out, c)
			i += 2
		}
	}
	return string(out), true
}

func hex4(s string) uint64 {
	n, _ := strconv.ParseUint(s[:4], 16, 16)
	return n
}

// compacted returns a body without white space between its tokens, for a data line must not have a line break. It
// refuses what is no JSON object in UTF-8.
func compacted(body []byte) (gjson.Result, bool) {
	if !jsonscan.Valid(body) || !utf8.Valid(body) {
		return gjson.Result{}, false
	}
	var b bytes.Buffer
	if json.Compact(&b, body) != nil {
		return gjson.Result{}, false
	}
	root := jsonscan.View(b.Bytes())
	return root, root.IsObject()
}

// pieceLength returns into how long pieces a text of n bytes is cut at least.
func pieceLength(n int) int { return n/maxPieces + 1 }
