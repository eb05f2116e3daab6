package config_test

import (
	"fmt"
	"strings"
	"testing"

	"forward/internal/config"
)

// TestBudgetsOfTags reads them from forward.yaml and from .env.
func TestBudgetsOfTags(t *testing.T) {
	want := "[{team=search 500usd/month  } {nightly 5usd/day@Europe/Berlin allow deny} {nightly 20mtokens/week allow deny}]"
	for name, files := range map[string]map[string]string{
		"forward.yaml": {"forward.yaml": `
budgets:
  - {tag: team=search, limit: 500usd/month}
  - tag: nightly
    limit: [5usd/day@Europe/Berlin, 20mtokens/week]
    overrun: deny
    unknown_price: Allow
`},
		".env": {".env": `BUDGETS=[{"tag": "team=search", "limit": "500usd/month"}, {"tag": "nightly", "limit": ["5usd/day@Europe/Berlin", "20mtokens/week"], "overrun": "deny", "unknown_price": "allow"}]` + "\n"},
	} {
		t.Run(name, func(t *testing.T) {
			dir(t, files)
			c, _ := mustLoad(t)
			if got := fmt.Sprint(c.Limits.Budgets); got != want {
				t.Errorf("%s\nwant %s", got, want)
			}
		})
	}
}

// TestWrongBudgetsOfTags reports all mistakes at once, each with what to write.
func TestWrongBudgetsOfTags(t *testing.T) {
	dir(t, map[string]string{"forward.yaml": `
budgets:
  - {tag: a, limit: 5eur/month}
  - {limit: 5usd}
  - {tag: b}
  - {tag: 'b,c', limit: 5usd}
  - {tag: d, limit: 5usd, overrun: maybe}
  - {tag: e, limit: 5usd, period: day}
  - {tag: f, limit: [5usd/day, 6usd/day]}
  - g=5usd
`})
	_, _, err := config.Load(config.Flags{}, nil)
	if err == nil {
		t.Fatal("no error")
	}
	for _, part := range []string{
		"entry 1.limit: \"5eur/month\" is no budget", "entry 2.tag: \"\" cannot be a tag", "entry 3 has no limit", "entry 4.tag: \"b,c\" cannot be a tag",
		"entry 5.overrun is \"maybe\"", "entry 6 has a member \"period\"", "tag \"f\" has two budgets of usd/day", "entry 8 is not an object",
	} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("no %q in\n%v", part, err)
		}
	}
	dir(t, map[string]string{".env": "BUDGETS=500usd/month\n"})
	if _, _, err := config.Load(config.Flags{}, nil); err == nil || !strings.Contains(err.Error(), `"tag": "team=search"`) {
		t.Error(err)
	}
	dir(t, map[string]string{".env": `BUDGETS=[{"tag": "a", "limit": "5usd"}]` + "\nLEDGER=false\n"})
	if _, warnings := mustLoad(t); !strings.Contains(fmt.Sprint(warnings), "LEDGER=false keeps no account") {
		t.Error(warnings)
	}
}
