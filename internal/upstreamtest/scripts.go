package upstreamtest

import (
	"bytes"
	"compress/gzip"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// behaviour is one named way to deliver an answer.
type behaviour struct {
	name    string // "#" stands for a number
	means   string
	early   bool // plays before the request body is read, if named outside of the body
	deliver func(x *exchange, n int)
}

// behaviours is the whole repertoire. Any name may end in "-then-ok": it is
// played once, later requests are answered well.
func behaviours() []behaviour {
	return []behaviour{
		{name: "err-#", means: "status # with an error body; 429 and 503 carry Retry-After: 1 (Gemini's 429 has it in its body)", deliver: (*exchange).playError},
		{name: "echo-auth", means: "401 whose body and header quote the credential that came", deliver: func(x *exchange, _ int) { x.echoAuth(401) }},
		{name: "echo-auth-#", means: "the same with status #", deliver: (*exchange).echoAuth},
		{name: "echo-headers", means: "200 with the request's headers as JSON", deliver: (*exchange).echoHeaders},
		{name: "redirect", means: "302 to another host", deliver: func(x *exchange, _ int) { x.redirect(http.StatusFound) }},
		{name: "redirect-#", means: "the same with status #", deliver: (*exchange).redirect},
		{name: "html", means: "200 with a login page", deliver: (*exchange).html},
		{name: "malformed-json", means: "200 with a body that is not JSON", deliver: (*exchange).malformedJSON},
		{name: "private-headers", means: "an ordinary answer with cookies, CORS and internal headers", deliver: (*exchange).privateHeaders},
		{name: "gzip", means: "an ordinary answer in gzip", deliver: (*exchange).gzip},
		{name: "agent", means: "a tool loop: a call of the tool that runs commands, then a sentence", deliver: (*exchange).agent},
		{name: "delay-#-ms", means: "an ordinary answer after # ms", deliver: (*exchange).delay},

		{name: "burst-#", means: "# events and the end mark in one write, before the request body is read", early: true, deliver: (*exchange).burst},
		{name: "burst-wait-#", means: "the same, after the request body was read", deliver: (*exchange).burst},
		{name: "events-#", means: "# events, each flushed", deliver: func(x *exchange, n int) { x.deliver(x.numbered(n)) }},
		{name: "slow-stream-#-ms", means: "100 words, # ms apart", deliver: (*exchange).slowStream},
		{name: "byte-by-byte", means: "a stream flushed after every byte", deliver: (*exchange).byteByByte},
		{name: "crlf", means: "a stream with CRLF line ends and comments", deliver: (*exchange).crlf},
		{name: "wide-event-#-kb", means: "a stream with one event of # KiB", deliver: (*exchange).wideEvent},
		{name: "big-#-mb", means: "# MiB of bytes with Content-Length", deliver: (*exchange).big},
		{name: "big-chunked-#-mb", means: "# MiB of bytes without Content-Length", deliver: (*exchange).bigChunked},

		{name: "cut-mid-stream", means: "half of a stream, then the connection is closed", deliver: (*exchange).cutMidStream},
		{name: "cut-mid-body", means: "a part of the announced body, then the connection is closed", deliver: (*exchange).cutMidBody},
		{name: "no-end", means: "a stream that ends cleanly without its end mark", deliver: (*exchange).noEnd},
		{name: "error-in-stream", means: "half of a stream, then an error event", deliver: (*exchange).errorInStream},
		{name: "stall", means: "half of a stream, then silence", deliver: (*exchange).stall},
		{name: "stall-before-headers", means: "silence", deliver: func(x *exchange, _ int) { x.stalled(0) }},
		{name: "reset-before-headers", means: "the connection is reset", deliver: func(x *exchange, _ int) { x.raw("", true) }},
		{name: "close-before-headers", means: "the connection is closed", deliver: func(x *exchange, _ int) { x.raw("", false) }},
		{name: "malformed", means: "an answer that is not HTTP", deliver: func(x *exchange, _ int) { x.raw("SMTP/1.0 hello\r\n\r\n", false) }},
		{name: "malformed-chunks", means: "a stream with broken chunk framing", deliver: (*exchange).malformedChunks},
		{name: "headers-#-kb", means: "# KiB of response headers", deliver: (*exchange).wideHeaders},
	}
}

// Scripts returns the names of all scripts with what they do, in the order of
// the table.
func Scripts() [][2]string {
	var out [][2]string
	for _, b := range behaviours() {
		out = append(out, [2]string{b.name, b.means})
	}
	return out
}

// play is a behaviour as a request named it.
type play struct {
	behaviour
	n        int
	onlyOnce bool
}

// lookup finds the behaviour of a name such as "slow-stream-20-ms" or
// "err-429-then-ok".
func lookup(name string) (play, bool) {
	name, once := strings.CutSuffix(name, "-then-ok")
	for _, b := range behaviours() {
		before, after, numbered := strings.Cut(b.name, "#")
		if !numbered {
			if name == b.name {
				return play{behaviour: b, onlyOnce: once}, true
			}
			continue
		}
		rest, ok := strings.CutPrefix(name, before)
		rest, ok2 := strings.CutSuffix(rest, after)
		if n, err := strconv.Atoi(rest); ok && ok2 && err == nil {
			return play{behaviour: b, n: n, onlyOnce: once}, true
		}
	}
	return play{}, false
}

// scriptOutsideBody returns the script named by the header X-Script, the query
// parameter script, or an API key that ends in ".script=NAME" (for gateways
// with several keys, if one is to be spent).
func scriptOutsideBody(r *http.Request) string {
	if name := r.Header.Get("X-Script"); name != "" {
		return name
	}
	if name := r.URL.Query().Get("script"); name != "" {
		return name
	}
	_, name, _ := strings.Cut(credential(r), ".script=")
	return name
}

func (x *exchange) playError(status int) {
	r := x.failure(status, "scripted_error", "This error is scripted.")
	if status == http.StatusUnauthorized {
		r = x.failure(status, "invalid_api_key", "Invalid API key.") // else the answer is about the request
	}
	if (status == http.StatusTooManyRequests || status == http.StatusServiceUnavailable) && x.dialect() != gemini {
		r.header.Set("Retry-After", "1")
	}
	x.deliver(r)
}

func (x *exchange) echoAuth(status int) {
	key := credential(x.r)
	r := x.failure(status, "invalid_api_key", "Incorrect API key provided: "+key+". You sent "+x.r.URL.RequestURI()+".")
	r.header.Set("X-Echoed-Key", key)
	x.deliver(r)
}

func (x *exchange) echoHeaders(int) { x.deliver(jsonReply(http.StatusOK, marshal(x.r.Header))) }

func (x *exchange) redirect(status int) {
	r := jsonReply(status, "{}")
	r.header.Set("Location", "http://elsewhere.invalid/taken"+x.r.URL.Path)
	x.deliver(r)
}

func (x *exchange) html(int) {
	x.deliver(reply{status: http.StatusOK, header: http.Header{"Content-Type": {"text/html"}}, body: []byte("<html><body>Please log in.</body></html>")})
}

func (x *exchange) malformedJSON(int) {
	x.deliver(jsonReply(http.StatusOK, `{"id":"chatcmpl-1","choices":[{"ind`))
}

func (x *exchange) privateHeaders(int) {
	r := x.ordinary()
	r.header.Set("Set-Cookie", "__cf_bm=tenant; Path=/; HttpOnly")
	r.header.Set("Access-Control-Allow-Origin", "https://provider.example")
	r.header.Set("Access-Control-Allow-Credentials", "true")
	r.header.Set("X-Internal", "kept")
	x.deliver(r)
}

func (x *exchange) gzip(int) {
	r := x.ordinary()
	plain := r.body
	for _, e := range r.events {
		plain = append(plain, e.text("\n")...)
	}
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	// Writing to a bytes.Buffer does not fail.
	_, _ = z.Write(plain)
	_ = z.Close()
	r.body, r.events = packed.Bytes(), nil
	r.header.Set("Content-Encoding", "gzip")
	x.deliver(r)
}

func (x *exchange) delay(ms int) {
	x.stalled(time.Duration(ms) * time.Millisecond)
	x.deliverOrdinary(0)
}
