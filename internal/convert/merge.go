package convert

import (
	"cmp"
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"forward/internal/dialect"
	"forward/internal/jsonscan"
)

// merging is a stream that becomes a body.
type merging struct {
	form   *Form
	root   *node
	events EventReader
	event  int  // number of the event at hand
	ended  bool // whether Form.End was read
}

// read merges an event. It reports whether it could.
func (g *merging) read(data []byte) bool {
	switch {
	case len(data) == 0 || g.ended:
		return true // clients do not read what follows the end
	case string(data) == g.form.End:
		g.ended = true
		return true
	case !jsonscan.Valid(data):
		return false
	}
	g.event++
	piece := jsonscan.UnsafeString(data)
	if g.events != nil {
		event, ok := ParseObject(piece)
		if !ok {
			return false
		}
		piece, ok = g.events.Piece(event)
		if piece == "" || !ok {
			return ok
		}
	}
	return g.object(g.root, piece, g.form.Body)
}

// maxItems bounds the items of a list that are known by a key, because they are
// searched one by one.
const maxItems = 1024

// object merges the members of an object into n.
func (g *merging) object(n *node, raw string, s *Shape) bool {
	var few [16]Member
	o, ok := parseObject(few[:0], raw)
	if !ok || (n.kind > isNull && n.kind != isObject) {
		return false
	}
	if n.kind <= isNull {
		n.start(s)
	}
	for _, m := range o {
		f := s.field(m.Name)
		if !g.value(n.child(cmp.Or(f.As, m.Name), f), m.Value, f) {
			return false
		}
	}
	return true
}

// value merges a value of the field f into n. It reports whether it could.
func (g *merging) value(n *node, raw string, f *Field) bool {
	if f.Rule == Drop {
		return true
	}
	if raw == "null" {
		if n.kind == unset && f.Rule != Latest && f.Rule != Refuse {
			n.kind = isNull
		}
		return true
	}
	switch f.Rule.of(raw) {
	case Text:
		return IsString(raw) && n.join(raw, isText)
	case List:
		return IsArray(raw) && n.join(raw, isArray)
	case Nested:
		return g.object(n, raw, f.Shape)
	case Keyed:
		return IsArray(raw) && n.become(isItems) && g.keyed(n, Items(raw), f)
	case Parts:
		return IsArray(raw) && n.become(isItems) && g.parts(n, Items(raw), f)
	case Encoded:
		return n.encoded(raw)
	case Refuse:
		return false
	}
	return n.scalar(raw, f.Rule)
}

// of returns the rule for a value: Join depends on its type.
func (r Rule) of(raw string) Rule {
	switch {
	case r == Join && IsString(raw):
		return Text
	case r == Join && IsArray(raw):
		return List
	}
	return r
}

// keyed merges items into those with the same key.
func (g *merging) keyed(n *node, items []string, f *Field) bool {
	for _, raw := range items {
		o, ok := ParseObject(raw)
		if !ok {
			return false
		}
		var key dialect.CallKey
		if f.Key != nil {
			key = f.Key(o)
		} else if key.Index, ok = number(o.Get("index")); !ok {
			return false
		}
		item, found := dialect.FindCall(n.nodes, key)
		switch {
		case !found && len(n.nodes) == maxItems:
			return false
		case !found:
			item = &node{CallKey: key.Start(len(n.nodes))}
			n.nodes = append(n.nodes, item)
		case f.Key == nil && item.event == g.event:
			return false // two items of one event that cannot be distinguished
		}
		item.event = g.event
		if !g.object(item, raw, f.Shape) {
			return false
		}
	}
	return true
}

// number returns the index of an item, which may be absent for the first one.
func number(raw string) (n int64, ok bool) {
	if raw == "" {
		return 0, true
	}
	n, err := strconv.ParseInt(raw, 10, 64)
	return n, err == nil && n >= 0 && raw == strconv.FormatInt(n, 10)
}

// parts adds items to a list. The first may continue the last one that is
// there, if both are plain and differ in nothing but their texts.
func (g *merging) parts(n *node, items []string, f *Field) bool {
	for i, raw := range items {
		part, ok := ParseObject(raw)
		before := &node{}
		if i == 0 && len(n.nodes) > 0 {
			before = n.nodes[len(n.nodes)-1]
		}
		if !ok || !f.Whole(string(before.text), raw) {
			return false
		}
		mark, hasText, plain := f.Shape.mark(part)
		switch {
		case !plain:
			n.nodes = append(n.nodes, &node{kind: isOther, text: []byte(raw)})
			continue
		case before.kind != unset && !hasText:
			continue // there because each event has to have something
		case before.name != mark:
			before = &node{name: mark}
			n.nodes = append(n.nodes, before)
		}
		if !g.object(before, raw, f.Shape) {
			return false
		}
	}
	return true
}

// node is a value of the body that is put together.
type node struct {
	dialect.CallKey        // of a keyed item
	name            string // of a member; the mark of a plain part
	field           *Field // of a member
	kind            kind
	text            []byte  // isText, isEncoded: between the quotes; isArray: between the brackets; isOther: all
	nodes           []*node // isObject: members; isItems: items
	event           int     // of a keyed item: the last event that had it
}

type kind int

const (
	unset kind = iota
	isNull
	isText
	isArray
	isOther
	isEncoded
	isObject
	isItems
)

