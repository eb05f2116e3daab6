//go:build agents

package agents

import (
	"testing"
	"time"
)

// TestToolLoop lets each agent do a task of one command. The agent ends with
// the model's sentence, every byte is the same on both sides of the gateway,
// the ledger has what the upstream counted, and the chat log converts.
func TestToolLoop(t *testing.T) {
	if isolated != "" {
		t.Logf("NOT ISOLATED: the agents may reach more than loopback (%s)", isolated)
	}
	for _, a := range setups() {
		t.Run(a.name, func(t *testing.T) {
			t.Parallel()
			program(t, a.program)
			s := play(t, circumstances{})
			o := s.run(a, 2*time.Minute)
			t.Logf("%d requests, %.1f s, waited %.1f s, CPU %.1f s", len(s.front.all()), o.seconds, o.waited, o.cpu)
			if !o.finished() {
				t.Errorf("the agent did not finish: exit status %d, the command ran: %v, it wrote:\n%s", o.exit, o.ran, o.output)
				for _, x := range s.front.all() {
					t.Logf("%s %s: %d, %d bytes up, %d down", x.method, x.path, x.status, x.up.size, x.down.size)
				}
			}
			s.gateway.Stop()
			s.checkBytes()
			s.checkKey()
			s.checkLedger()
			s.checkChatLog("touch " + s.work)
		})
	}
}

// TestCodexOverWebSocket lets Codex use its default transport.
func TestCodexOverWebSocket(t *testing.T) {
	t.Parallel()
	a := setup{name: "Codex WebSocket", program: codexBinary, prepare: codexSocket}
	program(t, a.program)
	s := play(t, circumstances{})
	o := s.run(a, 2*time.Minute)
	if !o.finished() || !s.front.all()[0].socket {
		t.Errorf("exit status %d, the command ran: %v, it wrote:\n%s", o.exit, o.ran, o.output)
	}
	s.gateway.Stop()
	s.checkBytes()
	s.checkKey()
}
