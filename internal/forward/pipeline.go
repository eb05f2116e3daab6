package forward

import (
	"context"
	"net/http"
	"time"

	"forward/internal/ledger"
	"forward/internal/live"
)

// life is the context of a piece of work and the function that ends it.
type life struct {
	context.Context
	end context.CancelCauseFunc
}

// inbound is the client's side of one request.
type inbound struct {
	life    // ends when the client leaves, the gateway stops or the upstream falls silent
	w       http.ResponseWriter
	r       *http.Request
	id      string
	start   time.Time
	under   live.Request // its place among those under way
	as      *Caller      // it was identified before, in the dashboard; nil: by its credential
	waiting bool         // keepalive comments were sent: the answer has started as a stream
}

// record collects what the steps of one request returned. It is what settle
// writes to the chat log, the ledger, the metrics and the access log. Fields
// are zero until their step was reached.
type record struct {
	in        *inbound
	ask       *ask
	to        target
	admitted  admission
	memory    *memory
	bill      *ledger.Call // open in the ledger
	turn      *turn
	queued    time.Duration // waited in queues, for all targets together
	answer    *answer
	tap       *tap
	conversed bool   // it became a WebSocket whose messages are requests
	logged    bool   // the request's line is in the chat log
	status    int    // what the client got; 499 when it left first
	cause     string // an error code when the request did not go well
	err       error  // the refusal, for callers that share the answer
}

// handle serves one request and settles it, whatever happens.
func (g *Gateway) handle(w http.ResponseWriter, r *http.Request, as *Caller) {
	g.requests.add(1)
	defer g.requests.add(-1)
	in := g.accept(w, r)
	in.as = as
	rec := &record{in: in, ask: &ask{in: in, who: caller{policy: &unrestricted}}}
	// Deferred, because nothing after relay runs when it aborts the connection.
	defer g.settle(rec)
	err := g.serve(rec)
	if err != nil {
		g.refuse(rec, err)
	}
}

// serve is the life of one request. Reading it from top to bottom is reading
// the product: each step takes values and returns values, and nothing else
// decides their order. An error is a refusal, written before the first byte of
// an answer.
func (g *Gateway) serve(rec *record) (err error) {
	ask := rec.ask
	// Who is the caller, and which route does the path name? The request line
	// and the headers decide: no byte of the body is read for a caller that is
	// refused here.
	ask.from, ask.who, err = g.identify(rec.in)
	rec.to.route = ask.from.route
	if err != nil {
		return err
	}
	// What is asked, and may this caller ask it? JSON is read once, bounded,
	// and scanned; forms are read as they pass; all else streams.
	rec.to, err = g.open(ask)
	if err != nil {
		return err
	}
	g.show(ask, rec.to)
	// May the caller ask now? Every admitted request counts, also one that the
	// cache answers.
	rec.admitted, err = g.admit(ask)
	if err != nil {
		return err
	}
	// Which models are there? Only the gateway knows those of all providers.
	if g.listsModels(ask, rec.to) {
		rec.status, rec.cause, err = g.listModels(ask, rec.to)
		return err
	}
	// Is the answer in the cache, or on its way to another caller? Only after
	// identity, model rules and limits, so that a revoked key gets nothing from
	// the cache.
	rec.memory, rec.logged, err = g.recall(ask, rec.to)
	if err != nil {
		return err
	}
	if rec.memory.answer != nil {
		rec.answer = rec.memory.answer
		return g.relay(rec)
	}
	// May the budgets of the key pay for it?
	work := rec.memory.work(rec.in)
	rec.bill, err = g.openAccount(work, ask, rec.to)
	if err != nil {
		return err
	}
	for {
		// Is anything left of the quotas, and of the model's rpm and tpm? The
		// request may wait here in the model's queue, and holds nothing of the
		// upstream.
		if rec.turn == nil {
			rec.turn, err = g.schedule(work, ask, rec.to, rec.memory)
			rec.queued += rec.turn.queued
		}
		// One upstream call, with the route's base URLs and API keys in turn.
		rec.answer = nil
		if err == nil {
			rec.logged = rec.logged || g.logRequest(ask, rec.to)
			rec.answer, err = g.send(work, ask, rec.to, rec.turn, rec.uses())
		}
		// Again, another model, or done?
		verdict, next := g.decide(ask, rec.to, rec.answer, err)
		if verdict == done {
			break
		}
		rec.answer.discard()
		if verdict == otherModel {
			rec.turn.giveBack()
			rec.turn = nil
			g.show(ask, next)
			err = g.moveAccount(work, rec.bill, ask, next)
			if err != nil {
				break
			}
		}
		rec.to = next
	}
	if err != nil {
		return err
	}
	rec.learnForm()
	// One tap on the body: usage, chat log, cache, pacing. The bytes pass
	// unchanged. What fails before the first byte is refused; what breaks off
	// later aborts the connection.
	return g.relay(rec)
}

// uses lists what an answer is for, beside the client.
type uses struct {
	logged bool // for the chat log
	stored bool // for the cache
}

// read reports whether the answer is read at all.
func (u uses) read() bool { return u.logged || u.stored }

// uses returns what the answer of the current target is for. What another model
// answered is no answer to the question that was asked.
func (rec *record) uses() uses {
	return uses{logged: rec.logged, stored: rec.memory.store && !rec.to.instead}
}

// accept names a request and ties its life to the client and to the gateway.
func (g *Gateway) accept(w http.ResponseWriter, r *http.Request) *inbound {
	in := &inbound{w: w, r: r, id: newID(), start: time.Now()}
	in.Context, in.end = context.WithCancelCause(r.Context())
	g.Metrics.Start()
	g.live.Enter(&in.under, in.id, in.start, in.end)
	w.Header().Set("X-Forward-Request-Id", in.id)
	return in
}
