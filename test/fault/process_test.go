//go:build fault

package fault

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/tidwall/gjson"

	"forward/test/harness"
)

// processFaults are crashes, signals, reloads, and files that are not what they
// were.
func processFaults() []scenario {
	return []scenario{
		{id: "F33", fault: "the database, the chat log or the cache cannot be opened where the settings place it",
			promise: "The gateway does not start without the keys that it should know, and one line names the path.",
			run:     badPlaces},
		{id: "F34", fault: "kill -9 while answers are remembered",
			promise: "The next start takes a moment, and whatever is remembered is the answer to its own question.",
			run:     killCache},
		{id: "F35", fault: "kill -9 while chats are logged",
			promise: "Every exchange that was over a second before is in the log, and forward convert skips a torn line and counts it.",
			run:     killLog},
		{id: "F36", fault: "kill -9 of forward keys add and revoke",
			promise: "A key that was printed is good, one that was reported revoked is not, and the running gateway knows within a second.",
			run:     killKeys},
		{id: "F37", fault: "the power fails",
			promise: "Changes of keys and rows of the ledger are synced to the disk when they are acknowledged.",
			notRun:  "it takes a block device that loses what was not synced (dm-flakey), which few machines let a test make; the database runs with synchronous=full"},
		{id: "F38", fault: "files of the cache are cut, changed or gone",
			promise: "The gateway starts, reports the damage, and never gives a wrong answer; what cannot be read is forgotten.",
			run:     corruptCache},
		{id: "F39", fault: "the database of keys and usage is damaged, or its secret is gone",
			promise: "The gateway refuses to start and names the file, rather than to know no caller.",
			run:     corruptKeys},
		{id: "F40", fault: "the clock jumps by an hour, or back over midnight",
			promise: "Limits neither lock nor reset, and each budget has one period at a time.",
			notRun:  "the clock of a process that is linked statically cannot be changed for it alone; internal/limits and internal/ledger are tested with clocks that jump"},
		{id: "F41", fault: "SIGTERM with 200 open streams",
			promise: "Each ends complete or with the error event gateway_shutting_down, the log and the ledger have each of them, and the exit status is 0.",
			run:     drainStreams},
		{id: "F42", fault: "settings are reloaded 20 times under load, and a key is taken away",
			promise: "No request fails, and the key is refused within a second.",
			run:     reloadUnderLoad},
		{id: "F43", fault: "a reload finds a mistake in the settings",
			promise: "The current settings stay, and forward reload ends with 1 and names the setting.",
			run:     reloadMistake},
		{id: "F51", fault: "a panic in a handler",
			promise: "You get a 500 internal_error, or a broken connection when the answer has started; never half an answer that looks whole.",
			notRun:  "the binary that ships has no door through which a test could make it panic"},
		{id: "F53", fault: "the reader of the printed chats, or the server of the usage webhook, hangs",
			promise: "Requests are served as ever, and the gateway ends on its signal.",
			run:     hungReaders},
	}
}

func badPlaces(s *scene) {
	for what, spoil := range map[string]func(dir string) (setup, string){
		"the database is a directory": func(dir string) (setup, string) {
			os.Remove(filepath.Join(dir, "data", "forward.db"))
			return setup{}, filepath.Join("data", "forward.db")
		},
		"the chat log is below a file": func(dir string) (setup, string) {
			return setup{env: []string{"LOG_DIR=forward.yaml/Log"}}, "forward.yaml/Log"
		},
		"the cache is below a file": func(dir string) (setup, string) {
			return setup{env: []string{"CACHE_ROOT_PATH_OR_URL=forward.yaml/cache"}}, "forward.yaml/cache"
		},
	} {
		dir, _ := s.prepare(setup{})
		o, path := spoil(dir)
		o.dir = dir
		if strings.HasPrefix(what, "the database") {
			if err := os.Mkdir(filepath.Join(dir, path), 0o700); err != nil {
				s.Fatal(err)
			}
		}
		if status, stderr := s.attempt(o); status != 1 || !strings.Contains(stderr, path) {
			s.Errorf("%s: exit status %d, want 1 and a word of %s:\n%s", what, status, path, stderr)
		}
	}
}

func (g *gateway) remembered(prompt string) answer {
	return g.ask(call{path: chatPath, body: chatBody("gpt-4o-mini", prompt, caching)})
}

