package admin_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"forward/internal/admin"
	"forward/internal/audit"
	"forward/internal/keys"
	"forward/internal/ledger"
	"forward/internal/live"
	"forward/internal/queue"
)

// underWay puts a request of a key's among those under way.
func (h *fixture) underWay(id, name string) (r *live.Request, ended *error) {
	r = &live.Request{}
	ended = new(error)
	h.options.Live.Enter(r, id, now, func(cause error) { *ended = cause })
	r.Describe(live.About{Key: h.ids[name], KeyName: name, Route: "openai", Operation: "chat", Model: "gpt-4o", Stream: true})
	return r, ended
}

// settled takes it out again.
func (h *fixture) settled(r *live.Request, id, name string) {
	h.options.Live.Leave(r)
	h.options.Live.Close(r, h.ids[name], &ledger.Row{ID: id, Key: h.ids[name], KeyName: name, Slot: "2", Upstream: "openai", Status: 200, Model: "gpt-4o", Price: "forward.yaml has a price of gpt-4o", Trail: []ledger.Step{{Name: "cache"}}})
}

// recorded returns what is in the audit, the newest first.
func (h *fixture) recorded() []audit.Entry {
	h.t.Helper()
	list, err := h.options.Audit.List(h.t.Context(), audit.Query{Limit: 100}, time.UTC)
	if err != nil {
		h.t.Fatal(err)
	}
	return list
}

type running struct {
	Running []struct {
		ID, KeyName, Phase string
		Tokens, Bytes      int64
	}
	Count  int
	Queues []struct {
		Model   string
		Waiting int
		Longest float64 `json:"longest_ms"`
	}
}

func TestRunning(t *testing.T) {
	h := newFixture(t, func(o *admin.Options) {
		o.Queues = func() []queue.State {
			return []queue.State{{Route: "openai", Model: "gpt-*", Waiting: 2, Longest: 1500 * time.Millisecond}, {Route: "openai", Model: "o1", Waiting: 1}, {Route: "openai", Model: "o3"}}
		}
	})
	alice, _ := h.underWay("req_1", "alice")
	h.underWay("req_2", "bob")
	alice.Enter(live.Queue)
	all := get[running](h, "/_/api/running", "admin")
	if len(all.Running) != 2 || all.Count != 2 || all.Running[0].ID != "req_1" || all.Running[0].Phase != "queue" || len(all.Queues) != 2 || all.Queues[0].Longest != 1500 {
		t.Errorf("the administrator sees %+v", all)
	}
	own := get[running](h, "/_/api/running", "alice")
	if len(own.Running) != 1 || own.Running[0].ID != "req_1" || own.Count != 1 || len(own.Queues) != 1 || own.Queues[0].Model != "gpt-*" {
		t.Errorf("alice sees %+v", own)
	}
	if other := get[running](h, "/_/api/running", "bob"); len(other.Running) != 1 || other.Running[0].ID != "req_2" || len(other.Queues) != 0 {
		t.Errorf("bob sees %+v", other)
	}
	doc := decode(t, h.ask(http.MethodGet, "/_/api/openapi.json", "").Body.String())
	operation := doc["paths"].(schema)["/_/api/running"].(schema)["get"].(schema)
	for _, wrong := range wrongAnswer(doc, operation, h.ask(http.MethodGet, "/_/api/running", "admin"), "running") {
		t.Error(wrong)
	}
}

