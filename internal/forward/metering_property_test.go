package forward_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/klauspost/compress/gzip"
	"pgregory.net/rapid"

	"forward/internal/keys"
	"forward/internal/ledger"
)

// The property: whatever is asked, and however it is answered, the ledger is
// never below what the upstream bills, has a row for each call, and no key uses
// a model that it may not, or passes its budget by more than one reservation.

// meteredOp is an operation that random requests ask for.
type meteredOp struct {
	name, method, path string
	protocol           string // of its usage: chat, input, anthropic, gemini, ollama
	form               bool   // the body is a form
	streams            bool   // it can be streamed
	text               bool   // its answer is text, which can be counted
	known              bool   // a dialect knows it; keys with budgets and models are refused others
}

// meteredOps are the operations. %s in a path is the model.
var meteredOps = []meteredOp{
	{name: "chat", method: "POST", path: "/v1/chat/completions", protocol: "chat", streams: true, text: true, known: true},
	{name: "chat, other spelling", method: "POST", path: "/V1/Chat/Completions/", protocol: "chat", streams: true, text: true, known: true},
	{name: "chat, two slashes", method: "POST", path: "//v1/chat/completions", protocol: "chat", streams: true, text: true, known: true},
	{name: "chat, put", method: "PUT", path: "/v1/chat/completions", protocol: "chat", streams: true, text: true},
	{name: "responses", method: "POST", path: "/v1/responses", protocol: "input", streams: true, text: true, known: true},
	{name: "compact", method: "POST", path: "/v1/responses/compact", protocol: "input", known: true},
	{name: "embeddings", method: "POST", path: "/v1/embeddings", protocol: "chat", known: true},
	{name: "messages", method: "POST", path: "/anthropic/v1/messages", protocol: "anthropic", streams: true, text: true, known: true},
	{name: "messages elsewhere", method: "POST", path: "/v1/messages", protocol: "anthropic", streams: true, text: true, known: true},
	{name: "generate", method: "POST", path: "/gemini/v1beta/models/%s:generateContent", protocol: "gemini", text: true, known: true},
	{name: "generate, streamed", method: "POST", path: "/gemini/v1beta/models/%s:streamGenerateContent?alt=sse", protocol: "gemini", streams: true, text: true, known: true},
	{name: "ollama", method: "POST", path: "/api/chat", protocol: "ollama", text: true, known: true},
	{name: "transcription", method: "POST", path: "/v1/audio/transcriptions", protocol: "input", form: true, known: true},
	{name: "run", method: "POST", path: "/v1/threads/thread_1/runs", protocol: "chat"},
	{name: "future", method: "POST", path: "/v1/futures/predict", protocol: "input", streams: true},
	{name: "future, anthropic", method: "PATCH", path: "/anthropic/v2/minds", protocol: "anthropic", streams: true},
	{name: "future, gemini", method: "POST", path: "/gemini/v1beta/models/%s:dream", protocol: "gemini"},
}

// plan is one random request and how it is answered.
type plan struct {
	op      meteredOp
	id      int
	key     string // alice: no rules; narrow: some models; frank: a budget
	model   string
	typed   string // the Content-Type of a JSON body
	prompt  int    // words
	words   int    // of the answer
	cached  int    // tokens of the prompt that the provider's cache had
	stream  bool
	reports bool   // the answer reports a usage
	framing string // of the answer: right, unlabelled, gzip
	padding int    // bytes of other members before the usage
	cut     bool   // the answer breaks off in the middle
}

func drawPlan(t *rapid.T, id int) plan {
	p := plan{id: id}
	p.op = rapid.SampledFrom(meteredOps).Draw(t, "op")
	p.key = rapid.SampledFrom([]string{"alice", "narrow", "frank"}).Draw(t, "key")
	p.model = rapid.SampledFrom([]string{"gpt-4o-mini", "gpt-4o", "o1-pro"}).Draw(t, "model")
	p.typed = rapid.SampledFrom([]string{"application/json", "application/json", "text/plain", "application/x-www-form-urlencoded", ""}).Draw(t, "type")
	p.prompt = rapid.IntRange(1, 40).Draw(t, "prompt")
	p.words = rapid.IntRange(1, 60).Draw(t, "words")
	p.cached = rapid.IntRange(0, p.prompt).Draw(t, "cached")
	p.stream = p.op.streams && (strings.Contains(p.op.path, "stream") || rapid.Bool().Draw(t, "stream"))
	p.reports = rapid.Bool().Draw(t, "usage")
	p.framing = rapid.SampledFrom([]string{"right", "right", "unlabelled", "gzip"}).Draw(t, "framing")
	p.padding = rapid.SampledFrom([]int{0, 0, 0, 0, 0, 2 << 10, 2 << 10, 2200 << 10}).Draw(t, "padding")
	p.cut = rapid.IntRange(0, 4).Draw(t, "cut") == 0
	return p
}

