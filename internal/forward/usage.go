package forward

import (
	"bytes"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/andybalholm/brotli"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"forward/internal/dialect"
	"forward/internal/framing"
	"forward/internal/tokens"
	"forward/internal/upstream"
)

// The headers that tell what an answer cost, in tokens; trailers of streams, for nobody knows before the end.
const (
	inputTokens     = "X-Llm-Input-Tokens"
	outputTokens    = "X-Llm-Output-Tokens"
	totalTokens     = "X-Llm-Total-Tokens"
	tokensEstimated = "X-Llm-Tokens-Estimated" // "true" when the provider did not tell them
)

const (
	// maxAhead bounds what of a body is read before its headers go out, in bytes.
	maxAhead = 1 << 20
	// maxUnpacked bounds what a compressed answer may unpack to when it is read for its usage, in bytes.
	maxUnpacked = 32 << 20
)

// meters reports whether the usage of an answer is read from it.
func (x *exchange) meters(res *http.Response) bool {
	return x.op.Parsed() && !x.route.Open && res.StatusCode == http.StatusOK && x.r.Method != http.MethodHead
}

// usage is what the answer cost: what the provider says, and otherwise, where text was answered, what can be counted of
// the prompt and of as much of the answer as came. Of a stream that broke off it is never less than what came.
func (t *tap) usage() (u *dialect.Usage, estimated bool) {
	x := t.x
	switch {
	case t.answer == nil:
		return nil, false
	case t.answer.Usage != nil && !t.brokeOff():
		return t.answer.Usage, false
	case !t.stream || !answersText(x.op) || len(t.answer.Choices()) == 0:
		return nil, false
	}
	if t.estimate == nil {
		x.tokensAsked()
		u := &dialect.Usage{Input: x.demand.Prompt}
		if told := t.answer.Usage; told != nil { // as it stood before the answer broke off: Anthropic begins with one token
			*u = *told
		}
		u.Output = max(u.Output, tokens.Completion(x.op, x.ask.Model, t.answer))
		u.Total = max(u.Total, u.Input+u.Output)
		t.estimate = u
	}
	return t.estimate, true
}

// brokeOff reports whether a stream has not come to its end, so that the usage it told is one of its beginning: Anthropic's first event
// tells one token of output, and Gemini's tell what there was so far.
func (t *tap) brokeOff() bool {
	return t.stream && answersText(t.x.op) && !t.answer.Ended && t.answer.Finish() == "" && len(t.answer.Choices()) > 0
}

// tellUsage writes the usage of an answer into headers or trailers.
func (t *tap) tellUsage(h http.Header) {
	u, estimated := t.usage()
	if u == nil || h == nil {
		return
	}
	if estimated {
		h[tokensEstimated] = []string{"true"}
	}
	v := []string{strconv.FormatInt(u.Input, 10), strconv.FormatInt(u.Output, 10), strconv.FormatInt(u.Total, 10)}
	h[inputTokens], h[outputTokens], h[totalTokens] = v[0:1:1], v[1:2:2], v[2:3:3]
}

// announceUsage makes room for the usage in the trailers of a stream. HTTP/1.0 has none, nor has an answer with a length.
func (t *tap) announceUsage() {
	if !t.metered || t.length >= 0 || !t.x.r.ProtoAtLeast(1, 1) {
		return
	}
	if t.res.Trailer == nil {
		t.res.Trailer = http.Header{}
	}
	for _, name := range []string{inputTokens, outputTokens, totalTokens, tokensEstimated} {
		t.res.Trailer[name] = nil
	}
	t.trailers = true
}