func killCache(s *scene) {
	dir := s.TempDir()
	prompt := func(round, i int) string {
		return fmt.Sprintf("question %d of round %d %s", i, round, strings.Repeat("x ", i*i%2000))
	}
	const each = 60
	for round := range 4 {
		g := s.start(setup{dir: dir})
		var next atomic.Int64
		var all sync.WaitGroup
		for range 4 {
			all.Go(func() {
				for i := next.Add(1); i <= each; i = next.Add(1) {
					if a := g.remembered(prompt(round, int(i))); a.err != nil {
						return
					}
				}
			})
		}
		time.Sleep(rand.N(150 * time.Millisecond)) // the kill comes before, in the middle of or after the writing
		g.kill()
		all.Wait()
		start := time.Now()
		g = s.start(setup{dir: dir})
		if took := time.Since(start); took > 10*time.Second {
			s.Errorf("the start after a kill took %v", took)
		}
		hits := 0
		for i := 1; i <= each; i += 3 {
			a := g.remembered(prompt(round, i))
			s.served(a)
			if !strings.Contains(gjson.GetBytes(a.body, "choices.0.message.content").String(), "You said: "+prompt(round, i)) {
				s.Errorf("question %d of round %d was answered with %s", i, round, a.text())
			}
			if a.header.Get("X-Cache") == "HIT" {
				hits++
			}
		}
		s.Logf("round %d: %d of %d answers had survived", round, hits, each/3)
		g.verifies()
		g.stop()
	}
}

func killLog(s *scene) {
	dir := s.TempDir()
	g := s.start(setup{dir: dir})
	var early []answer
	for range 20 {
		early = append(early, g.chat("", ""))
	}
	time.Sleep(time.Second) // which is what is promised
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			for g.chat("", "").err == nil {
			}
		})
	}
	time.Sleep(rand.N(50 * time.Millisecond))
	g.kill()
	all.Wait()
	log := filepath.Join(dir, "Log", "openai", "chat", "chat.log")
	logged := map[string]int{}
	for _, line := range g.chatLog() {
		logged[gjson.Get(line, "user").String()]++
	}
	for _, a := range early {
		if logged[a.name] != 2 {
			s.Errorf("%s was answered a second before the kill, and has %d lines in the log", a.name, logged[a.name])
		}
	}
	data, err := os.ReadFile(log)
	if err != nil {
		s.Fatal(err)
	}
	if err := os.WriteFile(log, data[:len(data)-30], 0o600); err != nil { // torn, whatever the kill has done
		s.Fatal(err)
	}
	g = s.start(setup{dir: dir})
	s.served(g.chat("", ""))
	g.stop()
	out, errs, status := g.command("convert", "Log", "-o", "out.json")
	converted, err := os.ReadFile(filepath.Join(dir, "out.json"))
	if status != 0 || err != nil || !gjson.ValidBytes(converted) || int(gjson.GetBytes(converted, "#").Int()) < len(early) {
		s.Errorf("exit status %d, error %v, %d exchanges: %s%s", status, err, gjson.GetBytes(converted, "#").Int(), out, errs)
	}
	if !strings.Contains(errs, "1 ") || !strings.Contains(errs, "skip") {
		s.Errorf("the torn line is not counted: %s", errs)
	}
}

func killKeys(s *scene) {
	g := s.start(setup{})
	status := func(key string) int {
		return g.ask(call{method: "GET", path: "/v1/models", key: key}).status
	}
	start := time.Now()
	g.command("keys", "list")
	took := time.Since(start) // so that kills come before, in and after the change, however fast the machine is
	added, revoked := 0, 0
	for round := range 10 {
		p := harness.Start(s, g.dir, g.env, forwardBinary, "keys", "add", fmt.Sprint("key-", round))
		select {
		case <-p.Done:
		case <-time.After(rand.N(3 * took)):
		}
		p.Kill()
		key, whole := strings.CutSuffix(p.Stdout.String(), "\n")
		if !whole {
			continue
		}
		added++
		s.soon("a printed key is known", func() bool { return status(key) == 200 })
		p = harness.Start(s, g.dir, g.env, forwardBinary, "keys", "revoke", fmt.Sprint("key-", round), "--yes")
		select {
		case <-p.Done:
		case <-time.After(rand.N(3 * took)):
		}
		ended := p.Cmd.ProcessState != nil && p.Cmd.ProcessState.Success()
		if p.Kill(); ended {
			revoked++
			s.soon("a key that was revoked is refused", func() bool { return status(key) == 401 })
		}
	}
	s.Logf("%d of 10 killed commands had printed a key, %d had revoked one", added, revoked)
	if out, errs, status := g.command("keys", "list"); status != 0 || !strings.Contains(out, "alice") {
		s.Errorf("forward keys list ends with %d: %s", status, errs)
	}
}

// soon is within a second, and some more for a machine that does other things
// too.
func (s *scene) soon(what string, probe func() bool) {
	s.Helper()
	harness.Eventually(s, 3*time.Second, what, probe)
}

