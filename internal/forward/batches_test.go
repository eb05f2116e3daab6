package forward_test

import (
	"bytes"
	"context"
	"database/sql"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/klauspost/compress/gzip"

	"forward/internal/keys"
	"forward/internal/ledger"
	"forward/internal/price"
)

// batchProvider has one finished batch in each protocol. Its answers are those
// of the providers' documentation, shortened.
type batchProvider struct {
	results string // of OpenAI's batch
	gzipped bool   // whatever was asked for
	cut     bool   // in the middle of the results
}

const (
	openAIResults = `{"id":"batch_req_1","custom_id":"a","response":{"status_code":200,"body":{"id":"chatcmpl-1","object":"chat.completion","model":"gpt-4o-mini-2024-07-18","choices":[{"index":0,"message":{"role":"assistant","content":"Hello."},"finish_reason":"stop"}],"usage":{"prompt_tokens":1000,"completion_tokens":200,"total_tokens":1200,"prompt_tokens_details":{"cached_tokens":400}}}},"error":null}
{"id":"batch_req_2","custom_id":"b","response":{"status_code":200,"body":{"id":"chatcmpl-2","object":"chat.completion","model":"gpt-4o-mini-2024-07-18","choices":[{"index":0,"message":{"role":"assistant","content":"Bye."},"finish_reason":"stop"}],"usage":{"prompt_tokens":500,"completion_tokens":100,"total_tokens":600}}},"error":null}
{"id":"batch_req_3","custom_id":"c","response":{"status_code":200,"body":{"object":"list","data":[{"object":"embedding","index":0,"embedding":[0.1]}],"model":"text-embedding-3-small","usage":{"prompt_tokens":5000,"total_tokens":5000}}},"error":null}
{"id":"batch_req_4","custom_id":"d","response":null,"error":{"code":"batch_expired","message":"x"}}
`
	anthropicResults = `{"custom_id":"a","result":{"type":"succeeded","message":{"id":"msg_1","type":"message","role":"assistant","model":"claude-sonnet-4-5-20250929","content":[{"type":"text","text":"Hi"}],"stop_reason":"end_turn","usage":{"input_tokens":1000,"output_tokens":200}}}}
{"custom_id":"b","result":{"type":"errored","error":{"type":"error","error":{"type":"overloaded_error","message":"x"}}}}
`
	geminiAnswer  = `{"candidates":[{"content":{"parts":[{"text":"a"}],"role":"model"},"finishReason":"STOP"}],"usageMetadata":{"promptTokenCount":1000,"candidatesTokenCount":200,"totalTokenCount":1200},"modelVersion":"gemini-2.5-flash","responseId":"r1"}`
	geminiResults = `{"key":"a","response":` + geminiAnswer + "}\n"
	geminiInlined = `{"name":"batches/in","metadata":{"model":"models/gemini-2.5-flash","output":{"inlinedResponses":{"inlinedResponses":[{"response":` + geminiAnswer + `},{"error":{"code":3}}]}}},"done":true,"response":{"inlinedResponses":{"inlinedResponses":[{"response":` + geminiAnswer + `}]}}}`
)

func (p *batchProvider) serve(w http.ResponseWriter, r *http.Request) {
	body, kind := "", "application/json"
	switch r.Method + " " + r.URL.Path {
	case "POST /v1/batches":
		body = `{"id":"batch_1","object":"batch","status":"validating","output_file_id":null}`
	case "GET /v1/batches/batch_1":
		body = `{"id":"batch_1","object":"batch","status":"completed","output_file_id":"file-out","error_file_id":"file-err"}`
	case "GET /v1/files/file-out/content", "GET /v1/files/file-other/content":
		body, kind = p.results, "application/octet-stream"
	case "POST /v1/messages/batches", "GET /v1/messages/batches/msgbatch_1":
		body = `{"id":"msgbatch_1","type":"message_batch"}`
	case "GET /v1/messages/batches/msgbatch_1/results":
		body, kind = anthropicResults, "application/x-jsonl"
	case "POST /v1beta/models/gemini-2.5-flash:batchGenerateContent":
		body = `{"name":"batches/b1","metadata":{"model":"models/gemini-2.5-flash"}}`
		if strings.Contains(r.URL.RawQuery, "inline") {
			body = `{"name":"batches/in","metadata":{"model":"models/gemini-2.5-flash"}}`
		}
	case "GET /v1beta/batches/b1":
		body = `{"name":"batches/b1","metadata":{"model":"models/gemini-2.5-flash","output":{"responsesFile":"files/batch-b1"}},"done":true,"response":{"responsesFile":"files/batch-b1"}}`
	case "GET /download/v1beta/files/batch-b1:download":
		body, kind = geminiResults, "application/octet-stream"
	case "GET /v1beta/batches/in":
		body = geminiInlined
	default:
		body = chatBody
	}
	w.Header().Set("Content-Type", kind)
	switch {
	case r.Header.Get("Range") != "":
		w.WriteHeader(http.StatusPartialContent)
		body = body[:10]
	case p.gzipped:
		w.Header().Set("Content-Encoding", "gzip")
		var packed bytes.Buffer
		z := gzip.NewWriter(&packed)
		io.WriteString(z, body)
		z.Close()
		body = packed.String()
	case p.cut:
		w.(http.Flusher).Flush()
		io.WriteString(w, body[:len(body)/2])
		w.(http.Flusher).Flush()
		panic(http.ErrAbortHandler)
	}
	io.WriteString(w, body)
}

