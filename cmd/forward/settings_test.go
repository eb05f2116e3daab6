package main

import (
	"fmt"
	"net/http"
	"slices"
	"testing"
	"time"
)

// TestSettingsReachTheGateway writes settings one by one, and expects the
// running gateway to have each after a reload, and its default again without
// it. What they do there is up to the tests of those packages.
func TestSettingsReachTheGateway(t *testing.T) {
	const always = "OPENAI_API_KEY=sk-1\nFORWARD_KEY=fk-1\nPROXY=http://proxy.example:3128\n"
	l, _ := MustReload(t, always)
	proxyOf := func(g *generation) any {
		r, _ := http.NewRequest(http.MethodGet, "https://a.internal.example/", nil)
		through, err := g.Transport.(*http.Transport).Proxy(r)
		return fmt.Sprint(through, err)
	}
	for _, test := range []struct {
		name, value string
		get         func(g *generation) any
		before      any
		want        any
	}{
		{"UNKNOWN_OPERATIONS", "allow", func(g *generation) any { return g.UnknownOperations }, "", "allow"},
		{"UNKNOWN_OPERATIONS", "deny", func(g *generation) any { return g.UnknownOperations }, "", "deny"},
		{"OBJECTS", "own", func(g *generation) any { return g.Objects }, "all", "own"},
		{"METRICS_KEY", "a-key-of-metrics", func(g *generation) any { return g.MetricsKey.Reveal() }, "", "a-key-of-metrics"},
		{"ADMIN_KEY", "a-key-of-the-administrator", func(g *generation) any { return g.AdminKey.Reveal() }, "", "a-key-of-the-administrator"},
		{"BUDGET_STATUS", "429", func(g *generation) any { return g.BudgetStatus }, 402, 429},
		{"RESERVE_MAX_OUTPUT", "100", func(g *generation) any { return g.ReserveMaxOutput }, int64(4096), int64(100)},
		{"MAX_BODY_BYTES", "2MiB", func(g *generation) any { return g.MaxBody }, int64(0), int64(2 << 20)},
		{"STREAM_IDLE_TIMEOUT", "7s", func(g *generation) any { return g.StreamIdleTimeout }, 15 * time.Minute, 7 * time.Second},
		{"WEBSOCKET_IDLE_TIMEOUT", "7s", func(g *generation) any { return g.SocketIdle }, time.Hour, 7 * time.Second},
		{"HEADER_TIMEOUT", "7s", func(g *generation) any { return g.Transport.(*http.Transport).ResponseHeaderTimeout }, time.Hour, 7 * time.Second},
		{"NO_PROXY", ".internal.example", proxyOf, "http://proxy.example:3128 <nil>", "<nil> <nil>"},
	} {
		t.Run(test.name+"="+test.value, func(t *testing.T) {
			if got := test.get(l.current.Load()); got != test.before {
				t.Errorf("without it: %v, want %v", got, test.before)
			}
			done := MustPut(t, l, always+test.name+"="+test.value+"\n")
			if got := test.get(l.current.Load()); got != test.want || !slices.Equal(done.Changed, []string{test.name}) || len(done.NeedsRestart) > 0 {
				t.Errorf("%v, want %v; changed %v, needs a restart %v", got, test.want, done.Changed, done.NeedsRestart)
			}
			MustPut(t, l, always)
		})
	}
	t.Run("those of the chat log need a restart", func(t *testing.T) {
		done := MustPut(t, l, always+"LOG_MEDIA=keep\nLOG_MAX_TOTAL=1GB\n")
		if want := []string{"LOG_MEDIA", "LOG_MAX_TOTAL"}; !slices.Equal(done.NeedsRestart, want) || len(done.Changed) > 0 {
			t.Errorf("changed %v, needs a restart %v, want %v", done.Changed, done.NeedsRestart, want)
		}
	})
}
