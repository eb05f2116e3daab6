//go:build fault

package fault

import "forward/internal/upstreamtest"

// scripts are what the upstream can play besides the scripts of upstreamtest.
func scripts() []upstreamtest.Option { return nil }

// upstreamFaults are those of the provider's side.
func upstreamFaults() []scenario {
	return []scenario{
		{id: "F05", fault: "the upstream resets the connection after the request, before headers",
			promise: "You get a 502 upstream_reset, and your request is not sent a second time.",
			run: func(s *scene) {
				g := s.start(setup{})
				for _, script := range []string{"reset-before-headers", "close-before-headers"} {
					for _, extra := range []string{"", streaming} {
						a := g.chat(script, extra)
						s.refused(a, 502, "upstream_reset")
						s.calls(a, 1)
					}
				}
			}},
	}
}
