package main

import (
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"forward/internal/database"
	"forward/internal/dialect"
	"forward/internal/ledger"
	"forward/internal/price"
)

// ledgerWith makes a DATA_DIR with a running ledger in it, and returns flags
// that lead there.
func ledgerWith(t *testing.T, rows ...ledger.Row) (flags []string, l *ledger.Ledger) {
	t.Helper()
	dir := t.TempDir()
	file := filepath.Join(dir, ".env")
	if err := os.WriteFile(file, []byte("DATA_DIR="+dir+"\nTZ=UTC\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	db, err := database.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	if l, err = ledger.Open(db, ledger.Options{Location: time.UTC}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := errors.Join(l.Close(context.Background()), db.Close()); err != nil {
			t.Error(err)
		}
	})
	for _, r := range rows {
		l.Record(r)
	}
	if err := l.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	return []string{"--env-file", file}, l
}

func entry(id, key, model string, cost price.Money) ledger.Row {
	return ledger.Row{
		ID: id, Time: time.Now().Add(-time.Hour), Key: "id-" + key, KeyName: key, User: "=SUM(A1)", Route: "openai", Upstream: "openai", Slot: "1", Operation: dialect.Chat,
		Model: model, Answered: model + "-2024-08-06", Status: 200, Finish: "stop", Stream: true, Cache: "miss", Attempts: 2, Queue: 1500 * time.Microsecond, Total: 2 * time.Second,
		Usage: dialect.Usage{Input: 100, CachedRead: 40, Output: 10}, Priced: true, Cost: cost, Price: "openai/gpt-4o in the table of 2026-11-10",
		Trail: []ledger.Step{{At: 12 * time.Microsecond, Name: "cache", Text: "miss: asked for the first time\x1b[31m"}},
	}
}

// TestUsageBesideTheGateway asks while a ledger is open on the same database
// and writes.
func TestUsageBesideTheGateway(t *testing.T) {
	unpriced := entry("u", "bob", "mystery", 0)
	unpriced.Priced, unpriced.Estimated = false, true
	flags, l := ledgerWith(t, entry("a", "alice", "gpt-4o", 1_230_000), entry("b", "alice", "gpt-4o", 1_000), unpriced)

	out, _, err := execute(append([]string{"usage"}, flags...)...)
	if err != nil {
		t.Fatal(err)
	}
	var words [][]string
	for line := range strings.Lines(out) {
		words = append(words, strings.Fields(line))
	}
	for i, want := range map[int]string{0: "key model requests unpriced input cached output cost", 2: "alice gpt-4o 2 0 200 80 20 $0.001231", 3: "bob mystery 1 1 100 40 10 $0.00", 5: "3 1 300 120 30 $0.001231"} {
		if got := strings.Join(words[i], " "); got != want {
			t.Errorf("line %d is %q, want %q\n%s", i, got, want, out)
		}
	}
	for _, want := range []string{"1 requests used models without a price", "1 requests ended without the provider's count"} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in\n%s", want, out)
		}
	}

	l.Record(entry("c", "carol", "gpt-4o", 5_000_000))
	if err := l.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	out, _, err = execute(append([]string{"usage", "--by", "key,user,day", "--since", "2d", "--key", "carol", "-o", "csv"}, flags...)...)
	if err != nil {
		t.Fatal(err)
	}
	records, err := csv.NewReader(strings.NewReader(out)).ReadAll()
	if err != nil || len(records) != 2 || strings.Join(records[1][:3], " ") != "id-carol carol '=SUM(A1)" || records[1][len(records[1])-1] != "0.005" {
		t.Errorf("%q, %v", records, err)
	}

	out, _, err = execute(append([]string{"usage", "--by", "model,month", "--since", "all", "--model", "gpt-4o", "-o", "json"}, flags...)...)
	if err != nil {
		t.Fatal(err)
	}
	var report struct {
		By     []string
		Groups []map[string]any
		Total  map[string]any
	}
	if err := json.Unmarshal([]byte(out), &report); err != nil || len(report.Groups) != 1 || report.Groups[0]["requests"] != 3.0 || report.Groups[0]["cost_nano_usd"] != 6_231_000.0 ||
		report.Groups[0]["month"] != time.Now().Add(-time.Hour).UTC().Format("2006-01") || report.Total["cost_usd"] != 0.006231 {
		t.Errorf("%s\n%v", out, err)
	}
	if out, _, err = execute(append([]string{"usage", "--since", "2020-01-01", "--until", "2020-02-01"}, flags...)...); err != nil || out != "nothing was used in this time\n" {
		t.Errorf("%q, %v", out, err)
	}
}

