package openai

import (
	"bytes"
	"strconv"
	"strings"

	"github.com/tidwall/gjson"

	"forward/internal/dialect"
	"forward/internal/jsonscan"
)

// sockets are the protocols over a WebSocket. Sources:
// https://developers.openai.com/api/docs/guides/websocket-mode and the API
// reference, "Responses", "WebSocket events", which xAI, Azure and Vercel's
// gateway follow; API reference, "Realtime", "Client events" and "Server
// events".
var sockets = dialect.Sockets{
	Paths: dialect.NewPaths(map[dialect.Operation]string{
		dialect.Responses: "GET responses",
		dialect.Realtime:  "GET realtime",
	}),
	ByOperation: map[dialect.Operation]*dialect.Socket{
		dialect.Responses: {Operation: dialect.Responses, Asks: asks, Reports: reports, Refusal: refuseResponse},
		dialect.Realtime:  {Operation: dialect.Realtime, Asks: asks, Reports: reports, Refusal: refuseEvent},
	},
}

// asks reads an event of a client's.
func asks(b *dialect.Body) (a dialect.Asked) {
	n, kind := b.Spellings("type")
	if n > 1 {
		a.Twice = "type"
	}
	a.Event = strings.Clone(jsonscan.String(b.Get("event_id")))
	switch name := jsonscan.String(kind); {
	case name == "response.create":
		a.Kind = dialect.AsksResponse
	case name == "response.cancel":
		a.Kind = dialect.AsksCancel
	case strings.HasPrefix(name, "input_audio_buffer."), strings.HasPrefix(name, "output_audio_buffer."):
	default:
		// session.update, conversation.item.create, response.steer and events
		// that are not known: they may name models and objects.
		a.Kind = dialect.AsksSettings
	}
	return a
}

// reports reads an event of a server's. In both protocols a response starts
// with response.created; its other events name it in Realtime only. An error of
// the Responses API ends the response, one of Realtime is about a message of
// the client's.
func reports(root gjson.Result) (r dialect.Reported) {
	kind := jsonscan.String(root.Get("type"))
	r.Response = jsonscan.String(root.Get("response_id"))
	switch kind {
	case "session.created", "session.updated", "transcription_session.created", "transcription_session.updated":
		s := root.Get("session")
		r.Kind = dialect.ReportsSession
		r.Model = strings.Clone(jsonscan.String(s.Get("model")))
		r.Transcriber = strings.Clone(jsonscan.String(s.Get("audio.input.transcription.model")))
		if r.Transcriber == "" {
			r.Transcriber = strings.Clone(jsonscan.String(s.Get("input_audio_transcription.model")))
		}
	case "response.created":
		r.Kind = dialect.ReportsStart
		r.Response = strings.Clone(jsonscan.String(root.Get("response.id")))
	case "response.completed", "response.incomplete", "response.failed", "response.cancelled", "response.done":
		r.Kind = dialect.ReportsEnd
		r.Response = jsonscan.String(root.Get("response.id"))
	case "error":
		r.Kind = dialect.ReportsError
		r.Event = jsonscan.String(root.Get("error.event_id"))
		r.Status = int(jsonscan.Count(root.Get("status")))
		if r.Status == 0 {
			r.Status = int(jsonscan.Count(root.Get("status_code")))
		}
	case "conversation.item.input_audio_transcription.completed":
		r.Kind = dialect.ReportsInput
	default:
		if strings.HasPrefix(kind, "response.") {
			r.Kind = dialect.ReportsPart
		}
	}
	return r
}

// refuseResponse writes the error that Codex and OpenAI's SDKs read as an
// answer over HTTP: {"type":"error","status":…,"error":{…},"headers":{…}}.
// Source: github.com/openai/codex, codex-rs/codex-api,
// endpoint/responses_websocket.rs.
func refuseResponse(r dialect.Refusal) []byte {
	b := strconv.AppendInt([]byte(`{"type":"error","status":`), int64(r.Status), 10)
	b = append(append(b, `,"error":`...), errorOf(r.Body)...)
	b = append(b, `,"headers":{`...)
	first := true
	for _, name := range []string{"Retry-After", "Retry-After-Ms", "X-Should-Retry", "X-Request-Id", "X-Forward-Request-Id"} {
		value := r.Header.Get(name)
		if value == "" {
			continue
		}
		if !first {
			b = append(b, ',')
		}
		first = false
		b = append(jsonscan.AppendString(b, strings.ToLower(name)), ':')
		b = jsonscan.AppendString(b, value)
	}
	return append(b, `}}`...)
}

// refuseEvent writes an error of Realtime, which names the message that it is
// about.
func refuseEvent(r dialect.Refusal) []byte {
	inner := bytes.TrimSuffix(errorOf(r.Body), []byte("}"))
	b := jsonscan.AppendString([]byte(`{"type":"error","event_id":`), "event_"+r.ID)
	b = append(append(b, `,"error":`...), inner...)
	b = appendOrNull(append(b, `,"event_id":`...), r.Event)
	return append(b, `}}`...)
}

// errorOf returns the error object of a body that writeError has written.
func errorOf(body []byte) []byte { return []byte(jsonscan.View(body).Get("error").Raw) }

// realtimeEvent reads one event of a response of Realtime. Its names differ
// from those of the Responses API, and between its own versions.
func (a reader) realtimeEvent(root gjson.Result) {
	kind := jsonscan.String(root.Get("type"))
	index, delta := jsonscan.Count(root.Get("output_index")), jsonscan.String(root.Get("delta"))
	switch kind {
	case "response.created":
		a.Identify(jsonscan.String(root.Get("response.id")), "")
	case "response.output_text.delta", "response.text.delta", "response.output_audio_transcript.delta", "response.audio_transcript.delta":
		a.Draft(0).AddText(delta)
	case "response.output_item.added", "response.output_item.done":
		a.responseCall(index, root.Get("item"))
	case "response.function_call_arguments.delta":
		a.Draft(0).Call(dialect.CallKey{Index: index}).AddArguments(delta)
	case "response.done":
		a.realtimeResponse(root.Get("response"))
		a.Ended = true
	case "error":
		a.Fail(root.Get("error"))
	}
}

// realtimeResponse reads a whole response. One that the user has interrupted is
// cancelled, and billed as far as it was made.
func (a reader) realtimeResponse(r gjson.Result) {
	a.Identify(jsonscan.String(r.Get("id")), "")
	a.TakeUsage(r.Get("usage"))
	c := a.Draft(0)
	hasText := !c.Empty()
	for position, item := range r.Get("output").Array() {
		a.responseCall(int64(position), item)
		if hasText {
			continue
		}
		for _, part := range item.Get("content").Array() {
			c.AddText(jsonscan.String(part.Get("text")))
			c.AddText(jsonscan.String(part.Get("transcript")))
		}
	}
	status := jsonscan.String(r.Get("status"))
	c.SetFinish(status)
	if status == "failed" {
		a.Fail(r.Get("status_details.error"))
	}
}

// inputTranscript reads the text of sound that came over Realtime.
func (a reader) inputTranscript(root gjson.Result) {
	a.Draft(0).AddText(jsonscan.String(root.Get("transcript")))
	a.TakeUsage(root.Get("usage"))
	a.Ended = true
}