// body is the request body, and its type.
func (p plan) body() (body, kind string) {
	text := strings.TrimSpace(strings.Repeat("word ", p.prompt))
	if p.op.form {
		var b bytes.Buffer
		form := multipart.NewWriter(&b)
		file, _ := form.CreateFormFile("file", "a.wav")
		io.WriteString(file, strings.Repeat("x", 1000))
		form.WriteField("model", p.model)
		form.Close()
		return b.String(), form.FormDataContentType()
	}
	members := map[string]any{"model": p.model, "input": text}
	switch p.op.protocol {
	case "chat":
		members["messages"] = []any{map[string]any{"role": "user", "content": text}}
	case "anthropic", "ollama":
		members["messages"] = []any{map[string]any{"role": "user", "content": text}}
		delete(members, "input")
	case "gemini":
		members = map[string]any{"contents": []any{map[string]any{"parts": []any{map[string]any{"text": text}}}}}
	}
	if p.stream || p.op.protocol == "ollama" {
		members["stream"] = p.stream
	}
	raw, _ := json.Marshal(members)
	return string(raw), p.typed
}

// usage is the usage object of the answer, with the member that holds it.
func (p plan) usage() string {
	in, out := p.prompt, p.words
	switch p.op.protocol {
	case "chat":
		return fmt.Sprintf(`"usage":{"prompt_tokens":%d,"completion_tokens":%d,"total_tokens":%d,"prompt_tokens_details":{"cached_tokens":%d}}`, in, out, in+out, p.cached)
	case "anthropic":
		return fmt.Sprintf(`"usage":{"input_tokens":%d,"cache_read_input_tokens":%d,"output_tokens":%d}`, in-p.cached, p.cached, out)
	case "gemini":
		return fmt.Sprintf(`"usageMetadata":{"promptTokenCount":%d,"candidatesTokenCount":%d,"totalTokenCount":%d}`, in, out, in+out)
	case "ollama":
		return fmt.Sprintf(`"prompt_eval_count":%d,"eval_count":%d`, in, out)
	}
	return fmt.Sprintf(`"usage":{"input_tokens":%d,"output_tokens":%d,"total_tokens":%d}`, in, out, in+out)
}

// answer is the whole answer as its parts go out, and how many tokens the
// provider bills once a part is out.
func (p plan) answer() (parts []string) {
	text := strings.TrimSpace(strings.Repeat("word ", p.words))
	rest := ""
	if p.padding > 0 {
		rest = `"padding":"` + strings.Repeat("A", p.padding) + `",`
	}
	tail := rest + `"tail":1`
	if p.reports {
		tail = rest + p.usage()
	}
	if p.stream {
		return p.events(text, tail)
	}
	head := ""
	switch {
	case p.op.name == "compact":
		head = `{"id":"resp_1","object":"response.compaction","output":[],`
	case p.op.name == "embeddings":
		head = `{"object":"list","model":"` + p.model + `","data":[{"object":"embedding","index":0,"embedding":[0.1]}],`
	case p.op.name == "responses":
		head = `{"id":"resp_1","object":"response","status":"completed","model":"` + p.model + `","output":[{"type":"message","id":"m","content":[{"type":"output_text","text":"` + text + `"}]}],`
	case p.op.form:
		head = `{"text":"` + text + `",`
	case p.op.protocol == "chat":
		head = `{"id":"c","model":"` + p.model + `","choices":[{"index":0,"message":{"role":"assistant","content":"` + text + `"},"finish_reason":"stop"}],`
	case p.op.protocol == "anthropic":
		head = `{"id":"msg_1","type":"message","model":"` + p.model + `","content":[{"type":"text","text":"` + text + `"}],"stop_reason":"end_turn",`
	case p.op.protocol == "gemini":
		head = `{"candidates":[{"content":{"parts":[{"text":"` + text + `"}]},"finishReason":"STOP"}],"modelVersion":"` + p.model + `",`
	case p.op.protocol == "ollama":
		head = `{"model":"` + p.model + `","message":{"role":"assistant","content":"` + text + `"},"done":true,"done_reason":"stop",`
	default:
		head = `{"id":"x","result":"` + text + `",`
	}
	return []string{head, tail + "}"}
}

