package convert

import (
	"cmp"
	"slices"
	"strings"

	"forward/internal/dialect"
	"forward/internal/jsonscan"
)

// node is a value of the body in the making. Strings and arrays are joined as
// text, so what stands between the quotes or brackets is never decoded.
type node struct {
	dialect.CallKey        // of a keyed item
	name            string // of a member; the mark of a plain part
	field           *Field // of a member
	kind            kind
	text            []byte
	nodes           []*node // members or items
	event           int     // of a keyed item: the last event that had it
}

// kind is what a node is, and what its text is.
type kind int

const (
	unset    kind = iota // no event had the field
	isNull               // the field was null in all events
	isText               // a string; text is between the quotes
	isArray              // an array; text is between the brackets
	isOther              // any value that is not joined, as it is spelled
	isObject             // an object of nodes
	isItems              // an array of nodes
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

// child returns a member for a field, which it adds if it is not there.
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

// list makes n a list if raw is one, and reports whether both are.
func (n *node) list(raw string) bool { return jsonscan.IsArray(raw) && n.become(isItems) }

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

// join adds what is between the quotes or brackets of a value to that of the
// values before. It reports whether all are of kind k.
func (n *node) join(raw string, k kind) bool {
	if jsonscan.IsArray(raw) != (k == isArray) || jsonscan.IsString(raw) == (k == isArray) || !n.become(k) {
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
	case isItems:
		return n.appendItems(dst, s)
	case isObject:
		return n.appendObject(dst, s)
	}
	return append(dst, "null"...), true
}

// appendItems writes a list, whose items may have come in any order.
func (n *node) appendItems(dst []byte, s *Shape) (body []byte, ok bool) {
	slices.SortStableFunc(n.nodes, func(x, y *node) int {
		return cmp.Compare(x.Index, y.Index)
	})
	dst = append(dst, '[')
	for i, item := range n.nodes {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst, ok = item.appendTo(dst, s)
		if !ok {
			return nil, false
		}
	}
	return append(dst, ']'), true
}

// appendObject writes an object with its defaults.
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
			continue
		}
		dst, ok = m.appendTo(dst, m.field.Shape)
		if !ok {
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
