package forward

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/tidwall/gjson"

	"forward/internal/dialect"
	"forward/internal/ledger"
	"forward/internal/upstream"
)

// Batches are made through one request and answered hours later through
// another, and only their results report what was used. So the ledger remembers
// which key made a batch and in which file its results are. When the results
// are fetched, by any key and however often, the batch is settled at its price,
// once, to the key that made it.

const (
	// maxBatchBody bounds an answer about batches that is kept to be read, in
	// bytes. Those of Gemini's may hold their results.
	maxBatchBody = 32 << 20
	// batchTimeout bounds how long the database may keep an answer waiting.
	batchTimeout = 2 * time.Second
)

// batch is what an answer has to do with batches.
type batch struct {
	use     dialect.BatchUse
	results *ledger.Settlement // of the batch whose results the answer is
	about   string             // what became of it, for the trail
}

// batchUse returns what a request has to do with batches.
func (g *Gateway) batchUse(a *ask, route *upstream.Route) (use dialect.BatchUse, object string) {
	if g.Ledger == nil || route.Open {
		return dialect.NoBatch, ""
	}
	return a.from.dialect.BatchUse(a.from.op, a.in.r.Method, a.from.plain)
}

// checkBatch refuses a batch that may ask a model which is not the caller's to
// use. Anthropic's batches name a model in each of their requests and Gemini's
// in their path, which was checked; OpenAI's have theirs in a file that the
// gateway does not read.
func (g *Gateway) checkBatch(a *ask) error {
	use, _ := a.from.dialect.BatchUse(a.from.op, a.in.r.Method, a.from.plain)
	if use != dialect.MakesBatch || a.req.Model != "" {
		return nil
	}
	unclear := &refusal{status: http.StatusForbidden, code: "model_not_allowed", param: "model",
		message: fmt.Sprintf("Key %q may not use every model, and the gateway cannot determine which ones this batch asks.", a.who.name)}
	if a.body == nil {
		return unclear
	}
	requests := a.body.Get("requests")
	if !requests.IsArray() {
		return unclear
	}
	for _, r := range requests.Array() {
		params, once := member(r, "params")
		model, named := member(params, "model")
		if !once || !named {
			return unclear
		}
		if !g.allowsModel(&a.who, model.String()) {
			return modelNotAllowed(&a.who, model.String())
		}
	}
	return nil
}

// member is the one member of an object with a name: where it is there twice,
// or spelled in another way too, an upstream may take the other one.
func member(object gjson.Result, name string) (v gjson.Result, once bool) {
	n := 0
	object.ForEach(func(k, value gjson.Result) bool {
		if strings.EqualFold(k.Str, name) {
			v, n = value, n+1
		}
		return true
	})
	return v, object.IsObject() && n == 1
}

// batchOf changes the header of a request whose answer is about batches so that
// the answer can be read: it is to come unpacked, and results that were never
// read whole are to come whole. A server may always ignore a Range (RFC 9110,
// section 14.2). It returns nil for other requests.
func (g *Gateway) batchOf(a *ask, to target, h http.Header) *batch {
	use, object := g.batchUse(a, to.route)
	if use == dialect.NoBatch {
		return nil
	}
	results := g.findResults(a, to, use, object)
	if results == nil && use == dialect.FetchesFile {
		return nil // it is some other file
	}
	h.Set("Accept-Encoding", "identity")
	if results != nil {
		h.Del("Range")
		h.Del("If-Range")
	}
	return &batch{use: use, results: results}
}

// findResults returns the batch whose results are asked for. One that is known
// by the path, and was made without this gateway, counts for the caller.
func (g *Gateway) findResults(a *ask, to target, use dialect.BatchUse, object string) *ledger.Settlement {
	if object == "" {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(a.in), batchTimeout)
	defer cancel()
	b, ok, err := g.Ledger.FindBatch(ctx, to.route.Base.Host, object)
	if err != nil {
		g.warnOfBatch(a, object, err)
	}
	if !ok && use == dialect.FetchesBatch {
		b = ledger.Batch{Host: to.route.Base.Host, ID: object}
	} else if !ok {
		return nil
	}
	if b.Key == "" {
		b.Key = a.who.id
		b.KeyName = a.who.name
		b.User = a.who.user
		b.Tags = a.who.tags
		b.Route = to.route.Name
	}
	return &ledger.Settlement{Batch: b, Listed: a.who.own, Prices: g.Prices, Upstream: g.Prices.Provider(to.route.Base.Hostname(), to.route.Dialect.PriceName())}
}

