package forward

import (
	"net/http"
	"strings"
	"time"

	"forward/internal/cache"
)

// notRemembered are headers that say something of the moment or of the connection, not of the answer.
var notRemembered = map[string]bool{
	"Age": true, "Alt-Svc": true, "Cache-Control": true, "Cf-Cache-Status": true, "Cf-Ray": true, "Connection": true,
	"Content-Length": true, "Date": true, "Expires": true, "Keep-Alive": true, "Openai-Organization": true,
	"Openai-Processing-Ms": true, "Openai-Project": true, "Retry-After": true, "Retry-After-Ms": true, "Server": true,
	"Strict-Transport-Security": true, "Trailer": true, "Transfer-Encoding": true, "Vary": true,
}

// recorder returns what keeps the bytes of an answer, nil when nobody needs them: the cache does, and whoever reads a
// body that is no stream.
func (x *exchange) recorder(res *http.Response, stream bool) *recording {
	m := &x.memory
	if m.store = m.store && res.StatusCode == http.StatusOK; !m.store && stream {
		return nil
	}
	r := &recording{max: x.CacheMaxEntry}
	if m.store {
		r.header = make(http.Header, len(res.Header))
		for name, values := range res.Header {
			if !notRemembered[name] && !strings.HasPrefix(name, "X-Ratelimit-") {
				r.header[name] = values
			}
		}
		if r.header.Get(x.dialect.RequestIDHeader) == x.id { // our name for this request, and for no later one
			r.header.Del(x.dialect.RequestIDHeader)
		}
	}
	return r
}

// remember puts a complete answer into the cache: a whole body, or a stream up to its end marker. It is called before
// the client has the last byte, and again at the end of a stream that went on after its marker.
func (x *exchange) remember(t *tap, clean bool) {
	m := &x.memory
	if !m.store || t.packed != "" || t.record == nil || t.record.over || t.record.Len() == m.size || !t.complete(clean) {
		return
	}
	if t.answer.Finish() == "content_filter" {
		return // the provider may judge the same words otherwise tomorrow
	}
	m.size = t.record.Len()
	body := append([]byte(nil), t.record.Bytes()...)
	if x.ask.Array { // neither of the two forms that are kept
		var ok bool
		if body, ok = x.dialect.Fold(x.op, body); !ok {
			return
		}
	}
	now := time.Now()
	e := &cache.Entry{
		Status: http.StatusOK, Header: t.record.header, Body: body, Stream: t.stream,
		Stored: now, Question: m.question,
	}
	if t.stream {
		e.Gaps = append([]time.Duration(nil), t.gaps...)
	}
	if m.ttl > 0 {
		e.Expires = now.Add(m.ttl)
	}
	x.Cache.Put(m.key, e)
}
