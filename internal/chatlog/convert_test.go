package chatlog_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/klauspost/compress/zstd"
	"github.com/tidwall/gjson"

	"forward/internal/chatlog"
)

var update = flag.Bool("update", false, "write the golden files")

// TestGolden converts each log of testdata into each format; -update writes
// what it should be.
func TestGolden(t *testing.T) {
	logs, err := filepath.Glob("testdata/*.log")
	if err != nil || len(logs) == 0 {
		t.Fatalf("no logs: %v", err)
	}
	for _, log := range logs {
		for _, format := range []string{"openai-forward", "jsonl", "openai-ft", "sharegpt", "csv"} {
			golden := strings.TrimSuffix(log, "log") + format
			t.Run(filepath.Base(golden), func(t *testing.T) {
				if !chatlog.KnownFormat(format) {
					t.Fatal("unknown")
				}
				got, summary := convert(t, chatlog.ConvertOptions{Inputs: []string{log}, Format: format})
				got += fmt.Sprintf("%d exchanges, %d unanswered, %d omitted, %d orphans, %d skipped\n", summary.Exchanges, summary.Unanswered,
					summary.Omitted, summary.Orphans, summary.Skipped)
				for _, reason := range slices.Sorted(maps.Keys(summary.Reasons)) {
					got += fmt.Sprintf("%d %s\n", summary.Reasons[reason], reason)
				}
				if *update {
					if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
						t.Fatal(err)
					}
				}
				want, err := os.ReadFile(golden)
				if err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(string(want), got); diff != "" {
					t.Error(diff)
				}
			})
		}
	}
}

// TestReadme: the two sample lines of openai-forward's README give the JSON of
// openai-forward's README.
func TestReadme(t *testing.T) {
	want, err := os.ReadFile("testdata/readme.json")
	if err != nil {
		t.Fatal(err)
	}
	got, _ := convert(t, chatlog.ConvertOptions{Inputs: []string{"testdata/readme.log"}})
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Error(diff)
	}
}

func convert(t testing.TB, o chatlog.ConvertOptions) (string, chatlog.Summary) {
	t.Helper()
	var out bytes.Buffer
	summary, err := chatlog.Convert(t.Context(), &out, o)
	if err != nil {
		t.Fatal(err)
	}
	return out.String(), summary
}

func request(uid string, second int) string {
	return fmt.Sprintf(`{"messages":[{"role":"user","content":%q}],"model":"m","uid":%q,"datetime":"2026-11-21 12:00:%02d"}`+"\n", uid, uid, second)
}

func result(uid, text string) string {
	return fmt.Sprintf(`{"assistant":%q,"is_tool_calls":false,"uid":%q,"status":200,"complete":true}`+"\n", text, uid)
}

// TestJoin spreads exchanges over files in all ways that happen. What is wanted
// are question and answer of each exchange, in order.
func TestJoin(t *testing.T) {
	tests := []struct {
		name  string
		files map[string]string
		want  []string
		sum   chatlog.Summary
	}{
		{"interleaved", map[string]string{"chat.log": request("a", 1) + request("b", 2) + result("b", "B") + result("a", "A")},
			[]string{"a A", "b B"}, chatlog.Summary{Exchanges: 2}},
		{"across a rotation", map[string]string{
			"chat.2026-11-21_12-00-00_000000.log": request("a", 1) + request("b", 2),
			"chat.log":                            result("a", "A") + request("c", 3) + result("c", "C") + result("b", "B")},
			[]string{"a A", "b B", "c C"}, chatlog.Summary{Exchanges: 3}},
		{"numbered by logrotate, packed", map[string]string{
			"chat.log.2.gz": request("a", 1), "chat.log.1.zst": result("a", "A") + request("b", 2), "chat.log": result("b", "B")},
			[]string{"a A", "b B"}, chatlog.Summary{Exchanges: 2}},
		{"routes in the order of time", map[string]string{"x/chat/chat.log": request("b", 2) + request("d", 4), "y/chat/chat.log": request("a", 1) + request("c", 3)},
			[]string{"a ", "b ", "c ", "d "}, chatlog.Summary{Exchanges: 4, Unanswered: 4}},
		{"same second in the order of the file", map[string]string{"chat.log": request("z", 1) + request("a", 1) + request("m", 1)},
			[]string{"z ", "a ", "m "}, chatlog.Summary{Exchanges: 3, Unanswered: 3}},
		{"results alone", map[string]string{"chat.log": result("x", "X") + request("a", 1) + result("y", "Y")},
			[]string{"a "}, chatlog.Summary{Exchanges: 1, Unanswered: 1, Orphans: 2}},
		{"torn and foreign lines", map[string]string{"chat.log": "\n" + `{"messages":[{"ro` + "\n" + request("a", 1) + "2026-11-21 INFO hello\n\r\n" + `{"level":"info"}` + "\n[1]\n" +
			`{"messages":[{"role":"user"}]}` + "\n{'messages': [}\n" + result("a", "A") + `{"assistant":"B","uid":"`},
			[]string{"a A"}, chatlog.Summary{Exchanges: 1, Skipped: 7}},
		{"line ends of Windows, a byte order mark and no end", map[string]string{"chat.log": "\uFEFF" + strings.ReplaceAll(request("a", 1)+strings.TrimSpace(result("a", "A")), "\n", "\r\n")},
			[]string{"a A"}, chatlog.Summary{Exchanges: 1}},
		{"the same file twice", map[string]string{"chat.log": request("a", 1) + result("a", "A"), "copy/chat.log": request("a", 1) + result("a", "A")},
			[]string{"a A"}, chatlog.Summary{Exchanges: 1}},
		{"uids that collide", map[string]string{"chat.log": request("a", 1) + result("a", "A") + request("a", 2) + result("a", "B")},
			[]string{"a A", "a B"}, chatlog.Summary{Exchanges: 2}},
		{"a line without time stays where it is", map[string]string{"chat.log": request("a", 5) + `{"messages":[{"role":"user","content":"b"}],"uid":"b"}` + "\n" + request("c", 6)},
			[]string{"a ", "b ", "c "}, chatlog.Summary{Exchanges: 3, Unanswered: 3}},
		{"what convert wrote itself", map[string]string{"chat.log": `{"messages":[{"role":"user","content":"a"}],"uid":"a","assistant":"A"}` + "\n"},
			[]string{"a A"}, chatlog.Summary{Exchanges: 1}},
		{"other logs and files", map[string]string{"chat/chat.log": request("a", 1), "embedding/embedding.log": `{"input":"x","uid":"e"}` + "\n",
			"completion/completion.log": `{"prompt":"x","uid":"c"}` + "\n", "chat/notes.txt": request("n", 1), "chat/chat.log.bak": request("n", 1)},
			[]string{"a "}, chatlog.Summary{Exchanges: 1, Unanswered: 1}},
		{"nothing", map[string]string{"chat.log": ""}, nil, chatlog.Summary{}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			for name, text := range tt.files {
				write(t, filepath.Join(dir, name), pack(t, name, text), time.Now())
			}
			out, sum := convert(t, chatlog.ConvertOptions{Dir: dir})
			sum.Files = nil
			if diff := cmp.Diff(tt.sum, sum); diff != "" {
				t.Error(diff)
			}
			var got []string
			for _, x := range gjson.Parse(out).Array() {
				got = append(got, x.Get("messages.0.user").Str+" "+x.Get("assistant").String())
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("%s\n%s", diff, out)
			}
		})
	}
}

