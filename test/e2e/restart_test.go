//go:build e2e

package e2e

import (
	"bytes"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"forward/test/harness"
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

// TestDataDirIsOneGateways starts a second gateway on the DATA_DIR of another
// one, with different things switched on: it ends with one sentence, while
// commands work and the first one serves on. It starts where the first one ends
// within some seconds, or was killed.
func TestDataDirIsOneGateways(t *testing.T) {
	up := startUpstream(t)
	for name, env := range map[string][]string{
		"M8 with the ledger": {"OPENAI_API_KEY=sk-one", "FORWARD_KEY=fk-alice-Zk3Wp8Yd5Rj1Hc6Gv0"},
		"M8 with the cache":  {"LEDGER=false", "CACHE_CHAT_COMPLETION=true"},
		"M8 with keys only":  {"LEDGER=false", "OPENAI_API_KEY=sk-one", "FORWARD_KEY=fk-alice-Zk3Wp8Yd5Rj1Hc6Gv0"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			env = append(env, "OPENAI_BASE_URL="+up.URL)
			first := startForward(t, dir, env...)
			second := harness.Start(t, dir, append([]string{"PORT=0"}, env...), forwardBinary, "run")
			code := second.Ended(15 * time.Second)
			last := strings.TrimSpace(second.Stderr.String())
			last = last[strings.LastIndexByte(last, '\n')+1:]
			if code != 1 || !strings.Contains(last, "DATA_DIR "+filepath.Join(dir, "data")) || !strings.Contains(last, "stop it") {
				t.Errorf("a second one ended with %d:\n%s", code, second.Stderr)
			}
			if add := harness.Start(t, dir, env, forwardBinary, "keys", "add", "bob"); add.Ended(15*time.Second) != 0 {
				t.Errorf("a command beside the gateway:\n%s", add.Stderr)
			}
			go func() {
				time.Sleep(500 * time.Millisecond) // the second one waits by then
				first.Signal(syscall.SIGTERM)
			}()
			third := startForward(t, dir, env...)
			third.Kill()
			startForward(t, dir, env...)
		})
	}
}
