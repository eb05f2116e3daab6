package chatlog_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/tidwall/gjson"

	"forward/internal/chatlog"
	"forward/internal/dialect"
)

// turnOf is the request of a turn: a system prompt and tools that repeat, and a
// conversation that grows.
func turnOf(name string, turn int) string {
	long := func(what string) string { return fmt.Sprintf("%s of %s %s", what, name, strings.Repeat(" "+what, 200)) }
	items := []string{`{"role":"system","content":"` + long("system") + `"}`}
	for i := range turn + 1 {
		items = append(items, fmt.Sprintf(`{"role":"user","content":"%d %s"},{"role":"assistant","content":"ok"}`, i, long(fmt.Sprint("question ", i))))
	}
	return `{"model":"m","tools":[{"type":"function","function":{"name":"f","description":"` + long("tool") + `"}}],"messages":[` + strings.Join(items, ",") + `]}`
}

// logAsk logs a request of a caller.
func logAsk(t testing.TB, l *chatlog.Log, uid, key, request string) {
	t.Helper()
	l.Request(chatlog.Request{Route: "openai", UID: uid, IP: "127.0.0.1", Key: key, Time: noon, Operation: dialect.Chat, Body: body(t, request)})
}

// restored returns the request lines of a log, whole.
func restored(t testing.TB, o chatlog.ConvertOptions) (lines []string, sum chatlog.Summary) {
	t.Helper()
	o.Format = "log"
	out, sum := convert(t, o)
	for line := range strings.Lines(out) {
		lines = append(lines, strings.TrimSuffix(line, "\n"))
	}
	return lines, sum
}

// wholeLines returns the lines that a log without references has.
func wholeLines(t testing.TB, write func(*chatlog.Log)) []string {
	t.Helper()
	dir := t.TempDir()
	l := open(t, chatlog.Options{Dir: dir, KeepRepeats: true})
	write(l)
	l.Close()
	return linesOf(t, filepath.Join(dir, "openai/chat/chat.log"))
}

func sameLines(t testing.TB, want, got []string) {
	t.Helper()
	if len(want) != len(got) {
		t.Fatalf("%d lines, want %d", len(got), len(want))
	}
	for i := range want {
		if want[i] != got[i] {
			t.Fatalf("line %d is\n%s\nwant\n%s", i, got[i], want[i])
		}
	}
}

// TestRepeats pins the form of a line that refers to others: it is JSON, has
// what is new and the small fields, and a null for the rest.
func TestRepeats(t *testing.T) {
	dir := t.TempDir()
	l := open(t, chatlog.Options{Dir: dir})
	for turn := range 3 {
		logAsk(t, l, fmt.Sprint("u", turn), "alice", turnOf("a", turn))
	}
	l.Close()
	lines := linesOf(t, filepath.Join(dir, "openai/chat/chat.log"))
	if gjson.Get(lines[0], "repeats").Exists() {
		t.Errorf("the first line refers to %s", gjson.Get(lines[0], "repeats"))
	}
	last := gjson.Parse(lines[2])
	if got := last.Get("messages.#").Int(); got != 3 || last.Get("messages.0").Type != gjson.Null || !strings.HasPrefix(last.Get("messages.1.content").Str, "2 question 2 of a") {
		t.Errorf("messages %.300s", last.Get("messages"))
	}
	if got := last.Get("tools|@ugly").Raw; got != "[null]" {
		t.Errorf("tools %s", got)
	}
	// One reference for the conversation so far, one for the tools.
	if from := last.Get("repeats.from"); from.Get("#").Int() != 7 || from.Get("0").Str != "u1" || last.Get("uid").Str != "u2" {
		t.Errorf("refers to %s", from)
	}
	got, sum := restored(t, chatlog.ConvertOptions{Dir: dir})
	if sum.Exchanges != 3 || sum.Lost+sum.Skipped != 0 {
		t.Errorf("%+v", sum)
	}
	sameLines(t, wholeLines(t, func(l *chatlog.Log) {
		for turn := range 3 {
			logAsk(t, l, fmt.Sprint("u", turn), "alice", turnOf("a", turn))
		}
	}), got)
}

