package forward

import (
	"net/http"
	"strconv"

	"golang.org/x/net/http/httpguts"

	"forward/internal/dialect"
	"forward/internal/tokens"
)

// The headers that report what an answer cost, in tokens; trailers of streams,
// whose cost is known at their end.
const (
	inputTokens     = "X-Llm-Input-Tokens"
	outputTokens    = "X-Llm-Output-Tokens"
	totalTokens     = "X-Llm-Total-Tokens"
	tokensEstimated = "X-Llm-Tokens-Estimated" // "true" when the provider did not report them
)

// usage is what the answer cost: what the provider reports, and otherwise what
// can be counted of the prompt and of as much of the answer as came. Of a
// stream that broke off it is never less than what came. It is nil where
// nothing can be counted.
func (t *tap) usage() (u *dialect.Usage, estimated bool) {
	switch {
	case t.parsed == nil:
		return nil, false
	case t.parsed.Usage != nil && !t.parsed.Usage.Early && !t.endsEarly() && !t.contradicts():
		return t.parsed.Usage, false
	case t.estimate == nil:
		t.estimate = t.count()
	}
	if t.estimate == nil {
		return t.parsed.Usage, false
	}
	return t.estimate, true
}

// endsEarly reports whether a stream has not come to its end, so that the usage
// in it is one of its start: Anthropic's first event reports one token of
// output, and Gemini's report what there was so far.
func (t *tap) endsEarly() bool {
	return t.events && t.ask.from.op.AnswersText() && !t.parsed.Ended && t.parsed.Finish() == "" && len(t.parsed.Choices()) > 0
}

// contradicts reports whether the usage leaves out what is there: a text has a
// prompt, and it is made of tokens.
func (t *tap) contradicts() bool {
	u := t.parsed.Usage
	if !t.ask.from.op.AnswersText() || (u.Input > 0 && u.Output > 0) {
		return false
	}
	return u.Output > 0 || t.parsed.HasText()
}

// count counts what the answer does not report, nil where that is impossible.
func (t *tap) count() *dialect.Usage {
	op := t.ask.from.op
	u := dialect.Usage{Terms: dialect.Terms{Fees: t.parsed.Fees}}
	if t.parsed.Usage != nil { // as it stood before the answer broke off: Anthropic starts with one token
		u = *t.parsed.Usage
	}
	switch {
	case op.AnswersText() && len(t.parsed.Choices()) > 0:
		u.Output = max(u.Output, t.completion())
	case op.Embeds() && t.parsed.Ended && t.parsed.Error == "":
	default:
		return nil
	}
	if u.Input == 0 {
		u.Input = t.demand.exact().Prompt
		if t.ask.session != nil {
			u.Input += t.ask.session.context
		}
	}
	if u.Input+u.Output == 0 {
		return nil // a body that could not be read has no prompt that could be counted
	}
	u.Total = max(u.Total, u.Input+u.Output)
	return &u
}

// completion counts the tokens of the text that was answered. Where that was
// too long to be kept its length is all that is known.
func (t *tap) completion() int64 {
	if t.record != nil && t.record.over && !t.events {
		return tokens.Estimation{}.EstimateBytes(int64(t.record.n))
	}
	return tokens.Completion(t.ask.from.op, t.demand.model, t.parsed)
}

// reportUsage writes the usage of the answer into headers or trailers.
func (t *tap) reportUsage(h http.Header) {
	u, estimated := t.usage()
	if u == nil || h == nil || (u.Total == 0 && u.Media != dialect.Media{}) {
		return
	}
	if estimated {
		h[tokensEstimated] = []string{"true"}
	}
	h[inputTokens] = []string{strconv.FormatInt(u.Input, 10)}
	h[outputTokens] = []string{strconv.FormatInt(u.Output, 10)}
	h[totalTokens] = []string{strconv.FormatInt(u.Total, 10)}
}

// announceUsage announces the usage in the trailers of a stream, to clients
// that ask for trailers with "TE: trailers" (RFC 9110, section 6.5.1): some
// proxies and clients cut an answer that has them. HTTP/1.0 has none, nor has
// an answer with a length.
func (t *tap) announceUsage() {
	r := t.ask.in.r
	if !t.metered || t.length >= 0 || !r.ProtoAtLeast(1, 1) || !httpguts.HeaderValuesContainsToken(r.Header["Te"], "trailers") {
		return
	}
	res := t.answer.res
	if res.Trailer == nil {
		res.Trailer = http.Header{}
	}
	for _, name := range []string{inputTokens, outputTokens, totalTokens, tokensEstimated} {
		res.Trailer[name] = nil
	}
	t.trailers = true
}
