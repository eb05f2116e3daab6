package admin_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"forward/internal/admin"
	"forward/internal/audit"
	"forward/internal/chatlog"
	"forward/internal/database"
	"forward/internal/dialect"
	"forward/internal/keys"
	"forward/internal/ledger"
	"forward/internal/price"
)

// D14: the figures of the API are those of `forward usage -o json`, and of the
// rows themselves, to the nano-dollar, in zones with and without a change of
// the clocks between; and the days add up to the whole.
func TestFiguresAreThoseOfTheCommand(t *testing.T) {
	for _, name := range []string{"UTC", "Asia/Shanghai", "America/St_Johns"} {
		zone, err := time.LoadLocation(name)
		if err != nil {
			t.Fatal(err)
		}
		db, err := database.Open(t.TempDir())
		if err != nil {
			t.Fatal(err)
		}
		defer db.Close()
		l, err := ledger.Open(db, ledger.Options{Location: zone, Now: func() time.Time { return now }, Retention: -1})
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close(context.Background())
		h, err := admin.New(admin.Options{Ring: &keys.Ring{}, Ledger: l, AdminKey: keys.NewSecret(adminKey), Location: zone, Now: func() time.Time { return now }})
		if err != nil {
			t.Fatal(err)
		}
		// Newfoundland's clocks go back on 1 November 2026.
		since := time.Date(2026, 10, 28, 0, 0, 0, 0, zone)
		until := time.Date(2026, 11, 6, 0, 0, 0, 0, zone)
		rng := rand.New(rand.NewPCG(14, 20_000))
		days := map[string]price.Money{}
		var cost price.Money
		for i := range 20_000 {
			at := since.Add(-24*time.Hour + time.Duration(rng.Int64N(int64(until.Sub(since)+48*time.Hour))))
			r := ledger.Row{ID: requestID(at, i), Time: at, Key: fmt.Sprint("k", i%7), KeyName: fmt.Sprint("n", i%7), Route: fmt.Sprint("r", i%3), Operation: dialect.Chat, Model: fmt.Sprint("m", i%5),
				Status: []int{200, 200, 429, 502}[i%4], Cache: "bypass", Usage: dialect.Usage{Input: rng.Int64N(5000), Output: rng.Int64N(900)}, Priced: i%9 != 0, Estimated: i%11 == 0, Cause: fmt.Sprint("c", i%2)}
			if r.Priced {
				r.Cost = price.Money(rng.Int64N(1e10))
			}
			l.Record(r)
			if !at.Before(since) && at.Before(until) {
				cost += r.Cost
				days[at.Format(time.DateOnly)] += r.Cost
			}
		}
		if err := l.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		for _, by := range []string{"day", "key,day", "model,route,status", "hour", "month", "cause,day", ""} {
			q := ledger.Query{Since: since, Until: until}
			for d := range strings.SplitSeq(by, ",") {
				if d != "" {
					q.By = append(q.By, ledger.Dimension(d))
				}
			}
			r := ledger.NewReader(db, zone)
			groups, err := r.Report(t.Context(), q)
			if err != nil {
				t.Fatal(err)
			}
			var command bytes.Buffer
			if err := ledger.WriteJSON(&command, q, groups, ledger.SumUp(groups)); err != nil {
				t.Fatal(err)
			}
			req := httptest.NewRequest(http.MethodGet, fmt.Sprintf("/_/api/usage?by=%s&since=%s&until=%s&limit=1000", by, since.Format(time.DateOnly), until.Format(time.DateOnly)), nil)
			req.Host = "127.0.0.1"
			req.Header.Set("Authorization", "Bearer "+adminKey)
			w := httptest.NewRecorder()
			h.ServeHTTP(w, req)
			want, got := figures(t, command.Bytes()), figures(t, w.Body.Bytes())
			if !slices.EqualFunc(want, got, maps.Equal) || len(got) < 2 {
				t.Errorf("%s by %q: the API has other figures than the command: %d and %d groups", name, by, len(got), len(want))
			}
			// Hours are those of UTC, so midnight in Newfoundland is inside of
			// one, and a report by hour has all of it.
			if total := ledger.SumUp(groups).Cost; total != cost && (by != "hour" || name != "America/St_Johns" || total < cost) {
				t.Errorf("%s by %q: %v in all, the rows have %v", name, by, total, cost)
			}
			for _, g := range groups {
				if by == "day" && g.Cost != days[g.Values[0]] {
					t.Errorf("%s: %s has %v, its rows %v", name, g.Values[0], g.Cost, days[g.Values[0]])
				}
			}
		}
	}
}

