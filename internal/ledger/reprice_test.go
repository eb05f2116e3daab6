package ledger_test

import (
	"cmp"
	"fmt"
	"strings"
	"testing"
	"time"

	"forward/internal/dialect"
	"forward/internal/ledger"
	"forward/internal/price"

	gocmp "github.com/google/go-cmp/cmp"
)

// priced is a table in which one model costs so many nano-dollars a token.
func priced(t testing.TB, model string, in, out price.Money) *price.Table {
	t.Helper()
	rates := func(by price.Money) price.Rates {
		return price.Rates{price.Input: in * 1_000_000 / by, price.Output: out * 1_000_000 / by}
	}
	return mustTable(t, price.Override{Model: model, Tiers: []price.Tier{{Rates: rates(1), Batch: rates(2)}}})
}

// sumsOf is what the ledger's rows, and each of its sums, add up to: all the
// same, or it does not add up.
func sumsOf(t testing.TB, l *ledger.Ledger) (sums ledger.Sums) {
	t.Helper()
	for i, by := range [][]ledger.Dimension{{ledger.ByUpstream}, {ledger.ByHour}, {ledger.ByDay}, {ledger.ByUser}} {
		s := ledger.SumUp(mustReport(t, l.Reader, ledger.Query{By: by}))
		if i == 0 {
			sums = s
		}
		if diff := gocmp.Diff(sums, s); diff != "" {
			t.Errorf("sums by %v are not those of the rows:\n%s", by, diff)
		}
	}
	return sums
}

// TestReprice gives a model a price and another one a different price after
// they were used, in rows of each kind.
func TestReprice(t *testing.T) {
	db := newDB(t)
	l, before := mustOpen(t, db, ledger.Options{}), priced(t, "house", 10, 100)
	row := func(id, model string, change func(*ledger.Row)) {
		r := ledger.Row{ID: id, Time: noon, Key: "k", KeyName: "alice", User: "u", Route: "openai", Upstream: "openai", Operation: dialect.Chat, Model: model, Status: 200, Cache: "miss",
			Usage: dialect.Usage{Input: 100, Output: 10}}
		if change != nil {
			change(&r)
		}
		r.Bill(before)
		l.Record(r)
	}
	row("plain", "house", nil)
	row("flex", "house", func(r *ledger.Row) { r.Tier = "flex" })
	row("priority", "house", func(r *ledger.Row) { r.Tier = "priority" })
	row("estimated", "house", func(r *ledger.Row) { r.Estimated, r.Status, r.Cause = true, 499, "client_gone" })
	row("hit", "house", func(r *ledger.Row) { r.Cache = "hit" })
	row("failed", "house", func(r *ledger.Row) { r.Status, r.Usage = 502, dialect.Usage{} })
	row("unknown", "cellar", nil)
	row("other", "gpt-4o-mini", nil)
	row("earlier", "house", func(r *ledger.Row) { r.Time = noon.Add(-48 * time.Hour) })
	batch := ledger.Settlement{Prices: before, Upstream: "openai", Batch: ledger.Batch{Host: "h", ID: "b", Key: "k"}}
	batch.Add(ledger.BatchItem{Model: "house", Usage: dialect.Usage{Input: 100, Output: 10}})
	if _, err := l.SettleBatch(t.Context(), batch.Rows(noon, "req")); err != nil {
		t.Fatal(err)
	}
	open := ledger.Row{ID: "open", Time: noon, Key: "k", Upstream: "openai", Operation: dialect.Chat, Model: "house"}
	open.Estimate(before, 100, 10)
	if _, err := l.Reserve(t.Context(), ledger.Reservation{Row: open}); err != nil {
		t.Fatal(err)
	}
	mustFlush(t, l)
	l.Close(t.Context())
	l = mustOpen(t, db, ledger.Options{}) // which settles the open one at its reserve

	after := mustTable(t,
		price.Override{Model: "house", Tiers: []price.Tier{{Rates: price.Rates{price.Input: 20_000_000, price.Output: 300_000_000}, Batch: price.Rates{price.Input: 7_000_000, price.Output: 70_000_000}}}},
		price.Override{Model: "cellar", Tiers: []price.Tier{{Rates: price.Rates{price.Input: 1_000_000, price.Output: 2_000_000}}}})
	run := func(p ledger.Reprice) string {
		t.Helper()
		p.Prices = after
		list, err := p.Run(t.Context(), db, time.UTC)
		if err != nil {
			t.Fatal(err)
		}
		var out strings.Builder
		for _, m := range list {
			fmt.Fprintf(&out, "%s %d/%d %d→%d %d→%d\n", m.Model, m.Changed, m.Requests, m.Before, m.After, m.UnpricedBefore, m.UnpricedAfter)
		}
		return out.String()
	}
	was := sumsOf(t, l)
	spent, err := l.Balances(t.Context(), "k", []ledger.Budget{{Unit: ledger.USD, Amount: 1, Period: ledger.Total}})
	if err != nil {
		t.Fatal(err)
	}
	// Since noon: plain 2000 → 5000, flex 1000 → 1400, priority unpriced,
	// estimated and open as plain, hit and failure nothing, batch as flex.
	want := "house 6/8 8000→17800 1→1\ncellar 1/1 0→120 1→0\ngpt-4o-mini 0/1 21000→21000 0→0\n"
	if got := run(ledger.Reprice{Since: noon, DryRun: true}); got != want {
		t.Errorf("dry:\n%swant\n%s", got, want)
	}
	if diff := gocmp.Diff(was, sumsOf(t, l)); diff != "" {
		t.Errorf("a dry run changed something:\n%s", diff)
	}
	if got := run(ledger.Reprice{Since: noon, Model: "cellar"}); got != "cellar 1/1 0→120 1→0\n" {
		t.Errorf("of one model: %s", got)
	}
	if got, want := run(ledger.Reprice{Since: noon}), strings.ReplaceAll(want, "1/1 0→120 1→0", "0/1 120→120 0→0"); !strings.Contains(got, "house 6/8 8000→17800") {
		t.Errorf("%swant\n%s", got, want)
	}
	is := sumsOf(t, l)
	if is.Cost != was.Cost+17_800-8_000+120 || is.Unpriced != was.Unpriced-1 || is.EstimatedCost != was.EstimatedCost+2*3_000 || is.Saved != was.Saved+3_000 || is.Requests != was.Requests || is.Input != was.Input {
		t.Errorf("%+v, before %+v", is, was)
	}
	if got := run(ledger.Reprice{Since: noon}); strings.Contains(got, "house 1") || !strings.Contains(got, "house 0/8 17800→17800") {
		t.Errorf("again: %s", got)
	}
	r, _, err := l.Trail(t.Context(), "plain")
	if err != nil || r.Cost != 5_000 || !strings.Contains(fmt.Sprint(r.Trail), "100 input × $0.02") || len(r.Trail) != 2 {
		t.Errorf("%v %v %v", r.Cost, r.Trail, err)
	}
	if now, err := l.Balances(t.Context(), "k", []ledger.Budget{{Unit: ledger.USD, Amount: 1, Period: ledger.Total}}); err != nil || now[0].Spent != spent[0].Spent {
		t.Errorf("the budget has %d spent, before %d (%v)", now[0].Spent, spent[0].Spent, err)
	}
}

