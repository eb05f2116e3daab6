//go:build fault

package fault

import (
	"bytes"
	"database/sql"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	_ "modernc.org/sqlite"

	"forward/internal/upstreamtest"
	"forward/test/harness"
)

// mostOfDatabase bounds the descriptors of the database: each of its eight
// connections has one of the file and may have one of the write-ahead log, and
// all share one.
const mostOfDatabase = 2*8 + 1

// slack is by how much goroutines and descriptors may differ: what looks at
// them is among them.
const slack = 2

// invariants hold after every scenario.
func (s *scene) invariants() {
	s.Helper()
	for _, g := range s.gateways {
		if g.ended {
			continue
		}
		if !g.apart {
			g.serves()
			g.settles()
			g.verifies()
		}
		g.stop()
	}
	var dirs []string
	for _, g := range s.gateways {
		if !slices.Contains(dirs, g.dir) {
			dirs = append(dirs, g.dir)
		}
	}
	s.accounted(dirs)
	s.keepsQuiet(dirs)
}

// serves: the fault has left nothing behind that a request would notice, and
// what was remembered is known.
func (g *gateway) serves() {
	g.s.Helper()
	g.neighbour()
	if !g.base {
		return
	}
	var a answer
	g.s.within("the upstream is no longer left alone", func() bool {
		a = g.chat("", "")
		return a.code() != "no_healthy_upstream"
	})
	g.s.served(a)
	g.s.served(g.stream(""))
}

