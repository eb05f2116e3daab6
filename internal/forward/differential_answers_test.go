package forward_test

import "strings"

var models = getting("GET /v1/models")

// oddAnswers are answers that a careless proxy would complete or tidy up.
var oddAnswers = []exchanged{
	{name: "answer/no type", ask: models, respond: respond("200 OK", "", "<html><body>hi")},
	{name: "answer/no type of an error", ask: posting("/v1/chat/completions", hello), respond: respond("502 Bad Gateway", "", "upstream error")},
	{name: "answer/no type in chunks", ask: models, respond: respond("200 OK", chunked, "", chunks("%PDF-1.4", "x"), "\r\n")},
	{name: "answer/empty type", ask: models, respond: respond("200 OK", "Content-Type:", "", "<html>")},
	{name: "answer/two types", ask: models, respond: respond("200 OK", jsonType, "Content-Type: text/plain", "", "{}")},
	{name: "answer/empty 200", ask: models, respond: respond("200 OK", jsonType, "Content-Length: 0")},
	{name: "answer/empty 200 in chunks", ask: models, respond: respond("200 OK", jsonType, chunked, "", "0\r\n\r\n")},
	{name: "answer/empty 404", ask: models, respond: respond("404 Not Found", "Content-Length: 0")},
	{name: "answer/empty 405", ask: models, respond: respond("405 Method Not Allowed", "Allow: POST", "Content-Length: 0")},
	{name: "answer/201", ask: models, respond: respond("201 Created", jsonType, "", "{}")},
	{name: "answer/204", ask: models, respond: respond("204 No Content", "X-A: b")},
	{name: "answer/205", ask: models, respond: respond("205 Reset Content", "Content-Length: 0")},
	{name: "answer/304", ask: asking("GET /v1/models", `If-None-Match: "a"`), respond: respond("304 Not Modified", `ETag: "a"`, "Cache-Control: max-age=60", "Expires: 0", "Age: 7")},
	{name: "answer/304 with a type", ask: asking("GET /v1/models", `If-None-Match: "a"`), respond: respond("304 Not Modified", `ETag: "a"`, jsonType, "Content-Length: 2"), apart: nothingRead},
	{name: "answer/307 on an open route", mount: "/extra", ask: models, respond: respond("307 Temporary Redirect", "Location: https://b.example/v1/models?a=%2F#c", "Content-Length: 0")},
	{name: "answer/300 without a place", ask: models, respond: respond("300 Multiple Choices", jsonType, "", "[]")},
	{name: "answer/402", ask: models, respond: respond("402 Payment Required", jsonType, "", apiError)},
	{name: "answer/408", ask: models, respond: respond("408 Request Timeout", jsonType, "", apiError)},
	{name: "answer/413", ask: models, respond: respond("413 Payload Too Large", jsonType, "", apiError)},
	{name: "answer/418", ask: models, respond: respond("418 I'm a teapot", jsonType, "", apiError)},
	{name: "answer/422 with a type of its own", ask: models, respond: respond("422 Unprocessable Entity", "Content-Type: application/problem+json", "", `{"title":"a"}`)},
	{name: "answer/501", ask: models, respond: respond("501 Not Implemented", jsonType, "", apiError)},
	{name: "answer/504", ask: models, respond: respond("504 Gateway Timeout", "Content-Type: text/html", "", "<html>")},
	{name: "answer/599", ask: models, respond: respond("599 Whatever", jsonType, "", apiError)},
	{name: "answer/no reason", ask: models, respond: respond("200 ", jsonType, "", "{}")},
	{name: "answer/part", ask: asking("GET /v1/files/a/content", "Range: bytes=0-1,-2", `If-Range: "a"`), respond: respond("206 Partial Content", "Content-Range: bytes 0-1/4", "Accept-Ranges: bytes", "Content-Type: application/pdf", "", "%P")},
	{name: "answer/parts", ask: asking("GET /v1/files/a/content", "Range: bytes=0-1,3-4"), respond: respond("206 Partial Content", "Content-Type: multipart/byteranges; boundary=b", "", "--b\r\nContent-Range: bytes 0-1/9\r\n\r\nab\r\n--b--\r\n")},
	{name: "answer/no such part", ask: asking("GET /v1/files/a/content", "Range: bytes=9-"), respond: respond("416 Range Not Satisfiable", "Content-Range: bytes */4", "Content-Length: 0")},
	{name: "answer/to the end of the connection", ask: models, respond: respond("200 OK", jsonType, toTheEnd, "", `{"a":1}`)},
	{name: "answer/of HTTP 1.0", ask: models, respond: strings.Replace(respond("200 OK", jsonType, "", `{"a":1}`), "1.1", "1.0", 1)},
	{name: "answer/trailers", ask: models, respond: respond("200 OK", jsonType, chunked, "Trailer: X-Checksum, X-LLM-Total-Tokens", "", chunks("{", "}"), "X-Checksum: abc\r\nX-LLM-Total-Tokens: 12\r\n\r\n")},
	{name: "answer/unannounced trailers", ask: models, respond: respond("200 OK", jsonType, chunked, "", chunks("{", "}"), "X-Checksum: abc\r\nX-Checksum: def\r\n\r\n")},
	{name: "answer/trailers of a stream", ask: posting("/v1/chat/completions", streamed), respond: respond("200 OK", sseType, chunked, "Trailer: X-Checksum", "", chunks(events(true)), "X-Checksum: abc\r\n\r\n")},
	{name: "answer/trailers of nothing", ask: models, respond: respond("200 OK", jsonType, chunked, "Trailer: X-Checksum", "", "0\r\nX-Checksum: abc\r\n\r\n")},
	{name: "answer/early hints", ask: models, respond: "HTTP/1.1 103 Early Hints\r\nLink: </a>; rel=preload\r\n\r\n" + fine},
	{name: "answer/hop-by-hop", ask: models, respond: respond("200 OK", jsonType, "Connection: X-Hop, keep-alive", "Keep-Alive: timeout=5", "Proxy-Authenticate: Basic", "", "{}")},
	{name: "answer/headers of caches", ask: models, respond: respond("200 OK", jsonType, "X-Cache: HIT", "Cache-Status: a; hit", "Age: 9", "Cache-Control: public, max-age=9", "ETag: W/\"a\"", "Last-Modified: Fri, 21 Nov 2025 09:15:02 GMT", "Vary: *", "", "{}")},
	{name: "answer/a date of its own", ask: models, respond: respond("200 OK", jsonType, "Date: some day", "Server:", "", "{}")},
	{name: "answer/request ids", ask: models, respond: respond("200 OK", jsonType, "X-Request-Id: a", "Request-Id: b", "X-Forward-Upstream: c", "", "{}")},
	{name: "answer/headers of pages", ask: asking("GET /v1/models", "Origin: https://page.example"), respond: respond("200 OK", jsonType, "Access-Control-Allow-Origin: https://chat.example", "Vary: Origin", "Content-Security-Policy: default-src 'none'", "", "{}")},
	{name: "answer/gzip not asked for", ask: models, respond: respond("200 OK", jsonType, "Content-Encoding: gzip", "", string(zipped(`{"data":[]}`)))},
	{name: "answer/gzip that is none", ask: posting("/v1/embeddings", `{"model":"m","input":"a"}`), respond: respond("200 OK", jsonType, "Content-Encoding: gzip", "", "not gzip")},
	{name: "answer/no JSON", ask: posting("/v1/chat/completions", hello), respond: respond("200 OK", jsonType, "", "\xef\xbb\xbf{'a':NaN,\x00")},
	{name: "answer/zeros", ask: models, respond: respond("200 OK", "Content-Type: application/octet-stream", "", strings.Repeat("\x00", 3<<20))},
}