// TestNeighbours: a run of elements ends where what is between two of them
// differs from the line before.
func TestNeighbours(t *testing.T) {
	big := func(i int) string {
		return fmt.Sprintf(`{"type":"text","text":"%d%s"}`, i, strings.Repeat(" long", 150))
	}
	contents := []string{
		big(1) + "," + big(2) + "," + big(3),
		big(1) + `,{"small":1},` + big(2) + "," + big(3),
		big(1) + "," + big(2) + "," + big(3),
		big(1) + ", " + big(2) + ", " + big(3),
		big(1) + " ," + big(2) + ",\t" + big(3),
		big(1) + "," + big(2) + "," + big(3),
		big(3) + "," + big(2) + "," + big(1),
		big(1) + "," + big(1) + "," + big(2) + "," + big(2),
		`1,2,` + big(2) + `,3,4`,
	}
	for _, form := range []string{
		`{"messages":[{"role":"user","content":[%s],"n":%d}]}`, // another one each time
		`{"messages":[%s],"n":%d}`,
		`{"messages":[],"other":[{"deep":[%s],"n":%d}]}`,
	} {
		writeAll := func(l *chatlog.Log) {
			n := 0
			for _, a := range contents {
				for _, b := range contents {
					for _, content := range []string{a, b} {
						n++
						logAsk(t, l, fmt.Sprint(n), "alice", fmt.Sprintf(form, fmt.Sprint(content, ",", n), n))
					}
				}
			}
		}
		dir := t.TempDir()
		l := open(t, chatlog.Options{Dir: dir})
		writeAll(l)
		l.Close()
		got, sum := restored(t, chatlog.ConvertOptions{Dir: dir})
		if sum.Lost != 0 {
			t.Errorf("%s: %+v", form, sum)
		}
		sameLines(t, wholeLines(t, writeAll), got)
	}
}

// TestSmallRequestsAreWhole: what is short is written as it always was, also
// when it repeats.
func TestSmallRequestsAreWhole(t *testing.T) {
	dir := t.TempDir()
	l := open(t, chatlog.Options{Dir: dir})
	for i := range 3 {
		logAsk(t, l, fmt.Sprint(i), "alice", `{"model":"m","messages":[{"role":"user","content":"`+strings.Repeat("hi ", 250)+`"}]}`)
	}
	l.Close()
	for _, line := range linesOf(t, filepath.Join(dir, "openai/chat/chat.log")) {
		if strings.Contains(line, "repeats") {
			t.Error(line)
		}
	}
}

// TestFilesStandAlone rotates often. Each file is converted without the others.
func TestFilesStandAlone(t *testing.T) {
	dir := t.TempDir()
	write := func(l *chatlog.Log) {
		for turn := range 30 {
			for _, name := range []string{"a", "b", "c"} {
				logAsk(t, l, fmt.Sprint(name, turn), name, turnOf(name, turn))
			}
		}
	}
	l := open(t, chatlog.Options{Dir: dir, MaxSize: 128 << 10})
	write(l)
	l.Close()
	paths, _ := filepath.Glob(filepath.Join(dir, "openai/chat/*.log"))
	if len(paths) < 3 {
		t.Fatalf("%d files", len(paths))
	}
	var all []string
	for _, path := range paths {
		if info, _ := os.Stat(path); info.Size() > 128<<10 {
			t.Errorf("%s has %d bytes", path, info.Size())
		}
		lines, sum := restored(t, chatlog.ConvertOptions{Inputs: []string{path}})
		if sum.Lost+sum.Skipped != 0 {
			t.Errorf("%s: %+v", path, sum)
		}
		all = append(all, lines...)
	}
	sameLines(t, wholeLines(t, write), all)
}

