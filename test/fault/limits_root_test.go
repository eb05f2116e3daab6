//go:build fault

package fault

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"

	"forward/test/harness"
)

func limitFaults() []scenario {
	return []scenario{
		{id: "F44", root: true, fault: "1,000 clients come at once, and the gateway may open 128 files and sockets",
			promise: "Each client waits for a place or gets a 503 gateway_overloaded; no request is sent twice, and afterwards all is as before.",
			run:     fewDescriptors},
		{id: "F45", root: true, fault: "the container has 256 MB, and 100 clients send 4 MB each at once",
			promise: "Those that find space are served and the others get a 503 gateway_overloaded, or a reset while they still send, and nothing of theirs is sent upstream; the gateway lives.",
			run:     littleMemory},
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
	// The upstream is not blamed for it: as soon as the clients are gone all is
	// well.
	var a answer
	s.within("there is room again", func() bool {
		a = g.chat("", "")
		return a.code() != "gateway_overloaded"
	})
	s.served(a)
}

// container makes a control group with so much memory, of either version. It
// goes with the test.
func (s *scene) container(bytes int) (dir string) {
	s.Helper()
	root, limit := "/sys/fs/cgroup", "memory.max"
	if _, err := os.Stat(filepath.Join(root, "memory", "memory.limit_in_bytes")); err == nil {
		root, limit = filepath.Join(root, "memory"), "memory.limit_in_bytes"
	}
	dir = filepath.Join(root, "forward-fault-"+strconv.Itoa(os.Getpid()))
	err := os.Mkdir(dir, 0o755)
	if err == nil {
		s.Cleanup(func() { // after the gateway has been killed; the kernel may need a moment to count it out
			s.within("the control group is removed", func() bool { return os.Remove(dir) == nil })
		})
		err = os.WriteFile(filepath.Join(dir, limit), []byte(strconv.Itoa(bytes)), 0o644)
	}
	if err != nil {
		harness.Missing(s, "the right to limit the memory of a control group ("+err.Error()+")")
	}
	return dir
}

func littleMemory(s *scene) {
	const most = 256 << 20
	dir := s.container(most)
	g := s.start(setup{wrap: []string{"sh", "-c", `echo $$ >"$0/cgroup.procs" && exec "$@"`, dir}, slack: 40})
	if limit := g.metric("go_gc_gomemlimit_bytes"); limit < most*8/10 || limit > most*95/100 {
		s.Errorf("the gateway means to use %.0f MB of %d", limit/(1<<20), most>>20)
	}
	long := chatBody("gpt-4o-mini", strings.Repeat("word ", 4<<20/5), "")
	var served, refused, cut atomic.Int64
	var all sync.WaitGroup
	for range 100 {
		all.Go(func() {
			switch a := g.ask(call{path: chatPath, script: "delay-300-ms", body: long}); {
			case a.status == 200 && a.err == nil:
				served.Add(1)
			case a.status == 0: // refused while it still sends, and its system has not kept the answer for it
				cut.Add(1)
				s.calls(a, 0)
			default:
				refused.Add(1)
				s.refused(a, 503, "gateway_overloaded")
				s.calls(a, 0)
			}
		})
	}
	all.Wait()
	// It is the kernel that holds the gateway to its memory, and ends it if it
	// needs more.
	s.Logf("%d are served, %d refused, %d cut off; the gateway took %d MB at most", served.Load(), refused.Load(), cut.Load(), g.Memory("VmHWM")>>20)
	if served.Load() == 0 || refused.Load() == 0 {
		s.Errorf("%d are served, %d refused and %d cut off", served.Load(), refused.Load(), cut.Load())
	}
	s.served(g.ask(call{path: chatPath, body: long}))
}
