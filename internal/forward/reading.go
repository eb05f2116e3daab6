package forward

import (
	"bytes"
	"io"
	"net/http"
	"slices"

	"forward/internal/dialect"
	"forward/internal/framing"
	"forward/internal/jsonscan"
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