func (p plan) events(text, tail string) (parts []string) {
	data := func(event, json string) {
		if event != "" {
			event = "event: " + event + "\n"
		}
		parts = append(parts, event+"data: "+json+"\n\n")
	}
	switch p.op.protocol {
	case "anthropic":
		data("message_start", `{"type":"message_start","message":{"id":"msg_1","model":"`+p.model+`","content":[],"usage":{"input_tokens":`+strconv.Itoa(p.prompt)+`,"output_tokens":1}}}`)
		data("content_block_start", `{"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}`)
		data("content_block_delta", `{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"`+text+`"}}`)
		data("message_delta", `{"type":"message_delta","delta":{"stop_reason":"end_turn"},`+tail+`}`)
		data("message_stop", `{"type":"message_stop"}`)
	case "gemini":
		data("", `{"candidates":[{"content":{"parts":[{"text":"`+text+`"}]}}],"modelVersion":"`+p.model+`"}`)
		data("", `{"candidates":[{"content":{"parts":[]},"finishReason":"STOP"}],`+tail+`}`)
	case "input":
		data("response.created", `{"type":"response.created","response":{"id":"resp_1","status":"in_progress","model":"`+p.model+`"}}`)
		data("response.output_text.delta", `{"type":"response.output_text.delta","output_index":0,"delta":"`+text+`"}`)
		data("response.completed", `{"type":"response.completed","response":{"id":"resp_1","status":"completed","model":"`+p.model+`","output":[],`+tail+`}}`)
	default:
		data("", `{"id":"c","model":"`+p.model+`","choices":[{"index":0,"delta":{"content":"`+text+`"}}]}`)
		data("", `{"id":"c","model":"`+p.model+`","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}`)
		data("", `{"id":"c","model":"`+p.model+`","choices":[],`+tail+`}`)
		parts = append(parts, "data: [DONE]\n\n")
	}
	return parts
}

// biller is an upstream that knows what it would have billed.
type biller struct {
	mu     sync.Mutex
	plans  map[int]plan
	billed map[int]int // tokens, by plan
	models map[int]string
}

func (u *biller) serve(w http.ResponseWriter, r *http.Request) {
	id, err := strconv.Atoi(r.Header.Get("X-Plan"))
	u.mu.Lock()
	p, ok := u.plans[id]
	u.mu.Unlock()
	if err != nil || !ok {
		w.WriteHeader(http.StatusNotFound)
		return
	}
	parts := p.answer()
	billed := p.prompt
	if p.cut {
		parts = parts[:len(parts)-1] // at least the text is out
	}
	if p.op.text {
		billed += p.words
	} else if p.reports && !p.cut {
		billed += p.words // what no part shows is known only by a usage
	}
	u.mu.Lock()
	u.billed[id] = billed
	u.models[id] = p.model
	u.mu.Unlock()
	switch {
	case p.framing == "unlabelled":
		w.Header().Set("Content-Type", "text/plain")
	case p.stream:
		w.Header().Set("Content-Type", "text/event-stream")
	default:
		w.Header().Set("Content-Type", "application/json")
	}
	out := io.Writer(w)
	if p.framing == "gzip" && strings.Contains(r.Header.Get("Accept-Encoding"), "gzip") {
		w.Header().Set("Content-Encoding", "gzip")
		z := gzip.NewWriter(w)
		defer z.Close()
		out = z
	}
	for _, part := range parts {
		io.WriteString(out, part)
		if z, ok := out.(*gzip.Writer); ok {
			z.Flush()
		}
		w.(http.Flusher).Flush()
	}
	if p.cut {
		panic(http.ErrAbortHandler)
	}
}

// TestNothingPaidIsLost asks at random.
func TestNothingPaidIsLost(t *testing.T) {
	most := 8
	if raceEnabled {
		most = 3
	}
	rapid.Check(t, func(r *rapid.T) {
		n := rapid.IntRange(1, most).Draw(r, "requests")
		u := &biller{plans: map[int]plan{}, billed: map[int]int{}, models: map[int]string{}}
		for id := range n {
			u.plans[id] = drawPlan(r, id)
		}
		parallel := rapid.Bool().Draw(r, "in parallel")
		checkNothingIsLost(t, r, u, parallel)
	})
}

