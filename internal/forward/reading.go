package forward

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/net/http/httpguts"

	"forward/internal/cache"
	"forward/internal/dialect"
	"forward/internal/framing"
	"forward/internal/jsonscan"
	"forward/internal/tokens"
)

// The headers that report what an answer cost, in tokens; trailers of streams,
// whose cost is known at their end.
const (
	inputTokens     = "X-Llm-Input-Tokens"
	outputTokens    = "X-Llm-Output-Tokens"
	totalTokens     = "X-Llm-Total-Tokens"
	tokensEstimated = "X-Llm-Tokens-Estimated" // "true" when the provider did not report them
)

const (
	// maxAhead bounds what of a body is read before its headers go out, in
	// bytes.
	maxAhead = 1 << 20
	// maxWhole bounds an answer that is kept only to be read whole, in bytes.
	// Longer ones are scanned as they come, see dialect.Skim.
	maxWhole = 2 << 20
)

// reading is the part of a tap that reads the answer on the side.
type reading struct {
	parsed   *dialect.Answer // what the answer contains; nil when it is not read
	record   *recording      // its bytes; nil when they are not needed
	metered  bool            // its usage is read
	estimate *dialect.Usage  // instead of a usage that the provider did not report
	trailers bool            // its usage is reported in trailers
	packed   string          // its Content-Encoding; it is read only when it is whole
	keeps    bool            // the objects that it made are remembered
	placed   bool            // with the API key and base URL that made them
	owner    string          // with this forward key, which made them; "" for none
	kept     int             // how many are
	stores   bool            // it goes into the cache when it is complete
	stored   int             // bytes that did, to see whether more came
}

// startReading chooses what is read of the answer.
func (t *tap) startReading(rec *record) {
	res := t.answer.res
	uses := rec.uses()
	t.packed = encodingOf(res.Header)
	t.stores = uses.stored && res.StatusCode == http.StatusOK && t.ask.mayStore(res.Header)
	r := t.ask.in.r
	op := t.ask.from.op
	t.metered = (op.Parsed() || op.Generates()) && !rec.to.route.Open && res.StatusCode/100 == 2 && r.Method != http.MethodHead
	t.keeps = t.keepsObjects(rec)
	_, events := t.ask.from.dialect.Framing(res.Header)
	switch {
	case t.metered || (uses.read() && t.packed == "" && r.Method != http.MethodHead):
		t.parsed = &dialect.Answer{NoText: !events && !uses.read() && !t.ask.req.Array}
		if t.answer.whole == nil && (t.stores || !events || t.packed != "") && (uses.read() || !isMedia(res.Header)) {
			t.record = t.newRecording()
			if !events || t.packed != "" {
				t.record.tap = t
			}
			if !uses.read() && !t.keeps {
				t.record.max = min(t.record.max, maxWhole)
			}
		}
	case t.keeps && isJSON(res.Header):
		t.record = &recording{max: maxStateAnswer}
	}
}

// notStored are headers about the moment or the connection, not of the answer.
var notStored = map[string]bool{
	"Age": true, "Alt-Svc": true, "Cache-Control": true, "Cf-Cache-Status": true, "Cf-Ray": true, "Connection": true,
	"Content-Length": true, "Date": true, "Expires": true, "Keep-Alive": true, "Openai-Organization": true,
	"Openai-Processing-Ms": true, "Openai-Project": true, "Retry-After": true, "Retry-After-Ms": true, "Server": true,
	"Strict-Transport-Security": true, "Trailer": true, "Transfer-Encoding": true, "Vary": true,
}

// newRecording returns what keeps the bytes of the answer, for the cache or to
// read a body that is no stream.
func (t *tap) newRecording() *recording {
	r := &recording{max: t.g.CacheMaxEntry, call: t.memory.call}
	if !t.stores {
		return r
	}
	from := t.answer.res.Header
	r.header = make(http.Header, len(from))
	for name, values := range from {
		if !notStored[name] && !strings.HasPrefix(name, "X-Ratelimit-") {
			r.header[name] = values
		}
	}
	id := t.ask.from.dialect.RequestIDHeader
	if r.header.Get(id) == t.ask.in.id { // the gateway's name for this request, and for no later one
		r.header.Del(id)
	}
	return r
}

