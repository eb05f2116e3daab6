package convert

import (
	"slices"
	"strings"
	"unicode/utf8"

	"forward/internal/jsonscan"

	"github.com/tidwall/gjson"
)

// Object is a JSON object taken apart: its members in order.
type Object []Member

// Member is a member of an object. Value is JSON as it is spelled.
type Member struct{ Name, Value string }

// maxMembers bounds the members of an object that is taken apart, because they
// are searched one by one. The protocols' own have a tenth of that at most.
const maxMembers = 256

// ParseObject takes apart valid JSON. ok is false if it is no object, has a
// name twice, which readers do not agree on, or a name that is no text: halves
// of surrogate pairs and bytes that are not UTF-8.
func ParseObject(raw string) (o Object, ok bool) { return parseObject(nil, raw) }

// parseObject is ParseObject with a place for the members.
func parseObject(dst Object, raw string) (o Object, ok bool) {
	o = dst
	if !jsonscan.IsObject(raw) {
		return nil, false
	}
	for w := jsonscan.WalkValue(gjson.Result{Raw: raw}); w.Next(); {
		text := utf8.ValidString(w.Key) && !strings.ContainsRune(w.Key, utf8.RuneError)
		if !text || len(o) == maxMembers || o.index(w.Key) >= 0 {
			return nil, false
		}
		o = append(o, Member{w.Key, w.Raw()})
	}
	return o, true
}

func (o Object) index(name string) int {
	return slices.IndexFunc(o, func(m Member) bool { return m.Name == name })
}

// Get returns the value of a member, "" if there is none.
func (o Object) Get(name string) string {
	if i := o.index(name); i >= 0 {
		return o[i].Value
	}
	return ""
}

// Set gives a member a value; a new one is added at the end.
func (o *Object) Set(name, value string) {
	if i := o.index(name); i >= 0 {
		(*o)[i].Value = value
		return
	}
	*o = append(*o, Member{name, value})
}

// Reset gives members another value, if they are there.
func (o Object) Reset(value string, names ...string) {
	for _, name := range names {
		if i := o.index(name); i >= 0 {
			o[i].Value = value
		}
	}
}

// Split returns the members with one of the names, and the rest.
func (o Object) Split(names ...string) (named, rest Object) {
	for _, m := range o {
		if slices.Contains(names, m.Name) {
			named = append(named, m)
		} else {
			rest = append(rest, m)
		}
	}
	return named, rest
}

// Only reports whether there are no members but those with one of the names.
func (o Object) Only(names ...string) bool {
	_, rest := o.Split(names...)
	return len(rest) == 0
}

// String returns the object as JSON.
func (o Object) String() string {
	dst := []byte{'{'}
	for i, m := range o {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(jsonscan.AppendString(dst, m.Name), ':')
		dst = append(dst, m.Value...)
	}
	return jsonscan.UnsafeString(append(dst, '}'))
}

// IsAbsent reports whether a value is absent or null.
func IsAbsent(raw string) bool { return raw == "" || raw == "null" }

// IsText reports whether a value is a string that is not empty.
func IsText(raw string) bool { return len(raw) > len(`""`) && raw[0] == '"' }

// Inner returns what is between the quotes or brackets of a value.
func Inner(raw string) string { return raw[1 : len(raw)-1] }

// Items returns the items of an array.
func Items(raw string) (items []string) {
	for w := jsonscan.WalkValue(gjson.Result{Raw: raw}); w.Next(); {
		items = append(items, w.Raw())
	}
	return items
}