// D19: each stops what is its own, the administrator all, and the audit has
// who.
func TestStoppingARequest(t *testing.T) {
	h := newFixture(t)
	_, first := h.underWay("req_1", "alice")
	_, second := h.underWay("req_2", "bob")
	shared, _ := h.underWay("req_3", "alice")
	shared.OnStop(func(cause *live.StoppedError) error {
		if cause.Holder {
			return live.ErrShared
		}
		return nil
	})
	for _, c := range []struct {
		id, name string
		status   int
		code     string
	}{
		{"req_2", "alice", 404, "request_not_running"}, {"req_9", "admin", 404, "request_not_running"},
		{"req_3", "alice", 409, "request_is_shared"},
		{"req_1", "alice", 204, ""}, {"req_2", "admin", 204, ""}, {"req_3", "admin", 204, ""},
	} {
		w := h.ask(http.MethodDelete, "/_/api/running/"+c.id, c.name)
		if w.Code != c.status || !strings.Contains(w.Body.String(), c.code) {
			t.Errorf("%s stops %s: %d %s", c.name, c.id, w.Code, w.Body)
		}
	}
	if *first == nil || (*first).Error() != "the request was stopped by the holder of its key" {
		t.Errorf("alice's request ended with %v", *first)
	}
	if *second == nil || (*second).Error() != "the request was stopped by the administrator of the gateway" {
		t.Errorf("bob's request ended with %v", *second)
	}
	var lines []string
	for _, e := range h.recorded() {
		before, _ := json.Marshal(e.Before)
		if !strings.Contains(string(before), `"model": "gpt-4o"`) && !strings.Contains(string(before), `"model":"gpt-4o"`) {
			t.Errorf("the entry has %s", before)
		}
		lines = append(lines, e.Actor+" "+e.Role+" "+e.Action+" "+e.Object)
	}
	want := []string{"administrator administrator request.stop req_3", "administrator administrator request.stop req_2", "alice holder request.stop req_1"}
	if !slices.Equal(lines, want) {
		t.Errorf("the audit has %q", lines)
	}
}

// viewer reads a feed.
type viewer struct {
	t    *testing.T
	res  *http.Response
	scan *bufio.Scanner
}

// received is one event of a feed.
type received struct{ id, name, data string }

// serve makes a server of the fixture.
func (h *fixture) serve() *httptest.Server {
	server := httptest.NewServer(h)
	h.t.Cleanup(server.Close)
	return server
}

// look opens a feed.
func (h *fixture) look(server *httptest.Server, name, after string) *viewer {
	h.t.Helper()
	r, _ := http.NewRequestWithContext(h.t.Context(), http.MethodGet, server.URL+"/_/api/live", nil)
	r.Header.Set("Authorization", "Bearer "+h.secrets[name])
	if after != "" {
		r.Header.Set("Last-Event-ID", after)
	}
	res, err := server.Client().Do(r)
	if err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(func() { res.Body.Close() })
	scan := bufio.NewScanner(res.Body)
	scan.Buffer(nil, 1<<20)
	return &viewer{h.t, res, scan}
}

// next returns the next event, or comment, whose name is one of those given.
func (v *viewer) next(names ...string) received {
	v.t.Helper()
	e, ok := v.read(names...)
	if !ok {
		v.t.Fatalf("the feed ended (%v) before %q", v.scan.Err(), names)
	}
	return e
}

// read is next, and reports whether there was one before the end.
func (v *viewer) read(names ...string) (e received, ok bool) {
	for v.scan.Scan() {
		line := v.scan.Text()
		name, value, _ := strings.Cut(line, ": ")
		switch {
		case line == "":
			if slices.Contains(names, e.name) {
				return e, true
			}
			e = received{}
		case name == "id":
			e.id = value
		case name == "event":
			e.name = value
		case name == "data":
			e.data = value
		case name == "":
			e.name = "comment"
		}
	}
	return e, false
}

func quick(t *testing.T) { t.Cleanup(admin.QuickFeeds()) }

