package forward_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/tidwall/gjson"

	"forward/internal/keys"
	"forward/internal/limits"
	"forward/internal/upstreamtest"
)

// talk is a client's WebSocket.
type talk struct {
	t    testing.TB
	ctx  context.Context
	conn *websocket.Conn
	head http.Header // of the handshake's answer
}

// dial opens a WebSocket, with fk-alice unless an Authorization is given.
// Headers are pairs of name and value.
func (b *bench) dial(path string, headers ...string) *talk {
	b.t.Helper()
	h := http.Header{"Authorization": {"Bearer fk-alice"}}
	for i := 0; i < len(headers); i += 2 {
		h.Set(headers[i], headers[i+1])
	}
	ctx, cancel := context.WithTimeout(b.t.Context(), 20*time.Second)
	b.t.Cleanup(cancel)
	conn, res, err := websocket.Dial(ctx, b.url+path, &websocket.DialOptions{HTTPHeader: h, CompressionMode: websocket.CompressionContextTakeover})
	if err != nil {
		b.t.Fatal(err)
	}
	conn.SetReadLimit(-1)
	b.t.Cleanup(func() { conn.CloseNow() })
	return &talk{b.t, ctx, conn, res.Header}
}

// send sends a message.
func (c *talk) send(message string) {
	c.t.Helper()
	if err := c.conn.Write(c.ctx, websocket.MessageText, []byte(message)); err != nil {
		c.t.Fatal(err)
	}
}

// next reads a message.
func (c *talk) next() string {
	c.t.Helper()
	_, p, err := c.conn.Read(c.ctx)
	if err != nil {
		c.t.Fatal(err)
	}
	return string(p)
}

// last reads messages up to the end of a response, or an error.
func (c *talk) last() string {
	c.t.Helper()
	for {
		p := c.next()
		switch gjson.Get(p, "type").Str {
		case "response.completed", "response.failed", "response.incomplete", "response.done", "error":
			return p
		}
	}
}

// closed reads to the close frame, and returns its code and reason.
func (c *talk) closed() (websocket.StatusCode, string) {
	c.t.Helper()
	for {
		_, _, err := c.conn.Read(c.ctx)
		if e, ok := errors.AsType[websocket.CloseError](err); ok {
			return e.Code, e.Reason
		}
		if err != nil {
			c.t.Fatalf("no close frame, but %v", err)
		}
	}
}

// bye closes the connection and waits for the gateway to settle it.
func (c *talk) bye(b *bench) {
	c.t.Helper()
	if err := c.conn.Close(websocket.StatusNormalClosure, ""); err != nil {
		c.t.Error(err)
	}
	b.gateway.Wait(5 * time.Second)
}

// wantError fails the test unless the message is an error event.
func wantError(t testing.TB, event string, status int64, code, part string) {
	t.Helper()
	e := gjson.Parse(event)
	if e.Get("type").Str != "error" || e.Get("status").Int() != status || e.Get("error.code").Str != code || !strings.Contains(e.Get("error.message").Str, part) {
		t.Errorf("the event is %s, want %d %s", event, status, code)
	}
}

// create is a message that asks for a response.
func create(model, input string) string {
	return fmt.Sprintf(`{"type":"response.create","model":%q,"input":%q}`, model, input)
}

// playing is an upstream that plays the providers.
func playing(t testing.TB) *upstreamtest.Handler {
	h := upstreamtest.NewHandler()
	t.Cleanup(h.Release)
	return h
}

