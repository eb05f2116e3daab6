package dialect

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"strings"

	"github.com/tidwall/gjson"

	"forward/internal/jsonscan"
)

const (
	maxState      = 128     // ids of one request or answer
	maxStateDepth = 8       // levels of a request body in which an id is looked for; content parts are at the sixth
	maxStateBody  = 4 << 20 // bytes of an answer that is searched for ids
)

// Objects are the places where a protocol names what its provider keeps for the
// account of an API key.
type Objects struct {
	// Collections are the path segments behind which an id stands, as in
	// /v1/files/file-1/content.
	Collections []string

	// Named are the fields of a request body that hold an id: as a string, as
	// strings in an array, or as the "id" of an object.
	Named map[string]bool

	// Marks are what the names of these fields have in common as far as a
	// message may have them: one without any of them names nothing, which takes
	// microseconds to know.
	Marks []string

	// Made are the fields at the top of an answer that hold an id that the
	// provider gave, in the same forms; Deep are the paths to further ones.
	Made map[string]bool
	Deep []string

	// Lists are the fields at the top of an answer that hold the objects of a
	// collection.
	Lists []string

	// Starts are the methods of a model that make something.
	Starts []string

	// Qualified means that an id is written with its collection: files/abc.
	Qualified bool
}

// Set returns the set of words.
func Set(words ...string) map[string]bool {
	m := make(map[string]bool, len(words))
	for _, w := range words {
		m[w] = true
	}
	return m
}

// Refers returns the ids of what the provider is to keep already for a request
// to be served, those of the path first: files, batches, responses,
// conversations, vector stores, containers, cached contents, encrypted
// reasoning and so on. Such things belong to the account of the API key that
// made them, so of several keys only that one will do. b may be nil. An
// ordinary chat costs a search of its bytes for a few words; with a single API
// key there is no reason to ask.
//
// What is named there is the client's claim, and it may be no id at all. At
// most 128 are returned.
func (d *Dialect) Refers(op Operation, path string, b *Body) []string {
	facts := d.Objects
	ids := found{facts: facts}
	ids.path(path)
	switch op {
	case Other, Unknown, Video, Responses:
	case Chat, Messages, Generate, CountTokens:
		if b == nil || !slices.ContainsFunc(facts.Marks, func(mark string) bool { return bytes.Contains(b.raw, []byte(mark)) }) {
			return ids.list
		}
	default:
		return ids.list
	}
	if b == nil {
		return ids.list
	}
	ids.in(jsonscan.View(b.raw), 0)
	if op == Responses {
		b.Get("input").ForEach(func(_, item gjson.Result) bool { // items of earlier answers, whole or {"type":"item_reference"}
			ids.add(item.Get("id"))
			ids.id(sealed(item.Get("encrypted_content")))
			return true
		})
	}
	return ids.list
}

// sealed returns a name for a text that only the API key that made it can open,
// which clients send back in place of an id: a digest of it.
func sealed(v gjson.Result) string {
	s := jsonscan.String(v)
	if s == "" {
		return ""
	}
	sum := sha256.Sum256([]byte(s))
	return "encrypted:" + hex.EncodeToString(sum[:16])
}

// Creates returns the ids that the answer to a successful request gave to what
// the provider keeps, or reported again: those of a created, fetched or listed
// object, and those of the files that a batch or a job has written. Only places
// that the provider fills are looked at, never what an answer repeats of its
// request, so that no client can give an id out as its own. Of a stream, and of
// answers that are read anyway, [Answer.State] has them.
func (d *Dialect) Creates(op Operation, method, path string, answer []byte) []string {
	switch {
	case method == "DELETE" || method == "HEAD" || len(answer) > maxStateBody:
		return nil
	case op == Responses || op == Chat || op == Messages:
		var a Answer
		if d.Body(op, &a, answer) != nil {
			return nil
		}
		return a.State
	case op != Other && op != Unknown && op != Video:
		return nil
	}
	facts := d.Objects
	within, own := facts.place(path)
	if !within || !jsonscan.Valid(answer) {
		return nil
	}
	ids := found{facts: facts}
	root := jsonscan.View(answer)
	for _, deep := range facts.Deep {
		ids.value(root.Get(deep))
	}
	root.ForEach(func(k, v gjson.Result) bool {
		switch {
		case facts.Made[k.Str]:
			ids.value(v)
		case own && v.IsArray() && slices.Contains(facts.Lists, k.Str):
			ids.value(v)
		}
		return true
	})
	return ids.list
}

