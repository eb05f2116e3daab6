package forward

import (
	"cmp"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"time"

	"forward/internal/chatlog"
	"forward/internal/dialect"
	"forward/internal/ledger"
	"forward/internal/metrics"
)

// logRequest writes the first of a request's two lines into the chat log, and
// reports whether it did. Refused requests have none.
func (g *Gateway) logRequest(a *ask, to target) bool {
	who := &a.who
	op := a.from.op
	if g.ChatLog == nil || who.policy.Log == "off" || (a.body == nil && op != dialect.Audio && op != dialect.Realtime) || !chatlog.Logs(op) {
		return false
	}
	g.ChatLog.Request(chatlog.Request{
		Route: to.route.Name, UID: a.in.id, IP: who.ip.String(), Key: strings.TrimPrefix(who.name, noName), User: cmp.Or(who.user, a.req.User), Time: a.in.start, Session: who.session,
		Operation: op, Body: a.body, Caching: a.req.Caching != nil && *a.req.Caching, Model: to.model,
		Content: cmp.Or(who.policy.Log, g.LogContent), Secrets: who.secrets(nil),
	})
	return true
}

// settle closes the accounts of a request. It runs whatever happened, also
// while the panic that aborts a connection passes through, and needs no client.
func (g *Gateway) settle(rec *record) {
	in := rec.in
	elapsed := time.Since(in.start)
	status, cause := rec.finish()
	rec.learnForm()
	used := g.outcome(rec)
	rec.turn.settle(used)
	row := g.closeAccount(rec, used, elapsed)
	g.observe(rec, used, row, elapsed)
	entered := rec.admitted.entered != ""
	if rec.memory != nil && rec.memory.call != nil {
		abandoned := rec.memory.call.finish(rec.err)
		entered = entered && !abandoned
		g.live.Leave(&rec.memory.call.under)
		rec.memory.call.end(nil)
	}
	rec.status = status
	rec.cause = cause
	if rec.logged {
		g.logResult(rec, row, elapsed)
	}
	g.logLine(rec, elapsed)
	if rec.answer != nil && rec.answer.sent != nil {
		rec.answer.sent.Close()
	}
	if rec.tap != nil {
		if rec.tap.counted {
			g.Metrics.EndStream()
		}
		http.NewResponseController(in.w).SetWriteDeadline(time.Time{}) // the next request on this connection has its own
	}
	g.bodies.Add(-rec.ask.counted)
	if entered {
		g.parallel.Leave(rec.admitted.entered)
	}
	g.live.Leave(&in.under)
	in.end(nil)
	g.showEnd(rec, row, elapsed)
}

// finish completes the status and the cause of the record, and returns those of
// the client. They differ only where the client has left and other callers got
// the answer: then the record has how the call went.
func (rec *record) finish() (status int, cause string) {
	if rec.tap != nil {
		rec.cause = cmp.Or(rec.cause, rec.tap.cause)
		if rec.tap.left {
			return statusClientGone, clientGone
		}
	}
	if rec.cause == "" && rec.in.r.Context().Err() != nil && !rec.delivered() {
		rec.cause = clientGone
	}
	if rec.cause == "" && rec.status == http.StatusSwitchingProtocols && stoppedBy(rec.in) != nil {
		rec.cause = requestStopped // a tunnel has no tap that knows
	}
	if rec.cause == clientGone {
		rec.status = statusClientGone
	}
	return rec.status, rec.cause
}

// delivered reports whether the client was given the whole answer.
func (rec *record) delivered() bool {
	return rec.tap != nil && (rec.tap.err == io.EOF || rec.tap.passed == rec.tap.length)
}