// TestCallersStandAlone: the lines of one key are enough to restore them.
func TestCallersStandAlone(t *testing.T) {
	dir := t.TempDir()
	l := open(t, chatlog.Options{Dir: dir})
	for turn := range 4 {
		for _, key := range []string{"alice", "bob"} {
			logAsk(t, l, fmt.Sprint(key, turn), key, turnOf("both", turn))
		}
	}
	l.Close()
	path := filepath.Join(dir, "openai/chat/chat.log")
	var alone []string
	for _, line := range linesOf(t, path) {
		if gjson.Get(line, "key").Str == "alice" {
			alone = append(alone, line)
		}
	}
	only := filepath.Join(t.TempDir(), "chat.log")
	write(t, only, strings.Join(alone, "\n")+"\n", time.Now())
	got, sum := restored(t, chatlog.ConvertOptions{Inputs: []string{only}})
	if sum.Lost != 0 {
		t.Errorf("%+v", sum)
	}
	filtered, _ := restored(t, chatlog.ConvertOptions{Dir: dir, Filter: chatlog.Filter{Key: "alice"}})
	sameLines(t, wholeLines(t, func(l *chatlog.Log) {
		for turn := range 4 {
			logAsk(t, l, fmt.Sprint("alice", turn), "alice", turnOf("both", turn))
		}
	}), got)
	sameLines(t, got, filtered)
}

// TestFilesThatChange empties, moves and tears the file between two turns, and
// opens the log again: what is in the file can be restored.
func TestFilesThatChange(t *testing.T) {
	for name, change := range map[string]func(t *testing.T, path string){
		"emptied": func(t *testing.T, path string) { // as logrotate's copytruncate does
			if err := os.Truncate(path, 0); err != nil {
				t.Fatal(err)
			}
		},
		"removed": func(t *testing.T, path string) { os.Remove(path) },
		"moved":   func(t *testing.T, path string) { os.Rename(path, path+".moved") },
		"torn": func(t *testing.T, path string) {
			info, _ := os.Stat(path)
			if err := os.Truncate(path, info.Size()-10); err != nil {
				t.Fatal(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			for _, again := range []bool{false, true} {
				dir := t.TempDir()
				path := filepath.Join(dir, "openai/chat/chat.log")
				l := open(t, chatlog.Options{Dir: dir})
				for turn := range 3 {
					logAsk(t, l, fmt.Sprint("u", turn), "alice", turnOf("a", turn))
				}
				eventually(t, func() bool {
					raw, _ := os.ReadFile(path)
					return bytes.Contains(raw, []byte(`"uid":"u2"`)) && bytes.HasSuffix(raw, []byte("\n"))
				})
				if again {
					l.Close()
				}
				change(t, path)
				if again {
					l = open(t, chatlog.Options{Dir: dir})
				}
				time.Sleep(110 * time.Millisecond) // the path of an open file is looked at ten times a second
				for turn := 3; turn < 6; turn++ {
					logAsk(t, l, fmt.Sprint("u", turn), "alice", turnOf("a", turn))
				}
				l.Close()
				got, sum := restored(t, chatlog.ConvertOptions{Inputs: []string{path}})
				if sum.Lost != 0 {
					t.Errorf("opened again %v: %+v", again, sum)
				}
				want := wholeLines(t, func(l *chatlog.Log) {
					for turn := 3; turn < 6; turn++ {
						logAsk(t, l, fmt.Sprint("u", turn), "alice", turnOf("a", turn))
					}
				})
				sameLines(t, want, got[len(got)-3:])
			}
		})
	}
}

// TestOneNameForSeveralRequests: a uid that comes again stands for the line
// before it.
func TestOneNameForSeveralRequests(t *testing.T) {
	dir := t.TempDir()
	writeAll := func(l *chatlog.Log) {
		for turn := range 4 {
			logAsk(t, l, "same", "alice", turnOf("a", turn))
			logAsk(t, l, "same", "bob", turnOf("b", turn))
		}
	}
	l := open(t, chatlog.Options{Dir: dir})
	writeAll(l)
	l.Close()
	got, sum := restored(t, chatlog.ConvertOptions{Dir: dir})
	if sum.Lost != 0 {
		t.Errorf("%+v", sum)
	}
	sameLines(t, wholeLines(t, writeAll), got)
}

// TestLostLines: what cannot be restored is counted and left out, and never
// converted with gaps.
func TestLostLines(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "openai/chat/chat.log")
	l := open(t, chatlog.Options{Dir: dir})
	for turn := range 3 {
		logAsk(t, l, fmt.Sprint("u", turn), "alice", turnOf("a", turn))
	}
	l.Close()
	lines := linesOf(t, path)
	lastOf := func(change func(line string) string) []string { return []string{lines[0], lines[1], change(lines[2])} }
	for name, tt := range map[string]struct {
		lines []string
		lost  int
	}{
		"no first line":      {lines[1:], 2},
		"the first edited":   {[]string{strings.Replace(lines[0], "system of a", "System of a", 1), lines[1], lines[2]}, 2},
		"the first shorter":  {[]string{strings.Replace(lines[0], "system system", "", 1), lines[1], lines[2]}, 2},
		"an offset too far":  {lastOf(func(s string) string { return strings.Replace(s, `"from":["u1",`, `"from":["u1",9`, 1) }), 1},
		"a negative offset":  {lastOf(func(s string) string { return strings.Replace(s, `"from":["u1",`, `"from":["u1",-`, 1) }), 1},
		"another checksum":   {lastOf(func(s string) string { return strings.Replace(s, `{"sum":"`, `{"sum":"1`, 1) }), 1},
		"no name":            {lastOf(func(s string) string { return strings.Replace(s, `"from":["u1",`, `"from":[`, 1) }), 1},
		"itself":             {lastOf(func(s string) string { return strings.Replace(s, `"from":["u1",`, `"from":["u2",`, 1) }), 1},
		"a name of no line":  {lastOf(func(s string) string { return strings.Replace(s, `"from":["u1",`, `"from":["x",`, 1) }), 1},
		"the last line torn": {[]string{lines[0], lines[1], lines[2][:len(lines[2])-4]}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			changed := filepath.Join(t.TempDir(), "chat.log")
			write(t, changed, strings.Join(tt.lines, "\n")+"\n", time.Now())
			for _, format := range []string{"log", "jsonl", "openai-forward"} {
				_, sum := convert(t, chatlog.ConvertOptions{Inputs: []string{changed}, Format: format})
				if sum.Lost != tt.lost || sum.Exchanges+sum.Lost+sum.Skipped != len(tt.lines) {
					t.Errorf("%s: %+v", format, sum)
				}
			}
		})
	}
}

