package cache_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"forward/internal/cache"
	"forward/internal/jsonscan"
)

func TestNearestNamesWhatDiffers(t *testing.T) {
	long := strings.Repeat("word ", 20_000)
	chat := func(content, rest string) string {
		canonical, err := jsonscan.Canonical([]byte(`{"model":"m","messages":[{"role":"system","content":"Be brief."},{"role":"user","content":"`+content+`"}]`+rest+`}`), nil)
		if err != nil {
			t.Fatal(err)
		}
		return string(canonical)
	}
	plain := func(body string) cache.Question { return chatQuestion(body) }
	eachBackend(t, func(t *testing.T, o cache.Options) {
		c := MustOpen(t, o)
		for i, q := range []cache.Question{
			plain(chat("hello", `,"temperature":0`)), plain(chat("another thing altogether", `,"temperature":0`)), plain(chat(long, "")),
			{Route: "elsewhere", Operation: "chat", Scope: "key:0123", Body: []byte(chat("only elsewhere", ""))},
			{Route: "openai", Operation: "chat", Scope: "key:another", Body: []byte(chat("only his", ""))},
			{Route: "images", Operation: "", Scope: cache.Imported, Body: []byte(chat("imported", ""))},
		} {
			c.Put(keyOf(i), &cache.Entry{Status: 200, Question: q, Body: []byte("{}")})
		}
		drain(t, c)
		for name, test := range map[string]struct {
			q    cache.Question
			want []string
			ok   bool
		}{
			"a number":             {plain(chat("hello", `,"temperature":0.5`)), []string{"temperature"}, true},
			"a text":               {plain(chat("hello you", `,"temperature":0`)), []string{"messages[1].content"}, true},
			"one field more":       {plain(chat("hello", `,"temperature":0,"seed":1`)), []string{"seed"}, true},
			"one field less":       {plain(chat("hello", "")), []string{"temperature"}, true},
			"a long text":          {plain(chat(long+"!", "")), []string{"messages[1].content"}, true},
			"a field beside it":    {plain(chat(long, `,"seed":1`)), []string{"seed"}, true},
			"a header":             {func() cache.Question { q := plain(chat("hello", `,"temperature":0`)); q.Header = nil; return q }(), []string{"header OpenAI-Beta"}, true},
			"a path":               {func() cache.Question { q := plain(chat("hello", `,"temperature":0`)); q.Path = "/x"; return q }(), []string{"path"}, true},
			"nothing":              {plain(chat("hello", `,"temperature":0`)), nil, true},
			"another's":            {cache.Question{Route: "openai", Operation: "chat", Scope: "key:nobody", Body: []byte("{}")}, nil, false},
			"imported":             {cache.Question{Route: "images", Scope: "key:nobody", Body: []byte(chat("not this", ""))}, []string{"messages[1].content"}, true},
			"no such route":        {cache.Question{Route: "none", Operation: "chat", Scope: "key:0123"}, nil, false},
			"an unknown operation": {cache.Question{Route: "openai", Operation: "embedding", Scope: "key:0123"}, nil, false},
		} {
			got, ok := c.Nearest(t.Context(), &test.q)
			if ok != test.ok || !slices.Equal(got, test.want) {
				t.Errorf("%s: %q, %t", name, got, ok)
			}
		}
	})
}

// TestNearestNamesAFewFields: an error message has bounds, and shows no value.
func TestNearestNamesAFewFields(t *testing.T) {
	c := MustOpen(t, cache.Options{Backend: "MEMORY"})
	c.Put(keyOf(1), &cache.Entry{Status: 200, Question: chatQuestion(`{}`)})
	var body strings.Builder
	for n := range 2000 {
		fmt.Fprintf(&body, `,"%s%d":"SECRET"`, strings.Repeat("é", 100), n)
	}
	q := chatQuestion("{" + body.String()[1:] + "}")
	got, ok := c.Nearest(t.Context(), &q)
	if all := strings.Join(got, ", "); !ok || len(got) != 6 || len(all) > 600 || strings.Contains(all, "SECRET") || got[5] != "251 more" {
		t.Errorf("%q", got)
	}
}