// office is a ledger that can be closed and opened again.
type office struct {
	t      *testing.T
	db     *sql.DB
	ledger *ledger.Ledger
	prices *price.Table
}

func newOffice(t *testing.T) *office {
	db := must(sql.Open("sqlite", "file:"+filepath.Join(t.TempDir(), "forward.db")+"?_txlock=immediate&_pragma=journal_mode(wal)&_pragma=busy_timeout(5000)"))(t)
	t.Cleanup(func() { db.Close() })
	o := &office{t: t, db: db, prices: must(price.NewTable(nil))(t)}
	o.open()
	t.Cleanup(func() { o.ledger.Close(context.Background()) })
	return o
}

func (o *office) open() { o.ledger = must(ledger.Open(o.db, ledger.Options{}))(o.t) }

func (o *office) change(s *setup) {
	s.Ledger, s.Prices, s.all = o.ledger, o.prices, true
	s.keys = append(s.keys, keys.Key{Name: "carol", Secret: keys.NewSecret("fk-carol"), Policy: keys.Policy{Budgets: []keys.Budget{{Unit: "usd", Amount: 400_000, Period: "total"}}}})
}

// each gives every row of a condition to write, with its id behind the host,
// and returns what was written, in the order given.
func (o *office) each(b *bench, condition string, write func(out *strings.Builder, name string, r ledger.Row)) string {
	o.t.Helper()
	b.gateway.Wait(10 * time.Second)
	if err := o.ledger.Flush(o.t.Context()); err != nil {
		o.t.Fatal(err)
	}
	rows := must(o.db.Query(`SELECT id FROM usage_requests WHERE ` + condition))(o.t)
	defer rows.Close()
	var out strings.Builder
	for rows.Next() {
		var id string
		rows.Scan(&id)
		r, _, err := o.ledger.Trail(o.t.Context(), id)
		if err != nil {
			o.t.Fatal(err)
		}
		_, name, _ := strings.Cut(id, "/")
		write(&out, name, r)
	}
	return out.String()
}

// settled are the rows of batches, one a line.
func (o *office) settled(b *bench) string {
	o.t.Helper()
	return o.each(b, `operation = 'batch' ORDER BY id`, func(out *strings.Builder, name string, r ledger.Row) {
		fmt.Fprintf(out, "%s %s %s %d+%d %s %v\n", name, r.KeyName, r.Model, r.Usage.Input, r.Usage.Output, r.Cost, r.Priced)
	})
}

const (
	// gpt-4o-mini in a batch: 0.075 and 0.30 millionths of a dollar, cached
	// 0.0375: 1100 × 75 + 400 × 37.5 + 300 × 300 = 187,500.
	// text-embedding-3-small: 5000 × 10.
	openAISettled = "batch_1/gpt-4o-mini-2024-07-18 alice gpt-4o-mini-2024-07-18 1500+300 $0.0001875 true\n" +
		"batch_1/text-embedding-3-small alice text-embedding-3-small 5000+0 $0.00005 true\n"
	// claude-sonnet-4-5: 1000 × 1,500 + 200 × 7,500.
	anthropicSettled = "msgbatch_1/claude-sonnet-4-5-20250929 alice claude-sonnet-4-5-20250929 1000+200 $0.003 true\n"
	// gemini-2.5-flash: 1000 × 150 + 200 × 1,250.
	geminiSettled = "batches/b1/gemini-2.5-flash alice gemini-2.5-flash 1000+200 $0.0004 true\n"
	inlineSettled = "batches/in/gemini-2.5-flash alice gemini-2.5-flash 1000+200 $0.0004 true\n"
)