func TestResponsesOnAWebSocketAreCountedAsOverHTTP(t *testing.T) {
	ledger, rows := accounting(t)
	up := playing(t)
	b := start(t, up.ServeHTTP, ledger)
	b.do("POST", "/v1/responses", `{"model":"gpt-4o-mini","input":"one two three","stream":true}`).want(t, 200)
	c := b.dial("/v1/responses", "X-Forward-Session", "s1")
	for range 2 {
		c.send(create("gpt-4o-mini", "one two three"))
		if got := c.last(); gjson.Get(got, "type").Str != "response.completed" {
			t.Fatal(got)
		}
	}
	c.bye(b)
	got := rows(b)
	if len(got) != 3 {
		t.Fatalf("%d rows: %+v", len(got), got)
	}
	plain := got[0]
	for _, r := range got[1:] {
		if r.Usage.Input != plain.Usage.Input || r.Usage.Output != plain.Usage.Output || r.Cost != plain.Cost || r.Cost == 0 || !r.Priced || r.Estimated {
			t.Errorf("over HTTP %+v %v, on a WebSocket %+v %v", plain.Usage, plain.Cost, r.Usage, r.Cost)
		}
		if r.Operation != plain.Operation || r.Model != plain.Model || r.Answered != plain.Answered || r.Status != 200 || r.Finish != plain.Finish || !r.Stream || r.Session != "s1" || r.KeyName != "alice" || r.BytesOut == 0 || r.First == 0 {
			t.Errorf("the row is %+v", r)
		}
	}
	if got := c.head.Get("X-Forward-Modified"); got != "websocket_extensions" {
		t.Errorf("what was modified is %q", got)
	}
	if all := up.Requests(); all[1].Extensions != "" || all[1].Header.Get("Authorization") != "Bearer "+canary || all[2].Body != create("gpt-4o-mini", "one two three") {
		t.Errorf("the upstream saw %+v", all[1])
	}
	log := b.logged()
	if strings.Count(log, "status=200") != 3 || strings.Count(log, "status=101") != 1 || strings.Contains(log, canary) {
		t.Error(log)
	}
}

func TestMessagesOfAWebSocketAreRefused(t *testing.T) {
	accounts, _ := accounting(t)
	b := start(t, playing(t).ServeHTTP, func(s *setup) {
		accounts(s)
		s.keys = append(s.keys,
			keys.Key{Name: "spent", Secret: keys.NewSecret("fk-spent"), Policy: keys.Policy{Budgets: []keys.Budget{{Unit: "usd", Amount: 1, Period: "month"}}}},
			keys.Key{Name: "narrow", Secret: keys.NewSecret("fk-narrow"), Policy: keys.Policy{Models: []string{"gpt-4o-mini"}}})
	})
	t.Run("spent", func(t *testing.T) {
		c := b.dial("/v1/responses", "Authorization", "Bearer fk-spent")
		c.send(create("gpt-4o-mini", "one"))
		c.last()
		c.send(create("gpt-4o-mini", "one"))
		wantError(t, c.last(), 402, "insufficient_quota", "budget")
		c.send(create("gpt-4o-mini", "one"))
		wantError(t, c.last(), 402, "insufficient_quota", "budget")
		c.bye(b)
	})
	t.Run("narrow", func(t *testing.T) {
		c := b.dial("/v1/responses", "Authorization", "Bearer fk-narrow")
		c.send(create("gpt-5.5-pro", "one"))
		wantError(t, c.last(), 403, "model_not_allowed", "gpt-5.5-pro")
		for _, trick := range []string{
			`{"type":"x","type":"response.create","model":"gpt-4o-mini"}`,
			`{"Type":"response.create","type":"ping","model":"gpt-4o-mini"}`,
		} {
			c.send(trick)
			wantError(t, c.last(), 400, "duplicate_key", "type")
		}
		c.send(`{"type":"response.create","model":"gpt-4o-mini","Model":"gpt-5.5-pro","input":"x"}`)
		if got := c.last(); gjson.Get(got, "type").Str != "error" {
			t.Error(got)
		}
		c.send(`{"type":"response.steer","tools":[{"type":"x","model":"gpt-5.5-pro"}]}`)
		wantError(t, c.last(), 403, "model_not_allowed", "gpt-5.5-pro")
		c.send(`{"type":"response.create",`)
		wantError(t, c.last(), 400, "invalid_json", "")
		c.send(create("gpt-4o-mini", "one"))
		if got := c.last(); gjson.Get(got, "type").Str != "response.completed" {
			t.Error(got)
		}
		c.bye(b)
	})
}

func TestARateLimitCountsTheMessagesOfAWebSocket(t *testing.T) {
	b := start(t, playing(t).ServeHTTP, func(s *setup) {
		s.limits = limits.Options{Rules: []limits.Rule{{Path: "/v1/responses", Level: limits.AnyLevel, Rates: must(limits.ParseRates("1/minute"))(t)}}}
	})
	c := b.dial("/v1/responses")
	c.send(create("gpt-4o-mini", "one"))
	if got := c.last(); gjson.Get(got, "type").Str != "response.completed" {
		t.Fatal(got)
	}
	c.send(create("gpt-4o-mini", "one"))
	got := c.last()
	wantError(t, got, 429, "rate_limit_exceeded", "")
	if gjson.Get(got, "headers.retry-after").Str == "" {
		t.Error(got)
	}
	c.bye(b)
}