// storeAnswer puts a complete answer into the cache: a whole body, or a stream
// up to its end marker. It is called before the client has the last byte, and
// again at the end of a stream that went on after its marker. clean is true
// when the framing of the body ended well.
func (t *tap) storeAnswer(clean bool) {
	if !t.stores || t.packed != "" || t.record == nil || !t.isComplete(clean) {
		return
	}
	recorded, ok := t.record.bytes()
	if !ok || len(recorded) == t.stored {
		return
	}
	if !t.parsed.Willing(t.ask.req.MaxTokens) {
		return
	}
	t.stored = len(recorded)
	body := slices.Clone(recorded)
	if t.ask.req.Array { // neither of the two forms that are kept
		body, ok = t.ask.from.dialect.Fold(t.ask.from.op, body)
		if !ok {
			return
		}
	}
	now := time.Now()
	e := &cache.Entry{
		Status: http.StatusOK, Header: t.record.header, Body: body, Stream: t.events,
		Stored: now, Question: t.memory.question,
	}
	if t.events {
		e.Gaps = slices.Clone(t.gaps)
	}
	if t.memory.ttl > 0 {
		e.Expires = now.Add(t.memory.ttl)
	}
	t.g.Cache.Put(t.memory.key, e)
	if t.memory.call != nil {
		t.memory.call.retire()
	}
}

// isComplete reports whether the answer is whole by the rules of its protocol.
func (t *tap) isComplete(clean bool) bool {
	if t.parsed == nil {
		return false
	}
	if !t.ask.from.op.Parsed() { // a path of CACHE_ROUTES, whose protocol is unknown
		return clean
	}
	return t.parsed.Complete()
}

// usage is what the answer cost: what the provider reports, and otherwise what
// can be counted of the prompt and of as much of the answer as came. Of a
// stream that broke off it is never less than what came. It is nil where
// nothing can be counted.
func (t *tap) usage() (u *dialect.Usage, estimated bool) {
	switch {
	case t.parsed == nil:
		return nil, false
	case t.parsed.Usage != nil && !t.parsed.Usage.Early && !t.endsEarly() && !t.contradicts():
		return t.parsed.Usage, false
	case t.estimate == nil:
		t.estimate = t.count()
	}
	if t.estimate == nil {
		return t.parsed.Usage, false
	}
	return t.estimate, true
}

// endsEarly reports whether a stream has not come to its end, so that the usage
// in it is one of its start: Anthropic's first event reports one token of
// output, and Gemini's report what there was so far.
func (t *tap) endsEarly() bool {
	return t.events && t.ask.from.op.AnswersText() && !t.parsed.Ended && t.parsed.Finish() == "" && len(t.parsed.Choices()) > 0
}

// contradicts reports whether the usage leaves out what is there: a text has a
// prompt, and it is made of tokens.
func (t *tap) contradicts() bool {
	u := t.parsed.Usage
	if !t.ask.from.op.AnswersText() || (u.Input > 0 && u.Output > 0) {
		return false
	}
	return u.Output > 0 || t.parsed.HasText()
}

// count counts what the answer does not report, nil where that is impossible.
func (t *tap) count() *dialect.Usage {
	op := t.ask.from.op
	u := dialect.Usage{Terms: dialect.Terms{Fees: t.parsed.Fees}}
	if t.parsed.Usage != nil { // as it stood before the answer broke off: Anthropic starts with one token
		u = *t.parsed.Usage
	}
	switch {
	case op.AnswersText() && len(t.parsed.Choices()) > 0:
		u.Output = max(u.Output, t.completion())
	case op.Embeds() && t.parsed.Ended && t.parsed.Error == "":
	default:
		return nil
	}
	if u.Input == 0 {
		u.Input = t.demand.exact().Prompt
	}
	if u.Input+u.Output == 0 {
		return nil // a body that could not be read has no prompt that could be counted
	}
	u.Total = max(u.Total, u.Input+u.Output)
	return &u
}

// completion counts the tokens of the text that was answered. Where that was
// too long to be kept its length is all that is known.
func (t *tap) completion() int64 {
	if t.record != nil && t.record.over && !t.events {
		return tokens.Estimation{}.EstimateBytes(int64(t.record.n))
	}
	return tokens.Completion(t.ask.from.op, t.demand.model, t.parsed)
}

