//go:build fault

package fault

import (
	"sync"
	"sync/atomic"
)

func limitFaults() []scenario {
	return []scenario{
		{id: "F44", root: true, fault: "1,000 clients come at once, and the gateway may open 128 files and sockets",
			promise: "Everybody waits for a place or gets a 503 gateway_overloaded; nobody's request is sent twice, and afterwards all is as before.",
			run:     fewDescriptors},
	}
}

func fewDescriptors(s *scene) {
	g := s.start(setup{wrap: []string{"prlimit", "--nofile=128"}, slack: 8})
	var served, refused atomic.Int64
	var all sync.WaitGroup
	for range 1000 {
		all.Go(func() {
			a := g.chat("delay-50-ms", "")
			if a.status == 200 && a.err == nil {
				served.Add(1)
				return
			}
			refused.Add(1)
			s.refused(a, 503, "gateway_overloaded")
			s.calls(a, 0)
			if a.header.Get("Retry-After") != "1" {
				s.Errorf("Retry-After %q", a.header.Get("Retry-After"))
			}
		})
	}
	all.Wait()
	s.Logf("%d are served, %d are refused", served.Load(), refused.Load())
	if served.Load() < 50 {
		s.Errorf("%d of 1,000 are served", served.Load())
	}
	// The upstream is not blamed for it: as soon as the clients are gone all is well.
	var a answer
	s.within("there is room again", func() bool {
		a = g.chat("", "")
		return a.code() != "gateway_overloaded"
	})
	s.served(a)
}
