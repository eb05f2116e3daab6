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

// workTimeout bounds how long the database may keep an answer waiting.
const workTimeout = 2 * time.Second

// work is what an answer may have to do with deferred work.
type work struct {
	starts bool              // the request may start some
	named  string            // the deferred work that the path names
	op     dialect.Operation // that is answered, now or in the end
	host   string            // of the provider
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
	named, op := "", a.from.op
	if !starts {
		named, op = g.deferredWork(a, host)
		if named == "" {
			return nil
		}
	}
	h.Set("Accept-Encoding", "identity")
	return &work{host: host, starts: starts, named: named, op: op}
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

// deferredWork returns the deferred work that the path of a request names, and
// the operation that started it; "" if there is none.
func (g *Gateway) deferredWork(a *ask, host string) (name string, op dialect.Operation) {
	if !g.Ledger.HasDeferred() {
		return "", ""
	}
	for _, name := range dialect.NamesOf(a.from.plain) {
		if op, ok := g.Ledger.IsDeferred(host, name); ok {
			return name, op
		}
	}
	return "", ""
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
	w.skim = rec.ask.from.dialect.SkimWork(w.work.op, w.events, w.take)
	// Work is deferred before a client can know of it.
	w.body = &watched{ReadCloser: body, g: g, left: res.ContentLength, hold: w.work.starts && !w.events, look: w.look}
	return w.body
}

// workWatch looks at an answer about deferred work, before the client has it.
type workWatch struct {
	g      *Gateway
	rec    *record
	work   *work
	body   *watched
	events bool // by its label
	looked bool // the first bytes were seen
	skim   *dialect.Skim
}

// look takes what came. Only a JSON object is held back: what starts otherwise
// passes as it comes, whatever its label.
func (w *workWatch) look(p []byte, last bool) (more bool) {
	start := bytes.TrimSpace(p)
	if !w.looked && len(start) > 0 {
		w.looked = true
		w.body.hold = w.body.hold && start[0] == '{'
		w.events = w.events || start[0] != '{'
	}
	w.skim.Write(p)
	if last {
		w.skim.Close()
	}
	return true
}

// take reads what an answer or an event reports of work.
func (w *workWatch) take(seen dialect.Work, a *dialect.Answer) {
	switch {
	case seen.State == dialect.NoWork, w.events && seen.State == dialect.Pending && !seen.Stays:
	case w.work.starts:
		w.work.seen = dialect.Work{ID: seen.ID, State: seen.State}
		if !w.events && seen.State == dialect.Pending {
			w.g.deferWork(w.rec)
		}
	case seen.ID == w.work.named && seen.State != dialect.Pending:
		w.g.settleWork(w.rec, seen, a)
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
func (g *Gateway) settleWork(rec *record, seen dialect.Work, a *dialect.Answer) {
	w := rec.answer.work
	ctx, cancel := context.WithTimeout(context.WithoutCancel(rec.in), workTimeout)
	defer cancel()
	settled, err := g.Ledger.SettleDeferred(ctx, w.host, seen.ID, func(r *ledger.Row) {
		r.Trail = append(r.Trail, ledger.Step{Name: "ended", Text: "reported to request " + rec.in.id})
		g.fillEnded(r, seen, a)
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
func (g *Gateway) fillEnded(r *ledger.Row, seen dialect.Work, a *dialect.Answer) {
	r.Answered = a.Model
	r.Finish = jsonscan.String(seen.Object.Get("status"))
	r.Tier = a.Tier
	r.Status = http.StatusOK
	switch {
	case a.Usage != nil:
		r.Usage = *a.Usage
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
