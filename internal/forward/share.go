package forward

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"runtime/debug"
	"strconv"
	"strings"
	"time"

	"forward/internal/cache"
)

// share answers out of one call of the upstream for all who ask the same at the same time, whichever form they want.
func (x *exchange) share() {
	x.shareAs("")
}

// shareAs is share among those who can do with the answer of the same call: in one form only, or of one caller; form is empty for
// all.
func (x *exchange) shareAs(form string) {
	key := flightKey{x.memory.key, form}
	reader, begin := x.shared.join(key, x.ask.Stream, x.CacheMaxEntry)
	reader.ctx = x.ctx
	defer reader.Close()
	x.shares, x.collapsed = true, begin == nil
	x.memory.detail = "fwd=miss"
	if begin != nil {
		x.depart(key, begin)
	} else {
		x.memory.detail += "; collapsed"
	}
	x.Log.LogAttrs(x.ctx, slog.LevelDebug, "waits for the same answer as others", slog.String("id", x.id), slog.Bool("calls", begin != nil))
	x.memory.store = false // the call does
	x.logRequest()
	status, head, err := reader.begin()
	if err != nil {
		x.refuse(err)
		return
	}
	call := reader.flight.call
	if call.unscheduled && call.caller.id != x.caller.id {
		reader.Close() // what refused the other one is no business of this one
		x.shareAs("of " + x.caller.id)
		return
	}
	if begin != nil {
		x.tries, x.modified, x.route = call.tries+call.attempts.Count, call.modified, call.route
	}
	// Whoever has not asked for usage does not see it, whoever else has.
	x.addedUsage = call.addedUsage || call.ask.IncludeUsage && !x.ask.IncludeUsage
	head.Del("Trailer") // each answer has its own
	if begin == nil {
		notOfOthers(head)
	}
	res := &http.Response{StatusCode: status, Header: head, Body: reader, ContentLength: -1}
	if n, err := strconv.ParseInt(head.Get("Content-Length"), 10, 64); err == nil {
		res.ContentLength = n
	}
	if status == http.StatusOK && x.op.Parsed() && x.ask.Stream != reader.flight.stream {
		x.shareOtherForm(reader, res)
		return
	}
	x.answer(res)
	if x.cause == "" && reader.ended {
		x.cause = call.cause
	}
}

// shareOtherForm waits for the whole answer and gives it in the form that the call was not asked for.
func (x *exchange) shareOtherForm(reader *flightReader, res *http.Response) {
	body, err := io.ReadAll(io.LimitReader(reader, x.CacheMaxEntry))
	if err != nil {
		x.refuse(x.cutShort(err))
		return
	}
	if entry, ok := x.inForm(cache.Entry{Status: res.StatusCode, Header: res.Header, Body: body, Stream: reader.flight.stream}); ok {
		x.replay(&entry)
		return
	}
	if call := reader.flight.call; reader.ended && call.cause != "" {
		x.refuse(&refusal{status: http.StatusBadGateway, code: call.cause, message: "The upstream '" + x.route.Name + "' broke off its answer. It may have been executed."})
		return
	}
	// An answer that cannot be put in the other form is asked for in it, once for all who want it so. The call that is left
	// must not wait for this one.
	reader.Close()
	form := "body"
	if x.ask.Stream {
		form = "stream"
	}
	x.shareAs(form)
}

// notOfOthers takes out of an answer's header what it says to the caller who began the call: what is left of his limits, and
// how long he has waited.
func notOfOthers(h http.Header) {
	for name := range h {
		if strings.HasPrefix(name, "X-Ratelimit-") || strings.HasPrefix(name, "X-Forward-") {
			delete(h, name)
		}
	}
}

// depart makes the call, in a goroutine of its own that the gateway waits for.
func (x *exchange) depart(key flightKey, f *flight) {
	call := *x
	call.w, call.calling, call.entered, call.shares = f, true, false, false
	ctx, stop := context.WithCancelCause(context.WithoutCancel(x.r.Context()))
	call.ctx, call.stop, f.cancel = ctx, stop, stop
	call.r = x.r.WithContext(ctx)
	x.underway.enter(&call)
	f.call = &call
	x.flights.Add(1)
	go func() {
		defer x.flights.Done()
		var failure error
		defer func() {
			if v := recover(); v != nil {
				failure = io.ErrUnexpectedEOF // the answer broke off, and the connection would have been cut
				if v != http.ErrAbortHandler {
					x.Log.Error("panic", "panic", v, "stack", string(debug.Stack()))
				}
			}
			if failure == nil && f.status == 0 {
				failure = fmt.Errorf("the call ended without an answer")
			}
			call.settleCall()
			x.shared.land(key, f, failure)
		}()
		// Asked again, now that everybody else who asks comes here: a call may have ended just before.
		if entry := call.lookup(); entry != nil {
			call.memory.store = false
			call.replay(entry)
			return
		}
		if err := call.schedule(); err != nil {
			call.unscheduled = ofCaller(err)
			call.refuse(err)
			return
		}
		call.send()
	}()
}

// settleCall closes the accounts of a call that is not one caller's alone.
func (x *exchange) settleCall() {
	x.underway.leave(x)
	x.settleTurn()
	x.endStream()
	elapsed := time.Since(x.begun)
	x.observe(elapsed, x.closeAccount(elapsed))
	x.stop(nil)
}