// closeAccount writes to the ledger what became of the request. Of callers that
// share a call the leader has the row of the call; the others have theirs as
// hits: they cost nothing, and what they would have cost is saved.
func (g *Gateway) closeAccount(rec *record, used outcome, elapsed time.Duration) *ledger.Row {
	if g.Ledger == nil || rec.ask.who.id == "" || rec.conversed {
		return nil // the caller was not identified, or the messages have rows
	}
	row := g.newRow(rec.ask, rec.to)
	row.Status = rec.status
	row.Cause = rec.cause
	row.Total = elapsed
	row.Attempts = rec.tries()
	row.Queue = rec.queued
	row.Cache = rec.cacheWord()
	if ans := rec.answer; ans != nil && ans.attempts.KeyIndex >= 0 && ans.attempts.Count > 0 && rec.to.swap {
		row.Slot = strconv.Itoa(ans.attempts.KeyIndex)
	}
	if rec.tap != nil {
		rec.tap.fillRow(&row)
	}
	row.Usage = used.usage
	row.Estimated = used.estimated
	row.Unmetered = used.unmetered
	g.deferWork(rec)
	row.Trail = g.trail(rec, row.Attempts)
	g.explain(&row, rec)
	if used.estimated {
		row.Tier = cmp.Or(row.Tier, used.tier)
		row.Answered = cmp.Or(row.Answered, g.answering(rec.to.route, rec.to.model))
	}
	switch {
	case rec.isDeferred():
		row.Defer()
	case used.reserved:
		row.BillReserved(g.Prices)
	default:
		row.Bill(g.Prices)
	}
	g.redactRow(&row, rec.ask, rec.answer)
	g.deployments.learn(g.Prices, &row)
	if rec.bill != nil {
		rec.bill.Settle(row)
	} else {
		g.Ledger.Record(row)
	}
	return &row
}

// fillRow takes what the answer contains into its row.
func (t *tap) fillRow(row *ledger.Row) {
	row.First = t.first
	row.BytesOut = t.passed
	if t.parsed != nil {
		row.Answered = t.parsed.Model
		row.Finish = t.parsed.Finish()
		row.Tier = t.parsed.Tier
	}
}

// cacheWord is what the ledger and the metrics call what the cache did. A
// caller that followed another's call paid as little as for a hit.
func (rec *record) cacheWord() string {
	if rec.memory == nil {
		return "bypass"
	}
	if rec.memory.collapsed {
		return "hit"
	}
	return cacheWord(rec.memory.status)
}

// trail lists how the request went, for `forward why`.
func (g *Gateway) trail(rec *record, attempts int) (trail []ledger.Step) {
	step := func(name, text string) { trail = append(trail, ledger.Step{Name: name, Text: text}) }
	if rec.memory != nil && rec.memory.detail != "" {
		step("cache", rec.memory.detail)
	}
	if rec.ask.session != nil {
		step("websocket", "a message on the connection of "+rec.ask.session.id)
	}
	if rec.queued > 0 {
		step("queue", fmt.Sprintf("waited %d ms", rec.queued.Milliseconds()))
	}
	if rec.ask.from.route != rec.to.route {
		step("route", "the request leads from "+rec.ask.from.route.Name+" to "+rec.to.route.Name)
	}
	if rec.to.instead {
		step("fallback", rec.to.model+" was asked instead of "+g.redactName(rec.ask.req.Model, rec.ask, rec.answer))
	}
	if rec.answer != nil && rec.answer.batch != nil && rec.answer.batch.about != "" {
		step("batch", rec.answer.batch.about)
	}
	if rec.answer != nil && rec.answer.work != nil && rec.answer.work.about != "" {
		step("deferred", rec.answer.work.about)
	}
	if stopped := rec.stopped(); stopped != nil {
		trail = append(trail, ledger.Step{At: time.Since(rec.in.start), Name: "stopped", Text: "stopped by " + stopped.By()})
	}
	if attempts > 1 {
		step("attempts", strconv.Itoa(attempts))
	}
	if len(rec.to.route.Also) > 0 && rec.answer != nil && rec.answer.attempts.Count > 0 {
		step("base url", "number "+strconv.Itoa(rec.answer.attempts.Base+1))
	}
	return trail
}

// observe counts the request for Prometheus; row is nil where none was written.
func (g *Gateway) observe(rec *record, used outcome, row *ledger.Row, elapsed time.Duration) {
	if g.Metrics == nil {
		return
	}
	if rec.conversed {
		g.Metrics.Leave()
		return
	}
	r := metrics.Request{Model: rec.model(), Status: rec.status, Duration: elapsed, Queued: rec.queued, Stream: rec.ask.req.Stream,
		Attempts: rec.tries(), Cause: rec.cause}
	if rec.to.route != nil {
		r.Route = rec.to.route.Name
	}
	if rec.memory != nil && rec.memory.status != "" {
		r.Cache = cacheWord(rec.memory.status)
	}
	if rec.tap != nil && r.Attempts > 0 && r.Stream {
		r.FirstToken = rec.tap.first
	}
	if rec.cacheWord() != "hit" && !rec.isDeferred() {
		r.Input = used.usage.Input
		r.Output = used.usage.Output
		r.CachedRead = used.usage.CachedRead
		r.Reasoning = used.usage.Reasoning
		r.Estimated = used.estimated
	}
	if row != nil {
		r.CostNano = int64(row.Cost)
		r.ListNano = int64(row.List)
		r.Unpriced = !row.Priced
		r.Unmetered = row.Unmetered
	}
	g.Metrics.Observe(r)
}

