package forward_test

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/andybalholm/brotli"
	"github.com/klauspost/compress/zstd"

	"forward/internal/ledger"
)

// countedCase is a request, an answer to it and the counts of its row.
type countedCase struct {
	path, body, contentType string // of the request; chat of a word by default
	kind, answer, encoding  string // Content-Type and body of the answer, application/json by default; "-": none
	input, output           int64
	estimated               bool
	is                      func(ledger.Row) bool // more that has to hold; may be nil
}

const (
	shortChat  = `{"model":"gpt-4o-mini","messages":[{"role":"user","content":"hi"}]}`
	streamChat = `{"model":"gpt-4o-mini","stream":true,"messages":[{"role":"user","content":"hi"}]}`
	shortForm  = "--b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.mp3\"\r\n\r\nxyz\r\n--b\r\nContent-Disposition: form-data; name=\"model\"\r\n\r\ngpt-4o-transcribe\r\n--b--\r\n"
	multipartB = "multipart/form-data; boundary=b"
)

// TestWhatAnswersCost: each answer reaches the client as it is, and its row has
// the right counts, with nothing else switched on than the ledger.
func TestWhatAnswersCost(t *testing.T) {
	transcript := `{"text":"hello","usage":{"type":"tokens","input_tokens":1000,"output_tokens":500,"total_tokens":1500,"input_token_details":{"audio_tokens":1000}}}`
	for name, c := range map[string]countedCase{
		"B03 a transcription": {path: "/v1/audio/transcriptions", body: shortForm, contentType: multipartB, answer: transcript, input: 1000, output: 500,
			is: func(r ledger.Row) bool { return r.Usage.Audio == 1000 }},
		"B03 a streamed transcription": {path: "/v1/audio/transcriptions", body: shortForm, contentType: multipartB, kind: "text/event-stream",
			answer: "data: {\"type\":\"transcript.text.delta\",\"delta\":\"hello\"}\n\ndata: {\"type\":\"transcript.text.done\",\"text\":\"hello\",\"usage\":{\"input_tokens\":1000,\"output_tokens\":500,\"total_tokens\":1500}}\n\n", input: 1000, output: 500},
		"B03 a verbose transcription": {path: "/v1/audio/transcriptions", body: shortForm, contentType: multipartB, answer: `{"text":"hello","duration":"8.5"}`,
			is: func(r ledger.Row) bool { return r.Usage.Seconds == 8.5 }},
		"B03 an edited picture": {path: "/v1/images/edits", body: shortForm, contentType: multipartB, answer: `{"data":[{"b64_json":"A"}],"usage":{"input_tokens":70,"output_tokens":200,"total_tokens":270}}`, input: 70, output: 200},
		"B03 a streamed edit": {path: "/v1/images/edits", body: shortForm, contentType: multipartB, kind: "text/event-stream",
			answer: "event: image_edit.completed\ndata: {\"type\":\"image_edit.completed\",\"b64_json\":\"A\",\"usage\":{\"input_tokens\":70,\"output_tokens\":200}}\n\n", input: 70, output: 200},
		"B12 reasoning beside the completion": {answer: `{"choices":[{"message":{"content":"a"},"finish_reason":"stop"}],"usage":{"prompt_tokens":10120,"completion_tokens":1499,"total_tokens":14428,"completion_tokens_details":{"reasoning_tokens":2809}}}`,
			input: 10120, output: 4308},
		"B51 usage after tool calls": {body: streamChat, kind: "text/event-stream",
			answer: "data: {\"choices\":[{\"index\":0,\"delta\":{\"tool_calls\":[{\"index\":0,\"id\":\"a\",\"function\":{\"name\":\"f\",\"arguments\":\"{}\"}}]},\"finish_reason\":\"tool_calls\"}]}\n\ndata: {\"choices\":[{}],\"usage\":{\"prompt_tokens\":9,\"completion_tokens\":3}}\n\ndata: [DONE]\n\n", input: 9, output: 3},
		"B48 no event lines": {path: "/anthropic/v1/messages", body: `{"model":"claude-haiku-4-5","max_tokens":9,"stream":true,"messages":[{"role":"user","content":"hi"}]}`, kind: "text/event-stream",
			answer: "data: {\"type\":\"message_start\",\"message\":{\"id\":\"m\",\"model\":\"claude-haiku-4-5\",\"content\":[],\"usage\":{\"input_tokens\":9,\"output_tokens\":1}}}\n\ndata: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"text_delta\",\"text\":\"a\"}}\n\ndata: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"end_turn\"},\"usage\":{\"output_tokens\":15}}\n\ndata: {\"type\":\"message_stop\"}\n\n", input: 9, output: 15},
		"B50 CRLF and data without a space": {body: strings.Replace(streamChat, `"stream":true`, `"stream":true,"stream_options":{"include_usage":true}`, 1), kind: "text/event-stream",
			answer: "data:{\"choices\":[{\"index\":0,\"delta\":{\"content\":\"a\"},\"finish_reason\":\"stop\"}]}\r\n\r\ndata:{\"choices\":[],\"usage\":{\"prompt_tokens\":9,\"completion_tokens\":3}}\r\n\r\ndata:[DONE]\r\n\r\n", input: 9, output: 3},
		"M6 no usage": {answer: `{"choices":[{"message":{"content":"` + strings.Repeat("word ", 300) + `"},"finish_reason":"stop"}]}`,
			input: 8, output: 301, estimated: true},
		"M6 no prompt beside an answer of hundreds": {answer: `{"choices":[{"message":{"content":"a"},"finish_reason":"stop"}],"usage":{"prompt_tokens":0,"completion_tokens":300,"total_tokens":300}}`,
			input: 8, output: 300, estimated: true},
		"M6 no completion beside a text": {answer: `{"choices":[{"message":{"content":"` + strings.Repeat("word ", 300) + `"},"finish_reason":"stop"}],"usage":{"prompt_tokens":9,"completion_tokens":0}}`,
			input: 9, output: 301, estimated: true},
		"M6 no prompt in a stream": {body: streamChat, kind: "text/event-stream",
			answer: chunk(`{"content":"Hello"}`, `"stop"`) + "data: {\"choices\":[{}],\"usage\":{\"prompt_tokens\":0,\"completion_tokens\":300}}\n\ndata: [DONE]\n\n", input: 8, output: 300, estimated: true},
		"M6 vectors without usage": {path: "/v1/embeddings", body: `{"model":"text-embedding-3-small","input":"hello world"}`,
			answer: `{"object":"list","data":[{"embedding":[0.1]}]}`, input: 2, estimated: true},
		"F12 only the answer names the model": {body: `{"messages":[{"role":"user","content":"hi"}]}`, answer: strings.Replace(chatBody, "mini-2024", "mini-2024-07-18", 1), input: 9, output: 3,
			is: func(r ledger.Row) bool {
				return r.Model == "" && r.Answered == "gpt-4o-mini-2024-07-18" && r.Priced && r.Cost == 9*150+3*600
			}},
		"usage one level down": {answer: `{"choices":[{"message":{"content":"a"},"finish_reason":"stop"}],"result":{"usage":{"prompt_tokens":9,"completion_tokens":3}}}`, input: 9, output: 3},
	} {
		t.Run(name, func(t *testing.T) { c.check(t) })
	}
}

