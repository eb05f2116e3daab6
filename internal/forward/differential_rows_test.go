package forward_test

import "strings"

// Answers and headers as the providers send them.
var (
	openAIHeader = []string{
		jsonType, "Date: Fri, 21 Nov 2025 09:15:02 GMT", "x-request-id: req_0123456789abcdef", "openai-organization: org-1", "openai-processing-ms: 412",
		"openai-version: 2020-10-01", "x-ratelimit-limit-requests: 10000", "x-ratelimit-remaining-requests: 9999", "x-ratelimit-reset-requests: 6ms",
		"strict-transport-security: max-age=31536000; includeSubDomains; preload", "Server: cloudflare", "CF-RAY: 8e1-FRA", `alt-svc: h3=":443"; ma=86400`,
		"Set-Cookie: __cf_bm=abc; path=/; HttpOnly", "Set-Cookie: _cfuvid=def", "access-control-expose-headers: X-Request-ID", "Access-Control-Allow-Origin: https://chat.example",
	}
	anthropicHeader = []string{
		jsonType, "request-id: req_011CSHoEeqs5C35K2UUqR7Fy", "anthropic-organization-id: 9f2", "anthropic-ratelimit-requests-limit: 50",
		"anthropic-ratelimit-requests-reset: 2025-11-21T09:15:03Z", "cf-cache-status: DYNAMIC", "X-Robots-Tag: none", "via: 1.1 google",
	}
	geminiHeader = []string{
		"Content-Type: application/json; charset=UTF-8", "Vary: Origin", "Vary: X-Origin", "Vary: Referer", "Server: scaffolding on HTTPServer2", "X-XSS-Protection: 0",
		"X-Frame-Options: SAMEORIGIN", "Server-Timing: gfet4t7; dur=613", `Alt-Svc: h3=":443"; ma=2592000`,
	}
)

// with adds lines to headers; a line of a name that is already there takes its
// place.
func with(header []string, lines ...string) []string {
	name, _, _ := strings.Cut(lines[0], ":")
	var all []string
	for _, h := range header {
		if n, _, _ := strings.Cut(h, ":"); !strings.EqualFold(n, name) {
			all = append(all, h)
		}
	}
	return append(all, lines...)
}

// responding is a plain answer with status 200.
func responding(header []string, body string) string {
	return respond("200 OK", append(append([]string{}, header...), "", body)...)
}

// streaming is an answer of events that come one by one.
func streaming(header []string, parts ...string) string {
	return respond("200 OK", with(header, sseType, chunked, "", chunks(parts...), "\r\n")...)
}

// posting is a request with a JSON body as SDKs send it.
func posting(path, body string, headers ...string) string {
	return asking("POST "+path, append(append([]string{
		"Authorization: Bearer sk-of-the-client", "Accept: application/json", "User-Agent: OpenAI/Python 1.59.3", jsonType, "Accept-Encoding: gzip, deflate, br, zstd",
		"X-Stainless-Lang: python", "x-stainless-retry-count: 0", "OpenAI-Organization: org-1",
	}, headers...), "", body)...)
}

// getting is a request without a body.
func getting(line string) string {
	return asking(line, "Authorization: Bearer sk-of-the-client", "Accept: */*")
}

const (
	binary   = "\x00\x01\xff\xfe\r\n\r\n0\r\n\r\nID3\x04\x00\x80\x1a"
	hello    = `{"model":"gpt-4o-mini","messages":[{"role":"user","content":"hi"}]}`
	streamed = `{"model":"gpt-4o-mini","stream":true,"messages":[{"role":"user","content":"hi"}]}`
	form     = "--b0undary\r\nContent-Disposition: form-data; name=\"model\"\r\n\r\nwhisper-1\r\n--b0undary\r\n" +
		"Content-Disposition: form-data; name=\"file\"; filename=\"ä \\\"x\\\".mp3\"\r\nContent-Type: audio/mpeg\r\n\r\n" + binary + "\r\n--b0undary--\r\n"
	formType  = "Content-Type: multipart/form-data; boundary=b0undary"
	apiError  = `{"error":{"message":"Incorrect API key provided: sk-of-****ient.","type":"invalid_request_error","param":null,"code":"invalid_api_key"}}` + "\n"
	limited   = `{"error":{"message":"Rate limit reached","type":"requests","param":null,"code":"rate_limit_exceeded"}}`
	deepReply = `{"id":"resp_1","object":"response","status":"completed","output":[{"type":"message","content":[{"type":"output_text","text":"hi"}]}],"usage":{"input_tokens":1,"output_tokens":1,"total_tokens":2}}`
)

