package upstreamtest_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"mime/multipart"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/tidwall/gjson"

	"forward/internal/upstreamtest"
)

func Example() {
	s := httptest.NewServer(upstreamtest.NewHandler())
	defer s.Close()
	resp, err := http.Post(s.URL+"/v1/chat/completions?script=events-1", "application/json", strings.NewReader(`{}`))
	if err != nil {
		fmt.Println(err)
		return
	}
	defer resp.Body.Close()
	body, _ := io.ReadAll(resp.Body)
	fmt.Println(resp.StatusCode, bytes.Equal(body, upstreamtest.NumberedStream(1)))
	// Output: 200 true
}

// post sends JSON and returns the answer's body.
func post(t *testing.T, url, body string) string {
	t.Helper()
	resp, err := http.Post(url, "application/json", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func TestOperations(t *testing.T) {
	const (
		tools = `,"tools":[{"type":"function","function":{"name":"weather"}},{"type":"function","function":{"name":"time"}}]`
		chat  = `{"model":"m","messages":[{"role":"user","content":"hi there"}]`
	)
	s := upstreamtest.New(t)
	cases := []struct{ name, path, body, want string }{
		{"chat", "/v1/chat/completions", chat + `}`, `"content":"You said: hi there"`},
		{"chat below a base path", "/openai/v1/chat/completions", chat + `}`, `"content":"You said: hi there"`},
		{"chat of content parts", "/v1/chat/completions", `{"messages":[{"content":[{"type":"text","text":"part"}]}]}`, `You said: part`},
		{"chat tools", "/v1/chat/completions", chat + tools + `}`, `"finish_reason":"tool_calls"`},
		{"chat two choices", "/v1/chat/completions", chat + `,"n":2}`, `"index":1`},
		{"chat refusal", "/v1/chat/completions", `{"model":"refusal","messages":[]}`, `"refusal":"I cannot`},
		{"chat reasoning", "/v1/chat/completions", `{"model":"reasoning","stream":true,"messages":[]}`, `"reasoning_content":"The "`},
		{"chat length", "/v1/chat/completions", `{"model":"finish-length","messages":[]}`, `"finish_reason":"length"`},
		{"chat stream", "/v1/chat/completions", chat + `,"stream":true}`, `"delta":{"content":"there"}`},
		{"chat stream usage", "/v1/chat/completions", chat + `,"stream":true,"stream_options":{"include_usage":true}}`, `"total_tokens":6`},
		{"chat results", "/v1/chat/completions", `{"tools":[{"function":{"name":"f"}}],"messages":[{"role":"tool","content":"sun"},{"role":"tool","content":"noon"}]}`, `"content":"The tools say: sun, noon"`},
		{"chat after results", "/v1/chat/completions", `{"messages":[{"role":"tool","content":"sun"},{"role":"user","content":"hi"}]}`, `"content":"You said: hi"`},
		{"chat stream tools", "/v1/chat/completions", chat + tools + `,"stream":true}`, `"index":1`},
		{"completion", "/v1/completions", `{"prompt":"hi"}`, `"text":"You said: hi"`},
		{"completion stream", "/v1/completions", `{"prompt":"hi","stream":true}`, `"text":"hi"`},
		{"embeddings", "/v1/embeddings", `{"input":["a","b"]}`, `"index":1`},
		{"embeddings base64", "/v1/embeddings", `{"input":"a","encoding_format":"base64"}`, `"embedding":"AACAPw`},
		{"moderation", "/v1/moderations", `{"input":"a"}`, `"flagged":false`},
		{"responses", "/v1/responses", `{"input":"hi"}`, `"text":"You said: hi"`},
		{"responses items", "/v1/responses", `{"input":[{"role":"user","content":"hi"}]}`, `"text":"You said: hi"`},
		{"responses stream", "/v1/responses", `{"input":"hi","stream":true}`, "event: response.completed\n"},
		{"responses results", "/v1/responses", `{"tools":[{"type":"function","name":"f"}],"input":[{"type":"function_call_output","output":"sun"}]}`, `"text":"The tools say: sun"`},
		{"responses tools", "/v1/responses", `{"input":"hi","stream":true,"tools":[{"type":"function","name":"f"}]}`, `function_call_arguments.done`},
		{"image", "/v1/images/generations", `{"prompt":"cat","n":2}`, `"b64_json"`},
		{"messages", "/v1/messages", chat + `}`, `"stop_reason":"end_turn"`},
		{"messages stream", "/v1/messages", chat + `,"stream":true}`, "event: message_stop\n"},
		{"messages tools", "/v1/messages", chat + `,"stream":true,"tools":[{"name":"f"}]}`, `"type":"input_json_delta"`},
		{"messages thoughts", "/v1/messages", `{"model":"reasoning","stream":true,"messages":[]}`, `"type":"signature_delta"`},
		{"messages results", "/v1/messages", `{"tools":[{"name":"f"}],"messages":[{"role":"user","content":[{"type":"tool_result","content":"sun"},{"type":"tool_result","content":"noon"}]}]}`, `"text":"The tools say: sun, noon"`},
		{"messages batch", "/v1/messages/batches", `{"requests":[{},{}]}`, `"processing":2`},
		{"count tokens", "/v1/messages/count_tokens", chat + `}`, `{"input_tokens":2}`},
		{"gemini", "/v1beta/models/g:generateContent", `{"contents":[{"parts":[{"text":"hi"}]}]}`, `"finishReason":"STOP"`},
		{"gemini sse", "/v1beta/models/g:streamGenerateContent?alt=sse", `{"contents":[{"parts":[{"text":"hi"}]}]}`, "data: {\"candidates\""},
		{"gemini array", "/v1beta/models/g:streamGenerateContent", `{"contents":[{"parts":[{"text":"hi"}]}]}`, "[{\"candidates\""},
		{"gemini thoughts", "/v1beta/models/reasoning:streamGenerateContent?alt=sse", `{"contents":[{"parts":[{"text":"hi"}]}]}`, `"thought":true`},
		{"gemini tools", "/v1beta/models/g:generateContent", `{"tools":[{"functionDeclarations":[{"name":"f"}]}],"contents":[{"parts":[{"text":"hi"}]}]}`, `"thoughtSignature"`},
		{"gemini tools off", "/v1beta/models/g:generateContent", `{"tools":[{"functionDeclarations":[{"name":"f"}]}],"toolConfig":{"functionCallingConfig":{"mode":"NONE"}},"contents":[{"parts":[{"text":"hi"}]}]}`, `You said: hi`},
		{"gemini results", "/v1beta/models/g:generateContent", `{"tools":[{"functionDeclarations":[{"name":"f"}]}],"contents":[{"parts":[{"functionResponse":{"name":"f","response":{"sun":1}}}]}]}`, `The tools say: {\"sun\":1}`},
		{"gemini batch embed", "/v1beta/models/g:batchEmbedContents", `{"requests":[{"content":{"parts":[{"text":"hi"}]}},{}]}`, `{"embeddings":[{"values":[2,0,0.25]},{"values":[0,1,0.25]}]}`},
		{"gemini count", "/v1beta/models/g:countTokens", `{"contents":[{"parts":[{"text":"hi"}]}]}`, `{"totalTokens":1}`},
		{"gemini embed", "/v1beta/models/g:embedContent", `{}`, `"values"`},
		{"anything else", "/v1/x%2Fy?a=%20", `{}`, `"uri":"/v1/x%2Fy?a=%20"`},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			if got := post(t, s.URL+c.path, c.body); !strings.Contains(got, c.want) {
				t.Errorf("answered %s\nwithout  %s", got, c.want)
			}
			if last := s.Last(); last.URI != c.path || last.Body != c.body {
				t.Errorf("recorded %s %s", last.URI, last.Body)
			}
		})
	}
}

