package forward_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"os"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode/utf16"

	"pgregory.net/rapid"
)

// questions are one rich request of each operation that is remembered.
var questions = []struct {
	path, body string
}{
	{"/v1/chat/completions", `{"model":"m","messages":[{"role":"system","content":"s","name":"n"},{"role":"user","content":[{"type":"text","text":"t"},
		{"type":"image_url","image_url":{"url":"data:x","detail":"low"}}],"user":"inside","metadata":{"a":1}}],"temperature":0,"top_p":1,"n":2,"seed":7,"stop":["a","b"],"max_tokens":5,
		"max_completion_tokens":6,"presence_penalty":0,"frequency_penalty":0.5,"logit_bias":{"50256":-100},"logprobs":true,"top_logprobs":2,"response_format":{"type":"json_schema",
		"json_schema":{"name":"x","schema":{"type":"object"},"strict":true}},"tools":[{"type":"function","function":{"name":"f","parameters":{"stream":true}}}],"tool_choice":"auto",
		"parallel_tool_calls":false,"service_tier":"auto","store":false,"reasoning_effort":"low","modalities":["text"],"prediction":{"type":"content","content":"p"},"unknown_of_tomorrow":null,
		"user":"u","metadata":{"k":"v"},"safety_identifier":"i","prompt_cache_key":"c","stream":false,"stream_options":{"include_usage":true},"caching":true}`},
	{"/v1/completions", `{"model":"m","prompt":["a","b"],"suffix":"s","echo":true,"max_tokens":99,"best_of":2,"logprobs":1,"user":"u","caching":true}`},
	{"/v1/embeddings", `{"model":"m","input":["a",[1,2]],"dimensions":3,"encoding_format":"float","user":"u","caching":true}`},
	{"/v1/responses", `{"model":"m","input":[{"role":"user","content":[{"type":"input_text","text":"t"}]}],"instructions":"i","previous_response_id":"resp_1","include":["x"],
		"reasoning":{"effort":"low","summary":"auto"},"text":{"format":{"type":"text"},"verbosity":"low"},"truncation":"auto","max_output_tokens":4,"tools":[{"type":"web_search"}],
		"store":false,"metadata":{"k":"v"},"user":"u","stream":false,"caching":true}`},
	{"/anthropic/v1/messages", `{"model":"m","max_tokens":5,"system":[{"type":"text","text":"s","cache_control":{"type":"ephemeral"}}],"messages":[{"role":"user","content":"t"}],
		"temperature":1,"top_k":3,"top_p":0.5,"stop_sequences":["x"],"thinking":{"type":"enabled","budget_tokens":1024},"tools":[{"name":"f","input_schema":{"type":"object"}}],
		"tool_choice":{"type":"auto"},"service_tier":"auto","container":null,"metadata":{"user_id":"u"},"stream":false,"caching":true}`},
	{"/gemini/v1beta/models/m:generateContent", `{"contents":[{"role":"user","parts":[{"text":"t"},{"inlineData":{"mimeType":"image/png","data":"AA"}}]}],
		"systemInstruction":{"parts":[{"text":"s"}]},"generationConfig":{"temperature":0,"candidateCount":2,"maxOutputTokens":9,"thinkingConfig":{"thinkingBudget":0}},"safetySettings":[{"category":"c","threshold":"t"}],
		"tools":[{"googleSearch":{}}],"toolConfig":{"functionCallingConfig":{"mode":"AUTO"}},"cachedContent":"cachedContents/1","caching":true}`},
}

// remembering is a gateway that remembers the usual body of each operation.
func remembering(t testing.TB, change func(*setup)) *bench {
	t.Helper()
	answer := func(w http.ResponseWriter, r *http.Request) {
		file := "openai/chat-body.json"
		for part, other := range map[string]string{"/completions": "openai/completion-body.json", "/embeddings": "openai/embedding-body.json", "/responses": "openai/responses-body.json",
			"/messages": "anthropic/messages-body.json", ":generateContent": "gemini/generate-body.json"} {
			if strings.HasSuffix(r.URL.Path, part) && !strings.HasSuffix(r.URL.Path, "/chat/completions") {
				file = other
			}
		}
		w.Header().Set("Content-Type", "application/json")
		w.Write(must(os.ReadFile("../dialect/testdata/" + file))(t))
	}
	return start(t, answer, func(s *setup) {
		caching(memoryCache(t))(s)
		s.all, s.Log = true, nil
		if change != nil {
			change(s)
		}
	})
}

