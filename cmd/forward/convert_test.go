package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"
)

// TestConvertChoosesExchanges runs the command over a log that was compressed
// and one that is written to, with each of its filters.
func TestConvertChoosesExchanges(t *testing.T) {
	dir := t.TempDir()
	exchange := func(uid, day, key, model, text string) string {
		return `{"messages":[{"role":"user","content":"` + text + `"}],"model":"` + model + `","uid":"` + uid + `","datetime":"2026-11-` + day + ` 12:00:00","key":"` + key + `"}` + "\n" +
			`{"assistant":"yes","uid":"` + uid + `","status":200,"finish_reason":"stop","complete":true}` + "\n"
	}
	z, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	old := z.EncodeAll([]byte(exchange("a", "01", "alice", "gpt-4o", "one")+exchange("b", "02", "bob", "gpt-4o", "two")), nil)
	if err := os.WriteFile(filepath.Join(dir, "chat.2026-11-03_00-00-00_000000.log.zst"), old, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "chat.log"), []byte(exchange("c", "10", "alice", "o3", "three")+exchange("d", "11", "bob", "gpt-4o", "two")), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		flags string
		uids  string
	}{
		{"", "a b c d"},
		{"--since 2026-11-10", "c d"},
		{"--key alice", "a c"},
		{"--model gpt-4o", "a b d"},
		{"--dedupe", "a b c"},
		{"--key bob --dedupe --since 2026-11-02", "b"},
		{"--key carol", ""},
	} {
		out, stderr, err := execute(append([]string{"convert", dir, "-o", "-", "--format", "jsonl"}, strings.Fields(c.flags)...)...)
		if err != nil {
			t.Errorf("%s: %v %s", c.flags, err, stderr)
		}
		var uids []string
		for line := range strings.Lines(out) {
			_, after, _ := strings.Cut(line, `"uid":"`)
			uids = append(uids, after[:1])
		}
		if got := strings.Join(uids, " "); got != c.uids {
			t.Errorf("%s: %q, want %q", c.flags, got, c.uids)
		}
		if !strings.Contains(stderr, "conversations from 2 files") {
			t.Errorf("%s: stderr %q", c.flags, stderr)
		}
	}
	for format, want := range map[string]string{
		"openai-forward": `"assistant": "yes"`, "jsonl": `"assistant":"yes"`, "openai-ft": `{"role":"assistant","content":"yes"}`,
		"sharegpt": `"from": "human"`, "csv": "datetime,key,user",
	} {
		if out, _, err := execute("convert", dir, "-o", "-", "--format", format); err != nil || !strings.Contains(out, want) {
			t.Errorf("%s: %v, %s", format, err, out)
		}
	}
	for _, wrong := range [][]string{{"--format", "xml"}, {"--since", "soon"}} {
		if _, _, err := execute(append([]string{"convert", dir, "-o", "-"}, wrong...)...); err == nil {
			t.Errorf("%v: no error", wrong)
		}
	}
}
