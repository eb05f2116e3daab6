package chatlog_test

import (
	"bufio"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"forward/internal/chatlog"
	"forward/internal/dialect"
	"forward/internal/dialect/openai"
	"forward/internal/framing"
)

// childDir, set in the environment, makes the test binary a process that logs
// into that directory until it is killed.
const childDir = "CHATLOG_TEST_CHILD_DIR"

func TestMain(m *testing.M) {
	if dir := os.Getenv(childDir); dir != "" {
		logUntilKilled(dir)
	}
	goleak.VerifyTestMain(m)
}

// open opens a log in UTC that is closed, at the latest, with the test.
func open(t testing.TB, o chatlog.Options) *chatlog.Log {
	t.Helper()
	if o.Location == nil {
		o.Location = time.UTC
	}
	l, err := chatlog.Open(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

func body(t testing.TB, raw string) *dialect.Body {
	t.Helper()
	b, err := dialect.Scan([]byte(raw))
	if err != nil {
		t.Fatalf("scanning %s: %v", raw, err)
	}
	return b
}

// answer reads an answer the way the gateway does: a body, or a stream if it
// does not start with a brace.
func answer(t testing.TB, op dialect.Operation, raw string) *dialect.Answer {
	t.Helper()
	a := new(dialect.Answer)
	if strings.HasPrefix(raw, "{") {
		if err := openai.Dialect.Body(op, a, []byte(raw)); err != nil {
			t.Fatal(err)
		}
		return a
	}
	var s framing.Splitter
	s.Feed([]byte(raw))
	for raw, ok := s.Next(); ok; raw, ok = s.Next() {
		if ev, ok := framing.SSE.Parse(raw); ok {
			openai.Dialect.Event(op, a, ev)
		}
	}
	return a
}

var noon = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)

// exchange logs a request and, if there is one, its answer.
func exchange(t testing.TB, l *chatlog.Log, uid, request, reply string) {
	t.Helper()
	l.Request(chatlog.Request{Route: "openai", UID: uid, IP: "127.0.0.1", Key: "alice", Time: noon, Operation: dialect.Chat, Body: body(t, request)})
	if reply != "" {
		a := answer(t, dialect.Chat, reply)
		l.Result(chatlog.Result{Route: "openai", UID: uid, Operation: dialect.Chat, Answer: a, Status: 200, Cache: "miss",
			Elapsed: 1500 * time.Microsecond, Complete: a.Complete()})
	}
}

// linesOf returns the lines of a file.
func linesOf(t testing.TB, path string) (lines []string) {
	t.Helper()
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(raw)) {
		if !strings.HasSuffix(line, "\n") {
			t.Errorf("%s ends within a line: %.80q", path, line)
		}
		lines = append(lines, strings.TrimSuffix(line, "\n"))
	}
	return lines
}

// allLines returns the lines of all logs in a directory, which must be
// JSON.
func allLines(t testing.TB, dir string) (lines []string) {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(dir, "*.log"))
	if err != nil || len(paths) == 0 {
		t.Fatalf("no logs in %s: %v", dir, err)
	}
	for _, path := range paths {
		for _, line := range linesOf(t, path) {
			if !json.Valid([]byte(line)) {
				t.Errorf("%s: no JSON: %.120q", path, line)
			}
			lines = append(lines, line)
		}
	}
	return lines
}

// logUntilKilled writes exchanges and prints how many of them the file has.
func logUntilKilled(dir string) {
	l, err := chatlog.Open(chatlog.Options{Dir: dir, MaxSize: 64 << 10, Location: time.UTC})
	if err != nil {
		panic(err)
	}
	b, err := dialect.Scan([]byte(`{"model":"m","messages":[{"role":"user","content":"` + strings.Repeat("long ", 800) + `"}]}`))
	if err != nil {
		panic(err)
	}
	out := bufio.NewWriter(os.Stdout)
	for i := 0; ; i++ {
		uid := uidOf(i)
		l.Request(chatlog.Request{Route: "openai", UID: uid, Time: noon, Operation: dialect.Chat, Body: b})
		l.Result(chatlog.Result{Route: "openai", UID: uid, Operation: dialect.Chat, Status: 200})
		if i%16 == 15 { // wait for it to be there, so that the parent can rely on it
			for !tailHas(filepath.Join(dir, "openai/chat"), `"uid":"`+uid+`","status"`) { // its second line
				time.Sleep(100 * time.Microsecond)
			}
			out.WriteString(uid + "\n")
			out.Flush()
		}
	}
}