// records asks and expects the answer to be new, and remembered.
func (b *bench) records(t testing.TB, path, body string, headers ...string) {
	t.Helper()
	if a := b.do("POST", path, body, headers...); a.StatusCode != 200 || a.Header.Get("X-Cache") != "MISS" {
		t.Fatalf("%s %s: %d %s %s", path, body, a.StatusCode, a.Header.Get("X-Cache"), a.body)
	}
	if !b.knows(t, path, body, headers...) {
		t.Fatalf("%s is not remembered: %s", path, body)
	}
}

// knows reports whether a request would be a hit. It changes nothing.
func (b *bench) knows(t testing.TB, path, body string, headers ...string) bool {
	t.Helper()
	a := b.do("POST", path, body, append(headers, "Cache-Control", "only-if-cached")...)
	switch {
	case a.StatusCode == 200 && a.Header.Get("X-Cache") == "HIT":
		return true
	case a.StatusCode == 504 && strings.Contains(a.body, "not in the cache"):
		return false
	}
	t.Fatalf("%s %s: %d %s", path, body, a.StatusCode, a.body)
	return false
}

// variants are all requests that differ from a value in one place: a member
// that is gone, one that is new, a value that is another. Each comes with the
// place.
func variants(v any, place string, visit func(place string, other any)) {
	switch v := v.(type) {
	case map[string]any:
		for name, member := range v {
			rest := maps.Clone(v)
			delete(rest, name)
			visit(place+"."+name+" gone", rest)
			variants(member, place+"."+name, func(where string, other any) {
				changed := maps.Clone(v)
				changed[name] = other
				visit(where, changed)
			})
		}
		more := maps.Clone(v)
		more["another"] = nil
		visit(place+" with another member", more)
	case []any:
		for i, element := range v {
			visit(place+"["+strconv.Itoa(i)+"] gone", slices.Delete(slices.Clone(v), i, i+1))
			variants(element, place+"["+strconv.Itoa(i)+"]", func(where string, other any) {
				changed := slices.Clone(v)
				changed[i] = other
				visit(where, changed)
			})
		}
		visit(place+" longer", append(slices.Clone(v), nil))
	case string:
		visit(place+" another", v+" ")
	case json.Number:
		visit(place+" another", json.Number("1"+strings.TrimPrefix(string(v), "-")))
		visit(place+" as text", string(v))
	case bool:
		visit(place+" turned", !v)
	case nil:
		visit(place+" false", false)
	}
}

// TestEveryFieldOfABodyCounts changes each field of a rich request, on every
// level, one at a time: all but those that only define how an answer travels or
// which caller asks make another question.
func TestEveryFieldOfABodyCounts(t *testing.T) {
	travels := []string{"stream", "stream_options", "caching", "user", "metadata", "safety_identifier", "prompt_cache_key"}
	b := remembering(t, func(s *setup) { s.CachingDefault = true })
	for _, q := range questions {
		b.records(t, q.path, q.body)
		decoder := json.NewDecoder(strings.NewReader(q.body))
		decoder.UseNumber()
		var whole any
		if err := decoder.Decode(&whole); err != nil {
			t.Fatal(err)
		}
		hits, misses := 0, 0
		variants(whole, "", func(place string, other any) {
			body, _ := json.Marshal(other)
			name := strings.FieldsFunc(place, func(r rune) bool { return r == '.' || r == ' ' || r == '[' })[0]
			same := strings.HasPrefix(place, ".") && slices.Contains(travels, name)
			switch place {
			case ".model gone", ".caching turned", ".stream turned":
				return // no request, not asked for, and the other form: not about the key
			}
			if a := b.do("POST", q.path, string(body), "Cache-Control", "only-if-cached"); a.StatusCode == 400 {
				return // not what the dialect takes: it can be no hit
			}
			if b.knows(t, q.path, string(body)) != same {
				t.Errorf("%s: %s: a hit: %t", q.path, place, !same)
			}
			if same {
				hits++
			} else {
				misses++
			}
		})
		if hits < 1 || misses < 10 {
			t.Errorf("%s: %d hits, %d misses: that cannot be all", q.path, hits, misses)
		}
	}
}