// TestOwnFieldsNamedRepeats: a field of this name in a body, or in a log of
// before, is the client's own.
func TestOwnFieldsNamedRepeats(t *testing.T) {
	forged := `"repeats":{"sum":"00000000","from":["u0",2,0,4]}`
	dir := t.TempDir()
	writeAll := func(l *chatlog.Log) {
		logAsk(t, l, "u0", "alice", turnOf("a", 0))
		logAsk(t, l, "u1", "alice", `{"model":"m","messages":[{"role":"user","content":"hi",`+forged+`}],`+forged+`}`)
		logAsk(t, l, "u2", "alice", strings.TrimSuffix(turnOf("a", 1), "}")+","+forged+"}")
	}
	l := open(t, chatlog.Options{Dir: dir})
	writeAll(l)
	l.Close()
	got, sum := restored(t, chatlog.ConvertOptions{Dir: dir})
	if sum.Lost != 0 || gjson.Get(got[1], "extra.repeats.from.0").Str != "u0" {
		t.Errorf("%+v %s", sum, got[1])
	}
	sameLines(t, wholeLines(t, writeAll), got)
	old := `{"messages":[{"role":"user","content":"hi"}],` + forged + `,"ip":"::1","uid":"1","datetime":"2026-11-21 12:00:00","key":null}`
	path := filepath.Join(t.TempDir(), "chat.log")
	write(t, path, old+"\n", time.Now())
	got, _ = restored(t, chatlog.ConvertOptions{Inputs: []string{path}})
	sameLines(t, []string{old}, got)
}

// TestPoliciesOfRepeats: a key whose texts are redacted shares none with its
// time before, and no text comes back that was not written.
func TestPoliciesOfRepeats(t *testing.T) {
	dir := t.TempDir()
	l := open(t, chatlog.Options{Dir: dir})
	request := strings.Replace(turnOf("a", 2), "2 question", "mail to bob@example.org: 2 question", 1)
	for i, content := range []string{"redacted", "full", "redacted", "meta", "meta", "full"} {
		l.Request(chatlog.Request{Route: "openai", UID: fmt.Sprint(i), Key: "alice", Time: noon, Operation: dialect.Chat, Body: body(t, request), Content: content})
	}
	l.Close()
	got, sum := restored(t, chatlog.ConvertOptions{Dir: dir})
	if sum.Lost != 0 || len(got) != 6 {
		t.Fatalf("%+v", sum)
	}
	for i, want := range []string{"[email]", "bob@example.org", "[email]", `"bytes":`, `"bytes":`, "bob@example.org"} {
		full := want == "bob@example.org"
		if !strings.Contains(got[i], want) || strings.Contains(got[i], "bob@example.org") != full {
			t.Errorf("line %d: %s", i, got[i])
		}
	}
}