func TestWhy(t *testing.T) {
	flags, l := ledgerWith(t, entry("a", "alice", "gpt-4o", 1_230_000))
	out, _, err := execute(append([]string{"why", "a"}, flags...)...)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"alice, id id-alice, user =SUM(A1)", "openai, upstream openai, API key 1", "chat, model gpt-4o, answered by gpt-4o-2024-08-06, streamed", "200, finish reason stop", "miss",
		"1.5ms in the queue, 2s in all", "100 in, 40 of them cached, 10 out", "$0.00123, openai/gpt-4o in the table of 2026-11-10", "12µs", "cache: miss: asked for the first time·[31m"} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in\n%s", want, out)
		}
	}
	if out, _, err := execute(append([]string{"why", "a", "-o", "json"}, flags...)...); err != nil || !strings.Contains(out, `"cost_nano_usd": 1230000`) {
		t.Errorf("%s, %v", out, err)
	}
	if _, _, err := execute(append([]string{"why", "nobody"}, flags...)...); !errors.Is(err, ledger.ErrNoRow) || !strings.Contains(err.Error(), "LEDGER_RETENTION") {
		t.Errorf("%v", err)
	}
	r := entry("open", "alice", "gpt-4o", 9)
	call, err := l.Reserve(t.Context(), ledger.Reservation{Row: r})
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	if out, _, err := execute(append([]string{"why", "open"}, flags...)...); err != nil || !strings.Contains(out, "still under way") {
		t.Errorf("%s, %v", out, err)
	}
	call.Settle(r)
}

// TestWhyOfABatch asks by the id that the provider gave.
func TestWhyOfABatch(t *testing.T) {
	flags, l := ledgerWith(t)
	prices, err := price.NewTable(nil)
	if err != nil {
		t.Fatal(err)
	}
	s := ledger.Settlement{Prices: prices, Upstream: "openai", Batch: ledger.Batch{Host: "api.openai.com", ID: "batch_1", Key: "id-alice", KeyName: "alice", Route: "openai", Request: "req_1"}}
	for _, model := range []string{"gpt-4o-mini", "gpt-4o-mini", "mystery"} {
		s.Add(ledger.BatchItem{Model: model, Usage: dialect.Usage{Input: 100, Output: 10}})
	}
	if n, err := l.SettleBatch(t.Context(), s.Rows(time.Now(), "req_2")); n != 2 || err != nil {
		t.Fatal(n, err)
	}
	if err := l.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	out, _, err := execute(append([]string{"why", "batch_1"}, flags...)...)
	if err != nil {
		t.Fatal(err)
	}
	words := strings.Join(strings.Fields(out), " ")
	for _, want := range []string{"batch api.openai.com/batch_1/gpt-4o-mini settled ", "key alice, id id-alice route openai, upstream openai answers model gpt-4o-mini tokens 200 in, 20 out cost $0.000021, openai/gpt-4o-mini in the table of",
		"in a batch batch: 2 answers of batch_1 made: by request req_1 fetched: by request req_2 price: 200 input × $0.075/M = $0.000015 price: 20 output × $0.30/M = $0.000006",
		"batch api.openai.com/batch_1/mystery", `cost unpriced, no price of "mystery" at openai`} {
		if !strings.Contains(words, want) {
			t.Errorf("no %q in\n%s", want, out)
		}
	}
}

