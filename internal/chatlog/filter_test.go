package chatlog_test

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"forward/internal/chatlog"
)

// TestFilter: of five exchanges those that are wanted, in every format.
func TestFilter(t *testing.T) {
	path := filepath.Join(t.TempDir(), "chat.log")
	var log strings.Builder
	for i, x := range [][3]string{{"alice", "m", "one"}, {"bob", "m", "one"}, {"alice", "other", "one"}, {"alice", "m", "two"}, {"alice", "m", "two"}} {
		fmt.Fprintf(&log, `{"messages":[{"role":"user","content":%q}],"model":%q,"uid":"%d","datetime":"2026-11-21 12:00:0%d","key":%q}`+"\n", x[2], x[1], i, i, x[0])
		log.WriteString(result(fmt.Sprint(i), "A"))
	}
	write(t, path, log.String(), time.Now())
	meta := filepath.Join(t.TempDir(), "chat.log")
	write(t, meta, strings.ReplaceAll(strings.ReplaceAll(log.String(), `"content":"one"`, `"bytes":3`), `"content":"two"`, `"bytes":3`), time.Now())
	if _, sum := convert(t, chatlog.ConvertOptions{Inputs: []string{meta}, Filter: chatlog.Filter{Dedupe: true}}); sum.Exchanges != 5 {
		t.Errorf("what only has the same size was taken for the same: %+v", sum)
	}
	zone := time.FixedZone("", 3600)
	for name, tt := range map[string]struct {
		filter chatlog.Filter
		want   int
	}{
		"all":          {chatlog.Filter{}, 5},
		"since":        {chatlog.Filter{Since: time.Date(2026, 11, 21, 12, 0, 3, 0, zone)}, 2},
		"since later":  {chatlog.Filter{Since: time.Date(2026, 11, 21, 12, 0, 5, 0, zone)}, 0},
		"key":          {chatlog.Filter{Key: "alice"}, 4},
		"model":        {chatlog.Filter{Model: "m"}, 4},
		"dedupe":       {chatlog.Filter{Dedupe: true}, 3},
		"all together": {chatlog.Filter{Since: time.Date(2026, 11, 21, 12, 0, 1, 0, zone), Key: "alice", Model: "m", Dedupe: true}, 1},
	} {
		for _, format := range []string{"openai-forward", "jsonl", "openai-ft", "sharegpt", "csv"} {
			if _, sum := convert(t, chatlog.ConvertOptions{Inputs: []string{path}, Format: format, Filter: tt.filter}); sum.Exchanges != tt.want || sum.Filtered != 5-tt.want {
				t.Errorf("%s, %s: %+v, want %d", name, format, sum, tt.want)
			}
		}
	}
}