func TestEqualRequestsGetEqualTextUnderNewIDs(t *testing.T) {
	s := upstreamtest.New(t)
	const body = `{"model":"m","messages":[{"role":"user","content":"hi"}]}`
	first, second := post(t, s.URL+"/v1/chat/completions", body), post(t, s.URL+"/v1/chat/completions", body)
	if a, b := gjson.Get(first, "choices").Raw, gjson.Get(second, "choices").Raw; a != b {
		t.Errorf("choices differ: %s and %s", a, b)
	}
	if gjson.Get(first, "id").Str == gjson.Get(second, "id").Str {
		t.Error("the second call has the first one's id, so a cached answer could not be distinguished")
	}
}

// TestErrorsAreTheProviders holds an error of each protocol against its
// documentation.
func TestErrorsAreTheProviders(t *testing.T) {
	s := upstreamtest.New(t)
	for _, c := range []struct{ path, want string }{
		{"/v1/chat/completions?script=err-429", `{"error":{"code":"scripted_error","message":"This error is scripted.","param":null,"type":"scripted"}}`},
		{"/v1/messages?script=err-400", `{"error":{"message":"This error is scripted.","type":"invalid_request_error"},"request_id":"req_upstream_2","type":"error"}`},
		{"/v1/messages?script=err-529", `{"error":{"message":"This error is scripted.","type":"overloaded_error"},"request_id":"req_upstream_3","type":"error"}`},
		{"/v1beta/models/g:generateContent?script=err-400", `{"error":{"code":400,"message":"This error is scripted.","status":"INVALID_ARGUMENT"}}`},
		{"/v1beta/models/g:generateContent?script=err-500", `{"error":{"code":500,"message":"This error is scripted.","status":"INTERNAL"}}`},
		{"/v1beta/models/g:generateContent?script=err-429", `{"error":{"code":429,"details":[{"@type":"type.googleapis.com/google.rpc.RetryInfo","retryDelay":"1s"}],"message":"This error is scripted.","status":"RESOURCE_EXHAUSTED"}}`},
	} {
		if got := post(t, s.URL+c.path, "{}"); got != c.want {
			t.Errorf("%s answered\n%s, want\n%s", c.path, got, c.want)
		}
	}
}