// oddStreams are events that a careless proxy would write again.
var oddStreams = ofEvents("/v1/chat/completions", map[string]string{
	"CRLF":                     "data: {\"a\":1}\r\n\r\nevent: x\r\ndata: [DONE]\r\n\r\n",
	"CR":                       "data: 1\r\rdata: 2\r\r",
	"mixed ends of lines":      "data: 1\r\n\ndata: 2\n\r\ndata: 3\r\r\n\n\n\n",
	"comments":                 ": ping\n\n:\n\n: OPENROUTER PROCESSING\n\ndata: {}\n\n: end",
	"byte order mark":          "\xef\xbb\xbfdata: {}\n\n",
	"ids, retries and unknown": "id: 1\nretry: 5\nfoo: bar\nfoo\ndata\n\ndata:x\n\ndata:  two\n\n",
	"several lines of data":    "data: {\ndata: \"a\":1\ndata: }\n\n",
	"nothing at the end":       "data: {\"a\":1}\n\ndata: {\"b\":2}",
	"one newline at the end":   "data: {\"a\":1}\n\ndata: [DONE]\n",
	"events after the end":     events(true) + "data: {\"more\":1}\n\n",
	"only blank lines":         "\n\n\n\r\n",
	"nothing":                  "",
	"no events":                `{"error":{"message":"not a stream"}}`,
	"an event of 1 MB":         chunk(`{"content":"`+strings.Repeat("ä", 1<<19)+`"}`, "null") + "data: [DONE]\n\n",
	"a line of 1 MB":           strings.Repeat("x", 1<<20),
	"an error":                 chunk(`{"content":"a"}`, "null") + "data: {\"error\":{\"message\":\"The server had an error\",\"type\":\"server_error\"}}\n\n",
	"usage nobody asked for":   events(true),
	"white space in JSON":      "data: { \"id\" : 1 ,\"choices\" :[ ] }  \n\ndata: \xff\xfe\x00\n\n",
})

// ofEvents makes exchanges of bodies of events: in chunks as they come, and
// with a length.
func ofEvents(path string, bodies map[string]string) (list []exchanged) {
	for name, body := range bodies {
		half := len(body) / 2
		parts := []string{body[:half], body[half:]}
		if body == "" {
			parts = nil
		}
		list = append(list,
			exchanged{name: "stream/" + name, ask: posting(path, streamed), respond: streaming(openAIHeader, parts...)},
			exchanged{name: "stream with a length/" + name, ask: posting(path, streamed), respond: responding(with(openAIHeader, sseType), body)})
	}
	return list
}
