package cache

import (
	"crypto/sha256"
	"encoding/binary"
	"slices"
	"strconv"
	"strings"

	"github.com/tidwall/gjson"
)

// Question is what was asked, in a form that another machine could be asked
// too: it holds neither the caller nor a credential, and of the upstream only
// the name of its route. It is kept with the answer, so that a cache can be
// listed, purged, compared and exported. Its fields must not change once it has
// been used.
type Question struct {
	Route   string            `json:"route"` // its name
	Dialect string            `json:"dialect"`
	Method  string            `json:"method"`
	Path    string            `json:"path"`                      // below the route's prefix
	Query   string            `json:"query,omitempty"`           // parameters in order of their text, without any credential
	Header  map[string]string `json:"request_headers,omitempty"` // those that change the meaning of the request

	ContentType string `json:"request_type,omitempty"` // of a body that is not JSON
	Body        []byte `json:"-"`                      // canonical JSON; other bodies as they are; nil in what Get returns

	// The fields below are not part of the key: what the fields above amount
	// to, and for which callers the answer is stored.
	Operation string `json:"operation,omitempty"`
	Model     string `json:"model,omitempty"`
	Scope     string `json:"scope,omitempty"` // such as key:…, shared, or Imported

	sum    [sha256.Size]byte // of Body; zero until seal
	size   int64             // of Body
	fields []field           // of a Body that was too long to be kept
}

// Imported is the scope of answers that the operator has imported. Every caller
// may get them.
const Imported = "imported"

// maxKept is the length in bytes up to which the body of a question is kept
// with its answer. Of a longer one only digests are kept: a conversation of 200
// KB for an answer of 2 KB would fill the cache with questions.
const maxKept = 64 << 10

// Key returns the key of the answer. The private parts must be equal too but
// stay on this machine: the scope, the base URL of the upstream, credentials
// that are passed through. Without them it is the key of an imported answer.
func (q *Question) Key(private ...string) Key {
	q.seal()
	var count [8]byte
	binary.BigEndian.PutUint32(count[:], uint32(len(private)))
	binary.BigEndian.PutUint32(count[4:], uint32(len(q.Header)))
	parts := make([][]byte, 1, 16)
	parts[0] = count[:]
	text := make([]byte, 0, 512) // of all parts: one allocation instead of one each
	add := func(s string) {
		start := len(text)
		text = append(text, s...)
		parts = append(parts, text[start:])
	}
	for _, p := range private {
		add(p)
	}
	for _, name := range sortedNames(q.Header) {
		add(name)
		add(q.Header[name])
	}
	for _, p := range []string{q.Route, q.Dialect, q.Method, q.Path, q.Query, q.ContentType} {
		add(p)
	}
	return NewKey(append(parts, q.sum[:])...)
}

// seal computes what remains known of a body that is not kept.
func (q *Question) seal() {
	if q.sum == ([sha256.Size]byte{}) {
		q.sum = sha256.Sum256(q.Body)
		q.size = int64(len(q.Body))
	}
}

// shorten replaces a body that is too long to be kept by what it can be
// compared by.
func (q *Question) shorten() {
	q.seal()
	if len(q.Body) > maxKept {
		q.fields = bodyFields(q.Body)
		q.Body = nil
	}
}

func sortedNames[V any](m map[string]V) []string {
	names := make([]string, 0, len(m))
	for name := range m {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// field is one part of a question, by which two questions are compared.
type field struct {
	path   string // such as messages[1].content
	size   int64  // bytes of its value
	digest uint64 // the first bytes of its SHA-256
}

const (
	fieldDepth = 4   // levels of a body that are taken apart
	fieldCount = 256 // fields of a body; those after them count as one
)

func newField(path, value string) field {
	sum := sha256.Sum256([]byte(value))
	return field{path: path, size: int64(len(value)), digest: binary.BigEndian.Uint64(sum[:])}
}

// compared returns the parts of the question that are in its key.
func (q *Question) compared() []field {
	list := []field{
		newField("method", q.Method), newField("path", q.Path),
		newField("query", q.Query), newField("content type", q.ContentType),
	}
	for _, name := range sortedNames(q.Header) {
		list = append(list, newField("header "+name, q.Header[name]))
	}
	switch {
	case q.fields != nil:
		return append(list, q.fields...)
	case q.Body == nil && q.size > 0: // a long one that was imported
		return append(list, field{path: "body", size: q.size, digest: binary.BigEndian.Uint64(q.sum[:])})
	}
	return append(list, bodyFields(q.Body)...)
}

// bodyFields takes canonical JSON apart. Any other body is one field.
func bodyFields(body []byte) []field {
	root := gjson.ParseBytes(body)
	if !root.IsObject() {
		return []field{newField("body", string(body))}
	}
	var list []field
	var rest strings.Builder // values beyond fieldCount
	var walk func(path string, v gjson.Result, depth int)
	walk = func(path string, v gjson.Result, depth int) {
		if len(list) >= fieldCount-1 {
			rest.WriteString(path)
			rest.WriteString(v.Raw)
			return
		}
		empty := len(v.Raw) == 2 && depth > 0
		if depth == fieldDepth || (!v.IsObject() && !v.IsArray()) || empty {
			list = append(list, newField(path, v.Raw))
			return
		}
		index := 0
		v.ForEach(func(name, value gjson.Result) bool {
			switch {
			case v.IsArray():
				walk(path+"["+strconv.Itoa(index)+"]", value, depth+1)
			case path == "":
				walk(name.String(), value, depth+1)
			default:
				walk(path+"."+name.String(), value, depth+1)
			}
			index++
			return true
		})
	}
	walk("", root, 0)
	if rest.Len() > 0 {
		list = append(list, newField("the rest of the body", rest.String()))
	}
	return list
}