// TestBatchesAreSettledOnce makes a batch with one key, and fetches its results
// with another, twice, and again after a restart.
func TestBatchesAreSettledOnce(t *testing.T) {
	type ask struct{ method, path string }
	for name, c := range map[string]struct {
		make, show, fetch ask
		body, want        string
	}{
		"OpenAI": {ask{"POST", "/v1/batches"}, ask{"GET", "/v1/batches/batch_1"}, ask{"GET", "/openai/v1/files/file-out/content"}, openAIResults, openAISettled},
		"Anthropic": {ask{"POST", "/anthropic/v1/messages/batches"}, ask{"GET", "/anthropic/v1/messages/batches/msgbatch_1"},
			ask{"GET", "/anthropic/v1/messages/batches/msgbatch_1/results"}, anthropicResults, anthropicSettled},
		"Gemini": {ask{"POST", "/gemini/v1beta/models/gemini-2.5-flash:batchGenerateContent"}, ask{"GET", "/gemini/v1beta/batches/b1"},
			ask{"GET", "/gemini/download/v1beta/files/batch-b1:download?alt=media"}, geminiResults, geminiSettled},
		"Gemini, inline": {ask{"POST", "/gemini/v1beta/models/gemini-2.5-flash:batchGenerateContent?inline=1"}, ask{"GET", "/v1/models/x"},
			ask{"GET", "/gemini/v1beta/batches/in"}, geminiInlined, inlineSettled},
	} {
		for _, gzipped := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s gzipped %v", name, gzipped), func(t *testing.T) {
				o, p := newOffice(t), &batchProvider{results: openAIResults, gzipped: gzipped}
				b := start(t, p.serve, o.change)
				b.do(c.make.method, c.make.path, `{}`).want(t, 200)
				b.do(c.show.method, c.show.path, "", "Authorization", "Bearer fk-bob")
				if got := o.settled(b); got != "" {
					t.Fatalf("settled before the results were fetched: %s", got)
				}
				fetch := func(b *bench) {
					if got := b.do(c.fetch.method, c.fetch.path, "", "Authorization", "Bearer fk-bob"); got.StatusCode != 200 || got.body != c.body {
						t.Errorf("the results are not the upstream's: %d %s", got.StatusCode, got.body)
					}
				}
				// A restart between the making and the fetching, and one
				// between two fetches.
				for range 2 {
					o.ledger.Close(t.Context())
					o.open()
					again := start(t, p.serve, func(s *setup) { o.change(s); s.base = b.upstream.URL })
					fetch(again)
					if got := o.settled(again); got != c.want {
						t.Errorf("\n%s want\n%s", got, c.want)
					}
					var wg sync.WaitGroup
					for range 5 {
						wg.Go(func() { fetch(again) })
					}
					wg.Wait()
					if got := o.settled(again); got != c.want {
						t.Errorf("\n%s want\n%s", got, c.want)
					}
				}
				groups := must(o.ledger.Report(t.Context(), ledger.Query{By: []ledger.Dimension{ledger.ByKey}, Filter: map[ledger.Dimension]string{ledger.ByOperation: "batch"}}))(t)
				if len(groups) != 1 || groups[0].KeyName != "alice" || int(groups[0].Requests) != strings.Count(c.want, "\n") {
					t.Errorf("the sums are %+v", groups)
				}
			})
		}
	}
}

// TestBatchesThatDoNotSettle fetches what is no batch's results, or not all of
// them.
func TestBatchesThatDoNotSettle(t *testing.T) {
	o, p := newOffice(t), &batchProvider{results: openAIResults}
	b := start(t, p.serve, o.change)
	b.do("POST", "/v1/batches", `{}`).want(t, 200)
	b.do("GET", "/v1/batches/batch_1", "").want(t, 200)
	b.do("GET", "/v1/files/file-other/content", "").want(t, 200, "batch_req_1") // whose content is for its uploader to choose
	p.cut = true
	if a := b.do("GET", "/v1/files/file-out/content", ""); a.err == nil {
		t.Error("the results are cut, and look complete")
	}
	p.cut = false
	if got := o.settled(b); got != "" {
		t.Errorf("settled: %s", got)
	}
	// A part is not asked for: who fetches all in parts would never pay. Of
	// other files it is.
	b.do("GET", "/v1/files/file-other/content", "", "Range", "bytes=0-9").want(t, 206)
	b.do("GET", "/v1/files/file-out/content", "", "Range", "bytes=0-9").want(t, 200, "batch_req_4")
	if got := o.settled(b); got != openAISettled {
		t.Errorf("settled: %s", got)
	}
}

// TestBatchesOfOthers fetches results of a batch that was made without the
// gateway.
func TestBatchesOfOthers(t *testing.T) {
	o, p := newOffice(t), &batchProvider{}
	b := start(t, p.serve, o.change)
	for _, who := range []string{"fk-bob", "fk-alice"} {
		b.do("GET", "/anthropic/v1/messages/batches/msgbatch_1/results", "", "Authorization", "Bearer "+who).want(t, 200)
	}
	if got, want := o.settled(b), strings.ReplaceAll(anthropicSettled, "alice", "bob"); got != want {
		t.Errorf("settled: %s, want %s", got, want)
	}
}

