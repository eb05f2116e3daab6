package convert

import (
	"cmp"
	"strconv"

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

// read merges an event. It reports false for one that leaves no body.
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

// object merges the members of an object into n. It reports false if a member
// cannot be merged, or if raw or the value of n is not an object.
func (g *merging) object(n *node, raw string, s *Shape) bool {
	var few [16]Member // on the stack: there is an object or more in each event
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

// value merges a value of the field f into n, by the rule of f.
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
		return n.join(raw, isText)
	case List:
		return n.join(raw, isArray)
	case Nested:
		return g.object(n, raw, f.Shape)
	case Keyed:
		return n.list(raw) && g.keyed(n, Items(raw), f)
	case Parts:
		return n.list(raw) && g.parts(n, Items(raw), f)
	case Refuse:
		return false
	}
	return n.scalar(raw, f.Rule)
}

// of returns the rule for a value: Join depends on its type.
func (r Rule) of(raw string) Rule {
	switch {
	case r == Join && jsonscan.IsString(raw):
		return Text
	case r == Join && jsonscan.IsArray(raw):
		return List
	}
	return r
}

// keyed merges items into those with the same key, or adds them. Items without
// a Key function are known by their index alone, so an index that comes twice
// in an event is an error; compatible servers do repeat it for tool calls.
func (g *merging) keyed(n *node, items []string, f *Field) bool {
	for _, raw := range items {
		o, ok := ParseObject(raw)
		if !ok {
			return false
		}
		index, numbered := number(o.Get("index"))
		key := dialect.CallKey{Index: index}
		if f.Key != nil {
			key = f.Key(o)
		} else if !numbered {
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
			return false
		}
		item.event = g.event
		if !g.object(item, raw, f.Shape) {
			return false
		}
	}
	return true
}

// number returns the index of an item, which may be absent for the first one,
// as Gemini's is. Only the plain spelling is accepted: an index that the body
// keeps is compared as text.
func number(raw string) (n int64, ok bool) {
	if raw == "" {
		return 0, true
	}
	n, err := strconv.ParseInt(raw, 10, 64)
	return n, err == nil && n >= 0 && raw == strconv.FormatInt(n, 10)
}

// parts adds items to a list. A stream does not number its parts: Gemini sends
// a text in parts of several chunks, which a body has as one.
//
// The first item may continue the last one that is there, if both are plain and
// differ in nothing but their texts.
func (g *merging) parts(n *node, items []string, f *Field) bool {
	for i, raw := range items {
		part, ok := ParseObject(raw)
		before := &node{}
		if i == 0 && len(n.nodes) > 0 {
			before = n.nodes[len(n.nodes)-1]
		}
		if !ok || (f.Whole != nil && !f.Whole(string(before.text), raw)) {
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
