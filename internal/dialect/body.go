package dialect

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/tidwall/gjson"

	"forward/internal/jsonscan"
)

// guarded are the keys that the gateway reads or judges: the ones that must
// mean the same to it and to any upstream. The later ones are how other
// operations and dialects spell the limits and the user.
var guarded = [...]string{
	"model", "stream", "stream_options", "caching", "max_tokens", "max_completion_tokens", "n", "messages", "user",
	"max_output_tokens", "metadata", "generationConfig", "generation_config", "best_of", "options",
}

// SyntaxError reports why a body is not the JSON object it should be.
type SyntaxError struct {
	Offset int // bytes before the place
	Reason string
}

func (e *SyntaxError) Error() string { return fmt.Sprintf("%s at byte %d", e.Reason, e.Offset) }

// MaxMembers bounds the members at the top of a body. Each takes more memory
// than its shortest spelling, so the bound on bytes would not be one on memory.
const MaxMembers = 10_000

// ErrMembers reports a body with more members than MaxMembers.
var ErrMembers = fmt.Errorf("more than %d members", MaxMembers)

// DuplicateError reports that a body names a guarded key twice, also by an
// escaped or differently cased spelling that some JSON decoders take for the
// same.
type DuplicateError struct {
	Key string // as the API spells it
}

func (e *DuplicateError) Error() string { return fmt.Sprintf("key %q occurs more than once", e.Key) }

// Body is the top level of a JSON object, as it came: every byte is kept, and
// values are looked at where they are. It is safe for concurrent use.
type Body struct {
	raw    []byte
	fields []span
}

// span is where one field of the top level is in the body: key and value up to
// end, without any comma.
type span struct {
	key               string
	start, value, end int
}

// Scan reads the top level of raw strictly: it must be valid JSON and an object
// of at most MaxMembers members, keys must be valid UTF-8, and no guarded key
// may occur twice. raw belongs to the Body from then on and must not change.
func Scan(raw []byte) (*Body, error) {
	if err := checkSyntax(raw); err != nil {
		return nil, err
	}
	b := &Body{raw: raw, fields: make([]span, 0, 16)}
	var seen, twins [len(guarded)]bool
	for p := jsonscan.Walk(raw); p.Next(); {
		if !utf8.Valid(raw[p.KeyStart:p.ValueStart]) {
			return nil, &SyntaxError{Offset: p.KeyStart, Reason: "key that is not UTF-8"}
		}
		if i := guard(p.Key); i >= 0 {
			exact := p.Key == guarded[i]
			if exact && (seen[i] || twins[i]) || !exact && seen[i] {
				return nil, &DuplicateError{Key: guarded[i]}
			}
			seen[i], twins[i] = seen[i] || exact, twins[i] || !exact
		}
		if len(b.fields) == MaxMembers {
			return nil, ErrMembers
		}
		b.fields = append(b.fields, span{key: p.Key, start: p.KeyStart, value: p.ValueStart, end: p.End()})
	}
	return b, nil
}

// guard returns which guarded key a decoder could take key for, or -1.
// EqualFold also folds ſ to s and the Kelvin sign to k, as encoding/json does.
func guard(key string) int {
	for i := range guarded {
		if g := guarded[i]; len(key) >= len(g) && strings.EqualFold(key, g) {
			return i
		}
	}
	return -1
}

// checkSyntax reports whether raw is a valid JSON object. Only the way to an
// error is slow.
func checkSyntax(raw []byte) error {
	if !jsonscan.Valid(raw) {
		return explain(raw)
	}
	if start := bytes.TrimLeft(raw, " \t\r\n"); start[0] != '{' {
		return &SyntaxError{Offset: len(raw) - len(start), Reason: "no JSON object"}
	}
	return nil
}

// explain returns what is wrong with raw; encoding/json finds the offset.
func explain(raw []byte) error {
	if at := jsonscan.TooDeepAt(raw); at >= 0 {
		return &SyntaxError{Offset: at, Reason: fmt.Sprintf("nested more than %d levels deep", jsonscan.MaxDepth)}
	}
	if bytes.HasPrefix(raw, []byte("\xEF\xBB\xBF")) {
		return &SyntaxError{Reason: "byte order mark"}
	}
	var syntax *json.SyntaxError
	if err := json.Unmarshal(raw, new(json.RawMessage)); !errors.As(err, &syntax) {
		return &SyntaxError{Reason: "invalid JSON"}
	}
	at, reason := int(syntax.Offset), syntax.Error()
	if reason == "unexpected end of JSON input" {
		return &SyntaxError{Offset: at, Reason: "unexpected end"}
	}
	return &SyntaxError{Offset: max(at-1, 0), Reason: reason}
}

// Raw returns the body as it came.
func (b *Body) Raw() []byte { return b.raw }

// Caching reads the gateway's own field. It returns nil when there is none.
func (b *Body) Caching() *bool {
	v := b.Get("caching")
	if !v.IsBool() {
		return nil
	}
	want := v.Bool()
	return &want
}

// Get returns the value of a key of the top level, compared exactly after
// unescaping; of a key that is not guarded and occurs twice the first. Its
// Index is the offset in Raw. What it returns aliases Raw.
func (b *Body) Get(key string) gjson.Result {
	for i := range b.fields {
		if f := &b.fields[i]; f.key == key {
			v := jsonscan.View(b.raw[f.value:f.end])
			v.Index = f.value
			return v
		}
	}
	return gjson.Result{}
}

// Without returns the body with the given keys cut out, each with one comma and
// the white space on that comma's side. Every other byte stays, and when there
// is nothing to cut the answer is Raw itself.
func (b *Body) Without(keys ...string) []byte {
	cut := func(f span) bool {
		for _, k := range keys {
			if f.key == k {
				return true
			}
		}
		return false
	}
	last := -1 // the last field that stays
	some := false
	for i, f := range b.fields {
		if cut(f) {
			some = true
		} else {
			last = i
		}
	}
	if !some {
		return b.raw
	}
	out := make([]byte, 0, len(b.raw))
	from := 0
	for i, f := range b.fields {
		if i < last && cut(f) { // up to where the next field starts
			out = append(out, b.raw[from:f.start]...)
			from = b.fields[i+1].start
		}
	}
	if end := len(b.fields) - 1; last < end { // the tail: from the end of what stays
		tail := b.fields[0].start
		if last >= 0 {
			tail = b.fields[last].end
		}
		out = append(out, b.raw[from:tail]...)
		from = b.fields[end].end
	}
	return append(out, b.raw[from:]...)
}
