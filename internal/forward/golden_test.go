package forward_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"forward/internal/cache"
	"forward/internal/dialect"
	"forward/internal/dialect/gemini"
	"forward/internal/dialect/openai"
	"forward/internal/dialects"
	"forward/internal/framing"
)

// transcript is one of the answers that internal/dialect keeps as testdata, in
// the form in which it came.
type transcript struct {
	name    string
	dialect *dialect.Dialect
	op      dialect.Operation
	stream  bool
	body    []byte
}

// transcripts are all answers of testdata that are made of one request.
func transcripts(t *testing.T) (all []transcript) {
	t.Helper()
	files, err := filepath.Glob("../dialect/testdata/*/*-*.*")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		kind := filepath.Ext(file)
		if kind != ".sse" && kind != ".json" {
			continue
		}
		d, _ := dialects.ByName(filepath.Base(filepath.Dir(file)))
		word, _, _ := strings.Cut(filepath.Base(file), "-")
		body := must(os.ReadFile(file))(t)
		if bytes.HasPrefix(body, []byte("[")) {
			continue // the array form of a stream: made of each stream below
		}
		all = append(all, transcript{name: d.Name + "/" + filepath.Base(file), dialect: d, op: dialect.Operation(word), stream: kind == ".sse", body: body})
	}
	if len(all) < 60 {
		t.Fatalf("only %d transcripts", len(all))
	}
	return all
}

// twoForms reports whether answers to the operation can be had as a stream and
// as a body, and are remembered.
func twoForms(op dialect.Operation) bool {
	switch op {
	case dialect.Chat, dialect.Completion, dialect.Responses, dialect.Messages, dialect.Generate:
		return true
	}
	return false
}

// shape is how an answer is asked for.
type shape struct {
	stream, usage, array bool
}

func (f shape) String() string {
	switch {
	case f.array:
		return "array"
	case f.usage:
		return "stream with usage"
	case f.stream:
		return "stream"
	}
	return "body"
}

// askFor is the path and the body by which an answer is asked for; prompt makes
// it a question of its own. The request bounds the answer, so that one that
// ends there is remembered.
func askFor(d *dialect.Dialect, op dialect.Operation, f shape, prompt string) (path, body string) {
	mount := map[string]string{"openai": "", "anthropic": "/anthropic", "gemini": "/gemini"}[d.Name]
	flags := `"caching":true`
	if f.stream && op != dialect.Generate {
		flags += `,"stream":true`
	}
	if f.usage {
		flags += `,"stream_options":{"include_usage":true}`
	}
	messages := fmt.Sprintf(`{"model":"m","messages":[{"role":"user","content":%q}],"max_tokens":99,%s}`, prompt, flags)
	input := fmt.Sprintf(`{"model":"m","input":%q,"max_output_tokens":99,%s}`, prompt, flags)
	switch op {
	case dialect.Chat:
		if d == gemini.Dialect {
			return mount + "/v1beta/openai/chat/completions", messages
		}
		return mount + "/v1/chat/completions", messages
	case dialect.Completion:
		return mount + "/v1/completions", fmt.Sprintf(`{"model":"m","prompt":%q,"max_tokens":99,%s}`, prompt, flags)
	case dialect.Responses:
		return mount + "/v1/responses", input
	case dialect.Embedding:
		return mount + "/v1/embeddings", input
	case dialect.Messages:
		return mount + "/v1/messages", messages
	case dialect.Generate:
		path = mount + "/v1beta/models/m:generateContent"
		if f.array {
			path = mount + "/v1beta/models/m:streamGenerateContent"
		} else if f.stream {
			path = mount + "/v1beta/models/m:streamGenerateContent?alt=sse"
		}
		return path, fmt.Sprintf(`{"contents":[{"parts":[{"text":%q}]}],"generationConfig":{"maxOutputTokens":99},%s}`, prompt, flags)
	}
	return "", ""
}

// content is what an answer contains, however it is spelled.
type content struct {
	ID, Model, Tier, Finish, Error string
	Choices                        []dialect.Choice
	Usage                          dialect.Usage
	Complete                       bool
}