func (c countedCase) check(t *testing.T) {
	accounts, rows := accounting(t)
	b := start(t, func(w http.ResponseWriter, r *http.Request) {
		if c.kind == "" {
			c.kind = "application/json"
		}
		w.Header().Set("Content-Type", c.kind)
		if c.kind == "-" {
			w.Header()["Content-Type"] = nil
		}
		if c.encoding != "" {
			w.Header().Set("Content-Encoding", c.encoding)
		}
		io.WriteString(w, c.answer)
	}, accounts)
	if c.path == "" {
		c.path = "/v1/chat/completions"
	}
	if c.body == "" {
		c.body = shortChat
	}
	if c.contentType == "" {
		c.contentType = "application/json"
	}
	a := b.do("POST", c.path, c.body, "Content-Type", c.contentType)
	if a.StatusCode != 200 || a.body != c.answer || a.err != nil {
		t.Errorf("%d %v, %.300s", a.StatusCode, a.err, a.body)
	}
	got := rows(b)
	if len(got) != 1 {
		t.Fatalf("%d rows", len(got))
	}
	r := got[0]
	if r.Usage.Input != c.input || r.Usage.Output != c.output || r.Estimated != c.estimated || c.is != nil && !c.is(r) {
		t.Errorf("%d+%d, estimated %v; want %d+%d, %v\n%+v", r.Usage.Input, r.Usage.Output, r.Estimated, c.input, c.output, c.estimated, r)
	}
}