func TestLiveShowsWhatHappens(t *testing.T) {
	quick(t)
	h := newFixture(t)
	server := h.serve()
	before, _ := h.underWay("req_0", "bob")
	boss, alice := h.look(server, "admin", ""), h.look(server, "alice", "")
	if kind := boss.res.Header.Get("Content-Type"); kind != "text/event-stream; charset=utf-8" {
		t.Fatalf("the feed is %s", kind)
	}
	if e := boss.next("open"); !strings.Contains(e.data, `"id":"req_0"`) {
		t.Errorf("the first event is %+v", e)
	}
	h.waitForViewers(2)
	one, _ := h.underWay("req_1", "alice")
	opened := boss.next("open")
	if !strings.Contains(opened.data, `"id":"req_1"`) || !strings.Contains(opened.data, `"phase":"start"`) || opened.id == "" {
		t.Errorf("the event is %+v", opened)
	}
	if e := alice.next("open"); !strings.Contains(e.data, `"id":"req_1"`) {
		t.Errorf("alice sees %+v", e)
	}
	doc := decode(t, h.ask(http.MethodGet, "/_/api/openapi.json", "").Body.String())
	for _, wrong := range fits(doc, schema{"$ref": "#/components/schemas/Running"}, any(decode(t, opened.data)), "open") {
		t.Error(wrong)
	}
	one.Enter(live.Waiting)
	if e := boss.next("phase"); !strings.Contains(e.data, `{"id":"req_1","phase":"waiting"`) {
		t.Errorf("the event is %+v", e)
	}
	one.Pass(100, 40, time.Second)
	if e := alice.next("phase"); !strings.Contains(e.data, `"phase":"waiting"`) {
		t.Errorf("alice sees %+v", e)
	}
	if e := alice.next("phase"); !strings.Contains(e.data, `"phase":"streaming"`) || !strings.Contains(e.data, `"tokens":10,"bytes":100`) {
		t.Errorf("alice sees %+v", e)
	}
	one.Pass(200, 80, time.Second)
	for e := alice.next("phase"); !strings.Contains(e.data, `"bytes":200`); e = alice.next("phase") {
		continue // what has passed since is sent at a tick
	}
	h.settled(before, "req_0", "bob")
	h.settled(one, "req_1", "alice")
	for _, id := range []string{"req_0", "req_1"} {
		e := boss.next("done")
		if !strings.Contains(e.data, `"id":"`+id+`"`) || !strings.Contains(e.data, `"slot":"2"`) || !strings.Contains(e.data, `"upstream":"openai"`) || !strings.Contains(e.data, "forward.yaml") || strings.Contains(e.data, "trail") {
			t.Errorf("the event is %+v", e)
		}
	}
	e := alice.next("done")
	if !strings.Contains(e.data, `"id":"req_1"`) || !strings.Contains(e.data, `"slot":""`) || !strings.Contains(e.data, `"upstream":""`) || strings.Contains(e.data, "forward.yaml") {
		t.Errorf("alice sees %+v", e)
	}
	comment := alice.next("comment")
	if comment.id == "" {
		t.Error("a comment has no number to go on from")
	}
}

// waitForViewers waits until as many viewers look.
func (h *fixture) waitForViewers(n int) {
	h.t.Helper()
	for end := time.Now().Add(5 * time.Second); ; time.Sleep(time.Millisecond) {
		free := 0
		var taken []*live.Viewer
		for {
			v, err := h.options.Live.Watch(0, false)
			if err != nil {
				break
			}
			taken = append(taken, v)
			free++
		}
		for _, v := range taken {
			v.Close()
		}
		if live.MaxViewers-free == n {
			return
		}
		if time.Now().After(end) {
			h.t.Fatalf("%d viewers look, not %d", live.MaxViewers-free, n)
		}
	}
}

func TestLiveGoesOnAfterAnEvent(t *testing.T) {
	quick(t)
	h := newFixture(t)
	server := h.serve()
	stays := h.look(server, "admin", "") // so that events are kept
	h.waitForViewers(1)
	h.underWay("req_1", "alice")
	first := stays.next("open")
	h.underWay("req_2", "alice")
	stays.next("open")
	again := h.look(server, "alice", first.id)
	if e := again.next("open"); !strings.Contains(e.data, "req_2") {
		t.Errorf("after req_1 comes %+v", e)
	}
	lost := h.look(server, "alice", "17")
	if e := lost.next("dropped", "open"); e.name != "dropped" || e.data != `{"count":0}` {
		t.Errorf("after an event that is not kept comes %+v", e)
	}
	for _, id := range []string{"req_1", "req_2"} {
		if e := lost.next("open"); !strings.Contains(e.data, id) {
			t.Errorf("what is under way follows as %+v", e)
		}
	}
}

// D17, the server's part: eight tabs on Live leave all else as it is, and one
// that goes makes place for the next.
func TestManyTabsLook(t *testing.T) {
	quick(t)
	h := newFixture(t)
	server := h.serve()
	var tabs []*viewer
	for range 8 {
		tabs = append(tabs, h.look(server, "alice", ""))
	}
	h.waitForViewers(8)
	h.underWay("req_1", "alice")
	for _, tab := range tabs {
		tab.next("open")
	}
	if w := h.ask(http.MethodGet, "/_/api/running", "alice"); w.Code != 200 {
		t.Errorf("beside eight tabs: %d", w.Code)
	}
	for range live.MaxHolders - 8 {
		h.look(server, "bob", "")
	}
	h.waitForViewers(live.MaxHolders)
	full := h.look(server, "alice", "")
	if full.res.StatusCode != 503 || full.res.Header.Get("Retry-After") == "" {
		t.Errorf("one more gets %d", full.res.StatusCode)
	}
	if boss := h.look(server, "admin", ""); boss.res.StatusCode != 200 {
		t.Errorf("the administrator gets %d", boss.res.StatusCode)
	}
	tabs[0].res.Body.Close()
	h.waitForViewers(live.MaxHolders)
	if next := h.look(server, "alice", ""); next.res.StatusCode != 200 {
		t.Errorf("the next one gets %d", next.res.StatusCode)
	}
}

