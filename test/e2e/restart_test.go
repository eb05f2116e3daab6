//go:build e2e

package e2e

import (
	"bytes"
	"testing"
)

// TestCacheSurvivesKill remembers an answer, ends the process as a crash would,
// and asks again.
func TestCacheSurvivesKill(t *testing.T) {
	const (
		alice = "fk-alice-Zk3Wp8Yd5Rj1Hc6Gv0"
		bob   = "fk-bob-Tq7Mb2Ns9Lf4Kx8Wd1Ac5"
	)
	up := startUpstream(t)
	dir := t.TempDir()
	env := []string{
		"OPENAI_BASE_URL=" + up.URL + "," + up.URL, "OPENAI_ROUTE_PREFIX=/,/other", "OPENAI_API_KEY=sk-one",
		"FORWARD_KEY=" + alice + "," + bob, "CACHE_CHAT_COMPLETION=true",
	}
	const path = "/v1/chat/completions"
	ask := func(gw *gateway, key, path, extra string) answer {
		t.Helper()
		a := send(t, "POST", gw.URL+path, chatBody("gpt-4o-mini", "remember me", `,"caching":true`+extra), bearer(key)...)
		if a.status != 200 || a.err != nil {
			t.Fatalf("status %d, error %v: %s", a.status, a.err, a.body)
		}
		return a
	}

	gw := startForward(t, dir, env...)
	first := ask(gw, alice, path, "")
	second := ask(gw, alice, path, "")
	if up.count() != 1 || second.header.Get("X-Cache") != "HIT" {
		t.Fatalf("two equal requests made %d upstream calls; X-Cache %q", up.count(), second.header.Get("X-Cache"))
	}
	streamed := ask(gw, alice, path, `,"stream":true`)

	for round := range 3 {
		gw.Kill()
		gw = startForward(t, dir, env...)
		again := ask(gw, alice, path, "")
		if !bytes.Equal(again.body, first.body) || again.header.Get("X-Cache") != "HIT" {
			t.Errorf("round %d: after kill -9, X-Cache %q and\n%s\nwant\n%s", round, again.header.Get("X-Cache"), again.body, first.body)
		}
		if a := ask(gw, alice, path, `,"stream":true`); !bytes.Equal(a.body, streamed.body) {
			t.Errorf("round %d: the stream changed:\n%s\nwant\n%s", round, a.body, streamed.body)
		}
	}
	if up.count() != 1 {
		t.Errorf("%d upstream calls, want 1", up.count())
	}

	for _, c := range []struct{ name, key, path, extra string }{
		{"another temperature", alice, path, `,"temperature":0.7`},
		{"a tool", alice, path, `,"tools":[{"type":"function","function":{"name":"f"}}]`},
		{"another caller", bob, path, ""},
		{"another route", alice, "/other" + path, ""},
		{"a query", alice, path + "?v=2", ""},
	} {
		before := up.count()
		if a := ask(gw, c.key, c.path, c.extra); a.header.Get("X-Cache") != "MISS" || up.count() != before+1 {
			t.Errorf("%s: X-Cache %q and %d upstream calls, want MISS and one", c.name, a.header.Get("X-Cache"), up.count()-before)
		}
	}
}