// read reads an answer in either form. Of the usage its numbers count, and not
// its spelling; and of tool input that is JSON in the answer, and not text as
// OpenAI has it, what it contains.
func read(t *testing.T, d *dialect.Dialect, op dialect.Operation, stream bool, body []byte) content {
	t.Helper()
	var a dialect.Answer
	if stream {
		var split framing.Splitter
		split.Feed(body)
		for raw, ok := split.Next(); ok; raw, ok = split.Next() {
			if event, ok := framing.SSE.Parse(raw); ok {
				d.Event(op, &a, event)
			}
		}
		if event, ok := framing.SSE.Parse(split.Pending()); ok { // some upstreams leave out the last blank line
			d.Event(op, &a, event)
		}
	} else if err := d.Body(op, &a, body); err != nil {
		a.Error = err.Error()
	}
	s := content{ID: a.ID, Model: a.Model, Tier: a.Tier, Finish: a.Finish(), Error: a.Error, Choices: a.Choices(), Complete: a.Complete()}
	if op == dialect.Messages || op == dialect.Generate {
		for _, choice := range s.Choices {
			for i := range choice.ToolCalls {
				call := &choice.ToolCalls[i]
				call.Arguments = compact(call.Arguments)
			}
		}
	}
	if a.Usage != nil {
		s.Usage = *a.Usage
		s.Usage.Raw = nil
	}
	return s
}

func compact(text string) string {
	var b bytes.Buffer
	if err := json.Compact(&b, []byte(text)); err != nil {
		return text
	}
	return b.String()
}

// contentHeader is what of the header belongs to the answer and has to come
// back with it.
func contentHeader(h http.Header) map[string]string {
	found := make(map[string]string)
	for _, name := range []string{"Content-Type", "Content-Encoding", "Content-Language", "X-Request-Id", "Request-Id", "Openai-Version"} {
		if values := h.Values(name); len(values) > 0 {
			found[name] = strings.Join(values, "|")
		}
	}
	return found
}

// library is an upstream that answers with transcripts, in the form in which
// they were written only: a request for another form that reaches it fails.
type library struct {
	mu     sync.Mutex
	answer transcript
}

func (l *library) serve(w http.ResponseWriter, r *http.Request) {
	l.mu.Lock()
	answer := l.answer
	l.mu.Unlock()
	body, _ := io.ReadAll(r.Body)
	streams := strings.Contains(r.URL.Path, ":streamGenerateContent") || bytes.Contains(body, []byte(`"stream":true`))
	if streams != answer.stream {
		http.Error(w, "asked for in a form that it does not have", http.StatusTeapot)
		return
	}
	id := answer.dialect.RequestIDHeader
	if answer.op == dialect.Chat { // the compatible paths have the header of what they are compatible with
		id = openai.Dialect.RequestIDHeader
	}
	w.Header().Set(id, "req-of-upstream")
	w.Header().Set("Openai-Version", "2020-10-01")
	if array := streams && answer.op == dialect.Generate && r.URL.Query().Get("alt") != "sse"; array || !answer.stream {
		w.Header().Set("Content-Type", "application/json")
		io.WriteString(w, answer.as(shape{array: array}))
		return
	}
	w.Header().Set("Content-Type", "text/event-stream")
	for event := range bytes.SplitAfterSeq(answer.body, []byte("\n\n")) {
		w.Write(event)
		http.NewResponseController(w).Flush()
	}
}

// TestGoldenRoundTrips takes each transcript through the gateway and its cache:
// the miss is what the upstream wrote, a hit in the same form is the miss
// again, byte for byte, and a hit in any other form has the same content.
func TestGoldenRoundTrips(t *testing.T) {
	for _, backend := range []string{"MEMORY", "BADGER"} {
		t.Run(backend, func(t *testing.T) {
			c := must(cache.Open(cache.Options{Backend: backend, Dir: filepath.Join(t.TempDir(), "cache")}))(t)
			t.Cleanup(func() { c.Close() })
			l := &library{}
			b := start(t, l.serve, func(s *setup) { caching(c)(s); s.all = true })
			seen := map[dialect.Operation]int{}
			for _, tr := range transcripts(t) {
				if path, _ := askFor(tr.dialect, tr.op, shape{}, ""); path == "" {
					continue
				}
				t.Run(tr.name, func(t *testing.T) {
					l.mu.Lock()
					l.answer = tr
					l.mu.Unlock()
					s := read(t, tr.dialect, tr.op, tr.stream, tr.body)
					if !s.Complete || slices.ContainsFunc(s.Choices, unwilling) {
						neverRemembered(t, b, tr)
						return
					}
					seen[tr.op]++
					roundTrip(t, b, tr)
				})
			}
			for _, op := range []dialect.Operation{dialect.Chat, dialect.Completion, dialect.Responses, dialect.Messages, dialect.Generate, dialect.Embedding} {
				if seen[op] == 0 {
					t.Errorf("nothing was remembered of %s", op)
				}
			}
		})
	}
}