const frankTokens = 120 // the budget of fk-frank

func checkNothingIsLost(t *testing.T, r *rapid.T, u *biller, parallel bool) {
	o := newOffice(t)
	defer o.db.Close()
	b := start(t, u.serve, func(s *setup) {
		o.change(s)
		s.keys = append(s.keys,
			keys.Key{Name: "narrow", Secret: keys.NewSecret("fk-narrow"), Policy: keys.Policy{Models: []string{"gpt-4o-mini"}}},
			keys.Key{Name: "frank", Secret: keys.NewSecret("fk-frank"), Policy: keys.Policy{
				Budgets: []keys.Budget{{Unit: "tokens", Amount: frankTokens, Period: "total"}}}})
	})
	defer b.upstream.Close()
	ids := make([]string, len(u.plans)) // of the requests, by plan
	ask := func(id int) { ids[id] = askPlan(t, b, u.plans[id]) }
	if parallel {
		var all sync.WaitGroup
		for id := range u.plans {
			all.Go(func() { ask(id) })
		}
		all.Wait()
	} else {
		for id := range len(u.plans) {
			ask(id)
		}
	}
	b.gateway.Wait(10 * time.Second)
	err := o.ledger.Flush(t.Context())
	if err != nil {
		r.Fatal(err)
	}
	var franks, largest int64
	for id, billed := range u.billed {
		p := u.plans[id]
		row, _, err := o.ledger.Trail(t.Context(), ids[id])
		if err != nil {
			r.Fatalf("%+v has no row: %v", p, err)
		}
		checkRow(r, p, row, billed)
		if p.key == "frank" {
			franks += row.Tokens()
			largest = max(largest, row.Tokens())
		}
	}
	if franks > frankTokens+max(largest, 100_000) {
		r.Errorf("frank has used %d tokens of %d", franks, frankTokens)
	}
	var rows int
	err = o.db.QueryRow(`SELECT COUNT(*) FROM usage_requests WHERE attempts > 0`).Scan(&rows)
	if err != nil || rows != len(u.billed) {
		r.Errorf("%d rows of %d calls (%v)", rows, len(u.billed), err)
	}
}

// checkRow compares a row with what the upstream bills.
func checkRow(r *rapid.T, p plan, row ledger.Row, billed int) {
	if p.key == "narrow" && p.model != "gpt-4o-mini" {
		r.Errorf("a key of gpt-4o-mini has used %s: %+v", p.model, p)
	}
	if p.key != "alice" && !p.op.known && (p.key == "narrow" || p.key == "frank") {
		r.Errorf("a key with rules has used an unknown operation: %+v", p)
	}
	unknown := row.Unmetered && !row.Priced
	if row.Tokens() < int64(billed) && !unknown {
		r.Errorf("the ledger has %d tokens of %d: %+v\n%+v", row.Tokens(), billed, p, row)
	}
	if unknown && row.Tokens() == 0 && (p.op.known || (p.reports && !p.cut)) {
		r.Errorf("the usage of a known operation, or one that was reported, is unknown: %+v\n%+v", p, row)
	}
	if p.reports && !p.cut && row.Estimated {
		r.Errorf("estimated although it was reported: %+v\n%+v", p, row)
	}
}

// askPlan sends a request and returns its id.
func askPlan(t *testing.T, b *bench, p plan) string {
	path := p.op.path
	if strings.Contains(path, "%s") {
		path = fmt.Sprintf(path, p.model)
	}
	body, kind := p.body()
	req, err := http.NewRequestWithContext(t.Context(), p.op.method, b.url+path, strings.NewReader(body))
	if err != nil {
		t.Error(err)
		return ""
	}
	if strings.HasPrefix(path, "//") {
		req.URL.Opaque = strings.TrimPrefix(b.url, "http:") + path
	}
	req.Header.Set("X-Plan", strconv.Itoa(p.id))
	req.Header.Set("Authorization", "Bearer fk-"+p.key)
	if kind != "" {
		req.Header.Set("Content-Type", kind)
	}
	if p.framing == "gzip" {
		req.Header.Set("Accept-Encoding", "gzip")
	}
	res, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		return "" // the connection broke before the head
	}
	defer res.Body.Close()
	io.Copy(io.Discard, res.Body)
	return res.Header.Get("X-Forward-Request-Id")
}
