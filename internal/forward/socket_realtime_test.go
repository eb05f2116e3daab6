package forward_test

import (
	"context"
	"net/http"
	"strings"
	"testing"

	"github.com/coder/websocket"
	"github.com/tidwall/gjson"

	"forward/internal/keys"
)

// realtime is an upstream that speaks Realtime, or the Live API: each message
// that it gets is answered by those that answer returns.
func realtime(first string, answer func(message string) []string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		conn, err := websocket.Accept(w, r, nil)
		if err != nil {
			return
		}
		defer conn.CloseNow()
		ctx := context.Background()
		send := func(message string) { conn.Write(ctx, websocket.MessageText, []byte(message)) }
		if first != "" {
			send(first)
		}
		for {
			_, p, err := conn.Read(ctx)
			if err != nil {
				return
			}
			for _, message := range answer(string(p)) {
				send(message)
			}
		}
	}
}

// voice answers as Realtime does with a voice that the server detects: a commit
// of sound starts a response by itself, and its text is read by another model.
func voice(message string) []string {
	created := `{"type":"response.created","event_id":"e1","response":{"id":"resp_1","status":"in_progress"}}`
	done := `{"type":"response.done","event_id":"e2","response":{"id":"resp_1","status":"completed","output":[],"usage":{"total_tokens":30,"input_tokens":20,"output_tokens":10,"input_token_details":{"text_tokens":5,"audio_tokens":15,"cached_tokens":0},"output_token_details":{"text_tokens":2,"audio_tokens":8}}}}`
	text := `{"type":"response.output_audio_transcript.delta","response_id":"resp_1","output_index":0,"delta":"hi"}`
	switch gjson.Get(message, "type").Str {
	case "response.create":
		return []string{created, text, done}
	case "input_audio_buffer.commit":
		return []string{
			`{"type":"conversation.item.input_audio_transcription.completed","item_id":"i1","content_index":0,"transcript":"hello","usage":{"type":"tokens","total_tokens":9,"input_tokens":7,"output_tokens":2,"input_token_details":{"text_tokens":0,"audio_tokens":7}}}`,
			created, text, done}
	}
	return nil
}

const realtimeSession = `{"type":"session.created","event_id":"e0","session":{"id":"s","model":"gpt-realtime","audio":{"input":{"transcription":{"model":"gpt-4o-transcribe"}}}}}`

func TestRealtimeIsCounted(t *testing.T) {
	accounts, rows := accounting(t)
	b := start(t, realtime(realtimeSession, voice), accounts)
	c := b.dial("/v1/realtime?model=gpt-realtime")
	c.next()
	c.send(`{"type":"response.create","event_id":"mine"}`)
	c.last()
	c.send(`{"type":"input_audio_buffer.append","audio":"AAAA"}`)
	c.send(`{"type":"input_audio_buffer.commit"}`)
	c.last()
	c.bye(b)
	got := rows(b)
	if len(got) != 3 {
		t.Fatalf("%d rows: %+v", len(got), got)
	}
	for i, want := range []struct {
		op, model   string
		in, out, au int64
	}{{"realtime", "gpt-realtime", 20, 10, 23}, {"audio", "gpt-4o-transcribe", 7, 2, 7}, {"realtime", "gpt-realtime", 20, 10, 23}} {
		r := got[i]
		if string(r.Operation) != want.op || r.Model != want.model || r.Usage.Input != want.in || r.Usage.Output != want.out || r.Usage.Audio != want.au || r.Estimated || r.KeyName != "alice" {
			t.Errorf("row %d: %+v", i, r)
		}
	}
}

func TestASpentBudgetEndsAResponseThatTheServerStarts(t *testing.T) {
	accounts, rows := accounting(t)
	b := start(t, realtime(realtimeSession, voice), func(s *setup) {
		accounts(s)
		s.keys[0].Policy = keys.Policy{Budgets: []keys.Budget{{Unit: "tokens", Amount: 1, Period: "total"}}, Overrun: "allow"}
	})
	c := b.dial("/v1/realtime?model=gpt-realtime")
	c.next()
	c.send(`{"type":"response.create","event_id":"mine"}`)
	c.last()
	c.send(`{"type":"response.create","event_id":"again"}`)
	refused := c.last()
	if e := gjson.Get(refused, "error"); e.Get("code").Str != "insufficient_quota" || e.Get("event_id").Str != "again" || !strings.HasPrefix(gjson.Get(refused, "event_id").Str, "event_req_") {
		t.Errorf("the refusal is %s", refused)
	}
	c.send(`{"type":"input_audio_buffer.commit"}`)
	if code, reason := c.closed(); code != websocket.StatusPolicyViolation || !strings.Contains(reason, "budget") {
		t.Errorf("closed with %d %q", code, reason)
	}
	b.gateway.Wait(0)
	if got := rows(b); len(got) < 3 {
		t.Errorf("%d rows", len(got))
	}
}

