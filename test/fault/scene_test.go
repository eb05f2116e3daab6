//go:build fault

package fault

import (
	"fmt"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tidwall/gjson"

	"forward/internal/upstreamtest"
	"forward/test/harness"
)

// What must never be seen: the API keys anywhere, the prompts of bob in
// anything that is written, for the policy of its key keeps none.
const (
	apiKey       = "sk-CANARY-api-7f3e9a1c5b"
	otherKey     = "sk-CANARY-other-2d8c4e6f1a"
	anthropicKey = "sk-ant-CANARY-9b1d3f5a7c"
	geminiKey    = "AIza-CANARY-4e6a8c0d2f"
	secretPrompt = "PROMPT-CANARY-of-bob"
)

// scene is the stage of one scenario.
type scene struct {
	*testing.T
	up *upstream

	gateways []*gateway
	killed   bool // a gateway was killed, so the rows of its last moments may be lost

	elsewhere atomic.Value // where the scripts that redirect lead to

	mu       sync.Mutex
	cases    int
	straight map[string]bool // cases in which the upstream was asked without a gateway
}

// upstream is the scripted upstream on a listener whose connections can be
// closed.
type upstream struct {
	*upstreamtest.Handler
	*httptest.Server
}

func newScene(t *testing.T) *scene {
	s := &scene{T: t}
	h := upstreamtest.NewHandler(s.scripts()...)
	s.up = &upstream{Handler: h, Server: httptest.NewServer(h)}
	t.Cleanup(func() {
		h.Release()
		s.up.CloseClientConnections()
		s.up.Close()
	})
	return s
}

// next is the name of the next case. Client, upstream and ledger know a request
// by it.
func (s *scene) next() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.cases++
	return fmt.Sprintf("case-%d", s.cases)
}

// note looks into an answer for what must never be in one.
func (s *scene) note(a answer) answer {
	s.searchAnswer(a)
	return a
}

// refused holds an answer to an error of ours.
func (s *scene) refused(a answer, status int, code string) {
	s.Helper()
	if a.status != status || a.code() != code || a.err != nil {
		s.Errorf("status %d, code %q, error %v, want %d %s: %s", a.status, a.code(), a.err, status, code, a.text())
	}
	if gjson.GetBytes(a.body, "error.message").String() == "" {
		s.Errorf("the error has no code: %s", a.text())
	}
}

// served holds an answer to success.
func (s *scene) served(a answer) {
	s.Helper()
	if a.status != 200 || a.err != nil {
		s.Errorf("status %d, error %v: %s", a.status, a.err, a.text())
	}
}

// calls counts what the upstream has seen of a case.
func (s *scene) calls(a answer, want int) {
	s.Helper()
	if got := len(s.seen(a.name)); got != want {
		s.Errorf("%s has reached the upstream %d times, want %d", a.name, got, want)
	}
}

// seen is what the upstream has recorded of a case.
func (s *scene) seen(name string) (list []upstreamtest.Request) {
	for _, r := range s.up.Requests() {
		if r.Header.Get("X-Case") == name {
			list = append(list, r)
		}
	}
	return list
}

// within waits for something that follows soon after an answer.
func (s *scene) within(what string, probe func() bool) {
	s.Helper()
	harness.Eventually(s, 30*time.Second, what, probe)
}

// direct asks the upstream itself, to compare.
func (s *scene) direct(c call) answer {
	s.Helper()
	a := (&gateway{URL: s.up.URL, s: s}).ask(c)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.straight == nil {
		s.straight = map[string]bool{}
	}
	s.straight[a.name] = true
	return a
}
