package limits

import (
	"fmt"
	"path"
	"slices"
)

// Scope is the kind of name that a Quota is for.
type Scope string

// The scopes. A request counts in all of them at once.
const (
	ScopeGlobal Scope = "global" // all requests together
	ScopeRoute  Scope = "route"
	ScopeModel  Scope = "model"
	ScopeKey    Scope = "key"  // the forward key
	ScopeUser   Scope = "user" // the user that the caller names, if any
)

var scopes = []Scope{ScopeGlobal, ScopeRoute, ScopeModel, ScopeKey, ScopeUser}

// Scopes returns the scopes, the widest first.
func Scopes() []Scope { return slices.Clone(scopes) }

// MaxQuota is the highest limit of a Quota. Sums up to it stay exact in Redis,
// which counts in floating point.
const MaxQuota = 1 << 50

// Quota limits the requests and tokens of each name in a scope by the minute
// and day of the calendar. Zero is no limit.
//
// Of the quotas of a scope that match a name only the most specific one
// applies, see glob.Specificity. So an override may be higher than the default,
// or lift it with zeros; the limits of other scopes apply beside it. Quotas
// with Shadow are chosen apart from the others, so a quota that is tried out
// changes nothing.
type Quota struct {
	Scope Scope
	Match string // a name or a glob; "*" or "" for all

	RequestsPerMinute, RequestsPerDay int64
	TokensPerMinute, TokensPerDay     int64 // of prompt and answer
	InputPerMinute, InputPerDay       int64 // tokens of the prompt
	OutputPerMinute, OutputPerDay     int64 // tokens of the answer

	Shadow bool // refuses no request; what it would have refused is logged
}

// bounds returns the limits as they are compared with what is counted.
func (q Quota) bounds() tally {
	return tally{
		{q.RequestsPerMinute, q.TokensPerMinute, q.InputPerMinute, q.OutputPerMinute},
		{q.RequestsPerDay, q.TokensPerDay, q.InputPerDay, q.OutputPerDay},
	}
}

// check refuses quotas that would limit nothing, or that Redis could not count.
// A glob is checked by path.Match, because glob.Match takes any text: a mistake
// such as gpt-[4 would match nothing, and so limit nothing.
func (q Quota) check() error {
	switch {
	case !slices.Contains(scopes, q.Scope):
		return fmt.Errorf("there is no such scope; write one of %v", scopes)
	case q.Scope == ScopeGlobal && q.Match != "*":
		return fmt.Errorf("the global quota has no names; leave the name out")
	}
	if _, err := path.Match(q.Match, ""); err != nil {
		return fmt.Errorf("%w; write a name, or a glob such as gpt-4o*", err)
	}
	for _, window := range q.bounds() {
		for m, limit := range window {
			if limit < 0 || limit > MaxQuota {
				return fmt.Errorf("%d %s is no limit; write 0 for none, or up to %d", limit, metric(m), int64(MaxQuota))
			}
		}
	}
	return nil
}

// Subject holds the names that a request counts for. All names except for the
// user count also when they are empty: a request that names no model is no way
// around the limit of models.
type Subject struct {
	Route, Model, Key, User string

	RPM, TPM int64 // the key's own limits, beside the quotas; 0: none
}

// name returns the subject's name in a scope. All requests have the same in the
// global one.
func (s Subject) name(scope Scope) string {
	switch scope {
	case ScopeRoute:
		return s.Route
	case ScopeModel:
		return s.Model
	case ScopeKey:
		return s.Key
	case ScopeUser:
		return s.User
	}
	return ""
}

// Estimate is how many tokens a request may cost: those of its prompt, and the
// most that may be answered.
type Estimate struct {
	Input, Output int64
	// Spare are the tokens of Output that are not reserved where they make it
	// more than a limit.
	Spare int64
	// Exact is set when Input and Output are upper bounds that were found
	// without counting. It counts, and is called when a bound would take a
	// noticeable part of what is left of a limit, or could refuse the request.
	Exact func() Estimate
}

// counts returns the amounts of a request, in the order of the metrics.
func (e Estimate) counts() counts { return counts{1, e.Input + e.Output, e.Input, e.Output} }

// clamped returns the estimate within what can be counted exactly, and without
// the spare tokens that make it more than a limit of the claims.
func (e Estimate) clamped(claims []claim) Estimate {
	input := clamp(e.Input)
	output := clamp(e.Output)
	fits := output
	for i := range claims {
		for _, window := range claims[i].bounds {
			if limit := window[countTokens]; limit > 0 {
				fits = min(fits, limit-input)
			}
			if limit := window[countOutput]; limit > 0 {
				fits = min(fits, limit)
			}
		}
	}
	return Estimate{Input: input, Output: max(fits, output-clamp(e.Spare), 0)}
}

func clamp(n int64) int64 { return min(max(n, 0), MaxQuota) }

// metric is what a quota counts.
type metric int

const (
	countRequests metric = iota
	countTokens          // of prompt and answer
	countInput
	countOutput
	metrics
)

func (m metric) String() string {
	return [...]string{"requests", "tokens", "input_tokens", "output_tokens"}[m]
}

// counts are amounts of each metric.
type counts [metrics]int64

// tally holds what is counted for one name, or allowed, in the minute and in
// the day.
type tally [2]counts

// fit reports whether n more are within all bounds.
func (t tally) fit(bounds tally, n counts) bool {
	for i := range bounds {
		for m, limit := range bounds[i] {
			if limit > 0 && n[m] > 0 && t[i][m] > limit-n[m] {
				return false
			}
		}
	}
	return true
}