// TestWhoAndWhereCount changes everything else about a request: the caller,
// with which credential, where and how.
func TestWhoAndWhereCount(t *testing.T) {
	body := `{"model":"m","messages":[{"role":"user","content":"t"}],"max_tokens":5,"generationConfig":{"maxOutputTokens":5},"caching":true}`
	shares := func(s *setup) { s.CacheShared = true }
	open := func(s *setup) { s.CacheShared, s.open = true, true }
	elsewhere := remembering(t, nil)
	twins := func(s *setup) { // two routes that lead to the same place
		s.all, s.CacheShared = false, true
		for _, name := range []string{"one", "two"} {
			s.routes = append(s.routes, elsewhere.route(name, "/"+name, []string{canary}))
		}
	}
	narrow := func(s *setup) {
		s.CacheShared = true
		s.keys[1].Policy.CacheScope = "key"
	}
	const chat, messages = "/v1/chat/completions", "/anthropic/v1/messages"
	for name, row := range map[string]struct {
		change        func(*setup)
		path, other   string // "": the same
		header, extra []string
		hit           bool
	}{
		"scope: another caller":                          {path: chat, extra: []string{"Authorization", "Bearer fk-bob"}},
		"scope: another caller of a shared cache":        {change: shares, path: chat, extra: []string{"Authorization", "Bearer fk-bob"}, hit: true},
		"scope: a caller with a cache of his own":        {change: narrow, path: chat, extra: []string{"Authorization", "Bearer fk-bob"}},
		"credential: another that is passed through":     {change: open, path: chat, header: []string{"Authorization", "Bearer sk-one"}, extra: []string{"Authorization", "Bearer sk-two"}},
		"credential: the same":                           {change: open, path: chat, header: []string{"Authorization", "Bearer sk-one"}, extra: []string{"Authorization", "Bearer sk-one"}, hit: true},
		"credential: none":                               {change: open, path: chat, header: []string{"Authorization", "Bearer sk-one"}, extra: []string{"Authorization", ""}},
		"credential: in another header":                  {path: messages, extra: []string{"Authorization", "", "X-Api-Key", "fk-alice"}, hit: true},
		"route: a twin":                                  {change: twins, path: "/one/v1/chat/completions", other: "/two/v1/chat/completions"},
		"route: an alias":                                {path: chat, other: "/openai/v1/chat/completions", hit: true},
		"path: another that is the same operation":       {path: chat, other: "/v2/chat/completions"},
		"query: one more":                                {path: chat, other: chat + "?a=1"},
		"query: another value":                           {path: chat + "?a=1", other: chat + "?a=2"},
		"query: another order":                           {path: chat + "?a=1&b=2", other: chat + "?b=2&a=1", hit: true},
		"version: OpenAI-Organization":                   {change: open, path: chat, extra: []string{"OpenAI-Organization", "o"}},
		"version: OpenAI-Project":                        {change: open, path: chat, extra: []string{"OpenAI-Project", "p"}},
		"account: an organisation that stays here":       {path: chat, extra: []string{"OpenAI-Organization", "o"}, hit: true},
		"account: a project that stays here":             {path: chat, extra: []string{"OpenAI-Project", "p"}, hit: true},
		"account: a project of Google that stays here":   {path: "/gemini/v1beta/models/m:generateContent", extra: []string{"X-Goog-User-Project", "p"}, hit: true},
		"version: OpenAI-Beta":                           {path: chat, header: []string{"OpenAI-Beta", "a"}, extra: []string{"OpenAI-Beta", "b"}},
		"version: anthropic-version":                     {path: messages, header: []string{"Anthropic-Version", "2023-06-01"}, extra: []string{"Anthropic-Version", "2023-01-01"}},
		"version: anthropic-version not said":            {path: messages, header: []string{"Anthropic-Version", "2023-06-01"}, extra: []string{"Anthropic-Version", ""}},
		"version: anthropic-beta":                        {path: messages, extra: []string{"Anthropic-Beta", "x"}},
		"version: X-Goog-User-Project":                   {change: open, path: "/gemini/v1beta/models/m:generateContent", extra: []string{"X-Goog-User-Project", "p"}},
		"version: another model in the path":             {path: "/gemini/v1beta/models/m:generateContent", other: "/gemini/v1beta/models/n:generateContent"},
		"transport: what says who the program is":        {path: chat, extra: []string{"User-Agent", "other", "X-Stainless-Lang", "js", "Accept", "*/*", "X-Forward-User", "u"}, hit: true},
		"transport: a header that the dialect knows not": {path: messages, extra: []string{"OpenAI-Organization", "o"}, hit: true},
	} {
		t.Run(name, func(t *testing.T) {
			b := remembering(t, row.change)
			b.records(t, row.path, body, row.header...)
			other := row.other
			if other == "" {
				other = row.path
			}
			headers := row.extra
			if len(headers) == 0 {
				headers = row.header
			}
			if b.knows(t, other, body, headers...) != row.hit {
				t.Errorf("a hit: %t", !row.hit)
			}
		})
	}
	t.Run("route: another upstream", func(t *testing.T) {
		shared := memoryCache(t)
		with := func(s *setup) { caching(shared)(s); s.all = false }
		remembering(t, with).records(t, chat, body)
		if remembering(t, with).knows(t, chat, body) {
			t.Error("a hit with the answer of another upstream")
		}
	})
}

