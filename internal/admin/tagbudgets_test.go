package admin_test

import (
	"fmt"
	"testing"

	"forward/internal/price"
)

// TestBudgetsOfTags shows how the budgets of tags stand: all of them to the
// administrator, those of a key's tags with the key, to its holder and to chat
// clients.
func TestBudgetsOfTags(t *testing.T) {
	h := newFixture(t, withTagBudgets).spent()
	type budgets struct {
		Budgets []struct {
			Tag, Budget, Unit  string
			Limit, Spent, Left int64
		}
	}
	const red = "{team-red 9usd/month usd 9000000000 3500000000 5500000000}"
	for _, c := range []struct{ target, name, want string }{
		{"/_/api/budgets", "admin", "[" + red + " {nightly 1ktokens/day@Europe/Berlin tokens 1000 0 1000}]"},
		{"/_/api/keys/alice", "admin", "[{ 20usd/month usd 20000000000 3500000000 16500000000} { 1mtokens/total tokens 1000000 480 999520} " + red + "]"},
		{"/_/api/me", "alice", "[{ 20usd/month usd 20000000000 3500000000 16500000000} { 1mtokens/total tokens 1000000 480 999520} " + red + "]"},
		{"/_/api/me", "bob", "[]"},
	} {
		if got := fmt.Sprint(get[budgets](h, c.target, c.name).Budgets); got != c.want {
			t.Errorf("%s: %s\nwant %s", c.target, got, c.want)
		}
	}
	if s := get[subscription](h, "/dashboard/billing/subscription", "alice"); s.HardLimit != 9 {
		t.Errorf("chat clients see a limit of $%v", s.HardLimit)
	}
	h.spend("7", "alice", "gpt-4o", now, price.Dollar)
	if got := get[budgets](h, "/_/api/budgets", "admin").Budgets[0].Spent; got != 4_500_000_000 {
		t.Errorf("spent %d", got)
	}
	if err := h.ledger.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	type page struct {
		Groups []struct {
			Tag      string
			Requests int64
		}
		Total struct{ Requests int64 }
	}
	if p := get[page](h, "/_/api/usage?by=tag&since=all", "admin"); len(p.Groups) != 2 || p.Total.Requests != 7 {
		t.Errorf("%+v", p)
	}
}
