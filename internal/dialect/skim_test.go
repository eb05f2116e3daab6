package dialect_test

import (
	"strings"
	"testing"

	"forward/internal/dialect"
	"forward/internal/dialect/anthropic"
	"forward/internal/dialect/gemini"
	"forward/internal/dialect/ollama"
	"forward/internal/dialect/openai"
)

// TestSkim: whatever the form and the length of an answer, its usage and its
// model are found.
func TestSkim(t *testing.T) {
	filler := `"text":"` + strings.Repeat(`a\"{[`, 10_000) + `"`
	for name, test := range map[string]struct {
		d      *dialect.Dialect
		op     dialect.Operation
		events bool
		body   string
	}{
		"a body":              {openai.Dialect, dialect.Chat, false, `{"model":"m","choices":[{"index":0,"message":{` + filler + `},"finish_reason":"stop"}],"usage":{"prompt_tokens":9,"completion_tokens":3}}`},
		"a response":          {openai.Dialect, dialect.Responses, true, "data: {\"type\":\"response.completed\",\"response\":{\"model\":\"m\",\"output\":[{" + filler + "}],\"usage\":{\"input_tokens\":9,\"output_tokens\":3}}}\n\n"},
		"a message":           {anthropic.Dialect, dialect.Messages, false, `{"model":"m","content":[{` + filler + `}],"usage":{"input_tokens":9,"output_tokens":3}}`},
		"chunks of an array":  {gemini.Dialect, dialect.Generate, false, `[{"modelVersion":"m","candidates":[{` + filler + `}]},{"candidates":[{"finishReason":"STOP"}],"usageMetadata":{"promptTokenCount":9,"candidatesTokenCount":3}}]`},
		"lines":               {ollama.Dialect, dialect.Chat, true, "{\"model\":\"m\",\"message\":{" + filler + "}}\n{\"done\":true,\"prompt_eval_count\":9,\"eval_count\":3}\n"},
		"unknown events":      {openai.Dialect, dialect.Unknown, true, "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"model\":\"m\"," + filler + ",\"usage\":{\"input_tokens\":9,\"output_tokens\":1}}}\n\ndata: {\"type\":\"message_delta\",\"usage\":{\"output_tokens\":3}}\n\n"},
		"unknown parts":       {openai.Dialect, dialect.Unknown, false, "--b\r\nContent-Type: application/json\r\n\r\n{\"model\":\"m\"," + filler + "}\r\n--b\r\n\r\n{\"usage\":{\"input_tokens\":9,\"output_tokens\":3}}\r\n--b--"},
		"unknown, one value":  {openai.Dialect, dialect.Unknown, false, `{"result":{"model":"m","usage":{"prompt_tokens":9,"completion_tokens":3}},` + filler + `}`},
		"a broken value then": {openai.Dialect, dialect.Unknown, true, "data: {\"a\":\"b\ndata: {\"model\":\"m\",\"usage\":{\"prompt_tokens\":9,\"completion_tokens\":3}}\n\n"},
	} {
		var a dialect.Answer
		s := test.d.NewSkim(test.op, &a, test.events)
		for rest := test.body; rest != ""; {
			n := min(1000, len(rest))
			s.Write([]byte(rest[:n]))
			rest = rest[n:]
		}
		s.Close()
		if a.Usage == nil || a.Usage.Input != 9 || a.Usage.Output != 3 || a.Model != "m" {
			t.Errorf("%s: model %q, %+v", name, a.Model, a.Usage)
		}
	}
	var a dialect.Answer
	s := openai.Dialect.NewSkim(dialect.Image, &a, false)
	s.Write([]byte(`{"created":1,"data":[{` + filler + `},{"url":"x"}],"size":"1024x1024","quality":"high"}`))
	s.Close()
	if a.Usage == nil || a.Usage.Media != (dialect.Media{Images: 2, ImageKind: "1024x1024/high"}) {
		t.Errorf("pictures: %+v", a.Usage)
	}
	var imagen dialect.Answer
	s = gemini.Dialect.NewSkim(dialect.Image, &imagen, false)
	s.Write([]byte(`{"predictions":[{"mimeType":"image/png",` + filler + `},{"bytesBase64Encoded":"iVBO"}]}`))
	s.Close()
	if imagen.Usage == nil || imagen.Usage.Media != (dialect.Media{Images: 2}) {
		t.Errorf("predictions: %+v", imagen.Usage)
	}
}
