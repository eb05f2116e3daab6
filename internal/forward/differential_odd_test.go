package forward_test

import (
	"bytes"
	"compress/gzip"
	"strings"
)

func zipped(s string) []byte {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	w.Write([]byte(s))
	w.Close()
	return b.Bytes()
}

var fine = responding([]string{jsonType}, `{}`)

// oddRequests are requests that a careless proxy would tidy up.
var oddRequests = []exchanged{
	{name: "path/encoded slash", ask: getting("GET /v1/models/meta-llama%2FLlama-3"), respond: fine},
	{name: "path/lower case escape", ask: getting("GET /v1/models/meta-llama%2fLlama-3"), respond: fine},
	{name: "path/needless escapes", ask: getting("GET /v1/%6dodels/%41%7e%2D"), respond: fine},
	{name: "path/percent, question mark and hash escaped", ask: getting("GET /v1/files/100%25%3f%23"), respond: fine},
	{name: "path/space, plus and non-ASCII escaped", ask: getting("GET /v1/files/a%20b+c%C3%A4%ff"), respond: fine},
	{name: "path/what a segment may have", ask: getting("GET /v1/files/!$&'()*+,;=:@-._~[x]"), respond: fine},
	{name: "path/slash at the end", ask: getting("GET /v1/models/"), respond: fine},
	{name: "path/root", ask: getting("GET /"), respond: fine},
	{name: "path/mount alone", mount: "/anthropic", ask: getting("GET /"), respond: fine},
	{name: "path/like one of ours", mount: "/openai", ask: getting("GET /health"), respond: fine},
	{name: "path/hash", ask: getting("GET /v1/files/a#b"), respond: fine, apart: spelt},
	{name: "path/bar and quotes", ask: getting(`GET /v1/files/a|b"c^`), respond: fine, apart: spelt},
	{name: "path/raw UTF-8", ask: getting("GET /v1/files/ä"), respond: fine, apart: spelt},
	{name: "query/semicolon", ask: getting("GET /v1/files?a=1;b=2&c;d"), respond: fine},
	{name: "query/broken escapes", ask: getting("GET /v1/files?a=%zz&%&b=%2"), respond: fine},
	{name: "query/repeated", ask: getting("GET /v1/files?a=1&a=2&A=3&a="), respond: fine},
	{name: "query/bare question mark", ask: getting("GET /v1/files?"), respond: fine},
	{name: "query/empty parameters", ask: getting("GET /v1/files?&&=&a&=b"), respond: fine},
	{name: "query/question marks and slashes", ask: getting("GET /v1/files?a=b?c=/d//../e"), respond: fine},
	{name: "query/plus, escapes in both cases, brackets", ask: getting("GET /v1/files?q=a+b%20c%2B%2f%2F&x[]=1&y={}|\"<>"), respond: fine},
	{name: "query/raw UTF-8", ask: getting("GET /v1/files?q=grüße"), respond: fine},
	{name: "query/hash", ask: getting("GET /v1/files?q=a#b"), respond: fine},
	{name: "query/keys", ask: getting("GET /v1/files?key=a&key=b&api_key=c"), respond: fine},
	{name: "query/long", ask: getting("GET /v1/files?q=" + strings.Repeat("a%20", 4<<10)), respond: fine},
	{name: "method/HEAD", ask: getting("HEAD /v1/models"), respond: respond("200 OK", jsonType, "Content-Length: 4711", "ETag: W/\"a\"")},
	{name: "method/HEAD without a length", ask: getting("HEAD /v1/models"), respond: respond("200 OK", jsonType, chunked)},
	{name: "method/HEAD of a stream", ask: getting("HEAD /v1/models"), respond: respond("200 OK", sseType)},
	{name: "method/HEAD 404", ask: getting("HEAD /v1/models/x"), respond: respond("404 Not Found", "Content-Length: 0")},
	{name: "method/PUT", ask: asking("PUT /v1/files/a", "Content-Type: application/octet-stream", "", binary), respond: respond("201 Created", "Location: /v1/files/a", "Content-Length: 0")},
	{name: "method/PUT empty", ask: asking("PUT /v1/files/a", "Content-Length: 0"), respond: fine},
	{name: "method/PATCH", ask: asking("PATCH /v1/files/a", "Content-Type: application/merge-patch+json", "", `{"a":null}`), respond: respond("202 Accepted", "Content-Length: 0")},
	{name: "method/DELETE with a body", ask: asking("DELETE /v1/files/a", jsonType, "", `{"a":1}`), respond: respond("204 No Content")},
	{name: "method/GET with a body", ask: asking("GET /v1/files/a/search", jsonType, "", `{"query":{}}`), respond: fine},
	{name: "method/OPTIONS", ask: getting("OPTIONS /v1/models"), respond: respond("200 OK", "Allow: GET, HEAD", "Content-Length: 0")},
	{name: "method/OPTIONS of another origin", ask: asking("OPTIONS /v1/models", "Origin: https://page.example"), respond: respond("204 No Content", "Allow: GET", "Access-Control-Allow-Origin: https://chat.example", "Access-Control-Allow-Credentials: true")},
	{name: "method/of one's own", ask: asking("X-purge /v1/models"), respond: fine},
	{name: "body/empty in chunks", ask: asking("POST /v1/files", chunked, "", "0\r\n\r\n"), respond: fine},
	{name: "body/none and a type", ask: asking("POST /v1/batches/b/cancel", jsonType), respond: fine},
	{name: "body/no JSON where none is read", ask: asking("POST /v1/files", jsonType, "", "\xef\xbb\xbf{'a':NaN,"), respond: fine},
	{name: "body/a megabyte", ask: asking("POST /v1/files", "Content-Type: application/octet-stream", "", strings.Repeat(binary, 1<<16)), respond: responding(nil, strings.Repeat(binary, 1<<16))},
	{name: "body/a megabyte in chunks", ask: asking("POST /v1/files", chunked, "", chunks(strings.Repeat(binary, 1<<16), "x"), "\r\n"), respond: fine},
	{name: "body/trailers", ask: asking("POST /v1/files", chunked, "Trailer: X-Checksum, X-Empty", "", chunks("a", "b"), "X-Checksum: abc\r\nX-Empty: \r\n\r\n"), respond: fine},
	{name: "body/unannounced trailers", ask: asking("POST /v1/files", chunked, "", chunks("a", "b"), "X-Checksum: abc\r\n\r\n"), respond: fine, apart: trailerLess},
	{name: "json/numbers", ask: posting("/v1/chat/completions", `{"model":"m","seed":12345678901234567890123,"temperature":1.0,"top_p":1E-00,"x":-0,"y":0.1000,"messages":[]}`), respond: fine},
	{name: "json/escapes", ask: posting("/v1/chat/completions", `{"model":"m","messages":[{"role":"user","content":"\u00e4ä\/\ud83d\ude00\u0000<>&\u2028`+"\u2028"+`"}],"\u0061":"\ud800"}`), respond: fine},
	{name: "json/white space", ask: posting("/v1/chat/completions", " \r\n\t{ \"model\" :\t\"m\" ,\r\n\"messages\" : [ ] \n}\n\n "), respond: fine},
	{name: "json/order and unknown keys", ask: posting("/v1/chat/completions", `{"z":1,"model":"m","messages":[],"a":{"b":[{},[],null,true]},"":0,"caching2":false}`), respond: fine},
	{name: "json/unguarded key twice", ask: posting("/v1/chat/completions", `{"model":"m","temperature":0,"temperature":1,"messages":[]}`), respond: fine},
	{name: "json/bytes that are no UTF-8", ask: posting("/v1/chat/completions", "{\"model\":\"m\",\"messages\":[\"\xff\xfe\"]}"), respond: fine},
	{name: "json/empty object", ask: posting("/v1/chat/completions", `{}`), respond: fine},
	{name: "header/none at all", ask: asking("GET /v1/models"), respond: fine},
	{name: "header/twice", ask: asking("GET /v1/models", "X-A: 1", "X-B: 2", "x-a: 3", "X-A: 1", "Accept: text/html", "Accept: */*;q=0.1"), respond: fine},
	{name: "header/UTF-8 and Latin-1", ask: asking("GET /v1/models", "X-Title: Grüße 🦊", "X-Latin: Gr\xfc\xdfe"), respond: respond("200 OK", "X-Title: Grüße 🦊", "X-Latin: Gr\xfc\xdfe", "", "{}")},
	{name: "header/empty and inner white space", ask: asking("GET /v1/models", "X-Empty:", "X-Space: a \t  b ,, c"), respond: respond("200 OK", "X-Empty:", "X-Space: a \t  b ,, c", "", "{}")},
	{name: "header/odd names", ask: asking("GET /v1/models", "X_Under_Score: 1", "x.dot!#$%&'*+^`|~: 2", "1: 3"), respond: respond("200 OK", "X_Under_Score: 1", "x.dot!#$%&'*+^`|~: 2", "1: 3", "", "{}")},
	{name: "header/large", ask: asking("GET /v1/models", "X-Large: "+strings.Repeat("a", 48<<10)), respond: respond("200 OK", "X-Large: "+strings.Repeat("b", 200<<10), "", "{}")},
	{name: "header/many", ask: asking("GET /v1/models", strings.Split(strings.Repeat("X-Many: a\n", 300)+"X-Last: b", "\n")...), respond: respond("200 OK", append(strings.Split(strings.Repeat("Link: <a>\n", 300)+"X-Last: b", "\n"), "", "{}")...)},
	{name: "header/empty User-Agent", ask: asking("GET /v1/models", "User-Agent:"), respond: fine, apart: unnamed},
	{name: "header/hop-by-hop and of other hops", ask: asking("GET /v1/models", "Keep-Alive: timeout=5", "TE: trailers", "Proxy-Authorization: Basic YTpi", "X-Forwarded-For: 1.2.3.4", "Forwarded: for=1.2.3.4", "X-Real-IP: 1.2.3.4", "Via: 1.0 fred", "Cookie: a=b", "Referer: https://page.example/", "X-Forward-Cache-TTL: 9"), respond: fine},
	{name: "header/credentials of every kind", ask: asking("GET /v1/models?key=k", "Authorization: Basic YTpi", "Authorization: Bearer b", "api-key: c", "x-api-key: d", "x-goog-api-key: e"), respond: fine},
	{name: "header/conditions and caches", ask: asking("GET /v1/models", "If-None-Match: \"a\", W/\"b\"", "If-Modified-Since: Fri, 21 Nov 2025 09:15:02 GMT", "Cache-Control: no-cache", "Pragma: no-cache", "DNT: 1"), respond: fine},
	{name: "header/keys of idempotency", ask: asking("POST /v1/batches", "Idempotency-Key: a", "X-Idempotency-Key: b", jsonType, "", "{}"), respond: fine},
	{name: "header/expectation", ask: asking("POST /v1/files", "Expect: 100-continue", jsonType, "", "{}"), respond: fine},
	{name: "header/request ids of the client", ask: asking("GET /v1/models", "X-Request-Id: mine", "X-Client-Request-Id: mine", "traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"), respond: fine},
}
