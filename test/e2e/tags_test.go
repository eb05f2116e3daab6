//go:build e2e

package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tidwall/gjson"
)

// TestSessionsAndTags runs agents' requests through the gateway: reports group
// them by session and tag, a tag's budget is spent by several keys together and
// holds over a restart, and a reload raises it and adds another, which counts
// what was used before.
func TestSessionsAndTags(t *testing.T) {
	const alice, bob = "fk-alice-Zk3Wp8Yd5Rj1Hc6Gv0", "fk-bob-Tq7Mb2Ns9Lf4Kx8Wd1Ac5"
	up := startUpstream(t)
	dir := t.TempDir()
	settings := func(budgets string) {
		t.Helper()
		text := fmt.Sprintf("OPENAI_BASE_URL: %s\nOPENAI_API_KEY: sk-one\nFORWARD_KEY:\n  %s: {name: alice, tags: team=search}\n  %s: {name: bob}\nbudgets:\n%s", up.URL, alice, bob, budgets)
		if err := os.WriteFile(filepath.Join(dir, "forward.yaml"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	// Each request costs 9 tokens at least; the second one passes the limit.
	settings("  - {tag: team=search, limit: 12tokens/month, overrun: allow}\n")
	gw := startForward(t, dir)
	ask := func(key string, headers ...string) answer {
		t.Helper()
		return send(t, "POST", gw.URL+chatPath, chatBody("gpt-4o-mini", "one two three four five", ""), append(bearer(key), headers...)...)
	}
	passes := func(a answer) {
		t.Helper()
		if a.status != 200 {
			t.Errorf("status %d: %s", a.status, a.body)
		}
	}
	refused := func(a answer, parts ...string) {
		t.Helper()
		for _, part := range append(parts, "insufficient_quota", "You exceeded your budget") {
			if a.status != 402 || !strings.Contains(string(a.body), part) {
				t.Errorf("status %d, want 402 and %q: %s", a.status, part, a.body)
			}
		}
	}
	passes(ask(bob, "X-Claude-Code-Session-Id", "session-1", "X-Forward-Tags", "run=42"))
	for range 20 { // until it is spent, whatever the upstream counts
		if ask(alice, "X-Forward-Session", "session-2", "X-Forward-Tags", "run=42, team=other").status != 200 {
			break
		}
	}
	refused(ask(alice), "for tag 'team=search'")
	refused(ask(bob, "X-Forward-Tags", "team=search"), "for tag 'team=search'")
	passes(ask(bob))

	report := func(args ...string) gjson.Result {
		t.Helper()
		out, problems, status := command(t, dir, nil, append([]string{"usage", "--since", "all", "-o", "json"}, args...)...)
		if status != 0 {
			t.Fatal(problems)
		}
		return gjson.Parse(out)
	}
	gw.Stop() // all is written
	if got := report("--by", "session", "--session", "session-1").Get("groups.#").Int(); got != 1 {
		t.Errorf("%d groups of the first session", got)
	}
	byTag := report("--by", "tag")
	all := byTag.Get("total.requests").Int()
	sum := int64(0)
	for _, g := range byTag.Get("groups").Array() {
		sum += g.Get("requests").Int()
		if strings.Contains(g.Get("tag").Str, "other") {
			t.Errorf("a caller gave its key's tag another value: %s", g)
		}
	}
	if plain := report("--by", "key").Get("total.requests").Int(); all != plain || sum <= all {
		t.Errorf("by tag: %d in all and %d in groups; by key: %d", all, sum, plain)
	}
	if table, _, _ := command(t, dir, nil, "usage", "--by", "tag"); !strings.Contains(table, "once in the total") {
		t.Errorf("the table has no word on the total:\n%s", table)
	}

	gw = startForward(t, dir)
	refused(ask(alice), "for tag 'team=search'")
	settings("  - {tag: team=search, limit: 1mtokens/month}\n  - {tag: run=42, limit: [9tokens/day, 1gtokens/week]}\n")
	if out, problems, status := command(t, dir, nil, "reload"); status != 0 {
		t.Fatal(out, problems)
	}
	passes(ask(alice))
	refused(ask(bob, "X-Forward-Tags", "run=42"), "for tag 'run=42'")
	checked, _, _ := command(t, dir, nil, "check")
	if !strings.Contains(checked, "run=42") || !strings.Contains(checked, "9tokens/day") {
		t.Errorf("check shows no budget of the tag:\n%s", checked)
	}
	for _, r := range up.requests() {
		for name := range r.Header {
			if strings.HasPrefix(name, "X-Forward-") {
				t.Errorf("%s went upstream", name)
			}
		}
	}
}