// start makes n an object, with a place for each field whose place is fixed.
func (n *node) start(s *Shape) {
	n.kind = isObject
	for i := range s.Fields {
		if s.Fields[i].Default == "" {
			continue
		}
		for j := len(n.nodes); j <= i; j++ {
			n.child(cmp.Or(s.Fields[j].As, s.Fields[j].Name), &s.Fields[j])
		}
	}
}

// child returns a member, which it adds if it is not there.
func (n *node) child(name string, f *Field) *node {
	for _, c := range n.nodes {
		if c.name == name {
			return c
		}
	}
	c := &node{name: name, field: f}
	n.nodes = append(n.nodes, c)
	return c
}

// become makes n a node of kind k if it has no value yet, and reports whether
// it is of that kind.
func (n *node) become(k kind) bool {
	if n.kind <= isNull {
		n.kind = k
	}
	return n.kind == k
}

// isEmpty reports whether a value has no content; Azure's last chunk repeats
// its filter's fields so.
func isEmpty(raw string) bool {
	return raw == "null" || raw == `""` || raw == "{}" || raw == "[]"
}

// scalar merges a value that is not joined, by one of the rules First, Last,
// Latest and Same, which is also that of Join.
func (n *node) scalar(raw string, rule Rule) bool {
	if !n.become(isOther) {
		return false
	}
	had := jsonscan.UnsafeString(n.text)
	if had != "" && !isEmpty(had) && (rule != First || had != "0") {
		switch {
		case rule == First, isEmpty(raw):
			return true
		case rule == Same, rule == Join:
			return had == raw
		}
	}
	if had == "" || !isEmpty(raw) {
		n.text = append(n.text[:0], raw...)
	}
	return true
}

// encoded merges a piece of the JSON that takes the place of {}.
func (n *node) encoded(raw string) bool {
	switch {
	case n.kind == unset:
		return n.scalar(raw, Same)
	case n.kind == isNull, !IsString(raw):
		return false
	case n.kind == isOther && string(n.text) == "{}" && raw != `""`:
		*n = node{name: n.name, field: n.field}
	}
	return raw == `""` || n.join(raw, isEncoded)
}

// join adds what is between the quotes or brackets of a value to that of the
// values before. It reports whether all are of kind k.
func (n *node) join(raw string, k kind) bool {
	if !n.become(k) {
		return false
	}
	inner := Inner(raw)
	if k == isArray {
		inner = strings.TrimSpace(inner)
		if len(n.text) > 0 && inner != "" {
			n.text = append(n.text, ',')
		}
	}
	n.text = append(n.text, inner...)
	return true
}

// appendTo writes the value; objects and items are of shape s. ok is false if
// it lacks what the shape demands.
func (n *node) appendTo(dst []byte, s *Shape) (body []byte, ok bool) {
	switch n.kind {
	case isText:
		return append(append(append(dst, '"'), n.text...), '"'), true
	case isArray:
		return append(append(append(dst, '['), n.text...), ']'), true
	case isOther:
		return append(dst, n.text...), true
	case isEncoded:
		return n.appendDecoded(dst)
	case isItems:
		return n.appendItems(dst, s)
	case isObject:
		return n.appendObject(dst, s)
	}
	return append(dst, "null"...), true
}

func (n *node) appendItems(dst []byte, s *Shape) (body []byte, ok bool) {
	slices.SortStableFunc(n.nodes, func(x, y *node) int { return cmp.Compare(x.Index, y.Index) })
	dst = append(dst, '[')
	for i, item := range n.nodes {
		if i > 0 {
			dst = append(dst, ',')
		}
		if dst, ok = item.appendTo(dst, s); !ok {
			return nil, false
		}
	}
	return append(dst, ']'), true
}

func (n *node) appendObject(dst []byte, s *Shape) (body []byte, ok bool) {
	required := 0
	dst = append(dst, '{')
	empty := len(dst)
	for _, m := range n.nodes {
		if m.kind == unset && m.field.Default == "" {
			continue
		}
		if m.field.Required && m.kind == isOther && IsText(string(m.text)) {
			required++
		}
		if len(dst) > empty {
			dst = append(dst, ',')
		}
		dst = append(jsonscan.AppendString(dst, m.name), ':')
		if m.kind <= isNull && m.field.Default != "" {
			dst = append(dst, m.field.Default...)
		} else if dst, ok = m.appendTo(dst, m.field.Shape); !ok {
			return nil, false
		}
	}
	for _, f := range s.Fields {
		if f.Required {
			required--
		}
	}
	return append(dst, '}'), required == 0
}

// appendDecoded writes the object whose JSON came in strings. ok is false if
// the JSON is not whole, as when the answer was cut at its longest, or holds
// U+FFFD: decoding yields that for bytes that are not UTF-8 and for halves of
// surrogate pairs.
func (n *node) appendDecoded(dst []byte) (body []byte, ok bool) {
	var text string
	err := json.Unmarshal(slices.Concat([]byte{'"'}, n.text, []byte{'"'}), &text)
	whole := err == nil && !strings.ContainsRune(text, utf8.RuneError) && jsonscan.Valid([]byte(text))
	return append(dst, text...), whole && IsObject(strings.TrimSpace(text))
}