// TestLongAnswersAreCounted: no bound of what is kept decides what is counted.
func TestLongAnswersAreCounted(t *testing.T) {
	vectors := `{"object":"list","data":[{"embedding":"` + strings.Repeat("A", 10<<20) + `"}],"model":"text-embedding-3-small","usage":{"prompt_tokens":50000,"total_tokens":50000}}`
	embed := `{"model":"text-embedding-3-small","input":"hello world"}`
	long := `data: {"choices":[{"index":0,"delta":{"images":[{"url":"` + strings.Repeat("A", 9<<20) + `"}]},"finish_reason":null}],"usage":{"prompt_tokens":7,"completion_tokens":2}}` + "\n\n"
	for name, c := range map[string]countedCase{
		"B04 vectors of 10 MiB": {path: "/v1/embeddings", body: embed, answer: vectors, input: 50000},
		"B04 pictures of 10 MiB": {path: "/v1/images/generations", body: `{"model":"gpt-image-1","prompt":"a"}`,
			answer: `{"data":[{"b64_json":"` + strings.Repeat("A", 10<<20) + `"}],"usage":{"input_tokens":70,"output_tokens":200,"total_tokens":270}}`, input: 70, output: 200},
		"M3 without any type": {path: "/v1/embeddings", body: embed, kind: "-", answer: vectors, input: 50000},
		"R3 an event of 9 MiB, then others": {body: streamChat, kind: "text/event-stream",
			answer: long + chunk(`{"content":"Hello"}`, `"stop"`) + strings.ReplaceAll(usage, `"choices":[]`, `"choices":[{}]`) + "data: [DONE]\n\n", input: 9, output: 3},
		"R3 an event of 9 MiB with the usage": {body: streamChat, kind: "text/event-stream", answer: chunk(`{"content":"Hello"}`, `"stop"`) + long + "data: [DONE]\n\n", input: 7, output: 2},
		"a long text without usage":           {answer: `{"choices":[{"index":0,"message":{"content":"` + strings.Repeat("word ", 1<<20) + `"},"finish_reason":"stop"}]}`, input: 8, output: 1<<20*5/4 + 19, estimated: true},
	} {
		t.Run(name, func(t *testing.T) { c.check(t) })
	}
	packed := map[string]func(io.Writer) io.WriteCloser{
		"gzip": func(w io.Writer) io.WriteCloser { return gzip.NewWriter(w) },
		"br":   func(w io.Writer) io.WriteCloser { return brotli.NewWriterLevel(w, 1) },
		"zstd": func(w io.Writer) io.WriteCloser {
			z, _ := zstd.NewWriter(w, zstd.WithEncoderLevel(zstd.SpeedFastest))
			return z
		},
	}
	random := strings.Builder{}
	for n := range uint64(1 << 19) { // what cannot be packed well
		fmt.Fprintf(&random, "%x", n*0x9E3779B97F4A7C15)
	}
	for name, pack := range packed {
		if raceEnabled && name != "zstd" {
			continue
		}
		for size, vector := range map[string]string{"packed small": strings.Repeat("A", 20<<20), "packed large": random.String()} {
			var b bytes.Buffer
			z := pack(&b)
			io.WriteString(z, `{"data":[{"embedding":"`+vector+`"}],"usage":{"prompt_tokens":50000,"total_tokens":50000}}`)
			z.Close()
			c := countedCase{path: "/v1/embeddings", body: embed, encoding: name, answer: b.String(), input: 50000}
			t.Run("B04 "+name+" "+size, func(t *testing.T) { c.check(t) })
		}
	}
}