// TestBatchesAreChargedToBudgets lets a key make batches for as long as its
// budget is not spent.
func TestBatchesAreChargedToBudgets(t *testing.T) {
	o, p := newOffice(t), &batchProvider{}
	b := start(t, p.serve, o.change)
	carol := []string{"Authorization", "Bearer fk-carol"}
	b.do("POST", "/anthropic/v1/messages/batches", `{}`, carol...).want(t, 200)
	b.do("GET", "/anthropic/v1/messages/batches/msgbatch_1", "", "Authorization", "Bearer fk-bob").want(t, 200)
	b.do("POST", "/anthropic/v1/messages/batches", `{}`, carol...).want(t, 200)
	b.do("GET", "/anthropic/v1/messages/batches/msgbatch_1/results", "", "Authorization", "Bearer fk-bob").want(t, 200)
	b.do("POST", "/anthropic/v1/messages/batches", `{}`, carol...).want(t, 402, "budget")
	b.do("GET", "/anthropic/v1/messages/batches/msgbatch_1/results", "", carol...).want(t, 200) // what is paid can be fetched
	if got, want := o.settled(b), strings.ReplaceAll(anthropicSettled, "alice", "carol"); got != want {
		t.Errorf("settled: %s, want %s", got, want)
	}
}

// TestABatchIsRememberedBeforeItIsReported breaks a batch off that was sent in
// part: no client can have read an id that is not remembered.
func TestABatchIsRememberedBeforeItIsReported(t *testing.T) {
	o := newOffice(t)
	release := make(chan struct{})
	b := start(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		io.WriteString(w, `{"id":"batch_1","object":"batch",`)
		w.(http.Flusher).Flush()
		<-release
		io.WriteString(w, `"output_file_id":null}`)
	}, o.change)
	r := must(http.NewRequest("POST", b.url+"/v1/batches", strings.NewReader("{}")))(t)
	r.Header.Set("Authorization", "Bearer fk-alice")
	time.AfterFunc(20*time.Millisecond, func() { close(release) })
	res := must(plainTransport.RoundTrip(r))(t)
	defer res.Body.Close()
	first := make([]byte, 1)
	io.ReadFull(res.Body, first)
	found, ok, err := o.ledger.FindBatch(t.Context(), strings.TrimPrefix(b.upstream.URL, "http://"), "batch_1")
	if err != nil || !ok || found.KeyName != "alice" || found.Request == "" {
		t.Errorf("%+v %v %v", found, ok, err)
	}
}

// TestBatchesKeepToTheModelsOfAKey lets a key that may use some models make
// batches of these alone.
func TestBatchesKeepToTheModelsOfAKey(t *testing.T) {
	b := start(t, (&batchProvider{}).serve, func(s *setup) { // also without a ledger
		s.all = true
		s.keys = append(s.keys, keys.Key{Name: "carol", Secret: keys.NewSecret("fk-carol"), Policy: keys.Policy{Models: []string{"claude-haiku-*", "gemini-2.5-flash"}}})
	})
	batch := func(params ...string) string {
		return `{"requests":[{"custom_id":"0","params":{"model":"claude-haiku-4-5"}},{"custom_id":"1","params":` + strings.Join(params, `,"params":`) + `}]}`
	}
	const messages = "/anthropic/v1/messages/batches"
	for _, c := range []struct {
		path, body string
		status     int
	}{
		{messages, batch(`{"model":"claude-haiku-4-5"}`), 200},
		{messages, batch(`{"model":"claude-opus-4-5"}`), 403},
		{messages, batch(`{"model":"claude-haiku-4-5","model":"claude-opus-4-5"}`), 403},
		{messages, batch(`{"model":"claude-haiku-4-5","Model":"claude-opus-4-5"}`), 403},
		{messages, batch(`{"model":"claude-haiku-4-5"}`, `{"model":"claude-opus-4-5"}`), 403},
		{messages, batch(`{}`), 403},
		{messages, `{"requests":{}}`, 403},
		{messages, `{}`, 403},
		{"/v1/batches", `{"input_file_id":"file-1"}`, 403},
		{"/gemini/v1beta/models/gemini-2.5-flash:batchGenerateContent", `{}`, 200},
		{"/gemini/v1beta/models/gemini-2.5-pro:batchGenerateContent", `{}`, 403},
	} {
		a := b.do("POST", c.path, c.body, "Authorization", "Bearer fk-carol")
		if a.StatusCode != c.status || c.status == 403 && !strings.Contains(a.body, "may not use") {
			t.Errorf("%s %s: %d %s", c.path, c.body, a.StatusCode, a.body)
		}
		b.do("POST", c.path, c.body).want(t, 200) // alice may use all
	}
}
