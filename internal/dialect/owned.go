package dialect

import (
	"slices"
	"strings"

	"github.com/tidwall/gjson"

	"forward/internal/jsonscan"
)

// maxNames bounds the ids that Names returns: those of a long conversation.
const maxNames = 4096

// notObjects are words that stand where an id may, and are none: verbs behind a
// collection, and the skills that a provider has itself.
var notObjects = Set("compact", "input_tokens", "edits", "extensions", "characters", "search", "pptx", "xlsx", "docx", "pdf")

// Names returns what Refers does, of any operation and without leaving an id
// out: ids are those that must be the caller's, and whole those of items that
// the request repeats in full, for which an id need not be known. complete is
// false where there are too many.
func (d *Dialect) Names(op Operation, path string, b *Body) (ids, whole []string, complete bool) {
	facts := d.Objects
	strict := found{facts: facts, most: maxNames}
	strict.path(path)
	if b == nil {
		return strict.names(), nil, true
	}
	strict.in(jsonscan.View(b.raw), 0)
	repeated := found{facts: facts, most: maxNames}
	if op == Responses {
		b.Get("input").ForEach(func(_, item gjson.Result) bool {
			if repeats(item) {
				repeated.add(item.Get("id"))
			} else {
				strict.add(item.Get("id"))
			}
			return true
		})
	}
	return strict.names(), repeated.names(), len(strict.list) < maxNames && len(repeated.list) < maxNames
}

// repeats reports whether an item of a request holds what it names, so that
// nothing is looked up by its id.
func repeats(item gjson.Result) bool {
	n := 0
	item.ForEach(func(k, v gjson.Result) bool {
		if k.Str != "id" && k.Str != "type" && k.Str != "status" && v.Type != gjson.Null {
			n++
		}
		return true
	})
	return n > 0
}

// names leaves out what is no id of the provider's.
func (f *found) names() (ids []string) {
	for _, id := range f.list {
		if !notObjects[id] && !strings.Contains(id, "://") {
			ids = append(ids, id)
		}
	}
	return ids
}

// Within reports whether a path is within a collection of objects, and whether
// it is that of the collection itself, whose answer lists them.
func (d *Dialect) Within(path string) (within, list bool) {
	return d.Objects.place(path)
}

// Owned returns the ids of an object that an answer shows: its own first, then
// those of what the provider made with it.
func (d *Dialect) Owned(object gjson.Result) []string {
	facts := d.Objects
	ids := found{facts: facts}
	ids.object(object)
	if len(ids.list) == 0 {
		return nil
	}
	object.ForEach(func(k, v gjson.Result) bool {
		if facts.Made[k.Str] {
			ids.value(v)
		}
		return true
	})
	return ids.list
}

// OnlyListed returns the answer to a request for the list of a collection
// without the objects that keep refuses, and without ids of theirs in its
// cursors. Everything else stays as it is spelled. ok is false where the answer
// is no list that the dialect knows.
func (d *Dialect) OnlyListed(answer []byte, keep func(object gjson.Result) bool) (list []byte, ok bool) {
	if !jsonscan.Valid(answer) {
		return nil, false
	}
	facts := d.Objects
	root := jsonscan.View(answer)
	if !root.IsObject() {
		return nil, false
	}
	var first, last string // raw
	out := []byte{'{'}
	ok = true
	lists := map[string]string{}
	root.ForEach(func(k, v gjson.Result) bool {
		switch {
		case v.IsArray() && slices.Contains(facts.Lists, k.Str):
			lists[k.Str], first, last = only(v, keep)
		case v.IsArray() || v.IsObject():
			ok = false
		}
		return ok
	})
	if !ok {
		return nil, false
	}
	root.ForEach(func(k, v gjson.Result) bool {
		text, is := lists[k.Str]
		switch {
		case is:
		case k.Str == "first_id":
			text = first
		case k.Str == "last_id":
			text = last
		default:
			text = v.Raw
		}
		if len(out) > 1 {
			out = append(out, ',')
		}
		out = append(out, k.Raw...)
		out = append(out, ':')
		out = append(out, text...)
		return true
	})
	return append(out, '}'), true
}

// only returns the elements of an array that keep keeps, and the ids of the
// first and the last of them, as JSON.
func only(array gjson.Result, keep func(gjson.Result) bool) (text, first, last string) {
	first = "null"
	last = "null"
	var kept []string
	array.ForEach(func(_, v gjson.Result) bool {
		if !keep(v) {
			return true
		}
		if id := v.Get("id"); id.Exists() {
			last = id.Raw
			if len(kept) == 0 {
				first = id.Raw
			}
		}
		kept = append(kept, v.Raw)
		return true
	})
	return "[" + strings.Join(kept, ",") + "]", first, last
}