// tree is JSON as a test makes it: the members of objects in any order, numbers
// as they are spelled.
var tree = rapid.Custom(func(r *rapid.T) any { return drawTree(r, 3) })

func drawTree(r *rapid.T, depth int) any {
	kinds := []string{"string", "number", "literal", "object", "array"}
	if depth == 0 {
		kinds = kinds[:3]
	}
	switch rapid.SampledFrom(kinds).Draw(r, "kind") {
	case "string":
		return rapid.OneOf(rapid.String(), rapid.SampledFrom([]string{"", "é", "e\u0301", "/", "\"", "\u2028", "😀", "1"})).Draw(r, "string")
	case "number":
		return json.Number(rapid.SampledFrom([]string{"0", "-0", "0.0", "1", "1.0", "1e0", "1E0", "9007199254740993", "9007199254740992", "1e400"}).Draw(r, "number"))
	case "literal":
		return rapid.SampledFrom([]any{nil, true, false}).Draw(r, "literal")
	case "object":
		o := map[string]any{}
		for range rapid.IntRange(0, 4).Draw(r, "members") {
			name := rapid.SampledFrom([]string{"a", "b", "A", "é", "", "stream", "user", "caching", "a.b", "\"", "\n"}).Draw(r, "name")
			o[name] = drawTree(r, depth-1)
		}
		return o
	}
	a := []any{}
	for range rapid.IntRange(0, 4).Draw(r, "elements") {
		a = append(a, drawTree(r, depth-1))
	}
	return a
}

// spell writes a tree in one of its many spellings.
func spell(r *rapid.T, v any) string {
	space := func() string { return rapid.SampledFrom([]string{"", "", " ", "\n\t", "\r\n  "}).Draw(r, "space") }
	var out string
	switch v := v.(type) {
	case map[string]any:
		var members []string
		for _, name := range rapid.Permutation(slices.Sorted(maps.Keys(v))).Draw(r, "order") {
			members = append(members, space()+spell(r, name)+space()+":"+spell(r, v[name]))
		}
		out = "{" + strings.Join(members, ",") + space() + "}"
	case []any:
		var elements []string
		for _, element := range v {
			elements = append(elements, spell(r, element))
		}
		out = "[" + strings.Join(elements, ",") + space() + "]"
	case string:
		return quote(r, v)
	default:
		literal, _ := json.Marshal(v)
		out = string(literal)
	}
	return space() + out + space()
}

// quote writes text with escapes where none is needed, as some clients do.
func quote(r *rapid.T, text string) string {
	out := `"`
	for _, c := range text {
		plain, _ := json.Marshal(string(c))
		switch rapid.IntRange(0, 3).Draw(r, "escape") {
		case 0:
			for _, unit := range utf16.Encode([]rune{c}) {
				out += fmt.Sprintf(rapid.SampledFrom([]string{`\u%04x`, `\u%04X`}).Draw(r, "case"), unit)
			}
		case 1:
			if c == '/' {
				out += `\/`
				continue
			}
			fallthrough
		default:
			out += string(plain[1 : len(plain)-1])
		}
	}
	return out + `"`
}

// TestTheSameQuestionIsTheSameJSON: two requests share an answer if and only if
// their bodies are the same JSON, whatever the order of members, white space
// and escapes.
func TestTheSameQuestionIsTheSameJSON(t *testing.T) {
	b := remembering(t, nil)
	n := 0
	rapid.Check(t, func(r *rapid.T) {
		one := tree.Draw(r, "one")
		other := one
		if rapid.Bool().Draw(r, "differs") {
			other = tree.Draw(r, "other")
			if all := []any{}; rapid.Bool().Draw(r, "in one place") {
				variants(one, "", func(_ string, v any) { all = append(all, v) })
				other = all[rapid.IntRange(0, len(all)-1).Draw(r, "place")]
			}
		}
		n++
		model := strconv.Itoa(n) // each pair is about itself only
		ask := func(v any) string { return spell(r, map[string]any{"model": model, "input": v, "caching": true}) }
		b.records(t, "/v1/embeddings", ask(one))
		if body := ask(other); b.knows(t, "/v1/embeddings", body) != reflect.DeepEqual(one, other) {
			r.Errorf("a hit: %t, the same: %t\n%#v\n%#v", reflect.DeepEqual(one, other) == false, reflect.DeepEqual(one, other), one, other)
		}
	})
}