// unwilling reports whether a choice is a refusal or blocked.
func unwilling(c dialect.Choice) bool {
	return c.Refusal != "" || slices.Contains([]string{"content_filter", "refusal", "SAFETY", "PROHIBITED_CONTENT"}, c.Finish)
}

// roundTrip asks for an answer first in each form that the upstream has, and
// then in all.
func roundTrip(t *testing.T, b *bench, tr transcript) {
	firsts, all := []shape{{}}, []shape{{}}
	if tr.stream {
		firsts = []shape{{stream: true}, {stream: true, usage: true}}
	}
	if twoForms(tr.op) {
		all = append(all, shape{stream: true}, shape{stream: true, usage: true})
	}
	if tr.op == dialect.Generate {
		all = append(all, shape{stream: true, array: true})
		if tr.stream {
			firsts = append(firsts, shape{stream: true, array: true})
		}
	}
	for _, first := range firsts {
		t.Run("first as "+first.String(), func(t *testing.T) {
			ask := func(f shape) answer {
				path, body := askFor(tr.dialect, tr.op, f, t.Name())
				return b.do("POST", path, body)
			}
			calls := b.calls()
			miss := ask(first)
			if want := tr.as(first); miss.err != nil || miss.StatusCode != 200 || miss.Header.Get("X-Cache") != "MISS" || miss.body != want {
				t.Fatalf("the miss: %v, %d %s\n%s", miss.err, miss.StatusCode, miss.Header.Get("X-Cache"), cmp.Diff(want, miss.body))
			}
			for _, f := range all {
				hit := ask(f)
				if hit.err != nil || hit.StatusCode != 200 || hit.Header.Get("X-Cache") != "HIT" {
					t.Errorf("the hit as %s: %v, %d %s\n%s", f, hit.err, hit.StatusCode, hit.Header.Get("X-Cache"), hit.body)
					continue
				}
				if f == first && !f.array { // an array is kept as a body, and comes back in the cuts of one
					if diff := cmp.Diff(miss.body, hit.body); diff != "" {
						t.Errorf("the hit is another answer than the miss:\n%s", diff)
					}
					if diff := cmp.Diff(contentHeader(miss.Header), contentHeader(hit.Header)); diff != "" {
						t.Errorf("the hit has another header:\n%s", diff)
					}
				}
				checkForm(t, f, hit)
				if diff := cmp.Diff(tr.contentOf(t, f), read(t, tr.dialect, tr.op, f.stream && !f.array, []byte(hit.body))); diff != "" {
					t.Errorf("the hit as %s contains something else:\n%s\n%s", f, diff, hit.body)
				}
			}
			if b.calls() != calls+1 {
				t.Errorf("%d calls of the upstream", b.calls()-calls)
			}
		})
	}
}

// as is what a client gets that asks for the answer in a form that the upstream
// has.
func (tr *transcript) as(f shape) string {
	switch {
	case f.array:
		array, _ := framing.JSONArray(tr.body)
		return string(array)
	case f.stream:
		return string(tr.dialect.WithUsage(tr.op, tr.body, f.usage))
	}
	return string(tr.body)
}

// content is what the answer contains in a form: all of it, but for the usage
// of OpenAI's streams, which is for those that ask.
func (tr *transcript) contentOf(t *testing.T, f shape) content {
	whole := read(t, tr.dialect, tr.op, tr.stream, tr.body)
	if f.stream && !f.usage && (tr.op == dialect.Chat || tr.op == dialect.Completion) {
		if !tr.stream {
			whole.Usage = dialect.Usage{}
			return whole
		}
		return read(t, tr.dialect, tr.op, true, []byte(tr.as(f)))
	}
	return whole
}

func checkForm(t *testing.T, f shape, a answer) {
	t.Helper()
	kind := "application/json"
	if f.stream && !f.array {
		kind = "text/event-stream"
	}
	if !strings.HasPrefix(a.Header.Get("Content-Type"), kind) || f.array != strings.HasPrefix(a.body, "[") {
		t.Errorf("asked for as %s: Content-Type %q, %s", f, a.Header.Get("Content-Type"), a.body)
	}
}

// neverRemembered asks twice for an answer that is cut, failed or filtered.
func neverRemembered(t *testing.T, b *bench, tr transcript) {
	path, body := askFor(tr.dialect, tr.op, shape{stream: tr.stream}, tr.name)
	calls := b.calls()
	for range 2 {
		if a := b.do("POST", path, body); a.Header.Get("X-Cache") != "MISS" {
			t.Errorf("X-Cache %q", a.Header.Get("X-Cache"))
		}
	}
	if b.calls() != calls+2 {
		t.Errorf("%d calls", b.calls()-calls)
	}
}
