package convert

import (
	"cmp"

	"forward/internal/dialect"
	"forward/internal/jsonscan"
)

// Rule is how the values that events give a field become one. To all rules but
// Latest, null is what a field has before it has a value.
type Rule int

// The rules.
const (
	Same   Rule = iota // all values that are not empty must be equal
	First              // the first one that is not empty stays; 0 counts as empty
	Last               // the last one that is not empty stays
	Latest             // as Last, but a field that is only null is left out
	Text               // strings are joined
	List               // arrays are joined
	Join               // strings and arrays are joined, other values are Same
	Nested             // objects are merged by Field.Shape
	Keyed              // arrays of objects: items with the same key are merged by Field.Shape
	Parts              // arrays of objects: the first item may continue the last one
	Drop               // the body does not have the field
	Refuse             // there is no body, unless all values are null
)

// Field is a field of an object that is merged.
type Field struct {
	Name     string // in a stream
	As       string // in the body, if that is another
	Rule     Rule
	Shape    *Shape // of what is nested
	Required bool   // whether it must be a string that is not empty
	Default  string // JSON that the body has if no event has a value
	Chunk    string // JSON that chunks have in place of the body's

	// Key returns the key of an item of a Keyed list, nil for "index".
	Key func(item Object) dialect.CallKey

	// Whole reports whether an item of Parts is complete. before is the item
	// that it follows if that came in an earlier event, else "". Nil: all are.
	Whole func(before, item string) bool
}

// Shape is how objects are merged. For example,
//
//	{Name: "delta", As: "message", Rule: Nested, Shape: message}
//
// in the shape of a choice means that each delta is merged into the message of
// the body, field by field, by the shape message. Cut reads the same table
// backwards: a message becomes a delta.
//
// The body has the fields up to the last one with a Default in the order of the
// table, and all others as they came.
type Shape struct {
	Fields []Field
	Rest   Rule // of fields that are not listed
}

// unlisted are the fields that a shape does not list, by rule.
var unlisted = func() (fields [Refuse + 1]Field) {
	for i := range fields {
		fields[i].Rule = Rule(i)
	}
	return fields
}()

// field returns the field for a member of an event.
func (s *Shape) field(name string) *Field {
	for i := range s.Fields {
		if s.Fields[i].Name == name {
			return &s.Fields[i]
		}
	}
	return &unlisted[s.Rest]
}

// inBody returns the field for a member of the body.
func (s *Shape) inBody(name string) *Field {
	for i := range s.Fields {
		if f := &s.Fields[i]; cmp.Or(f.As, f.Name) == name && f.Rule != Refuse {
			return f
		}
	}
	return &unlisted[s.Rest]
}

// mark returns what a part has beside its texts, by which parts that continue
// each other are known, and whether it has any text. A part is plain if it has
// a text and no members but those of the shape.
func (s *Shape) mark(part Object) (mark string, hasText, plain bool) {
	var rest Object
	for _, m := range part {
		f := s.field(m.Name)
		switch {
		case f.Name == "", f.Rule == Text && !jsonscan.IsString(m.Value):
			return "", false, false
		case f.Rule == Text:
			plain = true
			hasText = hasText || IsText(m.Value)
		default:
			rest = append(rest, m)
		}
	}
	return rest.String(), hasText, plain
}