// place reports whether a path is within a collection, and whether it is that
// of the collection itself and not of one of its objects. The content of a file
// is no answer of the provider's: the client that uploaded it chose it.
func (f *Objects) place(path string) (within, own bool) {
	path, verb, _ := strings.Cut(FoldPath(path), ":")
	if verb != "" && f.starts(verb) {
		return true, false
	}
	_, last := CutLast(path)
	if last == "content" || last == "results" || verb == "download" {
		return false, false
	}
	for segment := range strings.SplitSeq(path, "/") {
		if within && segment != "" {
			return true, false
		}
		within = within || f.collection(segment) != ""
	}
	return within, within
}

// collection returns the collection that a segment of a path names in some
// case, or "".
func (f *Objects) collection(segment string) string {
	for _, name := range f.Collections {
		if strings.EqualFold(name, segment) {
			return name
		}
	}
	return ""
}

// starts reports whether a method of a model makes something.
func (f *Objects) starts(verb string) bool {
	return slices.ContainsFunc(f.Starts, func(name string) bool { return strings.EqualFold(name, verb) })
}

// found gathers ids, each once.
type found struct {
	facts *Objects
	most  int // 0: maxState
	list  []string
}

func (f *found) full() bool { return len(f.list) == cmp.Or(f.most, maxState) }

// path takes the ids that follow collections in a path.
func (f *found) path(path string) {
	path, _, _ = strings.Cut(path, ":")
	collection := ""
	for segment := range strings.SplitSeq(path, "/") {
		switch {
		case collection != "" && segment != "":
			segment, _, _ = strings.Cut(segment, ";")
			if f.facts.Qualified {
				segment = collection + "/" + segment
			}
			f.id(segment)
			collection = ""
		case collection == "":
			collection = f.facts.collection(segment)
		}
	}
}

// in looks for named fields in v and below.
func (f *found) in(v gjson.Result, depth int) {
	if depth == maxStateDepth || f.full() || !v.IsObject() && !v.IsArray() {
		return
	}
	array := v.IsArray()
	v.ForEach(func(k, v gjson.Result) bool {
		if !array && f.facts.Named[k.Str] {
			f.value(v)
		}
		f.in(v, depth+1)
		return true
	})
}

// value takes an id, the id of an object, or an array of these.
func (f *found) value(v gjson.Result) {
	switch {
	case v.IsArray():
		v.ForEach(func(_, v gjson.Result) bool {
			if v.IsObject() {
				f.object(v)
			} else {
				f.add(v)
			}
			return !f.full()
		})
	case v.IsObject():
		f.object(v)
	default:
		f.add(v)
	}
}

func (f *found) object(v gjson.Result) {
	if f.facts.Qualified {
		f.add(v.Get("name"))
	} else {
		f.add(v.Get("id"))
	}
}

// add takes a string.
func (f *found) add(v gjson.Result) {
	s := jsonscan.String(v)
	if s != "" && f.facts.Qualified {
		s = f.facts.qualify(s)
	}
	f.id(s)
}

func (f *found) id(s string) {
	if s == "" || len(s) > maxName || f.full() || slices.Contains(f.list, s) {
		return
	}
	f.list = append(f.list, strings.Clone(s))
}

// qualify writes a name or a URL as collection/id: …/v1beta/files/abc:download
// as files/abc. The only ids without a collection are those of interactions.
func (f *Objects) qualify(s string) string {
	if !strings.Contains(s, "/") {
		return "interactions/" + s
	}
	last := ""
	for segment := range strings.SplitSeq(s, "/") {
		if i := strings.IndexAny(segment, ":?"); i >= 0 {
			segment = segment[:i]
		}
		if slices.Contains(f.Collections, last) && segment != "" {
			return last + "/" + segment
		}
		last = segment
	}
	return s
}
