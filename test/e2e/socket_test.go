//go:build e2e

package e2e

import (
	"context"
	"database/sql"
	"errors"
	"net/http"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/tidwall/gjson"
)

// TestSocket has responses made on a WebSocket as Codex does: they are counted
// like those over HTTP, the second one in a minute is refused within the
// connection, and the gateway's end closes it with its code.
func TestSocket(t *testing.T) {
	const key = "fk-socket-Zk3Wp8Yd5Rj1"
	up := startUpstream(t)
	dir := t.TempDir()
	gw := startForward(t, dir, "OPENAI_BASE_URL="+up.URL, "OPENAI_API_KEY=sk-socket", "FORWARD_KEY="+key,
		`REQ_RATE_LIMIT={"/v1/responses": "2/minute"}`)
	body := `"model":"gpt-4o-mini","input":"one two three"`
	if a := send(t, "POST", gw.URL+"/v1/responses", "{"+body+"}", "Authorization", "Bearer "+key, "Content-Type", "application/json"); a.status != 200 {
		t.Fatalf("over HTTP: %d %s", a.status, a.body)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	conn, _, err := websocket.Dial(ctx, gw.URL+"/v1/responses", &websocket.DialOptions{HTTPHeader: http.Header{"Authorization": {"Bearer " + key}}})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.CloseNow()
	ask := func() gjson.Result {
		t.Helper()
		if err := conn.Write(ctx, websocket.MessageText, []byte(`{"type":"response.create",`+body+`}`)); err != nil {
			t.Fatal(err)
		}
		for {
			_, p, err := conn.Read(ctx)
			if err != nil {
				t.Fatal(err)
			}
			event := gjson.ParseBytes(p)
			if kind := event.Get("type").Str; kind == "response.completed" || kind == "error" {
				return event
			}
		}
	}
	if got := ask(); got.Get("response.usage.total_tokens").Int() != 8 {
		t.Fatalf("the first ends with %s", got)
	}
	if got := ask(); got.Get("status").Int() != 429 || got.Get("error.code").Str != "rate_limit_exceeded" {
		t.Errorf("the second is answered with %s", got)
	}
	gw.Signal(syscall.SIGTERM)
	_, _, err = conn.Read(ctx)
	closed, ok := errors.AsType[websocket.CloseError](err)
	if !ok || closed.Code != websocket.StatusServiceRestart || !strings.Contains(closed.Reason, "shutting down") {
		t.Errorf("the end of the gateway is %v", err)
	}
	conn.CloseNow()
	gw.Ended(10 * time.Second)
	db, err := sql.Open("sqlite", filepath.Join(dir, "data", "forward.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	var whole, refused, costs int
	err = db.QueryRow(`SELECT COUNT(CASE WHEN status = 200 AND input = 3 AND output = 5 THEN 1 END), COUNT(CASE WHEN status = 429 AND cost = 0 THEN 1 END),
		COUNT(DISTINCT CASE WHEN status = 200 THEN cost END) FROM usage_requests WHERE operation = 'responses'`).Scan(&whole, &refused, &costs)
	if err != nil || whole != 2 || refused != 1 || costs != 1 {
		t.Errorf("the ledger has %d responses and %d refusals at %d costs: %v", whole, refused, costs, err)
	}
}