// settles: nothing is held for a request that is over.
func (g *gateway) settles() {
	g.s.Helper()
	var now levels
	deadline := time.Now().Add(30 * time.Second)
	for {
		now = g.levels()
		if now.goroutines <= g.baseline.goroutines+g.slack && now.descriptors <= g.baseline.descriptors+g.slack && now.database <= mostOfDatabase {
			return
		}
		if time.Now().After(deadline) {
			g.s.Errorf("%d goroutines and %d descriptors are left beside %d of the database; there were %d and %d. Open are %v",
				now.goroutines, now.descriptors, now.database, g.baseline.goroutines, g.baseline.descriptors, g.open())
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// open lists what the descriptors of the gateway are.
func (g *gateway) open() (list []string) {
	dir := fmt.Sprintf("/proc/%d/fd", g.Cmd.Process.Pid)
	entries, err := os.ReadDir(dir)
	if err != nil {
		g.s.Error(err)
	}
	for _, e := range entries {
		if to, err := os.Readlink(filepath.Join(dir, e.Name())); err == nil { // it may be closed by now
			list = append(list, strings.TrimPrefix(to, g.dir))
		}
	}
	slices.Sort(list)
	return list
}

// verifies: every remembered answer is whole.
func (g *gateway) verifies() {
	g.s.Helper()
	if out, errs, status := g.command("cache", "verify"); status != 0 {
		g.s.Errorf("forward cache verify ends with %d: %s%s", status, out, errs)
	}
}

// entry is what the ledger has of a case.
type entry struct {
	cause, cache     string
	status, attempts int
	estimated        bool
}

// accounted: what the upstream has seen and what the ledgers of these
// directories have agree, case by case.
func (s *scene) accounted(dirs []string) {
	s.Helper()
	rows := map[string][]entry{}
	for _, dir := range dirs {
		s.readLedger(filepath.Join(dir, "data", "forward.db"), rows)
	}
	seen := map[string][]upstreamtest.Request{}
	for _, r := range s.up.Requests() {
		if r.Header.Get("Upgrade") != "" && r.BodySize == 0 {
			continue // a WebSocket has no row, the responses on it have theirs
		}
		seen[r.Header.Get("X-Case")] = append(seen[r.Header.Get("X-Case")], r)
	}
	// Without a name are the calls that the gateway makes on its own, for lists
	// of models, and the rows of keys that may name no user.
	delete(seen, "")
	delete(rows, "")
	for name, calls := range seen {
		if s.straight[name] {
			continue
		}
		list := rows[name]
		switch {
		case len(list) == 1, len(list) == 0 && s.killed:
		default:
			s.Errorf("the upstream was asked %d times for %q, and the ledger has %d rows of it: %+v", len(calls), name, len(list), list)
		}
	}
	for name, list := range rows {
		for _, row := range list {
			calls := len(seen[name])
			unreached := s.detours() || row.status == 499 || row.cause == "interrupted" || slices.Contains(unsent, row.cause)
			if calls > row.attempts && row.cause != "interrupted" || calls < row.attempts && !unreached {
				s.Errorf("%s was asked %d times, and its row has %+v", name, calls, row)
			}
		}
	}
}

// detours reports whether a route leads elsewhere than to the scripted
// upstream, so that it has not seen all attempts.
func (s *scene) detours() bool {
	return slices.ContainsFunc(s.gateways, func(g *gateway) bool { return !g.base })
}

// unsent are the causes of attempts that the upstream has not seen, or may not
// have.
var unsent = []string{"gateway_overloaded", "upstream_connect_failed", "upstream_dns_error", "upstream_tls_error", "upstream_timeout", "upstream_reset"}

// readLedger adds the rows of a ledger whose gateway has ended, by user, which
// is what the case is called.
func (s *scene) readLedger(file string, rows map[string][]entry) {
	s.Helper()
	if _, err := os.Stat(file); err != nil {
		return // it never kept one
	}
	db, err := sql.Open("sqlite", "file:"+file+"?_pragma=busy_timeout(5000)")
	if err != nil {
		s.Fatal(err)
	}
	defer db.Close()
	var open int
	if err := db.QueryRow(`SELECT COUNT(*) FROM usage_open`).Scan(&open); err != nil || open != 0 && !s.killed {
		s.Errorf("%d calls are still open in the ledger, error %v", open, err)
	}
	found, err := db.Query(`SELECT user, cause, cache, status, attempts, estimated FROM usage_requests`)
	if err != nil {
		s.Error(err)
		return
	}
	defer found.Close()
	for found.Next() {
		var name string
		var e entry
		if err := found.Scan(&name, &e.cause, &e.cache, &e.status, &e.attempts, &e.estimated); err != nil {
			s.Fatal(err)
		}
		rows[name] = append(rows[name], e)
	}
	if err := found.Err(); err != nil {
		s.Error(err)
	}
}

// apiKeys are in no answer.
var apiKeys = []string{apiKey, otherKey, anthropicKey, geminiKey}

// searchAnswer: no API key is in anything that is answered. What a gateway
// answers of its own, as /metrics, comes here too.
func (s *scene) searchAnswer(a answer) {
	s.Helper()
	var header bytes.Buffer
	// Writing to a bytes.Buffer does not fail.
	_ = a.header.Write(&header)
	s.search("the head of "+a.name, header.Bytes(), apiKeys)
	s.search("the answer to "+a.name, a.body, apiKeys)
}

// keepsQuiet: no API key and no prompt of bob is in anything that was printed
// or written.
func (s *scene) keepsQuiet(dirs []string) {
	s.Helper()
	everything := append(slices.Clone(apiKeys), secretPrompt)
	for _, g := range s.gateways {
		s.search("what the gateway prints", []byte(g.Stdout.String()+g.Stderr.String()), everything)
	}
	for _, dir := range dirs {
		err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
			if err != nil || !d.Type().IsRegular() || d.Name() == "forward.yaml" { // which is where the keys are configured
				return err
			}
			data, err := os.ReadFile(path)
			s.search(strings.TrimPrefix(path, dir), data, everything)
			return err
		})
		if err != nil {
			s.Error(err)
		}
	}
}

func (s *scene) search(what string, data []byte, canaries []string) {
	s.Helper()
	for _, c := range canaries {
		if i := bytes.Index(data, []byte(c)); i >= 0 {
			s.Errorf("%s shows %s: %s", what, c, harness.Tail(string(data[max(0, i-200):min(len(data), i+len(c)+50)])))
		}
	}
}