// TestManySessions has more sessions than the memory holds: what it has
// forgotten is written again.
func TestManySessions(t *testing.T) {
	dir := t.TempDir()
	writeAll := func(l *chatlog.Log) {
		for turn := range 3 {
			for session := range 40 {
				items := make([]string, 1500)
				for i := range items {
					items[i] = fmt.Sprintf(`{"role":"user","content":"%d %d"}`, session, i)
				}
				logAsk(t, l, fmt.Sprint(session, " ", turn), "alice", `{"messages":[`+strings.Join(items, ",")+`]}`)
			}
		}
	}
	l := open(t, chatlog.Options{Dir: dir})
	writeAll(l)
	l.Close()
	got, sum := restored(t, chatlog.ConvertOptions{Dir: dir})
	if sum.Lost != 0 {
		t.Errorf("%+v", sum)
	}
	sameLines(t, wholeLines(t, writeAll), got)
}

// FuzzRepeats: whatever is asked in whatever order, by two callers, the lines
// of a log with references are restored to those of a log without.
func FuzzRepeats(f *testing.F) {
	f.Add([]byte(`{"role":"user","content":"a"}`), []byte(`[1, 2,{"a":null}]`), []byte("abcabcdefgabc"))
	f.Add([]byte(`"x\\\""`), []byte("{ \"a\" :\n\"\xff\" }"), []byte("aaaabbbb\x00\x10\x20aabb"))
	f.Add([]byte(`{"repeats":{"sum":"00000000","from":["1",0,0,1]}}`), []byte(`null`), []byte("0123456789abcdef"))
	f.Fuzz(func(t *testing.T, one, two, steps []byte) {
		if !json.Valid(one) || !json.Valid(two) || len(one)+len(two) > 4000 {
			return
		}
		var bodies []string
		var items []string
		separator := ","
		for i, step := range steps[:min(len(steps), 40)] {
			value := one
			if step&1 != 0 {
				value = two
			}
			switch step >> 1 & 7 {
			case 0, 1, 2:
				items = append(items, fmt.Sprintf(`{"v":%s,"n":"%s%d"}`, value, strings.Repeat("pad ", 70), step>>4))
			case 3:
				items = append(items, string(value))
			case 4:
				if len(items) > 0 {
					items = items[1:]
				}
			case 5:
				if len(items) > 0 {
					items = append(items[:len(items)-1], strings.Replace(items[len(items)-1], "{", `{"mark":true,`, 1))
				}
			case 6:
				separator = []string{",", ", ", " ,", ",\n"}[step>>4&3]
			case 7:
				items = append(items, items...)
				items = items[:min(len(items), 60)]
			}
			bodies = append(bodies, fmt.Sprintf(`{"messages":[%s],"n":%d,"tools":%s,"system":"%s"}`, strings.Join(items, separator), i, value, strings.Repeat("s", 300*(int(step)&2))))
		}
		for _, b := range bodies {
			if _, err := dialect.Scan([]byte(b)); err != nil {
				return
			}
		}
		writeAll := func(l *chatlog.Log) {
			for i, b := range bodies {
				logAsk(t, l, fmt.Sprint(i%(1+len(steps)%50)), []string{"alice", "bob"}[steps[i]>>7], b)
			}
		}
		dir := t.TempDir()
		l := open(t, chatlog.Options{Dir: dir, MaxSize: 32 << 10})
		writeAll(l)
		l.Close()
		if len(bodies) == 0 {
			return
		}
		allLines(t, filepath.Join(dir, "openai/chat"))
		got, sum := restored(t, chatlog.ConvertOptions{Dir: dir})
		if sum.Lost+sum.Skipped != 0 {
			t.Fatalf("%+v", sum)
		}
		sameLines(t, wholeLines(t, writeAll), got)
	})
}
