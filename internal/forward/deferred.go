package forward

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"net/http"
	"time"

	"github.com/tidwall/gjson"

	"forward/internal/dialect"
	"forward/internal/framing"
	"forward/internal/jsonscan"
	"forward/internal/ledger"
)

// A provider may go on with a request after its answer: responses in the
// background, videos, runs, long-running operations. What they use is reported
// by a later answer, often to another request of another key. So the
// reservation of the request stands, and the first answer that reports the end
// settles it, to the key that started the work.

const (
	// maxWorkBody bounds an answer that is kept to be read, in bytes. A
	// response in the background may have pictures in it.
	maxWorkBody = 32 << 20
	// workTimeout bounds how long the database may keep an answer waiting.
	workTimeout = 2 * time.Second
)

// work is what an answer may have to do with deferred work.
type work struct {
	starts bool   // the request may start some
	named  string // the deferred work that the path names
	host   string // of the provider
	seen   dialect.Work
	noted  bool   // it is deferred
	about  string // what became of it, for the trail
}

// workOf returns what the answer to a request may have to do with deferred
// work; nil for most. It changes the header of the request so that the answer
// can be read.
func (g *Gateway) workOf(a *ask, to target, h http.Header) *work {
	if g.Ledger == nil || to.route.Open {
		return nil
	}
	host := to.route.Base.Host
	starts := mayDefer(a)
	named := ""
	if !starts {
		named = g.deferredWork(a, host)
		if named == "" {
			return nil
		}
	}
	h.Set("Accept-Encoding", "identity")
	return &work{host: host, starts: starts, named: named}
}

// mayDefer reports whether a request may start work that goes on after its
// answer.
func mayDefer(a *ask) bool {
	switch a.from.op {
	case dialect.Video:
		return true
	case dialect.Unknown:
		return a.in.r.Method == http.MethodPost
	case dialect.Responses:
		return a.body != nil && a.body.Get("background").Type == gjson.True
	}
	return false
}

// deferredWork returns the deferred work that the path of a request names, ""
// if there is none.
func (g *Gateway) deferredWork(a *ask, host string) string {
	if !g.Ledger.HasDeferred() {
		return ""
	}
	for _, name := range dialect.NamesOf(a.from.plain) {
		if g.Ledger.IsDeferred(host, name) {
			return name
		}
	}
	return ""
}

// watchWork lets an answer be read on its way for what it reports of work.
func (g *Gateway) watchWork(rec *record, body io.ReadCloser) io.ReadCloser {
	res := rec.answer.res
	if res.StatusCode/100 != 2 || encodingOf(res.Header) != "" {
		return body
	}
	w := &workWatch{g: g, rec: rec, work: rec.answer.work}
	f, ok := framing.Of(res.Header.Get("Content-Type"))
	w.events = ok && f == framing.SSE
	// Work is deferred before a client can know of it.
	hold := w.work.starts && !w.events
	return &watched{ReadCloser: body, g: g, left: res.ContentLength, hold: hold, look: w.look}
}

// workWatch looks at an answer about deferred work: at events one by one, at
// JSON when it is whole.
type workWatch struct {
	g      *Gateway
	rec    *record
	work   *work
	events bool
	split  framing.Splitter
	body   bytes.Buffer
}

// look takes what came.
func (w *workWatch) look(p []byte, last bool) (more bool) {
	if w.events {
		w.split.Feed(p)
		w.lookAtEvents()
		return true
	}
	if w.body.Len()+len(p) > maxWorkBody || w.startsForeign(p) {
		w.body = bytes.Buffer{}
		return false
	}
	w.body.Write(p)
	if last && jsonscan.Valid(w.body.Bytes()) {
		w.take(jsonscan.View(w.body.Bytes()))
	}
	return !last
}

// startsForeign reports whether p starts a body that is no JSON object, such as
// the content of a video.
func (w *workWatch) startsForeign(p []byte) bool {
	start := bytes.TrimSpace(p)
	return w.body.Len() == 0 && len(start) > 0 && start[0] != '{'
}

