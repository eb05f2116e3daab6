//go:build fault

package fault

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"

	"forward/test/harness"
)

func diskFaults() []scenario {
	return []scenario{
		{id: "F30", root: true, fault: "the disk of the cache is full",
			promise: "Answers come as ever; what was remembered is known, nothing new is remembered, and when there is space again it is, without a restart.",
			run:     fullCache},
		{id: "F31", root: true, fault: "the disk of the chat log is full",
			promise: "Answers come as ever; every line in the log is whole, every other one is counted, and when there is space again the log goes on.",
			run:     fullLog},
		{id: "F32", root: true, fault: "the disks of the cache and of the chat log are full at the start",
			promise: "The gateway starts without a cache and reports that; when there is space, it remembers.",
			run:     fullStart},
		{id: "F59", root: true, fault: "the disk of the ledger is full",
			promise: "Answers come as ever; the rows wait in memory and are all written when there is space again.",
			run:     fullLedger},
	}
}

// volume is a small file system of a test, and what fills it.
type volume struct {
	s   *scene
	dir string
}

// mount makes a file system in memory, with the directory where it is to be. It
// goes with the test, whatever holds it open.
func (s *scene) mount(dir, size string) volume {
	s.Helper()
	if err := os.MkdirAll(dir, 0o700); err != nil {
		s.Fatal(err)
	}
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "mode=700,size="+size); err != nil {
		harness.Missing(s, "the right to mount a tmpfs ("+err.Error()+")")
	}
	s.Cleanup(func() {
		if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
			s.Errorf("unmounting %s: %v", dir, err)
		}
	})
	return volume{s: s, dir: dir}
}

func (v volume) ballast() string { return filepath.Join(v.dir, "ballast") }

// fill leaves not a page of the file system free.
func (v volume) fill() {
	v.s.Helper()
	f, err := os.OpenFile(v.ballast(), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		v.s.Fatal(err)
	}
	defer f.Close()
	for part := make([]byte, 64<<10); err == nil; {
		_, err = f.Write(part)
	}
	if !errors.Is(err, syscall.ENOSPC) {
		v.s.Fatalf("filling the disk: %v", err)
	}
}

// free gives the space back.
func (v volume) free() {
	v.s.Helper()
	if err := os.Remove(v.ballast()); err != nil {
		v.s.Fatal(err)
	}
}

// logs waits until the gateway has written something to its log.
func (g *gateway) logs(what string) {
	g.s.Helper()
	g.s.within("the gateway says: "+what, func() bool { return strings.Contains(g.Stderr.String(), what) })
}

// remembers asks something new until it is answered a second time without the
// upstream.
func (g *gateway) remembers(prompt string) {
	g.s.Helper()
	n := 0
	g.s.within("answers are remembered", func() bool {
		n++
		text := fmt.Sprint(prompt, n)
		first := g.remembered(text)
		g.s.served(first)
		g.s.calls(first, 1)
		second := g.remembered(text)
		g.s.served(second)
		return len(g.s.seen(second.name)) == 0
	})
}

// busy asks for things to remember from several clients until it must stop;
// every one of them is served.
func (g *gateway) busy(prompt string) (stop func()) {
	var clients sync.WaitGroup
	enough := make(chan struct{})
	for client := range 4 {
		clients.Go(func() {
			for n := 0; ; n++ {
				select {
				case <-enough:
					return
				default:
					g.s.served(g.remembered(fmt.Sprint(prompt, client, n)))
				}
			}
		})
	}
	return func() { close(enough); clients.Wait() }
}

