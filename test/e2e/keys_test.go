//go:build e2e

package e2e

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"forward/test/harness"
)

// TestKeysBesideTheGateway hands a key out and takes it back while the gateway
// runs: both apply within a second.
func TestKeysBesideTheGateway(t *testing.T) {
	up := startUpstream(t)
	dir := t.TempDir()
	env := []string{"OPENAI_BASE_URL=" + up.URL, "OPENAI_API_KEY=sk-one", "FORWARD_KEY=fk-declared-0000000000"}
	gw := startForward(t, dir, env...)
	ask := func(key string) int {
		return send(t, "POST", gw.URL+"/v1/chat/completions", chatBody("gpt-4o-mini", "hello", ""), bearer(key)...).status
	}
	run := func(args ...string) string {
		t.Helper()
		out, errs, status := command(t, dir, env, append([]string{"keys"}, args...)...)
		if status != 0 {
			t.Fatalf("%v: exit status %d: %s", args, status, errs)
		}
		return strings.TrimSpace(out)
	}
	within := func(key string, want int) {
		t.Helper()
		harness.Eventually(t, time.Second, fmt.Sprintf("status %d", want), func() bool { return ask(key) == want })
	}
	for round := range 5 {
		name := fmt.Sprintf("alice-%d", round)
		key := run("add", name)
		within(key, 200)
		run("disable", name)
		within(key, 401)
		run("enable", name)
		within(key, 200)
		next := run("rotate", name, "--grace", "0")
		within(next, 200)
		within(key, 401)
		run("revoke", name, "--yes")
		within(next, 401)
	}
	if ask("fk-declared-0000000000") != 200 {
		t.Error("the key of the settings is not good any more")
	}

	key := run("add", "bob")
	gw.Kill()
	gw = startForward(t, dir, env...)
	if status := ask(key); status != 200 {
		t.Errorf("status %d after kill -9 of the gateway", status)
	}
}

// TestKeysSurviveKilledCommands kills the command at any time, two at once: a
// key that it printed is good, and the database stays whole.
func TestKeysSurviveKilledCommands(t *testing.T) {
	dir := t.TempDir()
	start := time.Now()
	_, _, status := command(t, dir, nil, "keys", "list")
	took := time.Since(start) // so that kills come before, in and after the change, however fast the machine is
	if status != 0 {
		t.Fatalf("exit status %d", status)
	}
	var mu sync.Mutex
	var printed []string
	for round := range 100 {
		var both sync.WaitGroup
		for side := range 2 {
			both.Go(func() {
				p := harness.Start(t, dir, nil, forwardBinary, "keys", "add", fmt.Sprintf("key-%d-%d", round, side))
				select {
				case <-p.Done:
				case <-time.After(rand.N(2 * took)):
				}
				p.Kill()
				if key, whole := strings.CutSuffix(p.Stdout.String(), "\n"); whole {
					mu.Lock()
					printed = append(printed, key)
					mu.Unlock()
				}
			})
		}
		both.Wait()
	}
	up := startUpstream(t)
	gw := startForward(t, dir, "OPENAI_BASE_URL="+up.URL, "OPENAI_API_KEY=sk-one")
	for _, key := range printed {
		if a := send(t, "GET", gw.URL+"/v1/models", "", bearer(key)...); a.status == 401 {
			t.Errorf("a key that was printed is not known")
		}
	}
	if len(printed) == 0 || len(printed) == 200 {
		t.Errorf("%d of 200 commands printed a key: nothing was tested", len(printed))
	}
	t.Logf("%d of 200 killed commands had printed a key", len(printed))
}