// watchBatch lets an answer about batches be read on its way.
func (g *Gateway) watchBatch(rec *record, body io.ReadCloser) io.ReadCloser {
	res := rec.answer.res
	if res.StatusCode != http.StatusOK || encodingOf(res.Header) != "" {
		return body
	}
	w := &batchWatch{g: g, ask: rec.ask, to: rec.to, batch: rec.answer.batch}
	if w.batch.results != nil {
		w.lines = &ledger.BatchReader{Each: w.batch.results.Add}
	}
	// A batch is remembered before a client can know of it.
	return &watched{ReadCloser: body, g: g, left: res.ContentLength, hold: w.lines == nil, look: w.look}
}

// batchWatch looks at an answer about batches: at results line by line, at
// batches when they have come whole.
type batchWatch struct {
	g     *Gateway
	ask   *ask
	to    target
	batch *batch
	lines *ledger.BatchReader // reads results; nil for other answers
	body  bytes.Buffer        // the answer, to be read when it is whole
	over  bool                // it is too long to be kept
}

// look takes what came, and acts when it was all.
func (w *batchWatch) look(p []byte, last bool) (more bool) {
	w.over = w.over || w.body.Len()+len(p) > maxBatchBody
	switch {
	case w.lines != nil:
		w.lines.Write(p)
	case w.over:
		w.body = bytes.Buffer{}
	default:
		w.body.Write(p)
	}
	if !last {
		return true
	}
	switch {
	case w.lines != nil:
		w.lines.Close()
		w.settle(w.batch.results)
	case w.over:
		w.g.warnOfBatch(w.ask, "", fmt.Errorf("the answer is longer than %d bytes; "+
			"batches in it are not remembered, and results in it not settled", maxBatchBody))
	default:
		w.note(w.body.Bytes())
	}
	return false
}

// note remembers the batches of an answer, and settles one that holds its
// results.
func (w *batchWatch) note(body []byte) {
	a := w.ask
	route := w.to.route
	var list []ledger.Batch
	for _, reported := range a.from.dialect.Batches(body) {
		b := ledger.Batch{Host: route.Base.Host, ID: reported.ID, Results: reported.Results, Model: reported.Model}
		if w.batch.use == dialect.MakesBatch {
			b.Key = a.who.id
			b.KeyName = a.who.name
			b.User = a.who.user
			b.Tags = a.who.tags
			b.Route = route.Name
			b.Request = a.in.id
			w.batch.about = reported.ID + " is settled when its results are fetched"
		}
		list = append(list, b)
	}
	if len(list) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(a.in), batchTimeout)
	defer cancel()
	err := w.g.Ledger.NoteBatches(ctx, list)
	if err != nil {
		w.g.warnOfBatch(a, list[0].ID, err)
	}
	if len(list) > 1 {
		return
	}
	answers := route.Dialect.InlineResults(gjson.ParseBytes(body))
	if len(answers) == 0 {
		return
	}
	s := w.g.findResults(a, w.to, dialect.ShowsBatches, list[0].ID)
	if s != nil {
		inline := ledger.BatchReader{Each: s.Add}
		inline.ReadInline(body)
		w.settle(s)
	}
}

// settle writes to the ledger what the answers of a batch cost.
func (w *batchWatch) settle(s *ledger.Settlement) {
	if s.Empty() {
		return
	}
	a := w.ask
	ctx, cancel := context.WithTimeout(context.WithoutCancel(a.in), batchTimeout)
	defer cancel()
	rows := s.Rows(time.Now(), a.in.id)
	n, err := w.g.Ledger.SettleBatch(ctx, rows)
	switch {
	case err != nil:
		w.g.warnOfBatch(a, s.Batch.ID, err)
		w.batch.about = s.Batch.ID + " could not be settled: fetch its results again"
	case n == 0:
		w.batch.about = s.Batch.ID + " was settled before"
	default:
		w.batch.about = "these results settle it: see `forward why " + s.Batch.ID + "`"
	}
}

func (g *Gateway) warnOfBatch(a *ask, batch string, err error) {
	g.Log.LogAttrs(a.in, slog.LevelWarn, "accounting for a batch", slog.String("id", a.in.id), slog.String("batch", batch), slog.Any("error", err))
}
