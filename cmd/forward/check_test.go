package main

import (
	"context"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

// inDir makes a directory with files the current one.
func inDir(t *testing.T, files map[string]string) {
	t.Helper()
	t.Chdir(t.TempDir())
	for name, text := range files {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// TestCheckRefusesWhatRunRefuses has settings that are wrong only where the
// gateway is built of them.
func TestCheckRefusesWhatRunRefuses(t *testing.T) {
	for name, files := range map[string]map[string]string{
		"N5 an alias of nothing":   {"forward.yaml": "prices: {team-model: openai/gpt-99}\n"},
		"N5 a certificate of junk": {".env": "TLS_CERT=a.pem\nTLS_KEY=a.pem\n", "a.pem": "junk"},
		"N5 an empty price":        {"forward.yaml": "prices: {team-model: {}}\n"},
	} {
		t.Run(name, func(t *testing.T) {
			inDir(t, files)
			t.Setenv("TMPDIR", t.TempDir()) // where no other test checks at the same time
			_, _, refused := execute("check")
			if refused == nil || !strings.HasSuffix(refused.Error(), "not fine") {
				t.Errorf("check: %v", refused)
			}
			// A gateway that starts all the same ends with the context.
			ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
			defer cancel()
			if _, _, err := executeIn(ctx, "run", "--port", "0"); err == nil || refused == nil || !strings.HasPrefix(refused.Error(), err.Error()) {
				t.Errorf("run: %v\ncheck: %v", err, refused)
			}
			if left, _ := filepath.Glob(filepath.Join(os.TempDir(), "forward-check-*")); len(left) > 0 {
				t.Errorf("check left %v", left)
			}
		})
	}
}

// TestCheckShowsWhatTheSettingsBecame: routes, bounds and prices, within 100
// columns, and the verdict in the last line.
func TestCheckShowsWhatTheSettingsBecame(t *testing.T) {
	inDir(t, map[string]string{
		".env": "OPENAI_API_KEY=sk-1\nFORWARD_KEY=alice=fk-alice,fk-b,fk-c\nQUOTAS={" + strings.Repeat(`"key": {"*": {"requests_per_minute": 60, "tokens_per_day": 1000000}, "team-a": {"tokens_per_day": 0}}`, 1) + "}\n" +
			"LEVEL_MODELS={\"1\": [\"" + strings.Repeat("gpt-4o-mini-", 20) + "\"]}\n",
		"forward.yaml": "routes:\n  local: {forward: ['http://gpu-1:8000', 'http://gpu-2:8000'], keys: sk-local, models: {llama: {rpm: 200, tpm: 40000, max_parallel: 3}}}\n" +
			"model_aliases: {quick: llama}\nmodel_routes: {'llama-*': /local, anthropic: {'qwen*': /local}}\nprices:\n  big: {input: 1, output: 2.50, tiers: [{above: 200000, input: 2, output: 5}]}\n  team: openai/gpt-4o\n" +
			"  pictures: {image/1024x1024/hd: 0.08, image: 0.04}\n  fast: {input: 3, batch: {input: 1.50}, priority: {input: 6}, times: {speed/fast: 2}}\n",
	})
	out, _, err := execute("check")
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"/local", "http://gpu-1:8000, then http://gpu-2:8000", "openai, 1 API key", "model llama-*", "to /local", "model qwen*", "model quick", "is llama", "anthropic requests", "llama", "rpm 200, tpm 40000, max_parallel 3",
		"big", "input $1", "above 200000 prompt tokens:", "as openai/gpt-4o", "image $0.04, image/1024x1024/hd $0.08", "input $3.00, in a batch: input $1.50, priority: input $6.00, speed/fast times 2", "https://api.openai.com", "/, /openai"} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in\n%s", want, out)
		}
	}
	lines := strings.Split(strings.TrimSpace(out), "\n")
	for _, line := range lines {
		if utf8.RuneCountInString(line) > checkWidth {
			t.Errorf("%d columns: %s", utf8.RuneCountInString(line), line)
		}
	}
	if last := lines[len(lines)-1]; !strings.Contains(last, "fine") {
		t.Errorf("the last line is %q", last)
	}
	if text := strings.ReplaceAll(out, "\n", ""); strings.Contains(text, "fk-alice") {
		t.Error("a key is shown")
	}
}

func TestKeysListNumbersKeysThatLookTheSame(t *testing.T) {
	inDir(t, map[string]string{".env": "OPENAI_API_KEY=sk-1\nFORWARD_KEY=fk-alice,fk-bob,carol=fk-c\n"})
	out, _, err := execute("keys", "list")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{" #1 ", " #2 ", " carol "} {
		if strings.Count(out, name) != 1 {
			t.Errorf("N4 no %q in\n%s", name, out)
		}
	}
	for _, ref := range []string{"#2", "2"} {
		if out, _, err := execute("keys", "show", ref); err != nil || !strings.Contains(out, "#2") {
			t.Errorf("N4 keys show %s: %v\n%s", ref, err, out)
		}
	}
}

func TestFlagsOfOpenAIForwardsConvert(t *testing.T) {
	log := `{"messages":[{"role":"user","content":"hi"}],"model":"m","uid":"1","datetime":"2026-11-21 15:27:12"}` + "\n" + `{"assistant":"Hello!","uid":"1"}` + "\n"
	inDir(t, map[string]string{"chat.log": log})
	if _, errs, err := execute("convert", "--log_folder=.", "--target_path=out.json"); err != nil {
		t.Fatal(err, errs)
	}
	if text, err := os.ReadFile("out.json"); err != nil || !strings.Contains(string(text), "Hello!") {
		t.Errorf("%v %s", err, text)
	}
}

func TestAnUnknownFlagIsSuggested(t *testing.T) {
	if _, _, err := execute("keys", "add", "alice", "--model", "gpt-4o"); err == nil || !strings.Contains(err.Error(), "did you mean --models?") {
		t.Error(err)
	}
}

// TestATakenPortIsReportedFirst: not after the wait for a cache that another
// gateway holds.
func TestATakenPortIsReportedFirst(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	inDir(t, map[string]string{".env": "CACHE_CHAT_COMPLETION=true\n"})
	start := time.Now()
	_, _, err = execute("run", "--port", strconv.Itoa(taken.Addr().(*net.TCPAddr).Port))
	if err == nil || !strings.Contains(err.Error(), "choose another PORT") || time.Since(start) > time.Second {
		t.Errorf("after %v: %v", time.Since(start), err)
	}
	if _, err := os.Stat("data"); err == nil {
		t.Error("DATA_DIR was opened before")
	}
}