// TestRepriceBesideTheGateway prices rows of more models than sums have,
// through a database handle of its own and while others are written.
func TestRepriceBesideTheGateway(t *testing.T) {
	file := t.TempDir() + "/forward.db"
	l, before := mustOpen(t, openDB(t, file), ledger.Options{}), mustTable(t)
	record := func(from, n int) {
		for i := from; i < from+n; i++ {
			r := ledger.Row{ID: fmt.Sprint(i), Time: noon, Key: "k", User: fmt.Sprint(i), Upstream: "openai", Operation: dialect.Chat, Model: fmt.Sprintf("model-%d", i%700), Status: 200, Usage: dialect.Usage{Input: 3, Output: 5}}
			r.Bill(before)
			l.Record(r)
		}
	}
	record(0, 2_500)
	mustFlush(t, l)
	var overrides []price.Override
	for i := range 700 {
		overrides = append(overrides, price.Override{Model: fmt.Sprintf("model-%d", i), Tiers: []price.Tier{{Rates: price.Rates{price.Input: 1_000_000, price.Output: 1_000_000}}}})
	}
	done := make(chan error)
	go func() {
		_, err := ledger.Reprice{Prices: mustTable(t, overrides...)}.Run(t.Context(), openDB(t, file), time.UTC)
		done <- err
	}()
	record(2_500, 2_500)
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	mustFlush(t, l)
	if s := sumsOf(t, l); s.Requests != 5_000 || s.Cost < 2_500*8 || s.Cost%8 != 0 {
		t.Errorf("%+v", s)
	}
}

// TestRepriceWithoutALedger asks where nothing is, and where an older version
// was.
func TestRepriceWithoutALedger(t *testing.T) {
	db := newDB(t)
	run := func() error {
		_, err := ledger.Reprice{Prices: mustTable(t)}.Run(t.Context(), db, time.UTC)
		return err
	}
	if err := run(); err != ledger.ErrNoLedger {
		t.Error(err)
	}
	if _, err := db.Exec(`CREATE TABLE usage_schema (version INTEGER NOT NULL); INSERT INTO usage_schema VALUES (1)`); err != nil {
		t.Fatal(err)
	}
	if err := run(); err != ledger.ErrOldLedger {
		t.Error(err)
	}
}

