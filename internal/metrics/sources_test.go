package metrics_test

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"

	"forward/internal/metrics"
)

func everySource() metrics.Sources {
	return metrics.Sources{
		Queues: func() []metrics.Queue {
			return []metrics.Queue{{Route: "openai", Model: "gpt-4o", Waiting: 3, InFlight: 2}, {Route: "openai", Model: "o1-*", Waiting: 1}}
		},
		APIKeys: func() []metrics.APIKeys {
			return []metrics.APIKeys{{Route: "openai", State: "ok", Count: 2}, {Route: "openai", State: "resting", Count: 1}}
		},
		Stores: func() map[string]bool { return map[string]bool{"cache": true, "ledger": false} },
		Cache: func() metrics.Cache {
			return metrics.Cache{Entries: -1, Bytes: 4096, Pending: 2, Stored: 9, Dropped: 1, MaxBytes: 1 << 30}
		},
		Ledger:  func() metrics.Ledger { return metrics.Ledger{Pending: 12, Dropped: 4} },
		ChatLog: func() int64 { return 5 },
	}
}

func TestSources(t *testing.T) {
	got := text(t, metrics.New(metrics.Options{Sources: everySource()}))
	for _, want := range []string{
		`forward_queue_depth{model="gpt-4o",route="openai"} 3`, `forward_queue_depth{model="o1-*",route="openai"} 1`,
		`forward_queue_in_flight{model="gpt-4o",route="openai"} 2`, `forward_api_keys{route="openai",state="ok"} 2`,
		`forward_api_keys{route="openai",state="resting"} 1`, `forward_store_up{store="cache"} 1`, `forward_store_up{store="ledger"} 0`,
		`forward_cache_bytes 4096`, `forward_cache_max_bytes 1.073741824e+09`, `forward_cache_pending 2`, `forward_cache_stored_total 9`,
		`forward_cache_dropped_total 1`, `forward_cache_damaged_total 0`, `forward_ledger_queue 12`, `forward_ledger_dropped_total 4`, `forward_chat_log_dropped_total 5`,
	} {
		if !strings.Contains(got, "\n"+want+"\n") {
			t.Errorf("%s is missing", want)
		}
	}
	if strings.Contains(got, "forward_cache_entries ") {
		t.Error("an unknown number is reported")
	}
}

func TestWithoutSourcesNothingIsReported(t *testing.T) {
	got := text(t, metrics.New(metrics.Options{}))
	for _, name := range []string{"forward_queue_depth", "forward_api_keys", "forward_store_up", "forward_cache_bytes", "forward_ledger", "forward_chat_log"} {
		if strings.Contains(got, name) {
			t.Errorf("%s is there", name)
		}
	}
}

// Names that a label cannot hold, and those that become the same when they are
// cut, spoil nothing.
func TestOddNamesOfSources(t *testing.T) {
	long := strings.Repeat("x", 300)
	got := text(t, metrics.New(metrics.Options{Sources: metrics.Sources{Queues: func() []metrics.Queue {
		return []metrics.Queue{{Route: "r", Model: long + "1", Waiting: 1}, {Route: "r", Model: long + "2", Waiting: 2}, {Route: "r", Model: "a\xffb", Waiting: 4}}
	}}}), "forward_queue_depth")
	if !strings.Contains(got, `xxx",route="r"} 3`) || !strings.Contains(got, `{model="a�b",route="r"} 4`) {
		t.Errorf("it is\n%s", got)
	}
}

// A source that fails is logged, and what was counted is still read.
func TestTroubleOfOneSourceHidesNothingElse(t *testing.T) {
	var log bytes.Buffer
	m := metrics.New(metrics.Options{Log: slog.New(slog.NewTextHandler(&log, nil)), Sources: metrics.Sources{ChatLog: func() int64 { panic("the chat log is gone") }}})
	m.Observe(metrics.Request{Route: "openai", Status: 200})
	if got := text(t, m); !strings.Contains(got, "forward_requests_total{") {
		t.Error("the counters are missing")
	}
	if !strings.Contains(log.String(), "the chat log is gone") {
		t.Errorf("the log is %q", log.String())
	}
}
