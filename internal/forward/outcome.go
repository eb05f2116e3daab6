package forward

import (
	"forward/internal/dialect"
	"forward/internal/upstream"
)

// outcome is what a request used in the end. It is decided once: limits,
// budgets, the ledger and the metrics all settle by it.
type outcome struct {
	usage     dialect.Usage
	unsent    bool   // the upstream was not asked, so even the request comes back
	estimated bool   // usage was counted or reserved, because the provider reported none
	reserved  bool   // usage is what was reserved
	tier      string // the service tier asked for, where usage is estimated
	unmetered bool   // the upstream may have worked, and nothing is known to settle at
}

// outcome decides what a request used. That is what the provider reports, else
// what was counted of the prompt and the answer, else what was reserved: never
// nothing, where the upstream may have worked. An error that it answers with
// costs nothing.
func (g *Gateway) outcome(rec *record) outcome {
	if rec.tap != nil {
		u, estimated := rec.tap.usage()
		if u != nil {
			if !estimated && rec.answer.attempts.Count > 0 {
				g.lengths.learn(rec.to.model, u.Output/max(rec.ask.req.N, 1))
			}
			used := outcome{usage: *u, estimated: estimated}
			if rec.worked() {
				used.ask(rec.ask)
			}
			return used
		}
	}
	ans := rec.answer
	switch op := rec.ask.from.op; {
	case ans == nil || ans.unsent || ans.attempts.Count == 0:
		return outcome{unsent: true}
	case !op.Generates() || !rec.worked():
		return outcome{}
	case rec.to.route.Open:
		// No API key of ours pays for it, and the usage in its answers is not
		// read: what was reserved would be no measure of it.
		return outcome{unmetered: true}
	case (rec.cause == clientGone || rec.cause == requestStopped) && op.AnswersText() && rec.streams():
		// The call ended with its client, and no word had come. An answer that
		// is no stream may be there all the same: it is made unseen.
		return counted(rec.to.demand.exact().Prompt, 0)
	}
	d := rec.to.demand
	used := counted(d.exact().Prompt+d.unread(), d.most())
	used.hold(rec.ask)
	used.reserved = !g.settlePieces(&used, rec)
	if used.usage.Total == 0 && used.usage.Media == (dialect.Media{}) {
		return outcome{unmetered: true}
	}
	return used
}

func counted(prompt, output int64) outcome {
	return outcome{usage: dialect.Usage{Input: prompt, Output: output, Total: prompt + output}, estimated: true}
}

// streams reports whether the answer comes, or was to come, as it is made.
func (rec *record) streams() bool {
	return rec.ask.req.Stream || (rec.tap != nil && rec.tap.events)
}

// worked reports whether the upstream may have worked for the request: it
// accepted it, or had it when the connection ended.
func (rec *record) worked() bool {
	if res := rec.answer.res; res != nil {
		return res.StatusCode < 300
	}
	if !rec.answer.attempts.Sent {
		return false
	}
	switch upstream.Classify(rec.err).Cause {
	case upstream.AuthFailed, upstream.Redirect, upstream.ClientBody:
		return false
	}
	return true
}