// TestRepriceOfPieces prices rows again that have what is billed beside tokens:
// each costs what it did, and at other prices what these make of it.
func TestRepriceOfPieces(t *testing.T) {
	db := newDB(t)
	l, table := mustOpen(t, db, ledger.Options{}), mustTable(t)
	rows := map[string]ledger.Row{
		"speech":   {Model: "tts-1", Operation: dialect.Speech, Usage: dialect.Usage{Media: dialect.Media{Characters: 1000}}},
		"images":   {Model: "dall-e-3", Operation: dialect.Image, Usage: dialect.Usage{Media: dialect.Media{Images: 2, ImageKind: "1024x1024/hd"}}},
		"video":    {Model: "sora-2", Operation: dialect.Video, Usage: dialect.Usage{Media: dialect.Media{VideoSeconds: 8, VideoKind: "1280x720"}}},
		"sound":    {Model: "whisper-1", Operation: dialect.Audio, Usage: dialect.Usage{Seconds: 60}},
		"fast":     {Upstream: "anthropic", Model: "claude-opus-5", Operation: dialect.Messages, Usage: dialect.Usage{Input: 1000, Output: 100, Terms: dialect.Terms{Speed: "fast", Geo: "us"}}},
		"searches": {Upstream: "anthropic", Model: "claude-opus-5", Operation: dialect.Messages, Usage: dialect.Usage{Input: 1000, Terms: dialect.Terms{Fees: []dialect.Fee{{Name: "web_search", Count: 3}}}}},
		"reported": {Upstream: "openrouter", Model: "mystery", Operation: dialect.Chat, Usage: dialect.Usage{Input: 1000, Terms: dialect.Terms{Reported: 123_456, HasReported: true}}},
		"doubtful": {Model: "gpt-4o", Operation: dialect.Chat, Usage: dialect.Usage{Input: 1000, Terms: dialect.Terms{Doubt: "parts of an unknown kind"}}},
	}
	was := map[string]ledger.Row{}
	for id, r := range rows {
		r.ID, r.Time, r.Key, r.Status, r.Upstream = id, noon, "k", 200, cmp.Or(r.Upstream, "openai")
		r.Bill(table)
		if id != "doubtful" && r.Cost == 0 {
			t.Errorf("%s costs nothing: %s", id, r.Price)
		}
		was[id] = r
		l.Record(r)
	}
	mustFlush(t, l)
	again := func(prices *price.Table) (changed int64) {
		list, err := ledger.Reprice{Prices: prices}.Run(t.Context(), db, time.UTC)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range list {
			changed += m.Changed
		}
		return changed
	}
	if n := again(table); n != 0 {
		t.Errorf("%d rows cost something else at the same prices", n)
	}
	for id, r := range was {
		is, _, err := l.Trail(t.Context(), id)
		if err != nil || is.Cost != r.Cost || is.Priced != r.Priced || is.Price != r.Price || gocmp.Diff(r.Usage.Media, is.Usage.Media) != "" || gocmp.Diff(r.Usage.Terms, is.Usage.Terms) != "" {
			t.Errorf("%s: %v %q %+v (%v), was %v %q %+v", id, is.Cost, is.Price, is.Usage, err, r.Cost, r.Price, r.Usage)
		}
	}
	dearer := mustTable(t, price.Override{Model: "dall-e-3", Tiers: []price.Tier{{Rates: price.Rates{price.Image: price.Dollar}}}})
	if n := again(dearer); n != 1 {
		t.Errorf("%d rows changed with the price of one", n)
	}
	if r, _, err := l.Trail(t.Context(), "images"); err != nil || r.Cost != 2*price.Dollar {
		t.Errorf("%v (%v)", r.Cost, err)
	}
}

// TestRepriceAtSamePrices prices rows again that are not billed by a usage that
// an answer reported. The prices are the same, so no row changes.
func TestRepriceAtSamePrices(t *testing.T) {
	db := newDB(t)
	l := mustOpen(t, db, ledger.Options{})
	rates := price.Rates{price.Input: 10_000_000, price.CachedWrite: 20_000_000, price.Output: 100_000_000}
	prices := mustTable(t, price.Override{Model: "house", Tiers: []price.Tier{{Rates: rates}}})
	row := func(id, model string, bill func(*ledger.Row)) {
		r := ledger.Row{ID: id, Time: noon, Key: "k", Upstream: "openai", Operation: dialect.Responses, Model: model, Status: 200, Cache: "miss"}
		bill(&r)
		l.Record(r)
	}
	row("deferred", "house", (*ledger.Row).Defer)
	row("reserved", "house", func(r *ledger.Row) {
		r.Usage = dialect.Usage{Input: 100, Output: 10}
		r.BillReserved(prices)
	})
	row("free", "cellar", func(r *ledger.Row) {
		r.Operation = dialect.Moderation
		r.Usage = dialect.Usage{Input: 100}
		r.BillReserved(prices)
	})
	row("expired", "house", func(r *ledger.Row) {
		r.Estimate(prices, 100, 10)
		r.Cause = ledger.Expired
	})
	row("hit", "house", func(r *ledger.Row) {
		r.Cache = "hit"
		r.Bill(prices)
	})
	mustFlush(t, l)
	before := sumsOf(t, l)
	_, err := ledger.Reprice{Prices: prices}.Run(t.Context(), db, time.UTC)
	if err != nil {
		t.Fatal(err)
	}
	if diff := gocmp.Diff(before, sumsOf(t, l)); diff != "" {
		t.Error(diff)
	}
	if before.Unpriced != 0 || before.Unmetered != 0 {
		t.Errorf("%d unpriced, %d unmetered", before.Unpriced, before.Unmetered)
	}
}