func (w *workWatch) lookAtEvents() {
	for {
		raw, ok := w.split.Next()
		if !ok {
			break
		}
		event, ok := w.split.Framing.Parse(raw)
		if ok && bytes.Contains(event.Data, []byte(`"status"`)) && jsonscan.Valid(event.Data) {
			w.take(jsonscan.View(event.Data))
		}
	}
	if len(w.split.Pending()) > maxWorkBody {
		w.split.Reset()
	}
}

// take reads what an answer or an event reports of work.
func (w *workWatch) take(root gjson.Result) {
	seen := dialect.ReadWork(root)
	switch {
	case seen.State == dialect.NoWork, w.events && seen.State == dialect.Pending && !seen.Stays:
	case w.work.starts:
		w.work.seen = dialect.Work{ID: seen.ID, State: seen.State}
		if !w.events && seen.State == dialect.Pending {
			w.g.deferWork(w.rec)
		}
	case seen.ID == w.work.named && seen.State != dialect.Pending:
		w.g.settleWork(w.rec, seen)
	}
}

// deferWork leaves the reservation of a request standing whose work goes on
// after its answer. Of a stream that ended whole there is none.
func (g *Gateway) deferWork(rec *record) {
	if rec.answer == nil || rec.answer.work == nil || rec.bill == nil {
		return
	}
	w := rec.answer.work
	if w.noted || w.seen.State != dialect.Pending || w.seen.ID == "" {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(rec.in), workTimeout)
	defer cancel()
	err := rec.bill.Defer(ctx, w.host, w.seen.ID)
	if err != nil {
		g.warnOfWork(rec, w.seen.ID, err)
		return
	}
	w.noted = true
	w.about = w.seen.ID + " is settled when an answer reports its end"
}

// isDeferred reports whether another row has what the request costs.
func (rec *record) isDeferred() bool {
	return rec.answer != nil && rec.answer.work != nil && rec.answer.work.noted
}

// settleWork records what a piece of work has used, to the key that started it.
func (g *Gateway) settleWork(rec *record, seen dialect.Work) {
	w := rec.answer.work
	ctx, cancel := context.WithTimeout(context.WithoutCancel(rec.in), workTimeout)
	defer cancel()
	settled, err := g.Ledger.SettleDeferred(ctx, w.host, seen.ID, func(r *ledger.Row) {
		r.Trail = append(r.Trail, ledger.Step{Name: "ended", Text: "reported to request " + rec.in.id})
		g.fillEnded(r, seen)
	})
	switch {
	case err != nil:
		g.warnOfWork(rec, seen.ID, err)
		w.about = seen.ID + " could not be settled: ask for it again"
	case settled:
		w.about = "this answer settles it: see `forward why " + seen.ID + "`"
	}
}

// fillEnded fills in the row of work that has ended. The row has what was
// reserved, which stands, as an estimate, where nothing is reported: also for
// work that was cancelled, because the provider may have done most of it.
func (g *Gateway) fillEnded(r *ledger.Row, seen dialect.Work) {
	usage, reported := dialect.ReadUsage(seen.Object.Get("usage"))
	r.Answered = jsonscan.String(seen.Object.Get("model"))
	r.Finish = jsonscan.String(seen.Object.Get("status"))
	r.Tier = jsonscan.String(seen.Object.Get("service_tier"))
	r.Status = http.StatusOK
	switch {
	case reported:
		r.Usage = usage
		r.Estimated = false
	case seen.State == dialect.Failed:
		r.Usage = dialect.Usage{}
		r.Estimated = false
		r.Status = http.StatusBadGateway
		r.Cause = "upstream_error"
	default:
		made := dialect.VideoOf(seen.Object)
		r.Estimated = made.VideoSeconds == 0
		r.Usage.Media.Take(made)
		if !r.Estimated {
			r.Usage = dialect.Usage{Media: r.Usage.Media} // a video has no tokens
		}
	}
	r.Bill(g.Prices)
}

func (g *Gateway) warnOfWork(rec *record, id string, err error) {
	g.Log.LogAttrs(rec.in, slog.LevelWarn, "accounting for deferred work", slog.String("id", rec.in.id), slog.String("work", id), slog.Any("error", err))
}
