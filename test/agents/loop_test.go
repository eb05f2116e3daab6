//go:build agents

package agents

import (
	"slices"
	"testing"
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
			s.finish(a)
			if overSocket := slices.ContainsFunc(s.front.all(), func(x *exchange) bool { return x.socket }); overSocket != (a.name == "Codex WebSocket") {
				t.Errorf("it used a WebSocket: %v", overSocket)
			}
			s.gateway.Stop()
			s.checkBytes()
			s.checkKey()
			s.checkLedger()
			s.checkChatLog("touch " + s.work)
		})
	}
}
