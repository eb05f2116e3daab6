package ledger

import (
	"cmp"
	"fmt"
	"time"

	"forward/internal/keys"
	"forward/internal/price"
)

// Unit is what a budget counts.
type Unit string

// The units.
const (
	USD    Unit = "usd"    // Budget.Amount and sums are nano-dollars
	Tokens Unit = "tokens" // prompt and generated tokens together
)

// Budget is what a key may use in a period, or all requests with a tag
// together. It is given with every call, so that a change applies to the next
// one. What was spent is kept apart from it: a changed amount moves the limit
// and not the sum.
type Budget struct {
	Tag    string // whose requests count; "": those of the key
	Unit   Unit
	Amount int64 // nano-dollars or tokens
	Period Period
	Zone   *time.Location // the calendar of the period; nil: UTC
	// AllowUnpriced lets calls of models without a price through a budget in
	// dollars, uncounted. It is off by default, because a budget that does not
	// see what is spent limits nothing.
	AllowUnpriced bool
	// Overrun lets a call start while anything is left, whatever it may cost.
	Overrun bool
}

// Budgets returns the budgets of a policy. zone is the calendar of those that
// name none.
func (l *Ledger) Budgets(p *keys.Policy, zone *time.Location) []Budget {
	list := make([]Budget, 0, len(p.Budgets))
	for _, b := range p.Budgets {
		list = append(list, Budget{
			Unit: Unit(b.Unit), Amount: b.Amount, Period: Period(b.Period), Zone: l.zone(b.Zone, zone),
			AllowUnpriced: p.UnknownPrice == "allow", Overrun: p.Overrun == "allow",
		})
	}
	return list
}

// TagBudget is a budget of a tag as the settings have it.
type TagBudget struct {
	Tag          string
	Limit        keys.Budget
	UnknownPrice string // as in keys.Policy, as is Overrun
	Overrun      string
}

// TagBudgets returns the budgets of tags. zone is the calendar of those that
// name none.
func TagBudgets(list []TagBudget, zone *time.Location) map[string][]Budget {
	byTag := map[string][]Budget{}
	for _, b := range list {
		budget := Budget{
			Tag: b.Tag, Unit: Unit(b.Limit.Unit), Amount: b.Limit.Amount, Period: Period(b.Limit.Period), Zone: zone,
			AllowUnpriced: b.UnknownPrice == "allow", Overrun: b.Overrun == "allow",
		}
		if z, err := time.LoadLocation(b.Limit.Zone); err == nil && b.Limit.Zone != "" {
			budget.Zone = z
		}
		byTag[b.Tag] = append(byTag[b.Tag], budget)
	}
	return byTag
}

// zone returns the time zone of a name, or the default. A zone is a file, so
// each is read once.
func (l *Ledger) zone(name string, otherwise *time.Location) *time.Location {
	if name == "" {
		return otherwise
	}
	if z, ok := l.zones.Load(name); ok {
		return z.(*time.Location)
	}
	z, err := time.LoadLocation(name)
	if err != nil { // not where the policy was checked
		return otherwise
	}
	l.zones.Store(name, z)
	return z
}

// String returns a budget as people write it: "$20.00/month", "1000000
// tokens/day", "$5.00 in total".
func (b Budget) String() string {
	if b.Period == Total {
		return b.show(b.Amount) + " in total"
	}
	return b.show(b.Amount) + "/" + string(b.Period)
}

// named returns a budget in a sentence, with its tag.
func (b Budget) named() string {
	if b.Tag == "" {
		return b.String()
	}
	return b.String() + " for tag '" + b.Tag + "'"
}

// or returns a word about the budgets of keys, or about those of tags.
func (b Budget) or(key, tag string) string {
	if b.Tag == "" {
		return key
	}
	return tag
}

// show returns n in the budget's unit.
func (b Budget) show(n int64) string {
	if b.Unit == USD {
		return price.Money(n).String()
	}
	return fmt.Sprintf("%d tokens", n)
}

// Balance is the state of a budget.
type Balance struct {
	Budget Budget
	Spent  int64     // nano-dollars or tokens of calls that have ended
	Held   int64     // reserved for calls under way
	Reset  time.Time // when the period ends; zero for a total
}

// BudgetError reports that a budget is spent, or that less is left of it than
// the call may use.
type BudgetError struct {
	Balance
	Needed int64 // what the call may use; 0: the budget is spent
}

// Error names the budget, what was used of it and when it starts again.
func (e *BudgetError) Error() string {
	if e.Needed > 0 {
		return fmt.Sprintf("of the budget of %s, %s is left, and this request may use %s: lower its max_tokens or the number of its answers, "+
			"or have your administrator allow the %s to overrun its budget by one request (overrun: allow)",
			e.Budget.named(), e.Budget.show(max(e.Budget.Amount-e.Spent, 0)), e.Budget.show(e.Needed), e.Budget.or("key", "tag"))
	}
	text := fmt.Sprintf("the budget of %s is spent: %s used", e.Budget.named(), e.Budget.show(e.Spent))
	if e.Held > 0 {
		text += fmt.Sprintf(", %s reserved by calls under way", e.Budget.show(e.Held))
	}
	if !e.Reset.IsZero() {
		text += ", it starts again at " + e.Reset.Format(time.RFC3339)
	}
	return text
}

// Summary is the budget and how it stands, in a line.
func (e *BudgetError) Summary() string {
	text := e.Budget.String() + ": " + e.Budget.show(e.Spent) + " used"
	if e.Held > 0 {
		text += ", " + e.Budget.show(e.Held) + " held"
	}
	if e.Needed > 0 {
		text += ", " + e.Budget.show(e.Needed) + " needed"
	}
	return text
}

// UnpricedError reports that there is a budget in dollars and the model has no
// price, or none for what is asked of it.
type UnpricedError struct {
	Budget          Budget
	Upstream, Model string
	Why             string // there is no price
}

// Error names the model and the budget, and what an administrator can do.
func (e *UnpricedError) Error() string {
	if e.Model == "" {
		return fmt.Sprintf("the request names no model, so it has no price and the budget of %s cannot hold for it: name a model", e.Budget.named())
	}
	return fmt.Sprintf("model %q has no price, so the budget of %s cannot hold for it (%s): have your administrator write its price into forward.yaml "+
		"(prices: {%s: {input: 2.50, output: 10}}) or the model that it is (prices: {%s: %s/gpt-4o}), or allow unpriced models for the %s",
		e.Model, e.Budget.named(), e.Why, e.Model, e.Model, cmp.Or(e.Upstream, "openai"), e.Budget.or("key", "tag's budget (unknown_price: allow)"))
}

// Warning reports that a part of a budget is used. There is one for each of 50,
// 80 and 100 percent in a period.
type Warning struct {
	Time    time.Time
	Key     string // "" for the budget of a tag
	KeyName string
	Balance Balance
	Percent int
}
