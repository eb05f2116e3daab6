package queue

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"forward/internal/glob"
)

// Model limits one model of a route. A zero field is no limit, except for
// MaxQueue.
type Model struct {
	RPM, TPM    int64         // requests and tokens a minute
	MaxParallel int           // requests that are executed at a time
	MaxQueue    int           // requests that may wait; 0: none
	MaxWait     time.Duration // of one request; 0: until its client leaves
}

// Rule limits the models of a route that match a glob, each model by itself. Of
// several rules the most specific one counts, see glob.Specificity. The glob *
// also matches requests that name no model.
type Rule struct {
	Route  string // its name; empty: every route without a rule for the model itself
	Models string // a name or a glob
	Model
}

// Demand is what a request needs of its model.
type Demand struct {
	Route, Model string
	Caller       string        // the queue is fair between callers
	Priority     int           // of the caller, from -4 to 4; each step doubles its share
	Tokens       int64         // of the prompt, and those reserved for the completion
	Spare        int64         // those of Tokens that are not reserved where they make it more than the limit
	MaxWait      time.Duration // the client's own deadline; 0: none

	// OnKeepalive is called each time the request has waited for another
	// Keepalive, by the goroutine that called Acquire. 0 is never.
	Keepalive   time.Duration
	OnKeepalive func()
}

// sortRules checks rules and sorts them so that the first one that matches a
// model is the one that counts.
func sortRules(rules []Rule) ([]Rule, error) {
	rules = slices.Clone(rules)
	seen := make(map[modelKey]bool)
	for _, r := range rules {
		if r.RPM < 0 || r.TPM < 0 || r.MaxParallel < 0 || r.MaxQueue < 0 || r.MaxWait < 0 {
			return nil, fmt.Errorf("limits of model %q of route %q: none may be below zero; leave one out for no limit",
				r.Models, r.Route)
		}
		if r.RPM > maxUnits || r.TPM > maxUnits {
			return nil, fmt.Errorf("limits of model %q of route %q: %d a minute is too large; leave it out for no limit",
				r.Models, r.Route, max(r.RPM, r.TPM))
		}
		if r.Models == "" {
			return nil, fmt.Errorf("limits of route %q: a rule names no models; write a name, a glob or *", r.Route)
		}
		key := modelKey{r.Route, r.Models}
		if seen[key] {
			return nil, fmt.Errorf("limits of model %q of route %q are given twice", r.Models, r.Route)
		}
		seen[key] = true
	}
	slices.SortStableFunc(rules, func(a, b Rule) int {
		return cmp.Or(
			cmp.Compare(glob.Specificity(b.Models), glob.Specificity(a.Models)),
			cmp.Compare(len(b.Route), len(a.Route)),
		)
	})
	return rules, nil
}