// TestListsAreTheProviders asks the same paths as a client of each protocol.
func TestListsAreTheProviders(t *testing.T) {
	s := upstreamtest.New(t)
	for _, c := range []struct{ path, version, want string }{
		{"/v1/models", "", "data.0.object"}, {"/v1/models", "2023-06-01", "data.0.display_name"}, {"/v1/models", "2023-06-01", "has_more"},
		{"/v1beta/models", "", "models.0.supportedGenerationMethods"}, {"/v1beta/openai/models", "", "data.0.object"},
		{"/v1/files", "", "object"}, {"/v1/files", "2023-06-01", "has_more"}, {"/v1beta/files", "", "files"},
		{"/v1/messages/batches", "2023-06-01", "data.0.processing_status"}, {"/v1/messages/batches/b", "2023-06-01", "request_counts"},
	} {
		req, err := http.NewRequestWithContext(t.Context(), "GET", s.URL+c.path, nil)
		if err != nil {
			t.Fatal(err)
		}
		if c.version != "" {
			req.Header.Set("Anthropic-Version", c.version)
		}
		resp, err := http.DefaultTransport.RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err != nil || !gjson.GetBytes(body, c.want).Exists() {
			t.Errorf("%s, version %q: no %s in %s (%v)", c.path, c.version, c.want, body, err)
		}
	}
}

func TestFiles(t *testing.T) {
	s := upstreamtest.New(t)
	var body bytes.Buffer
	form := multipart.NewWriter(&body)
	_ = form.WriteField("purpose", "assistants")
	part, _ := form.CreateFormFile("file", "a.txt")
	_, _ = part.Write([]byte("content"))
	_ = form.Close()
	resp, err := http.Post(s.URL+"/v1/files", form.FormDataContentType(), &body)
	if err != nil {
		t.Fatal(err)
	}
	answer, _ := io.ReadAll(resp.Body)
	resp.Body.Close()
	id := gjson.GetBytes(answer, "id").Str
	get := func(path string) string {
		t.Helper()
		resp, err := http.Get(s.URL + path)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		b, _ := io.ReadAll(resp.Body)
		return string(b)
	}
	if got := get("/v1/files/" + id + "/content"); got != "content" {
		t.Errorf("content is %q", got)
	}
	if got := get("/v1/files"); gjson.Get(got, "data.0.filename").Str != "a.txt" {
		t.Errorf("list is %s", got)
	}
	if got := get("/v1/files/none"); gjson.Get(got, "error.code").Str != "not_found" {
		t.Errorf("a file that is not there: %s", got)
	}
}

func TestRealtimeEchoes(t *testing.T) {
	s := upstreamtest.New(t)
	conn, err := net.Dial("tcp", strings.TrimPrefix(s.URL, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	// The key and the accept value are the example of RFC 6455, section 1.3;
	// the frame is "Hello" of section 5.7.
	fmt.Fprint(conn, "GET /v1/realtime HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"+
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n")
	in := bufio.NewReader(conn)
	resp, err := http.ReadResponse(in, nil)
	if err != nil {
		t.Fatal(err)
	}
	if got := resp.Header.Get("Sec-Websocket-Accept"); got != "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" {
		t.Errorf("accept is %q", got)
	}
	if _, err := conn.Write([]byte{0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58}); err != nil {
		t.Fatal(err)
	}
	frame := make([]byte, 7)
	if _, err := io.ReadFull(in, frame); err != nil {
		t.Fatal(err)
	}
	if string(frame) != "\x81\x05Hello" {
		t.Errorf("echoed frame is %q", frame)
	}
}

func TestControlEndpoints(t *testing.T) {
	s := upstreamtest.New(t, upstreamtest.Handle("/own", func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(w, r.Body)
	}))
	if got := post(t, s.URL+"/own", "echo me"); got != "echo me" {
		t.Errorf("the override answered %q", got)
	}
	var records []upstreamtest.Request
	if err := json.Unmarshal([]byte(post(t, s.URL+"/__requests", "")), &records); err != nil {
		t.Fatal(err)
	}
	if len(records) != 1 || records[0].URI != "/own" || records[0].BodySize != 7 || records[0].Ended.IsZero() {
		t.Errorf("records are %+v", records)
	}
	post(t, s.URL+"/__reset", "")
	if got := post(t, s.URL+"/__count", ""); got != "0" || s.Count() != 0 {
		t.Errorf("%s records after the reset", got)
	}
}

func TestUploadsOfAnySizeAreHashedNotKept(t *testing.T) {
	s := upstreamtest.New(t)
	const size = 3 << 20
	post(t, s.URL+"/v1/upload", strings.Repeat("x", size))
	r := s.Last()
	if r.BodySize != size || len(r.BodySHA256) != 64 || len(r.Body) != 1<<20 {
		t.Errorf("recorded %d bytes, hash %q, kept %d", r.BodySize, r.BodySHA256, len(r.Body))
	}
}