// upload is a multipart request, in one piece.
func upload(path string) string {
	return asking("POST "+path, "Authorization: Bearer sk-of-the-client", formType, "", form)
}

var openAIExchanges = []exchanged{
	{name: "openai/chat", ask: posting("/v1/chat/completions", hello), respond: responding(openAIHeader, chatBody)},
	{name: "openai/chat on an alias", mount: "/openai", ask: posting("/v1/chat/completions", hello), respond: responding(openAIHeader, chatBody)},
	{name: "openai/chat streamed", ask: posting("/v1/chat/completions", streamed), respond: streaming(openAIHeader, events(false)[:40], events(false)[40:])},
	{name: "openai/chat streamed with usage", ask: posting("/v1/chat/completions", streamed[:len(streamed)-1]+`,"stream_options":{"include_usage":true}}`), respond: streaming(openAIHeader, events(true))},
	{name: "openai/chat gzip", ask: posting("/v1/chat/completions", hello), respond: respond("200 OK", with(openAIHeader, "Content-Encoding: gzip", "Vary: Accept-Encoding", "", string(zipped(chatBody)))...)},
	{name: "openai/chat streamed gzip", ask: posting("/v1/chat/completions", streamed), respond: streaming(append(openAIHeader[1:], "Content-Encoding: gzip"), string(zipped(events(true))))},
	{name: "openai/chat br that is none", ask: posting("/v1/chat/completions", hello), respond: respond("200 OK", with(openAIHeader, "Content-Encoding: br", "", binary)...)},
	{name: "openai/chat asked in gzip", ask: posting("/v1/chat/completions", string(zipped(hello)), "Content-Encoding: gzip"), respond: responding(openAIHeader, chatBody)},
	{name: "openai/chat in chunks", ask: asking("POST /v1/chat/completions", jsonType, chunked, "", chunks(hello[:9], hello[9:]), "\r\n"), respond: responding(openAIHeader, chatBody)},
	{name: "openai/chat 400", ask: posting("/v1/chat/completions", `{"model":""}`), respond: respond("400 Bad Request", with(openAIHeader, "x-should-retry: false", "", apiError)...)},
	{name: "openai/chat 401", ask: posting("/v1/chat/completions", hello), respond: respond("401 Unauthorized", with(openAIHeader, `WWW-Authenticate: Bearer realm="OpenAI"`, "", apiError)...)},
	{name: "openai/chat 403", ask: posting("/v1/chat/completions", hello), respond: respond("403 Forbidden", with(openAIHeader, "", apiError)...)},
	{name: "openai/chat 429", ask: posting("/v1/chat/completions", hello), respond: respond("429 Too Many Requests", with(openAIHeader, "retry-after: 1", "retry-after-ms: 412", "", limited)...)},
	{name: "openai/chat 500", ask: posting("/v1/chat/completions", hello), respond: respond("500 Internal Server Error", with(openAIHeader, "", apiError)...)},
	{name: "openai/chat 503 without a type", ask: posting("/v1/chat/completions", hello), respond: respond("503 Service Unavailable", "retry-after: Fri, 21 Nov 2025 09:15:02 GMT", "", "<html>upstream connect error</html>")},
	{name: "openai/completions", ask: posting("/v1/completions", `{"model":"gpt-3.5-turbo-instruct","prompt":"a"}`), respond: responding(openAIHeader, `{"choices":[{"text":"b"}]}`)},
	{name: "openai/embeddings", ask: posting("/v1/embeddings", `{"model":"text-embedding-3-small","input":["a"],"encoding_format":"base64"}`), respond: responding(openAIHeader, `{"data":[{"embedding":"AACAPw=="}]}`)},
	{name: "openai/responses", ask: posting("/v1/responses", `{"model":"gpt-5","input":"hi"}`), respond: responding(openAIHeader, deepReply)},
	{name: "openai/responses streamed", ask: posting("/v1/responses", `{"model":"gpt-5","input":"hi","stream":true}`),
		respond: streaming(openAIHeader, "event: response.created\ndata: {\"type\":\"response.created\"}\n\n", "event: response.completed\ndata: {\"type\":\"response.completed\",\"response\":"+deepReply+"}\n\n")},
	{name: "openai/responses get", ask: getting("GET /v1/responses/resp_1?include[]=a&include[]=b&stream=true"), respond: responding(openAIHeader, deepReply)},
	{name: "openai/responses input items", ask: getting("GET /v1/responses/resp_1/input_items?limit=2"), respond: responding(openAIHeader, `{"data":[]}`)},
	{name: "openai/responses cancel", ask: asking("POST /v1/responses/resp_1/cancel", "Content-Length: 0"), respond: responding(openAIHeader, deepReply)},
	{name: "openai/responses delete", ask: getting("DELETE /v1/responses/resp_1"), respond: responding(openAIHeader, `{"deleted":true}`)},
	{name: "openai/moderations", ask: posting("/v1/moderations", `{"input":"a"}`), respond: responding(openAIHeader, `{"results":[]}`)},
	{name: "openai/images generations", ask: posting("/v1/images/generations", `{"prompt":"a cat"}`), respond: responding(openAIHeader, `{"data":[{"b64_json":"iVBORw0KGgo="}]}`)},
	{name: "openai/images edits", ask: upload("/v1/images/edits"), respond: responding(openAIHeader, `{"data":[]}`)},
	{name: "openai/images variations", ask: upload("/v1/images/variations"), respond: responding(openAIHeader, `{"data":[]}`)},
	{name: "openai/audio speech", ask: posting("/v1/audio/speech", `{"model":"tts-1","input":"a","voice":"alloy"}`), respond: respond("200 OK", with(openAIHeader, "Content-Type: audio/mpeg", chunked, "", chunks(binary, binary), "\r\n")...)},
	{name: "openai/audio transcriptions", ask: upload("/v1/audio/transcriptions"), respond: responding(with(openAIHeader, "Content-Type: text/vtt"), "WEBVTT\n\n")},
	{name: "openai/audio translations", ask: upload("/v1/audio/translations"), respond: responding(openAIHeader, `{"text":"a"}`)},
	{name: "openai/files upload in chunks", ask: asking("POST /v1/files", formType, chunked, "", chunks(form[:99], form[99:]), "\r\n"), respond: responding(openAIHeader, `{"id":"file-1"}`)},
	{name: "openai/files list", ask: getting("GET /v1/files?purpose=fine-tune&after=&limit=100"), respond: responding(openAIHeader, `{"data":[]}`)},
	{name: "openai/files content", ask: getting("GET /v1/files/file-1/content"), respond: responding(with(openAIHeader, "Content-Type: application/octet-stream", `Content-Disposition: attachment; filename="a.bin"; filename*=UTF-8''%C3%A4.bin`), binary)},
	{name: "openai/files delete", ask: getting("DELETE /v1/files/file-1"), respond: respond("204 No Content", "x-request-id: r")},
	{name: "openai/uploads part", ask: upload("/v1/uploads/upload_1/parts"), respond: responding(openAIHeader, `{"id":"part_1"}`)},
	{name: "openai/batches", ask: posting("/v1/batches", `{"input_file_id":"file-1","endpoint":"/v1/chat/completions","completion_window":"24h"}`), respond: responding(openAIHeader, `{"id":"batch_1"}`)},
	{name: "openai/batches cancel", ask: asking("POST /v1/batches/batch_1/cancel"), respond: responding(openAIHeader, `{"id":"batch_1"}`)},
	{name: "openai/fine-tuning", ask: posting("/v1/fine_tuning/jobs", `{"model":"gpt-4o-mini","training_file":"file-1"}`), respond: responding(openAIHeader, `{"id":"ftjob-1"}`)},
	{name: "openai/fine-tuning events", ask: getting("GET /v1/fine_tuning/jobs/ftjob-1/events"), respond: responding(openAIHeader, `{"data":[]}`)},
	{name: "openai/models", ask: getting("GET /v1/models"), respond: responding(openAIHeader, `{"object":"list","data":[]}`)},
	{name: "openai/models one", ask: getting("GET /v1/models/ft:gpt-4o-mini:acme::abc123"), respond: respond("404 Not Found", with(openAIHeader, "", apiError)...)},
	{name: "openai/models delete", ask: getting("DELETE /v1/models/ft:gpt-4o-mini:acme::abc123"), respond: responding(openAIHeader, `{"deleted":true}`)},
	{name: "openai/assistants", ask: posting("/v1/threads/thread_1/runs", `{"assistant_id":"asst_1","stream":true}`, "OpenAI-Beta: assistants=v2"), respond: streaming(openAIHeader, "event: thread.run.created\ndata: {}\n\n", "event: done\ndata: [DONE]\n\n")},
	{name: "openai/vector stores", ask: posting("/v1/vector_stores/vs_1/search", `{"query":"a"}`), respond: responding(openAIHeader, `{"data":[]}`)},
	{name: "openai/realtime", ask: asking("GET /v1/realtime?model=gpt-realtime", "Upgrade: websocket", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==", "Sec-WebSocket-Version: 13", "Sec-WebSocket-Protocol: realtime, openai-beta.realtime-v1"),
		respond: respond("426 Upgrade Required", jsonType, "Sec-WebSocket-Version: 13, 8", "", apiError)},
	{name: "openai/azure", mount: "/openai", ask: asking("POST /openai/deployments/my-gpt/chat/completions?api-version=2024-10-21", "api-key: 0123", jsonType, "", hello), respond: responding(openAIHeader, chatBody)},
}

var anthropicExchanges = under("/anthropic", []exchanged{
	{name: "anthropic/messages", ask: claude("POST /v1/messages", `{"model":"claude-sonnet-4-5","max_tokens":9,"messages":[]}`), respond: responding(anthropicHeader, `{"type":"message","content":[],"stop_reason":"end_turn","usage":{"input_tokens":1,"output_tokens":1}}`)},
	{name: "anthropic/messages streamed", ask: claude("POST /v1/messages?beta=true", `{"model":"claude-sonnet-4-5","stream":true,"max_tokens":9,"messages":[]}`),
		respond: streaming(anthropicHeader, "event: message_start\ndata: {\"type\":\"message_start\"}\n\n", "event: ping\ndata: {\"type\": \"ping\"}\n\n", "event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n")},
	{name: "anthropic/error in a stream", ask: claude("POST /v1/messages", `{"stream":true}`), respond: streaming(anthropicHeader, "event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\",\"message\":\"Overloaded\"}}\n\n")},
	{name: "anthropic/529", ask: claude("POST /v1/messages", `{"max_tokens":9}`), respond: respond("529 Overloaded", with(anthropicHeader, "x-should-retry: true", "", `{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}`)...)},
	{name: "anthropic/count tokens", ask: claude("POST /v1/messages/count_tokens", `{"model":"claude-sonnet-4-5","messages":[]}`), respond: responding(anthropicHeader, `{"input_tokens":14}`)},
	{name: "anthropic/batches", ask: claude("POST /v1/messages/batches", `{"requests":[{"custom_id":"a","params":{}}]}`), respond: responding(anthropicHeader, `{"id":"msgbatch_1"}`)},
	{name: "anthropic/batch results", ask: getting("GET /v1/messages/batches/msgbatch_1/results"), respond: responding(with(anthropicHeader, "Content-Type: application/x-jsonl"), "{\"custom_id\":\"a\"}\n{\"custom_id\":\"b\"}\n")},
	{name: "anthropic/batch delete", ask: claude("DELETE /v1/messages/batches/msgbatch_1", ""), respond: responding(anthropicHeader, `{"type":"message_batch_deleted"}`)},
	{name: "anthropic/models", ask: claude("GET /v1/models?limit=1&before_id=", ""), respond: responding(anthropicHeader[:1], `{"data":[],"has_more":false}`)},
	{name: "anthropic/files", ask: upload("/v1/files"), respond: responding(anthropicHeader, `{"id":"file_1"}`)},
	{name: "anthropic/complete", ask: claude("POST /v1/complete", `{"prompt":"\n\nHuman: hi\n\nAssistant:"}`), respond: responding(anthropicHeader, `{"completion":"hi"}`)},
	{name: "anthropic/chat as openai", ask: posting("/v1/chat/completions", hello), respond: responding(anthropicHeader, chatBody)},
	{name: "anthropic/bytes that are no SSE", ask: claude("POST /v1/messages", `{"stream":true,"messages":[]}`), respond: streaming(anthropicHeader, binary, "\n\n", binary)},
})

var geminiExchanges = under("/gemini", []exchanged{
	{name: "gemini/generate", ask: geminiAsk("POST /v1beta/models/gemini-2.5-pro:generateContent", `{"contents":[]}`), respond: responding(geminiHeader, `{"candidates":[{"finishReason":"STOP"}],"usageMetadata":{"promptTokenCount":1}}`)},
	{name: "gemini/key in the query", ask: asking("POST /v1beta/models/gemini-2.5-pro:generateContent?key=AIza-of-the-client&%24alt=json", jsonType, "", `{"contents":[]}`), respond: responding(geminiHeader, `{"candidates":[]}`)},
	{name: "gemini/stream of events", ask: geminiAsk("POST /v1beta/models/gemini-2.5-pro:streamGenerateContent?alt=sse", `{"contents":[]}`), respond: streaming(geminiHeader, "data: {\"candidates\":[]}\r\n\r\n", "data: {\"candidates\":[{\"finishReason\":\"STOP\"}]}\r\n\r\n")},
	{name: "gemini/stream as an array", ask: geminiAsk("POST /v1beta/models/gemini-2.5-pro:streamGenerateContent", `{"contents":[]}`), respond: respond("200 OK", with(geminiHeader, chunked, "", chunks("[{\"candidates\":[]}\n", ",\r\n{\"candidates\":[]}\n", "]\n"), "\r\n")...)},
	{name: "gemini/429", ask: geminiAsk("POST /v1beta/models/gemini-2.5-pro:generateContent", `{"contents":[]}`), respond: respond("429 Too Many Requests", with(geminiHeader, "", "{\n  \"error\": {\n    \"code\": 429,\n    \"status\": \"RESOURCE_EXHAUSTED\"\n  }\n}\n")...)},
	{name: "gemini/count tokens", ask: geminiAsk("POST /v1beta/models/gemini-2.5-pro:countTokens", `{"contents":[]}`), respond: responding(geminiHeader, `{"totalTokens":1}`)},
	{name: "gemini/embed", ask: geminiAsk("POST /v1beta/models/gemini-embedding-001:embedContent", `{"content":{}}`), respond: responding(geminiHeader, `{"embedding":{"values":[0.10, -1E-7]}}`)},
	{name: "gemini/batch embed", ask: geminiAsk("POST /v1beta/models/gemini-embedding-001:batchEmbedContents", `{"requests":[]}`), respond: responding(geminiHeader, `{"embeddings":[]}`)},
	{name: "gemini/predict", ask: geminiAsk("POST /v1beta/models/imagen-4.0:predict", `{"instances":[]}`), respond: responding(geminiHeader, `{"predictions":[]}`)},
	{name: "gemini/escaped colon", ask: geminiAsk("POST /v1beta/models/gemini-2.5-pro%3AcountTokens", `{"contents":[]}`), respond: responding(geminiHeader, `{"totalTokens":1}`)},
	{name: "gemini/models", ask: geminiAsk("GET /v1beta/models?pageSize=5&pageToken=a%2Fb%3D%3D", ""), respond: responding(geminiHeader, `{"models":[]}`)},
	{name: "gemini/cached contents", ask: geminiAsk("PATCH /v1beta/cachedContents/abc?updateMask=ttl", `{"ttl":"3600s"}`), respond: responding(geminiHeader, `{"name":"cachedContents/abc"}`)},
	{name: "gemini/upload started", ask: geminiAsk("POST /upload/v1beta/files", `{"file":{"display_name":"a"}}`, "X-Goog-Upload-Protocol: resumable", "X-Goog-Upload-Command: start"), respond: respond("200 OK", "X-Goog-Upload-Status: active", "X-GUploader-UploadID: a", "Content-Length: 0")},
	{name: "gemini/upload", ask: geminiAsk("PUT /upload/v1beta/files?upload_id=a&upload_protocol=resumable", binary, "X-Goog-Upload-Offset: 0", "X-Goog-Upload-Command: upload, finalize"), respond: responding(geminiHeader, `{"file":{}}`)},
	{name: "gemini/download", ask: geminiAsk("GET /v1beta/files/abc:download?alt=media", ""), respond: respond("200 OK", "Content-Type: video/mp4", chunked, "", chunks(binary), "\r\n")},
	{name: "gemini/chat as openai", ask: posting("/v1beta/openai/chat/completions", hello), respond: responding(geminiHeader, chatBody)},
})

// claude and gemini are requests as the SDKs of these providers send them.
func claude(line, body string) string {
	return asking(line, bodied(body, "x-api-key: sk-ant-of-the-client", "anthropic-version: 2023-06-01", "anthropic-beta: a-1,b-2", jsonType)...)
}

func geminiAsk(line, body string, headers ...string) string {
	return asking(line, bodied(body, append(headers, "x-goog-api-key: AIza-of-the-client", "x-goog-api-client: google-genai-sdk/1.0 gl-node/v22", jsonType)...)...)
}

func bodied(body string, headers ...string) []string {
	if body == "" {
		return headers
	}
	return append(headers, "", body)
}

// under mounts exchanges.
func under(mount string, exchanges []exchanged) []exchanged {
	for i := range exchanges {
		exchanges[i].mount = mount
	}
	return exchanges
}