func TestANarrowKeyMayNotChangeTheModelsOfRealtime(t *testing.T) {
	b := start(t, realtime(realtimeSession, voice), func(s *setup) {
		s.keys[0].Policy = keys.Policy{Models: []string{"gpt-realtime"}}
	})
	c := b.dial("/v1/realtime?model=gpt-realtime")
	c.next()
	c.send(`{"type":"session.update","event_id":"u","session":{"audio":{"input":{"transcription":{"model":"dear"}}}}}`)
	if got := c.last(); gjson.Get(got, "error.code").Str != "model_not_allowed" || gjson.Get(got, "error.event_id").Str != "u" {
		t.Error(got)
	}
	c.send(`{"type":"session.update","session":{"instructions":"be kind"}}`)
	c.send(`{"type":"response.create"}`)
	if got := c.last(); gjson.Get(got, "type").Str != "response.done" {
		t.Error(got)
	}
	c.bye(b)
}

const liveAPI = "/gemini/ws/google.ai.generativelanguage.v1beta.GenerativeService.BidiGenerateContent"

// lives answers as the Live API does: with a call of a tool, and an answer
// after its result.
func lives(message string) []string {
	switch {
	case gjson.Get(message, "setup").Exists():
		return []string{`{"setupComplete":{}}`}
	case gjson.Get(message, "clientContent").Exists():
		return []string{`{"toolCall":{"functionCalls":[{"id":"f1","name":"look","args":{}}]},"usageMetadata":{"promptTokenCount":10,"responseTokenCount":5,"totalTokenCount":15}}`}
	case gjson.Get(message, "toolResponse").Exists():
		return []string{
			`{"serverContent":{"modelTurn":{"parts":[{"text":"It is "}]}}}`, `{"serverContent":{"modelTurn":{"parts":[{"text":"here."}]}}}`,
			`{"serverContent":{"turnComplete":true},"usageMetadata":{"promptTokenCount":20,"responseTokenCount":6,"totalTokenCount":26}}`}
	}
	return nil
}

func TestTheLiveAPIIsCounted(t *testing.T) {
	accounts, rows := accounting(t)
	b := start(t, realtime("", lives), func(s *setup) {
		accounts(s)
		s.all = true
		s.keys[0].Policy = keys.Policy{Models: []string{"gemini-live"}}
	})
	c := b.dial(liveAPI)
	c.send(`{"setup":{"model":"models/gemini-live"}}`)
	c.next()
	c.send(`{"clientContent":{"turns":[{"role":"user","parts":[{"text":"where?"}]}],"turnComplete":true}}`)
	c.next()
	c.send(`{"toolResponse":{"functionResponses":[{"id":"f1","response":{}}]}}`)
	for range 3 {
		c.next()
	}
	c.bye(b)
	got := rows(b)
	if len(got) != 1 || got[0].Usage.Input != 30 || got[0].Usage.Output != 11 || got[0].Model != "gemini-live" || got[0].Finish != "STOP" || got[0].Estimated {
		t.Fatalf("%+v", got)
	}
	c = b.dial(liveAPI)
	c.send(`{"setup":{"model":"models/gemini-dear"}}`)
	if code, reason := c.closed(); code != websocket.StatusPolicyViolation || !strings.Contains(reason, "gemini-dear") {
		t.Errorf("closed with %d %q", code, reason)
	}
}

func TestACallOfRealtimePassesItsSDP(t *testing.T) {
	accounts, rows := accounting(t)
	b := start(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/sdp")
		w.Header().Set("Location", "/v1/realtime/calls/rtc_1")
		w.WriteHeader(http.StatusCreated)
		w.Write([]byte("v=0 answer"))
	}, accounts)
	b.do("POST", "/v1/realtime/calls?model=gpt-realtime", "v=0 offer", "Content-Type", "application/sdp").want(t, 201, "v=0 answer")
	if _, body := b.last(); string(body) != "v=0 offer" {
		t.Errorf("the upstream got %q", body)
	}
	if got := rows(b); len(got) != 1 || !got[0].Unmetered {
		t.Errorf("%+v", got)
	}
}
