package cache_test

import (
	"bytes"
	"slices"
	"testing"

	"forward/internal/cache"
	"forward/internal/jsonscan"
)

func chatQuestion(body string) cache.Question {
	return cache.Question{
		Route: "openai", Dialect: "openai", Operation: "chat", Model: "m", Method: "POST", Path: "/v1/chat/completions",
		Header: map[string]string{"OpenAI-Beta": "a"}, Scope: "key:0123", Body: []byte(body),
	}
}

// TestCollisions is the table of what makes another question: each row changes
// one thing, and all keys must differ.
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

// TestKeyOfSpellings: bodies that differ in order, white space and escapes only
// have one key.
func TestKeyOfSpellings(t *testing.T) {
	key := func(body string) cache.Key {
		canonical, err := jsonscan.Canonical([]byte(body), nil)
		if err != nil {
			t.Fatal(err)
		}
		q := chatQuestion(string(canonical))
		return q.Key("scope")
	}
	one := key(`{"model":"m","messages":[{"role":"user","content":"é"}]}`)
	if other := key(` { "messages" : [ {"content":"\u00e9", "role":"user"} ] , "mod\u0065l" : "m" } `); other != one {
		t.Error("two spellings have two keys")
	}
	if other := key(`{"model":"m","messages":[{"role":"user","content":"e"}]}`); other == one {
		t.Error("two bodies have one key")
	}
}

func TestKeyHasNoSeams(t *testing.T) {
	part := func(s ...string) cache.Key {
		var parts [][]byte
		for _, p := range s {
			parts = append(parts, []byte(p))
		}
		return cache.NewKey(parts...)
	}
	seen := map[cache.Key][]string{}
	for _, parts := range [][]string{{}, {""}, {"", ""}, {"ab", "c"}, {"a", "bc"}, {"abc"}, {"abc", ""}, {"", "abc"}, {"c", "ab"}} {
		k := part(parts...)
		if other, ok := seen[k]; ok {
			t.Errorf("%q and %q have one key", parts, other)
		}
		seen[k] = parts
	}
	if part("a", "b") != part("a", "b") {
		t.Error("a key changes")
	}
}