// TestUsageReprice gives a model a price after it was used, beside a ledger
// that is open.
func TestUsageReprice(t *testing.T) {
	cellar := entry("c", "bob", "cellar", 0)
	cellar.Priced, cellar.Answered = false, "cellar"
	flags, l := ledgerWith(t, entry("a", "alice", "gpt-4o", 999), cellar)
	file := filepath.Join(t.TempDir(), "forward.yaml")
	if err := os.WriteFile(file, []byte("prices:\n  cellar: {input: 1, output: 2}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	flags = append(flags, "--config", file)
	ask := func(args ...string) string {
		t.Helper()
		out, _, err := execute(append(append([]string{"usage"}, args...), flags...)...)
		if err != nil {
			t.Fatal(err)
		}
		return strings.Join(strings.Fields(out), " ")
	}
	// gpt-4o: 60 × 2.50 + 40 × 1.25 + 10 × 10 millionths of a dollar. cellar:
	// 100 × 1 + 10 × 2.
	want := []string{"openai gpt-4o 1 1 $0.000000999 $0.0003 $0.000299001 0 0", "openai cellar 1 1 $0.00 $0.00012 $0.00012 1 0", "all models 2 2 $0.000000999 $0.00042 $0.000419001 1 0"}
	for _, step := range []struct {
		args []string
		want []string
	}{
		{[]string{"reprice", "--since", "all", "--dry-run"}, append(want, "Nothing was changed")},
		{[]string{"reprice", "--since", "1d"}, append(want, "Budgets stay as they were charged")},
		{[]string{"reprice", "--since", "1d"}, []string{"2 requests cost what they cost before: $0.00042"}},
		{[]string{"reprice", "--since", "all", "--model", "cellar", "-o", "json"}, []string{`"model": "cellar", "requests": 1, "changed": 0, "before_nano_usd": 120000, "after_nano_usd": 120000,`}},
		{[]string{"--since", "all"}, []string{"$0.00042"}},
	} {
		got := ask(step.args...)
		for _, want := range step.want {
			if !strings.Contains(got, want) {
				t.Errorf("%v: no %q in %s", step.args, want, got)
			}
		}
	}
	if r, _, err := l.Trail(t.Context(), "a"); err != nil || r.Cost != 300_000 {
		t.Error(r.Cost, err)
	}
}

func TestUsagePrices(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "forward.yaml")
	if err := os.WriteFile(file, []byte("prices:\n  cellar: {input: 0.5, output: 1}\n  team: openai/gpt-4o\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	ask := func(args ...string) (string, error) {
		out, sources, err := execute(append([]string{"usage", "prices", "--config", file}, args...)...)
		if err == nil && !strings.Contains(sources, "@earendil-works/pi-ai 1.6.0 MIT") {
			t.Errorf("no source in %q", sources)
		}
		for line := range strings.Lines(out + sources) {
			if n := displayWidth(strings.TrimSpace(line)); n > 100 {
				t.Errorf("%v: %d columns: %s", args, n, line)
			}
		}
		return strings.Join(strings.Fields(out), " "), err
	}
	for _, c := range []struct {
		args []string
		want []string
	}{
		{[]string{"gpt-4.1-2025-04-14", "--provider", "openai"}, []string{"openai/gpt-4.1: openai/gpt-4.1 in the table of", "the name without its date", "input $2.00 million $1.00", "answers with up to"}},
		{[]string{"openai/gpt-4o"}, []string{"openrouter/openai/gpt-4o: openrouter/openai/gpt-4o in the table", "openai/gpt-4o: openai/gpt-4o in the table"}},
		{[]string{"anthropic/claude-sonnet-4-5"}, []string{"cached_write_1h $6.00 million $3.00"}},
		{[]string{"gemini-2.5-pro", "--provider", "gemini"}, []string{"calls with more than 200000 prompt tokens", "$2.50"}},
		{[]string{"gpt-5", "--provider", "openai"}, []string{"a call of a tool of the provider: code_interpreter $0.03, code_interpreter/16g $0.48", "web_search $0.01"}},
		{[]string{"claude-opus-5", "--provider", "anthropic"}, []string{"2 times these rates where the answer has speed \"fast\"", "1.1 times these rates where the answer has inference_geo \"us\""}},
		{[]string{"sora-2-pro"}, []string{"video_second/1024x1792 $0.50 one"}},
		{[]string{"cellar"}, []string{"cellar: forward.yaml has a price of cellar (forward.yaml)", "output $1.00 million"}},
		{[]string{"team"}, []string{"openai/gpt-4o: forward.yaml: team is priced as openai/gpt-4o"}},
		{[]string{"gpt-4o"}, []string{"azure/gpt-4o", "openai/gpt-4o"}},
	} {
		out, err := ask(c.args...)
		for _, want := range c.want {
			if err != nil || !strings.Contains(out, want) {
				t.Errorf("%v: no %q in %s (%v)", c.args, want, out, err)
			}
		}
	}
	if out, err := ask("gpt-4o-mine"); err == nil || !strings.Contains(err.Error(), "unpriced") {
		t.Errorf("%s, %v", out, err)
	}
	if err := os.WriteFile(file, []byte("prices:\n  team: openai/gpt-99\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := ask("team"); err == nil || !strings.Contains(err.Error(), "openai/gpt-99") {
		t.Errorf("an alias of nothing: %v", err)
	}
}

// TestUsageOfOwnCredentials shows list prices where there are any, and marks
// them as not billed.
func TestUsageOfOwnCredentials(t *testing.T) {
	own := entry("req_own", "alice", "gpt-4o", 0)
	own.Listed = true
	own.List = 4_150_000_000
	flags, _ := ledgerWith(t, entry("req_ours", "bob", "gpt-4o", 1_000_000_000), own)
	run := func(args ...string) string {
		t.Helper()
		out, _, err := execute(append(args, flags...)...)
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	if out := run("usage", "--by", "key"); !strings.Contains(out, " list") || !strings.Contains(out, "$4.15") || !strings.Contains(out, "it is not billed, and not in the cost") {
		t.Errorf("usage:\n%s", out)
	}
	if out := run("usage", "--by", "key", "--key", "bob"); strings.Contains(out, "list") {
		t.Errorf("usage without any:\n%s", out)
	}
	if out := run("usage", "--by", "key", "-o", "csv"); !strings.Contains(out, "list_nano_usd") || !strings.Contains(out, "4150000000") {
		t.Errorf("csv:\n%s", out)
	}
	if out := run("usage", "-o", "json"); !strings.Contains(out, `"list_nano_usd": 4150000000`) || !strings.Contains(out, `"list_usd": 4.15`) {
		t.Errorf("json:\n%s", out)
	}
	if out := run("why", "req_own"); !strings.Contains(out, "$4.15 list price, not billed: the caller's own credential paid") {
		t.Errorf("why:\n%s", out)
	}
	if out := run("why", "req_ours"); strings.Contains(out, "not billed") {
		t.Errorf("why:\n%s", out)
	}
}

func TestUsageCalledWrongly(t *testing.T) {
	flags, _ := ledgerWith(t)
	for _, args := range [][]string{{"usage", "stray"}, {"usage", "--by", "colour"}, {"usage", "--since", "yesterday"}, {"usage", "-o", "xml"}, {"usage", "prices"}, {"usage", "prices", "a", "b"}, {"usage", "reprice"}, {"usage", "reprice", "--since", "once"}, {"usage", "reprice", "--since", "1d", "stray"}, {"why"}, {"why", "-o", "xml", "a"}} {
		if _, _, err := execute(append(args, flags...)...); !errors.As(err, new(*usageError)) {
			t.Errorf("%v: %v", args, err)
		}
	}
	dir := t.TempDir()
	file := filepath.Join(dir, ".env")
	if err := os.WriteFile(file, []byte("DATA_DIR="+dir), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, _, err := execute("usage", "--env-file", file); !errors.Is(err, ledger.ErrNoLedger) {
		t.Errorf("without a ledger: %v", err)
	}
	if database.Exists(dir) {
		t.Error("a question made a database")
	}
}

func TestMoments(t *testing.T) {
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	now := time.Date(2026, 11, 21, 15, 30, 0, 0, berlin)
	for text, want := range map[string]string{
		"30d": "2026-10-22T00:00:00+02:00", "0d": "2026-11-21T00:00:00+01:00", "2w": "2026-11-07T00:00:00+01:00", "12h": "2026-11-21T03:30:00+01:00",
		"90m": "2026-11-21T14:00:00+01:00", "2026-10-25": "2026-10-25T00:00:00+02:00", "2026-11-01T12:00:00Z": "2026-11-01T12:00:00Z", "all": "0001-01-01T00:00:00Z", "": "0001-01-01T00:00:00Z",
	} {
		if got, err := moment(text, now); err != nil || got.Format(time.RFC3339) != want {
			t.Errorf("%q is %s (%v), want %s", text, got.Format(time.RFC3339), err, want)
		}
	}
	for _, bad := range []string{"d", "-1d", "1y", "2026-13-01", "99999d", "-5m"} {
		if got, err := moment(bad, now); err == nil {
			t.Errorf("%q is %s", bad, got)
		}
	}
}

// TestUsageIsUnknown shows requests that were sent and whose usage is not
// known: in a column, in a sentence that leads to them, and alone (M11).
func TestUsageIsUnknown(t *testing.T) {
	lost := entry("lost", "bob", "speaker", 0)
	lost.Priced, lost.Unmetered, lost.Usage, lost.Session = false, true, dialect.Usage{}, "s1"
	written := entry("written", "alice", "gpt-4o", 1000)
	written.Usage.CachedWrite, written.Usage.CachedWriteHour = 30, 20
	written.Usage.Media.Images, written.Usage.Terms.Reported, written.Usage.Terms.HasReported = 2, 77, true
	flags, _ := ledgerWith(t, written, lost)
	for _, c := range []struct {
		args []string
		want []string
	}{
		{[]string{"usage"}, []string{"unmetered", "1 requests were sent whose usage is not known; see `forward usage --unmetered"}},
		{[]string{"usage", "--unmetered", "--by", "key,model,operation", "-o", "csv"}, []string{"id-bob,bob,speaker,chat,1"}},
		{[]string{"usage", "--session", "s1", "--by", "model", "-o", "csv"}, []string{"speaker,1"}},
		{[]string{"usage", "-o", "json"}, []string{`"unmetered": 1`, `"cached_write_hour_tokens": 20`}},
		{[]string{"why", "written", "-o", "json"}, []string{`"cached_write_hour_tokens": 20`, `"images": 2`, `"reported_nano_usd": 77`, `"unmetered": false`}},
		{[]string{"why", "lost"}, []string{"session s1", "nothing is known of what it used"}},
	} {
		out, _, err := execute(append(c.args, flags...)...)
		if err != nil {
			t.Fatal(err)
		}
		for _, want := range c.want {
			if !strings.Contains(out, want) {
				t.Errorf("%v: no %q in\n%s", c.args, want, out)
			}
		}
		if len(c.args) > 3 && c.args[0] == "usage" && strings.Contains(out, "gpt-4o") {
			t.Errorf("%v has the others too:\n%s", c.args, out)
		}
	}
}