func corruptCache(s *scene) {
	dir := s.TempDir()
	const n = 12
	prompt := func(i int) string { return fmt.Sprintf("question %d %s", i, strings.Repeat("y ", 500)) }
	g := s.start(setup{dir: dir})
	for i := range n {
		s.served(g.remembered(prompt(i)))
	}
	g.stop()
	whole := filepath.Join(dir, "data", "cache")
	files, err := filepath.Glob(filepath.Join(whole, "gen-*", "*"))
	if err != nil || len(files) < 4 {
		s.Fatalf("the cache has the files %v, error %v", files, err)
	}
	kept := s.TempDir()
	if err := os.CopyFS(kept, os.DirFS(whole)); err != nil {
		s.Fatal(err)
	}
	for _, file := range files {
		for what, spoil := range map[string]func(data []byte) []byte{
			"changed": func(data []byte) []byte {
				for i := len(data) / 3; i < min(len(data), len(data)/3+16); i++ {
					data[i] ^= 0xff
				}
				return data
			},
			"cut":  func(data []byte) []byte { return data[:len(data)/2] },
			"gone": nil,
		} {
			// What the last round has left is not what is to be spoilt.
			if err := os.RemoveAll(whole); err != nil {
				s.Fatal(err)
			}
			if err := os.CopyFS(whole, os.DirFS(kept)); err != nil {
				s.Fatal(err)
			}
			if spoil == nil {
				err = os.Remove(file)
			} else {
				var data []byte
				if data, err = os.ReadFile(file); err == nil {
					err = os.WriteFile(file, spoil(data), 0o600)
				}
			}
			if err != nil {
				s.Fatal(err)
			}
			g := s.start(setup{dir: dir})
			for i := range n {
				a := g.remembered(prompt(i))
				s.served(a)
				if !strings.Contains(gjson.GetBytes(a.body, "choices.0.message.content").String(), prompt(i)) {
					s.Errorf("%s %s: question %d was answered with %s", filepath.Base(file), what, i, a.text())
				}
			}
			g.stop()
		}
	}
}

func corruptKeys(s *scene) {
	overwrite := func(file string, at int, with []byte) error {
		f, err := os.OpenFile(file, os.O_WRONLY, 0)
		if err != nil {
			return err
		}
		_, err = f.WriteAt(with, int64(at))
		f.Close()
		return err
	}
	junk := bytes.Repeat([]byte{0xa5}, 64)
	for what, spoil := range map[string]func(db, secret string) error{
		"its head is changed":   func(db, _ string) error { return overwrite(db, 0, junk) },
		"its schema is changed": func(db, _ string) error { return overwrite(db, 100, junk) },
		"it is cut":             func(db, _ string) error { return os.Truncate(db, 5000) },
		"the secret is gone":    func(_, secret string) error { return os.Remove(secret) },
		"the secret is changed": func(_, secret string) error { return overwrite(secret, 0, []byte("zz not hexadecimal")) },
	} {
		dir, _ := s.prepare(setup{})
		db, secret := filepath.Join(dir, "data", "forward.db"), filepath.Join(dir, "data", "keys.secret")
		if err := spoil(db, secret); err != nil {
			s.Fatal(err)
		}
		// keys.secret must be there for prepare, or it would be copied again.
		p := harness.Start(s, dir, s.settings(), forwardBinary, "run")
		if status := p.Ended(20 * time.Second); status != 1 || !strings.Contains(p.Stderr.String(), "forward.db") && !strings.Contains(p.Stderr.String(), "secret") {
			s.Errorf("%s: exit status %d, want 1 and the name of the file:\n%s", what, status, p.Stderr)
		}
	}
}

func drainStreams(s *scene) {
	g := s.start(setup{env: []string{"SHUTDOWN_TIMEOUT=3s"}})
	const n = 200
	var started sync.WaitGroup
	var all sync.WaitGroup
	var complete, reported atomic.Int64
	for i := range n {
		started.Add(1)
		all.Go(func() {
			script := "slow-stream-10-ms"
			if i%2 == 0 {
				script = "stall"
			}
			r, name := g.request(call{path: chatPath, script: script, body: chatBody("gpt-4o-mini", "hi", streaming)})
			resp, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(r)
			if err != nil {
				started.Done()
				s.Errorf("%s: %v", name, err)
				return
			}
			defer resp.Body.Close()
			var body bytes.Buffer
			first := make([]byte, 10)
			resp.Body.Read(first)
			started.Done()
			_, err = body.ReadFrom(resp.Body)
			switch {
			case err != nil:
				s.Errorf("%s ended with %v", name, err)
			case bytes.HasSuffix(body.Bytes(), []byte("data: [DONE]\n\n")):
				complete.Add(1)
			case bytes.Contains(body.Bytes(), []byte("gateway_shutting_down")):
				reported.Add(1)
			default:
				s.Errorf("%s just ended: %s", name, harness.Tail(body.String()))
			}
		})
	}
	started.Wait()
	before := len(g.chatLog())
	g.ended = true
	g.Signal(syscall.SIGTERM)
	all.Wait()
	if status := g.Ended(20 * time.Second); status != 0 {
		s.Errorf("exit status %d", status)
	}
	if complete.Load() == 0 || reported.Load() < n/2 {
		s.Errorf("%d of %d streams were complete and %d reported the end", complete.Load(), n, reported.Load())
	}
	ends := 0
	for _, line := range g.chatLog() {
		if gjson.Get(line, "complete").Exists() {
			ends++
		}
	}
	if want := n + 3 + 2; ends != want { // three of alice's and two of bob's were made before
		s.Errorf("%d ends of exchanges are in the log, want %d; it had %d lines before", ends, want, before)
	}
}