// TestEventsUnderAnyLabel: B05. Tokens pass as they come, and count.
func TestEventsUnderAnyLabel(t *testing.T) {
	for _, label := range []string{"application/json", "text/plain; charset=utf-8", "application/octet-stream", "-", "application/x-ndjson"} {
		t.Run("B05 "+label, func(t *testing.T) {
			accounts, rows := accounting(t)
			next := make(chan bool)
			b := start(t, func(w http.ResponseWriter, _ *http.Request) {
				w.Header()["Content-Type"] = nil
				if label != "-" {
					w.Header().Set("Content-Type", label)
				}
				io.WriteString(w, chunk(`{"content":"Hello"}`, "null"))
				w.(http.Flusher).Flush()
				<-next
				io.WriteString(w, chunk(`{}`, `"stop"`)+usage+"data: [DONE]\n\n")
			}, accounts)
			r, _ := http.NewRequest("POST", b.url+"/v1/chat/completions", strings.NewReader(strings.Replace(streamChat, `"stream":true`, `"stream":true,"stream_options":{"include_usage":true}`, 1)))
			r.Header.Set("Authorization", "Bearer fk-alice")
			r.Header.Set("Content-Type", "application/json")
			held := time.AfterFunc(10*time.Second, func() {
				t.Error("the first event waits for the others")
				close(next)
			})
			res := must(plainTransport.RoundTrip(r))(t)
			defer res.Body.Close()
			first := make([]byte, len(chunk(`{"content":"Hello"}`, "null")))
			io.ReadFull(res.Body, first)
			if held.Stop() {
				close(next)
			}
			rest := must(io.ReadAll(res.Body))(t)
			if got := res.Header.Get("Content-Type"); got != strings.TrimPrefix(label, "-") {
				t.Errorf("label %q", got)
			}
			if string(first)+string(rest) != chunk(`{"content":"Hello"}`, "null")+chunk(`{}`, `"stop"`)+usage+"data: [DONE]\n\n" {
				t.Errorf("%s%s", first, rest)
			}
			if got := rows(b); len(got) != 1 || got[0].Usage.Input != 9 || got[0].Usage.Output != 3 || got[0].Estimated {
				t.Errorf("%+v", got)
			}
		})
	}
}

// TestEventsThatAreNotEnded: servers that leave out the blank lines, and halves
// of events, are not held back for long.
func TestEventsThatAreNotEnded(t *testing.T) {
	first, second := strings.TrimSuffix(chunk(`{"content":"Hello"}`, "null"), "\n"), strings.TrimSuffix(chunk(`{}`, `"stop"`), "\n")
	last := strings.TrimSuffix(usage, "\n") + "data: [DONE]\n"
	for name, pieces := range map[string][]string{
		"lines without blank ones": {first, second, last},
		"half an event":            {first[:40], first[40:] + "\n" + second + "\n" + usage + "data: [DONE]\n\n"},
		"all at once":              {first + second + last},
	} {
		t.Run(name, func(t *testing.T) {
			accounts, rows := accounting(t)
			next := make(chan bool)
			b := start(t, func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Type", "text/event-stream")
				for _, p := range pieces {
					io.WriteString(w, p)
					w.(http.Flusher).Flush()
					<-next
				}
			}, accounts)
			r, _ := http.NewRequest("POST", b.url+"/v1/chat/completions", strings.NewReader(strings.Replace(streamChat, `"stream":true`, `"stream":true,"stream_options":{"include_usage":true}`, 1)))
			r.Header.Set("Authorization", "Bearer fk-alice")
			r.Header.Set("Content-Type", "application/json")
			res := must(plainTransport.RoundTrip(r))(t)
			defer res.Body.Close()
			for _, p := range pieces {
				got := make([]byte, len(p))
				if _, err := io.ReadFull(res.Body, got); err != nil || string(got) != p {
					t.Fatalf("%v: %s, want %s", err, got, p)
				}
				next <- true
			}
			if rest, err := io.ReadAll(res.Body); len(rest) > 0 || err != nil {
				t.Errorf("%v, %s", err, rest)
			}
			if got := rows(b); len(got) != 1 || got[0].Usage.Input != 9 || got[0].Usage.Output != 3 || got[0].Estimated {
				t.Errorf("%+v", got)
			}
		})
	}
}