// figures returns the groups and the total of a report, as text.
func figures(t *testing.T, report []byte) (list []map[string]string) {
	t.Helper()
	d := json.NewDecoder(bytes.NewReader(report))
	d.UseNumber()
	var v struct {
		Groups []map[string]any
		Total  map[string]any
	}
	if err := d.Decode(&v); err != nil {
		t.Fatal(err)
	}
	for _, g := range append(v.Groups, v.Total) {
		texts := map[string]string{}
		for name, value := range g {
			texts[name] = fmt.Sprint(value)
		}
		list = append(list, texts)
	}
	return list
}

// D20: content is shown as the log policy of the key has it, to its holder and
// to the administrator, whose reads are in the audit. What a policy removed, or
// DASHBOARD_CONTENT keeps back, is in no answer.
func TestContentKeepsToThePolicy(t *testing.T) {
	dir := t.TempDir()
	log, err := chatlog.Open(chatlog.Options{Dir: dir, Location: time.UTC})
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	var trail *audit.Log
	h := newFixture(t, func(o *admin.Options) {
		o.Features.Chats = admin.Chats{On: true, Dir: dir}
		o.Features.Content = true
		db, err := database.Open(t.TempDir())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { db.Close() })
		if trail, err = audit.Open(t.Context(), db, audit.Options{Now: o.Now}); err != nil {
			t.Fatal(err)
		}
		o.Audit = trail
	})
	for _, policy := range []string{"off", "meta", "redacted"} {
		h.add(policy, map[string]string{"log": policy})
	}
	h.reread()
	const canary = "canary prompt, call +1 555 0100 1234 or mail canary@example.org"
	ids := map[string]string{}
	for i, name := range []string{"alice", "off", "meta", "redacted"} {
		id := requestID(now.Add(-time.Minute), i)
		ids[name] = id
		h.ledger.Record(ledger.Row{ID: id, Time: now.Add(-time.Minute), Key: h.ids[name], KeyName: name, Route: "openai", Operation: dialect.Chat, Model: "m", Status: 200, Cache: "bypass", Attempts: 1, Priced: true})
		if name == "off" {
			continue
		}
		body, err := dialect.Scan([]byte(`{"model":"m","messages":[{"role":"user","content":"` + canary + `"}]}`))
		if err != nil {
			t.Fatal(err)
		}
		content := map[string]string{"meta": "meta", "redacted": "redacted"}[name]
		log.Request(chatlog.Request{Route: "openai", UID: id, Key: name, Time: now, Operation: dialect.Chat, Body: body, Content: content})
		log.Result(chatlog.Result{Route: "openai", UID: id, Operation: dialect.Chat, Status: 200, Content: content})
	}
	if err := h.ledger.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	log.Close()
	if files, _ := filepath.Glob(filepath.Join(dir, "openai/chat/*")); len(files) == 0 {
		t.Fatal(os.ErrNotExist)
	}
	for name, code := range map[string]string{"alice": "", "redacted": "", "off": "content_off", "meta": "content_meta"} {
		for _, viewer := range []string{"admin", name} {
			w := h.ask(http.MethodGet, "/_/api/requests/"+ids[name]+"/content", viewer)
			if (code == "") != (w.Code == http.StatusOK) || !strings.Contains(w.Body.String(), code) {
				t.Errorf("%s of %s: %d %s", viewer, name, w.Code, w.Body)
			}
			has := strings.Contains(w.Body.String(), "canary@example.org")
			if has != (name == "alice") {
				t.Errorf("%s of %s: canary %t in %s", viewer, name, has, w.Body)
			}
		}
	}
	if w := h.ask(http.MethodGet, "/_/api/requests/"+ids["alice"]+"/content", "bob"); w.Code != http.StatusNotFound || strings.Contains(w.Body.String(), "canary") {
		t.Errorf("bob reads alice's: %d %s", w.Code, w.Body)
	}
	list, err := trail.List(t.Context(), audit.Query{Action: "content.read"}, time.UTC)
	if err != nil || len(list) != 2 || list[0].Role != "administrator" {
		t.Errorf("%d reads in the audit, %v", len(list), err)
	}
	h.options.Features.Content = false
	h.rebuild()
	if w := h.ask(http.MethodGet, "/_/api/requests/"+ids["alice"]+"/content", "alice"); w.Code != http.StatusNotFound || !strings.Contains(w.Body.String(), "content_disabled") {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}