func reloadUnderLoad(s *scene) {
	const passing = "fk-passing-Zk3Wp8Yd5Rj1Hc6Gv0"
	dir, _ := s.prepare(setup{})
	settings := filepath.Join(dir, ".env")
	write := func(text string) {
		if err := os.WriteFile(settings, []byte(text), 0o600); err != nil {
			s.Fatal(err)
		}
	}
	write("FORWARD_KEY=" + passing + "\n")
	g := s.start(setup{dir: dir})
	status := func() int { return g.ask(call{method: "GET", path: "/v1/models", key: passing}).status }
	if got := status(); got != 200 {
		s.Fatalf("the key of the settings gets %d", got)
	}
	var stop atomic.Bool
	var failed, served atomic.Int64
	var all sync.WaitGroup
	for i := range 4 {
		all.Go(func() {
			for !stop.Load() {
				a := g.chat("", []string{"", streaming}[i%2])
				if a.status != 200 || a.err != nil {
					failed.Add(1)
				}
				served.Add(1)
			}
		})
	}
	for round := range 20 {
		write(fmt.Sprintf("FORWARD_KEY=%s\nMAX_PARALLEL_REQUESTS=%d\n", passing, 100+round))
		if round%2 == 0 {
			g.Signal(syscall.SIGHUP)
		} else if _, errs, code := g.command("reload"); code != 0 {
			s.Errorf("forward reload ends with %d: %s", code, errs)
		}
	}
	write("FORWARD_KEY=fk-another-Zk3Wp8Yd5Rj1Hc6Gv0\n")
	if _, errs, code := g.command("reload"); code != 0 {
		s.Errorf("forward reload ends with %d: %s", code, errs)
	}
	s.soon("the key that was taken away is refused", func() bool { return status() == 401 })
	stop.Store(true)
	if all.Wait(); failed.Load() != 0 || served.Load() == 0 {
		s.Errorf("%d of %d requests failed", failed.Load(), served.Load())
	}
}

func reloadMistake(s *scene) {
	g := s.start(setup{})
	file := filepath.Join(g.dir, ".env")
	if err := os.WriteFile(file, []byte("TIMEOUT=soon\nRETRIES=many\n"), 0o600); err != nil {
		s.Fatal(err)
	}
	out, errs, status := g.command("reload")
	if status != 1 || !strings.Contains(errs, "TIMEOUT") || !strings.Contains(errs, "RETRIES") || !strings.Contains(errs, ".env:1") {
		s.Errorf("exit status %d, want 1 and the mistakes with their lines: %s%s", status, out, errs)
	}
	s.served(g.chat("", ""))
	if err := os.Remove(file); err != nil { // for the other commands
		s.Fatal(err)
	}
}

func hungReaders(s *scene) {
	over := make(chan struct{})
	hung := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-over }))
	s.Cleanup(func() { close(over); hung.Close() })
	fifo := filepath.Join(s.TempDir(), "stdout")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		s.Fatal(err)
	}
	reader, err := os.OpenFile(fifo, os.O_RDWR, 0) // who never reads
	if err != nil {
		s.Fatal(err)
	}
	defer reader.Close()
	g := s.start(setup{env: []string{"PRINT_CHAT=true", "USAGE_WEBHOOK=" + hung.URL}, wrap: []string{"sh", "-c", `exec "$0" "$@" >` + fifo}, slack: 4})
	ctx, cancel := context.WithTimeout(s.Context(), time.Minute) // the reader never ends
	defer cancel()
	for range 30 { // 150 KB, and a pipe holds 64
		s.served(g.ask(call{ctx: ctx, path: chatPath, body: chatBody("gpt-4o-mini", strings.Repeat("long ", 1000), "")}))
	}
	g.ended = true
	g.Signal(syscall.SIGTERM)
	if status := g.Ended(20 * time.Second); status != 0 {
		s.Errorf("exit status %d", status)
	}
}