func fullCache(s *scene) {
	dir := s.TempDir()
	v := s.mount(filepath.Join(dir, "cache"), "128m")
	g := s.start(setup{dir: dir, env: []string{"CACHE_ROOT_PATH_OR_URL=cache"}})
	g.remembers("before")
	s.calls(g.remembered("before1"), 0)

	stop := g.busy("meanwhile")
	v.fill()
	g.logs("writing is off")
	for range 20 {
		s.calls(g.remembered("before1"), 0)
	}
	for range 2 {
		a := g.remembered("now")
		s.served(a)
		s.calls(a, 1)
	}
	stop()
	s.served(g.stream(""))

	v.free()
	g.logs("writing is on again")
	g.remembers("after")
	s.calls(g.remembered("before1"), 0)
}

// logged counts the lines of the chat logs, while no request writes. Each must
// be whole.
func (g *gateway) logged() int {
	g.s.Helper()
	lines := g.chatLog()
	for _, line := range lines {
		if !json.Valid([]byte(line)) || !strings.HasSuffix(line, "\n") {
			g.s.Errorf("a line of the chat log is torn: %s", harness.Tail(line))
		}
	}
	return len(lines)
}

func fullLog(s *scene) {
	dir := s.TempDir()
	v := s.mount(filepath.Join(dir, "Log"), "1m")
	g := s.start(setup{dir: dir})
	lost := func() int { return int(g.metric("forward_chat_log_dropped_total")) }
	long := chatBody("gpt-4o-mini", strings.Repeat("a line that is not short. ", 60), "")
	ask := func(n int) {
		s.Helper()
		for range n {
			s.served(g.ask(call{path: chatPath, body: long}))
		}
	}
	// Each exchange has two lines, that of the request and that of the answer.
	g.settles()
	lines := g.logged()
	ask(20)
	lines += 40
	s.within("20 exchanges are logged", func() bool { return len(g.chatLog()) >= lines })

	v.fill()
	ask(100)
	lines += 200
	s.within("every line is written or counted", func() bool { return len(g.chatLog())+lost() >= lines })
	if written, dropped := g.logged(), lost(); written+dropped != lines || dropped < 100 {
		s.Errorf("%d lines are written and %d counted as lost, of %d", written, dropped, lines)
	}
	g.logs("chat log loses lines")

	v.free()
	before, dropped := g.logged(), lost()
	ask(20)
	s.within("the log goes on", func() bool { return len(g.chatLog()) >= before+40 })
	g.logged()
	if lost() != dropped {
		s.Errorf("%d lines are lost, and there is space", lost()-dropped)
	}
}

func fullStart(s *scene) {
	dir := s.TempDir()
	cache, log := s.mount(filepath.Join(dir, "cache"), "128m"), s.mount(filepath.Join(dir, "Log"), "1m")
	cache.fill()
	log.fill()
	g := s.start(setup{dir: dir, env: []string{"CACHE_ROOT_PATH_OR_URL=cache"}, slack: 40}) // a cache that starts to write has goroutines and files
	g.logs("writing is off")
	g.logs("chat log loses lines")
	a := g.remembered("now")
	s.served(a)
	s.calls(a, 1)
	cache.free()
	log.free()
	g.logs("writing is on again")
	g.remembers("after")
}

func fullLedger(s *scene) {
	dir := s.TempDir()
	v := s.mount(filepath.Join(dir, "data"), "64m")
	g := s.start(setup{dir: dir, env: []string{"CACHE_ROOT_PATH_OR_URL=../cache", "USAGE_FILE=usage.jsonl"}})
	v.fill()
	for n := 0; n < 400; n++ {
		s.served(g.ask(call{path: chatPath, body: chatBody("gpt-4o-mini", "hi", "")}))
	}
	g.logs("the ledger cannot be written")
	if waiting := g.metric("forward_ledger_queue"); waiting < 1 {
		s.Errorf("%v rows wait in memory", waiting)
	}
	s.served(g.stream(""))
	v.free()
	g.logs("the ledger is written again")
	s.within("nothing waits any more", func() bool { return g.metric("forward_ledger_queue") == 0 })
	if lost := g.metric("forward_ledger_dropped_total"); lost != 0 {
		s.Errorf("%v rows are lost", lost)
	}
	// That every call has its row is among the invariants.
}
