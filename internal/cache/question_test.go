package cache_test

import (
	"bytes"
	"math/rand/v2"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"forward/internal/cache"
)

func chatQuestion(body string) cache.Question {
	return cache.Question{
		Route: "openai", Dialect: "openai", Operation: "chat", Model: "m", Method: "POST", Path: "/v1/chat/completions",
		Header: map[string]string{"OpenAI-Beta": "a"}, Scope: "key:0123", Body: []byte(body),
	}
}

// TestCollisions is the table of what makes another question: each row changes one thing, and all keys must differ.
func TestCollisions(t *testing.T) {
	type asked struct {
		q       cache.Question
		private []string
	}
	private := []string{"key:0123", "https://api.example", "", ""}
	rows := map[string]func(*asked){
		"as it is":                   func(*asked) {},
		"scope":                      func(a *asked) { a.private[0] = "key:4567" },
		"shared scope":               func(a *asked) { a.private[0] = "shared" },
		"upstream":                   func(a *asked) { a.private[1] = "https://other.example" },
		"credential":                 func(a *asked) { a.private[2] = "Bearer sk-1" },
		"credential in the query":    func(a *asked) { a.private[3] = "Bearer sk-1" },
		"one private part less":      func(a *asked) { a.private = a.private[:3] },
		"imported":                   func(a *asked) { a.private = nil },
		"route":                      func(a *asked) { a.q.Route = "other" },
		"dialect":                    func(a *asked) { a.q.Dialect = "other" },
		"method":                     func(a *asked) { a.q.Method = "GET" },
		"path":                       func(a *asked) { a.q.Path = "/v1/completions" },
		"query":                      func(a *asked) { a.q.Query = "a=1" },
		"path that ends in a query":  func(a *asked) { a.q.Path += "a=1" },
		"version header":             func(a *asked) { a.q.Header = map[string]string{"OpenAI-Beta": "b"} },
		"no version header":          func(a *asked) { a.q.Header = nil },
		"empty version header":       func(a *asked) { a.q.Header = map[string]string{"OpenAI-Beta": ""} },
		"another version header":     func(a *asked) { a.q.Header = map[string]string{"OpenAI-Project": "a"} },
		"one more version header":    func(a *asked) { a.q.Header = map[string]string{"OpenAI-Beta": "a", "OpenAI-Project": "a"} },
		"content type":               func(a *asked) { a.q.ContentType = "text/plain" },
		"body":                       func(a *asked) { a.q.Body = []byte(`{"model":"n"}`) },
		"no body":                    func(a *asked) { a.q.Body = nil },
		"long body":                  func(a *asked) { a.q.Body = bytes.Repeat([]byte("x"), 1<<20) },
		"long body with another end": func(a *asked) { a.q.Body = append(bytes.Repeat([]byte("x"), 1<<20-1), 'y') },
	}
	seen := map[cache.Key]string{}
	for name, change := range rows {
		a := asked{chatQuestion(`{"model":"m"}`), slices.Clone(private)}
		change(&a)
		k := a.q.Key(a.private...)
		if other, taken := seen[k]; taken {
			t.Errorf("%q and %q have one key", name, other)
		}
		seen[k] = name
	}
	// What is in no part of the key: what its parts amount to.
	a, b := chatQuestion("{}"), chatQuestion("{}")
	b.Operation, b.Model, b.Scope = "other", "other", "other"
	if a.Key("x") != b.Key("x") {
		t.Error("operation, model or scope changed the key")
	}
}

// TestKeyProperty: spellings of one body share a key, whatever their order, white space and escapes; and whatever else is
// done to one of its values or names, it has another.
func TestKeyProperty(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "spelling"), 1))
		key := func(n node) cache.Key {
			q := chatQuestion(MustCanonical(t, n.write(r, nil)))
			return q.Key("scope")
		}
		body := node{names: [][]rune{[]rune("messages"), []rune("model")}, items: []node{drawNode(t, 3), drawNode(t, 1)}}
		k := key(body)
		if key(body) != k {
			t.Fatalf("two spellings of %s have two keys", body.plain())
		}
		changed := body.changed(r)
		if key(changed) == k {
			t.Fatalf("%s and %s have one key", body.plain(), changed.plain())
		}
	})
}

// changed returns n with one thing in it changed, somewhere.
func (n node) changed(r *rand.Rand) node {
	switch {
	case n.literal != "":
		return node{isText: true, text: []rune(n.literal)} // "1" is not 1
	case n.isText:
		n.text = append([]rune{'x'}, n.text...)
	case len(n.items) > 0 && r.IntN(2) == 0:
		n.items = slices.Clone(n.items)
		at := r.IntN(len(n.items))
		n.items[at] = n.items[at].changed(r)
	case len(n.items) > 0 && r.IntN(2) == 0:
		n.items = n.items[1:]
		if !n.isList {
			n.names = n.names[1:]
		}
	default:
		n.items = append(slices.Clone(n.items), node{literal: "1"})
		if !n.isList {
			n.names = append(slices.Clone(n.names), []rune("a new name"))
		}
	}
	return n
}
