//go:build e2e

package e2e

import (
	"fmt"
	"testing"
)

// TestLimitsAdmitExactlyTheirNumber pins three ways in which openai-forward's
// limits went wrong: each target counted a request again, one request to an
// unlimited route switched every limit off, and X-Forwarded-For bought a new
// window.
func TestLimitsAdmitExactlyTheirNumber(t *testing.T) {
	up := startUpstream(t)
	for _, strategy := range []string{"fixed-window", "fixed-window-elastic-expiry", "moving-window"} {
		t.Run(strategy, func(t *testing.T) {
			gw := startForward(t, t.TempDir(),
				"OPENAI_BASE_URL="+up.URL+","+up.URL+","+up.URL, "OPENAI_ROUTE_PREFIX=/,/two,/three",
				`REQ_RATE_LIMIT={"/v1/chat/completions":"6/minute","/two/v1/chat/completions":"6/minute","/three/v1/chat/completions":"6/minute"}`,
				"RATE_LIMIT_STRATEGY="+strategy)
			if a := send(t, "GET", gw.URL+"/v1/models", ""); a.status != 200 {
				t.Fatalf("the unlimited route answered %d", a.status)
			}
			for _, prefix := range []string{"", "/two", "/three"} {
				admitted := 0
				for i := range 20 {
					a := send(t, "POST", gw.URL+prefix+"/v1/chat/completions", chatBody("m", "hi", ""),
						"X-Forwarded-For", fmt.Sprintf("203.0.113.%d", i), "Authorization", "Bearer sk-own")
					switch {
					case a.status == 200 && a.header.Get("X-Ratelimit-Limit-Requests") == "6":
						admitted++
					case a.status != 429 || a.code() != "rate_limit_exceeded" || a.header.Get("Retry-After") == "":
						t.Fatalf("status %d, headers %v: %s", a.status, a.header, a.body)
					}
				}
				if admitted != 6 {
					t.Errorf("prefix %q admitted %d of 20, want 6", prefix, admitted)
				}
			}
		})
	}
}
