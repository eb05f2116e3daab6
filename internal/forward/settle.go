package forward

import (
	"cmp"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"forward/internal/chatlog"
	"forward/internal/dialect"
	"forward/internal/ledger"
)

// logRequest writes the first of an exchange's two lines into the chat log. Refused requests have none.
func (x *exchange) logRequest() {
	if x.logged || x.calling || x.ChatLog == nil || x.policy.Log == "off" || x.body == nil && x.op != dialect.Audio || !chatlog.Logs(x.op) {
		return
	}
	x.logged = true
	x.ChatLog.Request(chatlog.Request{
		Route: x.route.Name, UID: x.id, IP: x.ip.String(), Key: strings.TrimPrefix(x.caller.name, nobody), User: cmp.Or(x.user, x.ask.User), Time: x.begun,
		Operation: x.op, Body: x.body, Caching: x.ask.Caching != nil && *x.ask.Caching, Model: x.ask.Model, Content: cmp.Or(x.policy.Log, x.LogContent), Secrets: x.secrets(),
	})
}

// settle closes the accounts of an exchange. It runs whatever happened, also while the panic with which deliver
// aborts a connection passes through, and nothing in it needs the client to be there still.
func (x *exchange) settle() {
	defer x.bodies.Add(-x.held)
	x.underway.leave(x)
	if x.entered {
		x.parallel.Leave(x.caller.id)
	}
	x.settleTurn()
	elapsed := time.Since(x.begun)
	if x.cause == "" && x.r.Context().Err() != nil && !x.delivered() {
		x.cause = "client_gone"
	}
	if x.cause == "client_gone" {
		x.status = statusClientGone
	}
	row := x.closeAccount(elapsed)
	if x.logged {
		x.logResult(elapsed, row)
	}
	x.endStream()
	x.observe(elapsed, row)
	if x.tap != nil {
		http.NewResponseController(x.w).SetWriteDeadline(time.Time{}) // the next request on this connection has its own
	}
	x.logLine(elapsed)
	x.stop(nil)
}

// endStream counts one stream less, if the answer was one.
func (x *exchange) endStream() {
	if x.streaming {
		x.streaming = false
		x.Metrics.EndStream()
	}
}

// delivered reports whether the client was given the whole answer.
func (x *exchange) delivered() bool {
	return x.tap != nil && (x.tap.err == io.EOF || x.tap.passed == x.tap.length)
}

// logResult writes the second line of the chat log: what was answered, as far as it came, and what the ledger's row says of it,
// which is nil where none was written.
func (x *exchange) logResult(elapsed time.Duration, row *ledger.Row) {
	result := chatlog.Result{
		Route: x.route.Name, UID: x.id, Operation: x.op, Status: x.status, Elapsed: elapsed, Cause: x.cause,
		Cache: cacheWord(x.memory.status), Content: cmp.Or(x.policy.Log, x.LogContent), Secrets: x.secrets(),
		Key: strings.TrimPrefix(x.caller.name, nobody), User: x.user, Queued: x.queued,
	}
	if row != nil {
		if result.Cost = "unpriced"; row.Priced {
			result.Cost = strings.TrimPrefix(row.Cost.String(), "$")
		}
	}
	if x.tap != nil {
		result.First = x.tap.first
	}
	if x.tap != nil && x.tap.answer != nil {
		result.Answer = x.tap.answer
		result.Complete = x.cause == "" && x.status == http.StatusOK && x.tap.answer.Complete()
	}
	if result.Answer == nil {
		result.Answer = &dialect.Answer{}
	}
	x.ChatLog.Result(result)
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

// logLine writes the access log's one line. It names the path but never the query, where clients may put keys.
func (x *exchange) logLine(elapsed time.Duration) {
	level := slog.LevelInfo
	if x.status >= 500 {
		level = slog.LevelWarn
	}
	if !x.Log.Enabled(x.ctx, level) {
		return
	}
	attrs := make([]slog.Attr, 0, 12)
	attrs = append(attrs, slog.String("id", x.id), slog.String("method", x.r.Method), slog.String("path", x.r.URL.Path),
		slog.Int("status", x.status), slog.String("ip", x.ip.String()), slog.Float64("ms", float64(elapsed.Microseconds())/1000))
	if x.route != nil {
		attrs = append(attrs, slog.String("route", x.route.Name), slog.String("key", x.caller.name))
	}
	if x.ask.Model != "" {
		attrs = append(attrs, slog.String("model", x.ask.Model))
	}
	if x.tap != nil {
		attrs = append(attrs, slog.Int64("bytes", x.tap.passed), slog.Float64("first_ms", float64(x.tap.first.Microseconds())/1000))
	}
	if x.user != "" {
		attrs = append(attrs, slog.String("user", x.user))
	}
	if n := x.tries + x.attempts.Count; n > 1 {
		attrs = append(attrs, slog.Int("attempts", n))
	}
	if x.memory.status != "" {
		attrs = append(attrs, slog.String("cache", cacheWord(x.memory.status)))
	}
	if x.cause != "" {
		attrs = append(attrs, slog.String("cause", x.cause))
	}
	x.Log.LogAttrs(x.ctx, level, "request", attrs...)
}