func TestLiveRefusesOtherOrigins(t *testing.T) {
	h := newFixture(t)
	for _, origin := range []string{"https://evil.example", "null", "http://127.0.0.1:9999"} {
		r := httptest.NewRequest(http.MethodGet, "http://127.0.0.1:8000/_/api/live", nil)
		r.Header.Set("Authorization", "Bearer "+adminKey)
		r.Header.Set("Origin", origin)
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if w.Code != http.StatusForbidden {
			t.Errorf("a page of %s gets %d", origin, w.Code)
		}
	}
}

// A feed ends with what its viewer may see, and at once when the gateway stops.
func TestLiveEnds(t *testing.T) {
	quick(t)
	h := newFixture(t)
	server := h.serve()
	alice, boss := h.look(server, "alice", ""), h.look(server, "admin", "")
	h.waitForViewers(2)
	watcher, err := h.store.Watch(h.options.Ring, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer watcher.Close()
	if _, err := h.store.Update(t.Context(), "alice", func(m *keys.Managed) error { m.Disabled = true; return nil }); err != nil {
		t.Fatal(err)
	}
	if e, ok := alice.read("open"); ok {
		t.Errorf("a revoked key sees %+v", e)
	}
	h.waitForViewers(1)
	h.options.Live.Interrupt()
	if e, ok := boss.read("open"); ok {
		t.Errorf("after a change of the settings comes %+v", e)
	}
	boss = h.look(server, "admin", "")
	asked := time.Now()
	h.options.Live.EndViews()
	if e, ok := boss.read("open"); ok || time.Since(asked) > time.Second {
		t.Errorf("the gateway stops, and %v later comes %+v", time.Since(asked), e)
	}
	if late := h.look(server, "admin", ""); late.res.StatusCode != 503 {
		t.Errorf("a viewer of a stopping gateway gets %d", late.res.StatusCode)
	}
}

// D18: a viewer that never reads is cut, and one that is slow is sent how many
// events it has lost.
func TestAViewerThatNeverReadsIsCut(t *testing.T) {
	quick(t)
	h := newFixture(t)
	server := httptest.NewUnstartedServer(h)
	closed := make(chan struct{})
	server.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateClosed {
			close(closed)
		}
	}
	server.Start()
	defer server.Close()
	conn, err := net.Dial("tcp", server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.(*net.TCPConn).SetReadBuffer(4096); err != nil {
		t.Fatal(err)
	}
	fmt.Fprintf(conn, "GET /_/api/live HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer %s\r\n\r\n", adminKey)
	h.waitForViewers(1)
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	for n := 0; h.options.Live.Watched(); n++ {
		if ctx.Err() != nil {
			t.Fatal("a viewer that reads nothing still looks after 30 s")
		}
		r, _ := h.underWay(fmt.Sprint("req_", n), "alice")
		h.options.Live.Leave(r)
		h.options.Live.Close(r, h.ids["alice"], &ledger.Row{ID: fmt.Sprint("req_", n), Key: h.ids["alice"], User: strings.Repeat("u", 4000)})
	}
	select {
	case <-closed:
	case <-ctx.Done():
		t.Error("its connection stays open")
	}
}

func TestASlowViewerIsSentWhatItHasLost(t *testing.T) {
	quick(t)
	h := newFixture(t)
	server := h.serve()
	boss := h.look(server, "admin", "")
	h.waitForViewers(1)
	stays, _ := h.underWay("req_stays", "alice")
	boss.next("open")
	for range 5000 { // more than the ring has, between two writes
		stays.Enter(live.Waiting)
	}
	e := boss.next("dropped")
	if e.data == `{"count":0}` {
		t.Errorf("the event is %+v", e)
	}
	if e := boss.next("open"); !strings.Contains(e.data, "req_stays") {
		t.Errorf("what is under way follows as %+v", e)
	}
}
