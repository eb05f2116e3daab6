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
	"forward/internal/dialect/gemini"
	"forward/internal/ledger"
)

// Batches are made through one request and answered hours later through another, and only their results tell what was used. So the
// ledger remembers who made a batch and in which file its results are, and when somebody fetches these, the batch is settled at its price:
// once, whoever fetches them and however often, to the key that made it.

const (
	// maxBatchAhead bounds what of an answer about batches is held back until they are remembered, in bytes.
	maxBatchAhead = 1 << 20
	// maxBatchBody bounds an answer about batches that is kept to be read, in bytes. Those of Gemini's may hold their results.
	maxBatchBody = 32 << 20
	// batchTimeout bounds how long the database may keep an answer waiting.
	batchTimeout = 2 * time.Second
)

// batchUse tells what the exchange has to do with batches.
func (x *exchange) batchUse() (use dialect.BatchUse, object string) {
	if x.Ledger == nil || x.route.Open {
		return dialect.NoBatch, ""
	}
	return x.route.Dialect.BatchUse(x.op, x.r.Method, readable(x.rest))
}

// checkBatch refuses a batch that may ask a model which is not the caller's to use. Anthropic's batches name a model in each of their
// requests and Gemini's in their path, which was checked; OpenAI's have theirs in a file that nobody here reads.
func (x *exchange) checkBatch() error {
	use, _ := x.route.Dialect.BatchUse(x.op, x.r.Method, readable(x.rest))
	if use != dialect.MakesBatch || x.ask.Model != "" {
		return nil
	}
	refused := &refusal{status: http.StatusForbidden, code: "model_not_allowed", param: "model",
		message: fmt.Sprintf("Key %q may not use every model, and the gateway cannot tell which ones this batch asks.", x.caller.name)}
	if x.body == nil {
		return refused
	}
	requests := x.body.Get("requests")
	if !requests.IsArray() {
		return refused
	}
	for _, r := range requests.Array() {
		params, once := member(r, "params")
		model, named := member(params, "model")
		if !once || !named {
			return refused
		}
		if !x.allowsModel(model.String()) {
			refused.message = fmt.Sprintf("Key %q may not use model %q.", x.caller.name, model.String())
			return refused
		}
	}
	return nil
}

// member is the one member of an object with a name: where it is there twice, or spelled in another way too, an upstream may take the
// other one.
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

// askForBatch changes the headers of a request whose answer is about batches so that it can be read: it is to come unpacked, and results
// that were never read whole are to come whole. A server may always ignore a Range (RFC 9110, section 14.2).
func (x *exchange) askForBatch(h http.Header) {
	use, object := x.batchUse()
	if use == dialect.NoBatch {
		return
	}
	if x.results = x.findResults(use, object); x.results == nil && use == dialect.FetchesFile {
		return // of some other file
	}
	x.batches = use
	h.Set("Accept-Encoding", "identity")
	if x.results != nil {
		h.Del("Range")
		h.Del("If-Range")
	}
}

// findResults is the batch whose results are asked for. One that is known by the path, and was made without this gateway, counts for the
// caller.
func (x *exchange) findResults(use dialect.BatchUse, object string) *ledger.Settlement {
	if object == "" {
		return nil
	}
	ctx, cancel := context.WithTimeout(x.ctx, batchTimeout)
	defer cancel()
	b, ok, err := x.Ledger.FindBatch(ctx, x.route.Base.Host, object)
	if err != nil {
		x.warnOfBatch(object, err)
	}
	if !ok && use == dialect.FetchesBatch {
		b = ledger.Batch{Host: x.route.Base.Host, ID: object}
	} else if !ok {
		return nil
	}
	return x.settlement(b)
}

func (x *exchange) settlement(b ledger.Batch) *ledger.Settlement {
	if b.Key == "" {
		b.Key, b.KeyName, b.User, b.Tags, b.Route = x.caller.id, x.caller.name, x.user, x.policy.Tags, x.route.Name
	}
	return &ledger.Settlement{Batch: b, Prices: x.Prices, Upstream: x.Prices.Provider(x.route.Base.Hostname(), x.route.Dialect.Name)}
}

// watchBatch lets the answer be read on its way, if it is about batches.
func (x *exchange) watchBatch(res *http.Response) {
	if x.batches == dialect.NoBatch || res.StatusCode != http.StatusOK || encodingOf(res.Header) != "" {
		return
	}
	w := &batchWatch{ReadCloser: res.Body, x: x, left: res.ContentLength}
	if x.results != nil {
		w.lines = &ledger.BatchReader{Each: x.results.Add}
	}
	res.Body = w
}