// TestUsageThatIsNotOurs: B02. The chunk is hidden only where no caller but the
// gateway has asked for it.
func TestUsageThatIsNotOurs(t *testing.T) {
	costly := strings.Replace(usage, `"total_tokens":12`, `"total_tokens":12,"cost":0.5`, 1)
	for name, test := range map[string]struct {
		fields, chunk string
		sent, hidden  bool
	}{
		"B02 a client that asks as for OpenRouter": {`,"usage":{"include":true}`, costly, false, false},
		"B02 an upstream that reports amounts":     {"", costly, true, false},
		"B02 a chunk that only the gateway wants":  {"", usage, true, true},
		"B02 usage.include that is false":          {`,"usage":{"include":false}`, usage, true, true},
	} {
		b := start(t, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/event-stream")
			io.WriteString(flushing{w}, chunk(`{}`, `"stop"`)+test.chunk+"data: [DONE]\n\n")
		}, nil)
		a := b.chat(`,"stream":true` + test.fields)
		_, sent := b.last()
		if asked := bytes.Contains(sent, []byte("stream_options")); asked != test.sent || strings.Contains(a.body, test.chunk) == test.hidden || reportedUsage(a.Trailer) != "9 3 12" {
			t.Errorf("%s: asked %v with %s, usage %q\n%s", name, asked, sent, reportedUsage(a.Trailer), a.body)
		}
	}
}

// TestLongAnswersTakeNoMemory: what a metered answer allocates does not depend
// on its length. The upstream and the client are in the count too.
func TestLongAnswersTakeNoMemory(t *testing.T) {
	piece := bytes.Repeat([]byte("QUJD"), 16<<10)
	end := `"}],"usage":{"prompt_tokens":50000,"total_tokens":50000}}`
	for name, c := range map[string]struct {
		path, body, kind, head, end string
		pieces                      int // of 64 KiB
		most                        uint64
	}{
		"M3 an answer of 200 MB": {"/v1/embeddings", `{"model":"text-embedding-3-small","input":"hello"}`, "application/json", `{"data":[{"embedding":"`, end, 200 << 4, 24 << 20},
		"R3 an event of 64 MB":   {"/v1/chat/completions", streamChat, "text/event-stream", `data: {"choices":[{"delta":{"image":"`, `"}}],"usage":{"prompt_tokens":50000,"completion_tokens":0}}` + "\n\n", 64 << 4, 40 << 20},
		"R3 a line of 64 MB":     {"/v1/chat/completions", streamChat, "text/event-stream", "data: ", "\ndata: {\"choices\":[],\"usage\":{\"prompt_tokens\":50000,\"completion_tokens\":0}}\n\n", 64 << 4, 40 << 20},
	} {
		t.Run(name, func(t *testing.T) {
			accounts, rows := accounting(t)
			b := start(t, func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Type", c.kind)
				io.WriteString(w, c.head)
				for range c.pieces {
					w.Write(piece)
				}
				io.WriteString(w, c.end)
			}, accounts)
			r, _ := http.NewRequest("POST", b.url+c.path, strings.NewReader(c.body))
			r.Header.Set("Authorization", "Bearer fk-alice")
			r.Header.Set("Content-Type", "application/json")
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			res := must(plainTransport.RoundTrip(r))(t)
			n, err := io.Copy(io.Discard, res.Body)
			res.Body.Close()
			runtime.ReadMemStats(&after)
			size := int64(len(c.head) + len(c.end) + c.pieces*len(piece))
			if used := after.TotalAlloc - before.TotalAlloc; n != size || err != nil || used > c.most {
				t.Errorf("%d of %d bytes, %v: %d bytes allocated", n, size, err, used)
			} else {
				t.Logf("%d bytes allocated for %d", used, size)
			}
			if got := rows(b); len(got) != 1 || got[0].Usage.Input != 50000 {
				t.Errorf("%+v", got)
			}
		})
	}
}