// reportUsage writes the usage of the answer into headers or trailers.
func (t *tap) reportUsage(h http.Header) {
	u, estimated := t.usage()
	if u == nil || h == nil || (u.Total == 0 && u.Media != dialect.Media{}) {
		return
	}
	if estimated {
		h[tokensEstimated] = []string{"true"}
	}
	h[inputTokens] = []string{strconv.FormatInt(u.Input, 10)}
	h[outputTokens] = []string{strconv.FormatInt(u.Output, 10)}
	h[totalTokens] = []string{strconv.FormatInt(u.Total, 10)}
}

// announceUsage announces the usage in the trailers of a stream, to clients
// that ask for trailers with "TE: trailers" (RFC 9110, section 6.5.1): some
// proxies and clients cut an answer that has them. HTTP/1.0 has none, nor has
// an answer with a length.
func (t *tap) announceUsage() {
	r := t.ask.in.r
	if !t.metered || t.length >= 0 || !r.ProtoAtLeast(1, 1) || !httpguts.HeaderValuesContainsToken(r.Header["Te"], "trailers") {
		return
	}
	res := t.answer.res
	if res.Trailer == nil {
		res.Trailer = http.Header{}
	}
	for _, name := range []string{inputTokens, outputTokens, totalTokens, tokensEstimated} {
		res.Trailer[name] = nil
	}
	t.trailers = true
}

// readAhead reads a body that is no stream before its headers go out, as far as
// it is short, so that they can report what it cost; a body that breaks off
// within it is no answer at all. Providers that send white space while a long
// answer is being made (DeepSeek and OpenRouter do) are not held up: their
// bodies pass as they come. So do events and lines under the label of one
// object.
func (t *tap) readAhead() error {
	size := int64(bytes.MinRead)
	if t.length > 0 {
		size = min(t.length, maxAhead)
	}
	ahead := make([]byte, 0, size+1)
	for len(ahead) < maxAhead && t.err == nil {
		ahead = slices.Grow(ahead, 1)
		n, err := t.body.Read(ahead[len(ahead):cap(ahead)])
		ahead = ahead[:len(ahead)+n]
		switch {
		case err == io.EOF || (err == nil && int64(len(ahead)) == t.length):
			t.err = io.EOF
		case err != nil:
			return cutShort(t.work, t.answer.route, err)
		}
		is, _ := framing.StartsSSE(ahead)
		if is && t.unlabelled && t.err == nil {
			t.split.Feed(ahead)
			return nil
		}
		if len(bytes.TrimSpace(ahead)) == 0 || (t.ask.req.Stream && startsLines(ahead)) {
			break
		}
	}
	t.unlabelled = t.unlabelled && len(bytes.TrimSpace(ahead)) == 0
	t.out = ahead
	if t.record != nil {
		t.record.take(ahead)
	}
	if t.err != nil {
		t.finish()
	}
	return nil
}

// startsLines reports whether a body starts with a line that is JSON by itself,
// so that more of them may follow one by one.
func startsLines(body []byte) bool {
	line, _, ended := bytes.Cut(body, []byte{'\n'})
	return ended && jsonscan.Valid(line)
}

// newSkim returns a scan of what cannot be read whole.
func (t *tap) newSkim(events bool) *dialect.Skim {
	return t.ask.from.dialect.NewSkim(t.ask.from.op, t.parsed, events)
}

// readWhole reads a whole answer on the side.
func (t *tap) readWhole() {
	if t.parsed == nil || t.record == nil {
		return
	}
	body, ok := t.record.bytes()
	if !ok {
		t.record.rest.close()
		return
	}
	if t.packed != "" {
		body = t.unpackWhole(body)
	}
	if t.packedEvents {
		t.readEvents(t.split.Framing, body)
		return
	}
	if is, _ := framing.StartsSSE(body); is {
		t.readEvents(framing.SSE, body)
		return
	}
	d := t.ask.from.dialect
	op := t.ask.from.op
	err := d.ReadBody(op, t.parsed, body)
	if u := t.parsed.Usage; t.parsed.NoText && op.AnswersText() && (u == nil || u.Input == 0 || u.Output == 0) {
		*t.parsed = dialect.Answer{} // its text is all that can be counted
		err = d.ReadBody(op, t.parsed, body)
	}
	if err != nil && t.parsed.Usage == nil {
		// A body that cannot be read leaves the answer incomplete; the client
		// gets it all the same. Lines and parts may report usage nevertheless.
		scan := t.newSkim(false)
		scan.Write(body)
		scan.Close()
	}
}