// model is the model that was asked in the end, if one was.
func (rec *record) model() string {
	return cmp.Or(rec.to.model, rec.ask.req.Model)
}

// logResult writes the second line of the chat log: what was answered, as far
// as it came, and what it cost.
func (g *Gateway) logResult(rec *record, row *ledger.Row, elapsed time.Duration) {
	who := &rec.ask.who
	result := chatlog.Result{
		Route: rec.to.route.Name, UID: rec.in.id, Operation: rec.ask.from.op, Status: rec.status, Elapsed: elapsed, Cause: rec.cause,
		Cache: cacheWord(rec.memory.status), Content: cmp.Or(who.policy.Log, g.LogContent), Secrets: who.secrets(rec.answer),
		Key: strings.TrimPrefix(who.name, noName), User: rec.ask.who.user, Session: who.session, Queued: rec.queued,
	}
	if row != nil {
		result.Cost = "unpriced"
		if row.Priced {
			result.Cost = strings.TrimPrefix(row.Cost.String(), "$")
			if row.Listed {
				result.ListPrice = strings.TrimPrefix(row.List.String(), "$")
			}
		}
	}
	result.Answer = &dialect.Answer{}
	if rec.tap != nil {
		result.First = rec.tap.first
		if rec.tap.parsed != nil {
			result.Answer = rec.tap.parsed
			result.Complete = rec.cause == "" && rec.status == http.StatusOK && rec.tap.parsed.Complete()
		}
	}
	g.ChatLog.Result(result)
}

// cacheWord is what the chat log calls an X-Cache value.
func cacheWord(status string) string {
	switch status {
	case "HIT":
		return "hit"
	case "MISS":
		return "miss"
	}
	return "bypass"
}

// logLine writes the access log's one line. It names the path but never the
// query, where clients put keys; those that are elsewhere are masked.
func (g *Gateway) logLine(rec *record, elapsed time.Duration) {
	in := rec.in
	level := slog.LevelInfo
	if rec.status >= 500 {
		level = slog.LevelWarn
	}
	if !g.Log.Enabled(in, level) {
		return
	}
	secrets := rec.ask.who.secrets(rec.answer)
	masked := func(name, value string) slog.Attr { return slog.String(name, chatlog.WithoutKeys(value, secrets)) }
	attrs := make([]slog.Attr, 0, 14)
	attrs = append(attrs, slog.String("id", in.id), slog.String("method", in.r.Method), masked("path", in.r.URL.Path),
		slog.Int("status", rec.status), slog.String("ip", rec.ask.who.ip.String()), slog.Float64("ms", float64(elapsed.Microseconds())/1000))
	if rec.to.route != nil {
		attrs = append(attrs, slog.String("route", rec.to.route.Name), slog.String("key", rec.ask.who.name))
	}
	if model := rec.model(); model != "" {
		attrs = append(attrs, masked("model", model))
	}
	if rec.tap != nil {
		attrs = append(attrs, slog.Int64("bytes", rec.tap.passed), slog.Float64("first_ms", float64(rec.tap.first.Microseconds())/1000))
	}
	if rec.ask.session != nil {
		attrs = append(attrs, slog.String("socket", rec.ask.session.id))
	}
	if rec.ask.who.user != "" {
		attrs = append(attrs, masked("user", rec.ask.who.user))
	}
	if rec.ask.who.session != "" {
		attrs = append(attrs, masked("session", rec.ask.who.session))
	}
	if n := rec.tries(); n > 1 {
		attrs = append(attrs, slog.Int("attempts", n))
	}
	if rec.memory != nil && rec.memory.status != "" {
		attrs = append(attrs, slog.String("cache", cacheWord(rec.memory.status)))
	}
	if rec.cause != "" {
		attrs = append(attrs, slog.String("cause", rec.cause))
	}
	g.Log.LogAttrs(in, level, "request", attrs...)
}
