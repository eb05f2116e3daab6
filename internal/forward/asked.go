package forward

import (
	"math"

	"forward/internal/dialect"
	"forward/internal/price"
)

// Bounds of sound whose length only the answer reports.
const (
	slowestSound = 2_000    // bytes a second: 16 kbit/s, the least at which speech is usually sent
	longestSound = 25 << 20 // bytes of a body of unknown size: the largest file that OpenAI takes
)

// asked returns what the request asks for beside tokens: what is billed by the
// piece, and what multiplies the price. The seconds of sound are a bound.
func (a *ask) asked() dialect.Usage {
	u := dialect.Usage{Media: a.req.Media, Terms: a.req.Terms}
	if a.from.op == dialect.Audio {
		size := max(a.in.r.ContentLength, int64(len(a.raw)))
		if size <= 0 {
			size = longestSound
		}
		u.Seconds = math.Ceil(float64(size) / slowestSound)
	}
	return u
}

// offers returns the calls of tools that the request offers and the model has a
// price for. Of others the answer shows whether any was made.
func (a *ask) offers(list price.List) (fees []dialect.Fee) {
	if a.body == nil {
		return nil
	}
	for _, fee := range a.body.OfferedTools() {
		if list.HasTool(fee.Name) {
			fees = append(fees, fee)
		}
	}
	return fees
}

// ask adds to an outcome what the request decides and no answer has reported.
func (used *outcome) ask(a *ask) {
	asked := a.asked()
	used.usage.Ask(asked)
	if used.estimated {
		used.usage.Terms.Speed = asked.Terms.Speed
		used.usage.Terms.Geo = asked.Terms.Geo
		used.tier = a.tier()
	}
}

// hold sets an outcome to all that was reserved beside tokens.
func (used *outcome) hold(a *ask) {
	asked := a.asked()
	used.usage.Media = asked.Media
	used.usage.Terms = asked.Terms
	used.usage.Seconds = asked.Seconds
	used.tier = a.tier()
}

// settlePieces settles an outcome by what the request asks for, where the model
// is charged by the piece and the answer reports nothing. It reports whether it
// is. These are no bounds, as the tokens of a reservation are.
func (g *Gateway) settlePieces(used *outcome, rec *record) bool {
	if !g.priceOf(rec.to.route, rec.to.model).ByPiece(used.usage) {
		return false
	}
	used.usage.Total -= used.usage.Output
	used.usage.Output = 0
	return true
}