// readEvents reads a whole stream of events.
func (t *tap) readEvents(f framing.Framing, body []byte) {
	t.parsed.NoText = false
	split := framing.Splitter{Framing: f}
	split.Feed(body)
	for {
		raw, ok := split.Next()
		if !ok {
			raw = split.Pending()
		}
		event, found := split.Framing.Parse(raw)
		if found {
			t.ask.from.dialect.ReadEvent(t.ask.from.op, t.parsed, event)
		}
		if !ok {
			return
		}
	}
}

// unpackWhole undoes the Content-Encoding of a whole body. What is beyond
// maxUnpacked is scanned.
func (t *tap) unpackWhole(packed []byte) []byte {
	r, err := newUnpacker(t.packed, bytes.NewReader(packed))
	if err != nil {
		return nil
	}
	if c, ok := r.(io.Closer); ok {
		defer c.Close()
	}
	body, _ := io.ReadAll(io.LimitReader(r, maxUnpacked))
	if len(body) == maxUnpacked {
		scan := t.newSkim(t.packedEvents)
		scan.Write(body)
		io.Copy(scan, io.LimitReader(r, maxUnpackedScan))
		scan.Close()
		return nil
	}
	return body
}

// recording keeps the bytes of an answer up to a bound.
type recording struct {
	header http.Header // what a hit replays
	max    int64
	call   *call     // keeps the bytes instead, when the answer may be shared
	tap    *tap      // reads an answer that is longer; nil: it is not read
	rest   *sideSkim // takes it from its start
	n      int       // bytes of the answer
	buf    []byte    // nil when over
	over   bool      // the answer is longer
}

// add takes the next bytes of the answer.
func (r *recording) add(p []byte) {
	r.n += len(p)
	if r.over {
		r.rest.write(p)
		return
	}
	kept := int64(r.n) <= r.max
	if kept && r.call != nil {
		var there []byte
		if there, kept = r.call.recorded(r.n); kept {
			r.buf = there
		}
	} else if kept {
		r.buf = append(r.buf, p...)
	}
	if !kept {
		r.over = true
		if r.tap != nil {
			r.rest = &sideSkim{encoding: r.tap.packed, scan: r.tap.newSkim(r.tap.packedEvents)}
		}
		r.rest.write(r.buf)
		r.rest.write(p)
		r.buf = nil
	}
}

// take takes the first bytes of the answer, which are not changed any more.
func (r *recording) take(p []byte) {
	if r.call == nil && int64(len(p)) <= r.max {
		r.n = len(p)
		r.buf = p[:len(p):len(p)]
		return
	}
	r.add(p)
}

// bytes returns what was taken. ok is false when the answer was too long.
func (r *recording) bytes() (b []byte, ok bool) { return r.buf, !r.over }

// sideSkim scans an answer that may be compressed. The zero value takes
// nothing; nil too.
type sideSkim struct {
	encoding string
	scan     *dialect.Skim
	packed   *io.PipeWriter // to the goroutine that unpacks; nil before the first write
	done     chan struct{}  // closed when it is over
	closed   bool
}

// write takes the next bytes of the answer.
func (s *sideSkim) write(p []byte) {
	switch {
	case s == nil || len(p) == 0:
		return
	case s.encoding == "":
		s.scan.Write(p)
		return
	case s.packed == nil:
		r, w := io.Pipe()
		s.packed = w
		s.done = make(chan struct{})
		go s.unpack(r)
	}
	s.packed.Write(p) // fails at once when nothing reads it any more
}

// unpack scans what was packed, in a goroutine that close waits for: those who
// unpack read, and the answer is written.
func (s *sideSkim) unpack(packed *io.PipeReader) {
	defer close(s.done)
	defer packed.CloseWithError(errUnread)
	r, err := newUnpacker(s.encoding, packed)
	if err != nil {
		return
	}
	if c, ok := r.(io.Closer); ok {
		defer c.Close()
	}
	io.Copy(s.scan, io.LimitReader(r, maxUnpackedScan))
}

// close ends the answer.
func (s *sideSkim) close() {
	if s == nil || s.closed {
		return
	}
	s.closed = true
	if s.packed != nil {
		s.packed.Close()
		<-s.done
	}
	s.scan.Close()
}

// errUnread is what a sideSkim meets behind the end of what it reads.
var errUnread = errors.New("the rest of the answer is not read")