// TestDamagedArchive: what can be read of a compressed log whose end is missing
// is read.
func TestDamagedArchive(t *testing.T) {
	for _, ext := range []string{".gz", ".zst"} {
		text := ""
		for i := range 2000 {
			text += request(fmt.Sprint(i*i), i%60)
		}
		whole := pack(t, ext, text)
		path := filepath.Join(t.TempDir(), "chat.log"+ext)
		write(t, path, whole[:len(whole)*3/4], time.Now())
		if _, sum := convert(t, chatlog.ConvertOptions{Inputs: []string{path}}); ext == ".gz" && sum.Exchanges < 1000 || sum.Skipped < 1 {
			t.Errorf("%s: %+v", ext, sum)
		}
		write(t, path, whole[:7], time.Now())
		if _, sum := convert(t, chatlog.ConvertOptions{Inputs: []string{path}}); sum.Exchanges != 0 || sum.Skipped != 1 {
			t.Errorf("%s: %+v", ext, sum)
		}
	}
}

// pack compresses text as the suffix of a name demands.
func pack(t testing.TB, name, text string) string {
	t.Helper()
	var b bytes.Buffer
	var w io.WriteCloser
	switch {
	case strings.HasSuffix(name, ".gz"):
		w = gzip.NewWriter(&b)
	case strings.HasSuffix(name, ".zst"):
		z, err := zstd.NewWriter(&b, zstd.WithEncoderConcurrency(1))
		if err != nil {
			t.Fatal(err)
		}
		w = z
	default:
		return text
	}
	io.WriteString(w, text)
	w.Close()
	return b.String()
}

func TestConvertPipe(t *testing.T) {
	path := filepath.Join(t.TempDir(), "pipe")
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Skip(err)
	}
	go func() {
		if f, err := os.OpenFile(path, os.O_WRONLY, 0); err == nil {
			io.WriteString(f, request("a", 1)+result("a", "A"))
			f.Close()
		}
	}()
	if _, sum := convert(t, chatlog.ConvertOptions{Inputs: []string{path}}); sum.Exchanges != 1 || sum.Unanswered != 0 {
		t.Errorf("%+v", sum)
	}
}

func TestConvertErrors(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "chat.log"), request("a", 1), time.Now())
	for name, o := range map[string]chatlog.ConvertOptions{
		"unknown format": {Dir: dir, Format: "xml"},
		"no such file":   {Inputs: []string{filepath.Join(dir, "chat.log"), filepath.Join(dir, "none")}},
		"no such folder": {Dir: filepath.Join(dir, "Log")},
	} {
		var out bytes.Buffer
		if _, err := chatlog.Convert(t.Context(), &out, o); err == nil || out.Len() > 0 {
			t.Errorf("%s: error %v, wrote %q", name, err, out.String())
		} else {
			t.Log(err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := chatlog.Convert(ctx, io.Discard, chatlog.ConvertOptions{Dir: dir}); !errors.Is(err, context.Canceled) {
		t.Errorf("canceled: %v", err)
	}
	broken := errors.New("broken")
	if _, err := chatlog.Convert(t.Context(), brokenWriter{broken}, chatlog.ConvertOptions{Dir: dir}); !errors.Is(err, broken) {
		t.Errorf("broken writer: %v", err)
	}
	if chatlog.KnownFormat("xml") || !chatlog.KnownFormat("csv") {
		t.Error("formats")
	}
}

type brokenWriter struct{ err error }

func (w brokenWriter) Write([]byte) (int, error) { return 0, w.err }

func TestConvertProgress(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "chat.log"), request("a", 1)+result("a", "A"), time.Now())
	write(t, filepath.Join(dir, "chat.x.log.gz"), pack(t, ".gz", request("b", 1)), time.Now())
	var bar strings.Builder
	convert(t, chatlog.ConvertOptions{Dir: dir, Progress: &bar})
	if !strings.Contains(bar.String(), "reading") || !strings.Contains(bar.String(), "writing") {
		t.Errorf("%q", bar.String())
	}
}
