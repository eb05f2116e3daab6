package upstreamtest_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/tidwall/gjson"

	"forward/internal/upstreamtest"
)

// dialSocket opens a WebSocket that ends with the test.
func dialSocket(t *testing.T, url string) (context.Context, *websocket.Conn) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	t.Cleanup(cancel)
	conn, _, err := websocket.Dial(ctx, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.CloseNow() })
	return ctx, conn
}

func TestResponsesOverAWebSocket(t *testing.T) {
	s := upstreamtest.New(t)
	ctx, conn := dialSocket(t, s.URL+"/v1/responses")
	ask := func(message string) (types []string, last string) {
		t.Helper()
		if err := conn.Write(ctx, websocket.MessageText, []byte(message)); err != nil {
			t.Fatal(err)
		}
		for {
			_, p, err := conn.Read(ctx)
			if err != nil {
				return append(types, "end"), ""
			}
			kind := gjson.GetBytes(p, "type").Str
			types = append(types, kind)
			if kind == "response.completed" || kind == "error" {
				return types, string(p)
			}
		}
	}
	_, last := ask(`{"type":"response.create","model":"gpt-4o-mini","input":"one two three"}`)
	if usage := gjson.Get(last, "response.usage"); usage.Get("input_tokens").Int() != 3 || usage.Get("output_tokens").Int() != 5 {
		t.Errorf("the usage is %s", usage.Raw)
	}
	types, _ := ask(`{"type":"response.create","model":"gpt-4o-mini","input":"go","tools":[{"type":"function","name":"shell"}]}`)
	if !strings.Contains(strings.Join(types, " "), "response.function_call_arguments.done") {
		t.Errorf("a turn with tools is %v", types)
	}
	_, last = ask(`{"type":"response.create","model":"err-429","input":"x"}`)
	if gjson.Get(last, "status").Int() != 429 || gjson.Get(last, "headers.retry-after").Str != "1" || gjson.Get(last, "error.message").Str == "" {
		t.Errorf("the error is %s", last)
	}
	_, last = ask(`{"type":"response.stop"}`)
	if gjson.Get(last, "status").Int() != 400 {
		t.Errorf("an unknown event is answered with %s", last)
	}
	types, _ = ask(`{"type":"response.create","model":"cut-mid-stream","input":"x"}`)
	if types[0] != "response.created" || types[len(types)-1] != "end" {
		t.Errorf("a cut answer is %v", types)
	}
	if all := s.Requests(); len(all) != 6 || all[1].Proto != "websocket" || all[1].BodySHA256 == "" || all[5].Script != "cut-mid-stream" {
		t.Errorf("the records are %+v", all)
	}
}
