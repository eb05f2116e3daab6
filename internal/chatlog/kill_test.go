package chatlog_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"
	"github.com/tidwall/gjson"

	"forward/internal/chatlog"
)

// TestKill kills a process that logs, again and again in the same directory. Of
// each at most the last line is torn, and what was in the file stays there,
// whole and in order.
func TestKill(t *testing.T) {
	const rounds = 6
	dir := t.TempDir()
	known := make(map[int]int) // by process: how many exchanges it reported
	for range rounds {
		child := exec.Command(os.Args[0])
		child.Env = append(os.Environ(), childDir+"="+dir)
		child.Stderr = os.Stderr
		out, err := child.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := child.Start(); err != nil {
			t.Fatal(err)
		}
		reports := bufio.NewScanner(out)
		for range 1 + rand.IntN(10) {
			if !reports.Scan() {
				t.Fatal("the child ended by itself")
			}
		}
		time.Sleep(time.Duration(rand.IntN(3000)) * time.Microsecond)
		child.Process.Kill()
		line := reports.Text()
		for reports.Scan() {
			line = reports.Text()
		}
		child.Wait()
		var pid, n int
		if _, err := fmt.Sscanf(line, "%d-%d", &pid, &n); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		known[pid] = n + 1
	}

	lines := make(map[int]int)
	torn := 0
	for _, raw := range logTexts(t, filepath.Join(dir, "openai/chat")) {
		for line := range bytes.Lines(raw) {
			if !json.Valid(line) {
				torn++
				continue
			}
			var pid, i int
			fmt.Sscanf(gjson.GetBytes(line, "uid").Str, "%d-%d", &pid, &i)
			if i != lines[pid]/2 {
				t.Fatalf("exchange %d of process %d comes where %d should be", i, pid, lines[pid]/2)
			}
			lines[pid]++
		}
	}
	if torn > rounds {
		t.Errorf("%d torn lines", torn)
	}
	for pid, n := range known {
		if lines[pid] < 2*n {
			t.Errorf("process %d: %d lines, but it had seen %d exchanges in the file", pid, lines[pid], n)
		}
	}
	summary, err := chatlog.Convert(t.Context(), new(bytes.Buffer), chatlog.ConvertOptions{Dir: dir})
	if err != nil || summary.Skipped != torn || summary.Unanswered > rounds || summary.Orphans+summary.Lost != 0 {
		t.Errorf("converted %+v, %v", summary, err)
	}
	t.Logf("%d torn lines, %+v", torn, len(lines))
}

// logTexts returns the texts of all logs in a directory, oldest first. On a
// slow machine a child lives long enough to compress the files of the one
// before; of a file that is there plain and compressed the plain one counts.
func logTexts(t *testing.T, dir string) [][]byte {
	t.Helper()
	paths, _ := filepath.Glob(filepath.Join(dir, "*.log*"))
	texts := make(map[string][]byte)
	for _, path := range paths { // sorted: the plain file comes first
		raw, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		plain, packed := strings.CutSuffix(path, ".zst")
		if packed && texts[plain] == nil {
			z, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1))
			if err != nil {
				t.Fatal(err)
			}
			texts[plain], err = z.DecodeAll(raw, nil)
			z.Close()
			if err != nil {
				t.Fatal(err)
			}
		} else if !packed {
			texts[plain] = raw
		}
	}
	var sorted [][]byte
	for _, path := range slices.Sorted(maps.Keys(texts)) {
		sorted = append(sorted, texts[path])
	}
	return sorted
}