// readAhead reads a body that is no stream before its headers go out, as far as it is short, so that they can tell what
// it cost; a body that breaks off within it is no answer at all. Providers that send white space while a long answer is
// being made (DeepSeek and OpenRouter do) are not held up: such a body passes as it comes.
func (t *tap) readAhead() error {
	room := int64(bytes.MinRead)
	if t.length > 0 {
		room = min(t.length, maxAhead)
	}
	ahead := make([]byte, 0, room+1)
	for len(ahead) < maxAhead && t.err == nil {
		ahead = slices.Grow(ahead, 1)
		n, err := t.readBody(ahead[len(ahead):cap(ahead)])
		ahead = ahead[:len(ahead)+n]
		switch {
		case err == io.EOF || err == nil && int64(len(ahead)) == t.length:
			t.err = io.EOF
		case err != nil:
			return t.x.cutShort(err)
		}
		if len(bytes.TrimSpace(ahead)) == 0 {
			break
		}
	}
	t.out = ahead
	if t.record != nil {
		t.record.take(ahead)
	}
	if t.err != nil {
		t.finish()
	}
	return nil
}

// cutShort is the error of an answer that broke off before any of it was relayed.
func (x *exchange) cutShort(err error) error {
	p := x.cut(err)
	if p.Status == statusClientGone {
		return x.r.Context().Err()
	}
	if p.Code == string(upstream.Reset) {
		p.Message = "The upstream '" + x.route.Name + "' closed the connection before its answer was complete. The request was not sent again, because it may have been executed."
	}
	return &refusal{status: p.Status, code: p.Code, message: p.Message, err: err}
}

// readAnswer reads a whole answer on the side. What cannot be unpacked or is too large leaves the answer unread.
func (t *tap) readAnswer() {
	if t.answer == nil || t.record == nil || t.record.over {
		return
	}
	body := t.record.Bytes()
	if t.packed != "" {
		var err error
		if body, err = unpack(t.packed, body); err != nil {
			return
		}
	}
	if !t.packedStream {
		// A body that cannot be read leaves the answer incomplete; the client gets it all the same.
		t.x.dialect.Body(t.x.op, t.answer, body)
		return
	}
	split := framing.Splitter{}
	split.Feed(body)
	for {
		raw, ok := split.Next()
		if !ok {
			raw = split.Pending()
		}
		if event, found := framing.SSE.Parse(raw); found {
			t.x.dialect.ReadEvent(t.x.op, t.answer, event)
		}
		if !ok {
			return
		}
	}
}

// unpack undoes the Content-Encoding of a whole body.
func unpack(encoding string, body []byte) ([]byte, error) {
	r, err := newUnpacker(encoding, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	if c, ok := r.(io.Closer); ok {
		defer c.Close()
	}
	return io.ReadAll(io.LimitReader(r, maxUnpacked))
}

// unpacking undoes the Content-Encoding of an answer as it comes. It begins with the first Read, for it has to wait for the
// first bytes.
type unpacking struct {
	io.ReadCloser
	encoding string
	r        io.Reader
}

func (u *unpacking) Read(p []byte) (int, error) {
	if u.r == nil {
		r, err := newUnpacker(u.encoding, u.ReadCloser)
		if err != nil {
			return 0, err
		}
		u.r = r
	}
	return u.r.Read(p)
}

// newUnpacker reads a Content-Encoding that clients of the providers know (RFC 9110, section 8.4.1; RFC 7932; RFC 8878).
func newUnpacker(encoding string, packed io.Reader) (io.Reader, error) {
	switch encoding {
	case "gzip", "x-gzip":
		return gzip.NewReader(packed)
	case "br":
		return brotli.NewReader(packed), nil
	case "zstd":
		z, err := zstd.NewReader(packed, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(maxUnpacked))
		if err != nil {
			return nil, err
		}
		return z.IOReadCloser(), nil
	}
	return nil, http.ErrNotSupported
}

func unpacks(encoding string) bool {
	switch encoding {
	case "gzip", "x-gzip", "br", "zstd":
		return true
	}
	return false
}

// encodingOf is the one Content-Encoding of an answer, "" for none.
func encodingOf(h http.Header) string {
	e := strings.ToLower(strings.TrimSpace(h.Get("Content-Encoding")))
	if e == "identity" {
		return ""
	}
	return e
}