// batchWatch passes a body on and looks at it: at results line by line, at batches when they have come whole, and before the client has
// them.
type batchWatch struct {
	io.ReadCloser
	x     *exchange
	left  int64               // bytes until the announced length; negative when there is none
	lines *ledger.BatchReader // of results
	body  bytes.Buffer        // of anything else
	over  bool                // it is too long to be kept
	held  []byte              // of it what the client does not have yet
	err   error               // what follows
	begun bool
	done  bool
}

func (w *batchWatch) Read(p []byte) (int, error) {
	if w.lines != nil {
		n, err := w.ReadCloser.Read(p)
		w.look(p[:n], err)
		return n, err
	}
	if !w.begun {
		w.begun = true
		w.readAhead()
	}
	if len(w.held) > 0 {
		n := copy(p, w.held)
		w.held = w.held[n:]
		return n, nil
	}
	if w.err != nil {
		return 0, w.err
	}
	n, err := w.ReadCloser.Read(p)
	w.look(p[:n], err)
	return n, err
}

// readAhead reads the body as far as it is short, so that a batch is remembered before anybody can know of it.
func (w *batchWatch) readAhead() {
	buf := w.x.buffers.Get()
	defer w.x.buffers.Put(buf)
	for len(w.held) < maxBatchAhead && w.err == nil && !w.done {
		n, err := w.ReadCloser.Read(buf)
		w.held, w.err = append(w.held, buf[:n]...), err
		w.look(buf[:n], err)
	}
}

// look takes what came, and acts when it was all.
func (w *batchWatch) look(p []byte, err error) {
	if w.lines != nil {
		w.lines.Write(p)
	} else if w.over = w.over || w.body.Len()+len(p) > maxBatchBody; !w.over {
		w.body.Write(p)
	} else {
		w.body = bytes.Buffer{}
	}
	had := w.left >= 0
	w.left -= int64(len(p))
	if w.done || err != io.EOF && (err != nil || !had || w.left != 0) {
		return
	}
	w.done = true
	switch {
	case w.lines != nil:
		w.lines.Close()
		w.x.settleBatch(w.x.results)
	case w.over:
		w.x.warnOfBatch("", fmt.Errorf("the answer is longer than %d bytes; batches in it are not remembered, and results in it not settled", maxBatchBody))
	default:
		w.x.noteBatches(w.body.Bytes())
	}
}

// noteBatches remembers the batches of an answer, and settles those of Gemini's that hold their results.
func (x *exchange) noteBatches(body []byte) {
	var list []ledger.Batch
	for _, told := range x.route.Dialect.Batches(readable(x.rest), body) {
		b := ledger.Batch{Host: x.route.Base.Host, ID: told.ID, Results: told.Results, Model: told.Model}
		if x.batches == dialect.MakesBatch {
			b.Key, b.KeyName, b.User, b.Tags = x.caller.id, x.caller.name, x.user, x.policy.Tags
			b.Route, b.Request = x.route.Name, x.id
			x.aboutBatch = told.ID + " is settled when its results are fetched"
		}
		list = append(list, b)
	}
	if len(list) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(x.ctx), batchTimeout)
	defer cancel()
	if err := x.Ledger.NoteBatches(ctx, list); err != nil {
		x.warnOfBatch(list[0].ID, err)
	}
	if len(list) > 1 || x.route.Dialect != gemini.Dialect {
		return
	}
	if s := x.findResults(dialect.ShowsBatches, list[0].ID); s != nil {
		inline := ledger.BatchReader{Each: s.Add}
		inline.ReadInline(body)
		x.settleBatch(s)
	}
}

// settleBatch writes down what the answers of a batch cost.
func (x *exchange) settleBatch(s *ledger.Settlement) {
	if s.Empty() {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(x.ctx), batchTimeout)
	defer cancel()
	rows := s.Rows(time.Now(), x.id)
	n, err := x.Ledger.SettleBatch(ctx, rows)
	switch {
	case err != nil:
		x.warnOfBatch(s.Batch.ID, err)
		x.aboutBatch = s.Batch.ID + " could not be settled: fetch its results again"
	case n == 0:
		x.aboutBatch = s.Batch.ID + " was settled before"
	default:
		x.aboutBatch = "these results settle it: see `forward why " + s.Batch.ID + "`"
	}
}

func (x *exchange) warnOfBatch(batch string, err error) {
	x.Log.LogAttrs(x.ctx, slog.LevelWarn, "accounting for a batch", slog.String("id", x.id), slog.String("batch", batch), slog.Any("error", err))
}
