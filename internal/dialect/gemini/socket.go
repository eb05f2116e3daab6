package gemini

import (
	"strings"

	"github.com/tidwall/gjson"

	"forward/internal/dialect"
	"forward/internal/jsonscan"
)

// sockets are the Live API, of Gemini and of Vertex. Sources:
// https://ai.google.dev/api/live; Vertex AI's reference, "Gemini Live API".
// Ephemeral tokens use the path …Constrained.
var sockets = dialect.Sockets{
	Paths: dialect.NewPaths(map[dialect.Operation]string{dialect.Realtime: `
		GET ws/google.ai.generativelanguage.*.GenerativeService.BidiGenerateContent
		GET ws/google.ai.generativelanguage.*.GenerativeService.BidiGenerateContentConstrained
		GET ws/google.cloud.aiplatform.*.LlmBidiService/BidiGenerateContent`}),
	ByOperation: map[dialect.Operation]*dialect.Socket{
		dialect.Realtime: {Operation: dialect.Realtime, Asks: asks, Reports: reports, Turns: true},
	},
}

// asks reads a message of a client's, which is named by its member. Protocol
// buffers' JSON takes both spellings of a name.
func asks(b *dialect.Body) (a dialect.Asked) {
	kinds := 0
	for _, name := range []string{"setup", "realtimeInput", "realtime_input", "clientContent", "client_content", "toolResponse", "tool_response"} {
		n, _ := b.Spellings(name)
		kinds += n
		switch {
		case n == 0:
		case name == "setup":
			a.Kind = dialect.AsksSettings
			a.Model = modelName(jsonscan.String(b.Get(name).Get("model")))
		case strings.HasPrefix(name, "realtime"):
		default:
			a.Kind = dialect.AsksResponse
		}
		if kinds > 1 && n > 0 {
			a.Twice = name
		}
	}
	if kinds == 0 {
		a.Kind = dialect.AsksSettings
	}
	return a
}

// reports reads a message of a server's. A turn starts with its first content
// and ends with turnComplete.
func reports(root gjson.Result) (r dialect.Reported) {
	content := root.Get("serverContent")
	switch {
	case content.Get("turnComplete").Bool():
		r.Kind = dialect.ReportsEnd
	case content.Get("modelTurn").Exists(), root.Get("toolCall").Exists(), root.Get("usageMetadata").Exists():
		r.Kind = dialect.ReportsStart
	case content.Exists():
		r.Kind = dialect.ReportsPart
	}
	return r
}

// live reads one message of the Live API. The usage of a turn is reported at
// its end, and at each call of a tool within it.
func (a reader) live(root gjson.Result) {
	content := root.Get("serverContent")
	calls := root.Get("toolCall.functionCalls").Array()
	parts := content.Get("modelTurn.parts").Array()
	c := a.Draft(0)
	if len(calls)+len(parts) > 0 {
		c.Goes(len(calls) > 0)
	}
	for _, part := range parts {
		a.part(c, part)
	}
	c.AddText(jsonscan.String(content.Get("outputTranscription.text")))
	for _, call := range calls {
		t := c.NewCall(jsonscan.String(call.Get("id")), jsonscan.String(call.Get("name")))
		t.SetType("functionCall")
		t.AddArguments(call.Get("args").Raw)
	}
	a.searches(content.Get("groundingMetadata"))
	c.TakeRound(root.Get("usageMetadata"))
	switch {
	case content.Get("interrupted").Bool():
		c.SetFinish("INTERRUPTED")
	case content.Get("turnComplete").Bool():
		if a.Finish() == "" {
			c.SetFinish("STOP")
		}
	}
	a.Ended = a.Ended || content.Get("turnComplete").Bool()
}
