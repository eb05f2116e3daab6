package tokens_test

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"forward/internal/dialect"
	"forward/internal/tokens"
)

// turn is a message as the cookbook's function takes it.
type turn struct {
	Role    string `json:"role"`
	Name    string `json:"name,omitempty"`
	Content string `json:"content"`
}

// cookbookTokens is num_tokens_from_messages of OpenAI's cookbook over
// tiktoken-go, for the models after 0301.
func cookbookTokens(enc tokens.Encoding, turns []turn) int64 {
	count := func(s string) int { return len(oracles[enc].EncodeOrdinary(s)) }
	n := 3
	for _, m := range turns {
		n += 3 + count(m.Role) + count(m.Content)
		if m.Name != "" {
			n += count(m.Name) + 1
		}
	}
	return int64(n)
}

// TestRandomConversations holds Prompt beside the cookbook's function on
// conversations of texts that need escapes, spelled as encoding/json does and
// with each character escaped that may be.
func TestRandomConversations(t *testing.T) {
	text := rapid.Map(rapid.SliceOfN(rapid.SampledFrom(grains), 0, 40), func(s []string) string { return strings.Join(s, "") })
	conversation := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) turn {
		return turn{
			Role:    rapid.SampledFrom([]string{"system", "user", "assistant", "developer", "tool"}).Draw(t, "role"),
			Name:    rapid.SampledFrom([]string{"", "", "alice", "example_user", `qu"ote`}).Draw(t, "name"),
			Content: strings.ToValidUTF8(text.Draw(t, "content"), "\ufffd"),
		}
	}), 0, 12)
	rapid.Check(t, func(t *rapid.T) {
		turns := conversation.Draw(t, "conversation")
		model := rapid.SampledFrom([]string{"gpt-4o", "gpt-4o-mini", "gpt-4.1", "gpt-4", "gpt-3.5-turbo"}).Draw(t, "model")
		raw, err := json.Marshal(map[string]any{"messages": turns, "model": model})
		if err != nil {
			t.Fatal(err)
		}
		if rapid.Bool().Draw(t, "escaped") {
			raw = escaped(raw)
		}
		body, err := dialect.Scan(raw)
		if err != nil {
			t.Fatal(err)
		}
		enc, _ := tokens.ForModel(model)
		got := tokens.Prompt(dialect.Chat, model, body)
		if want := cookbookTokens(enc, turns); got.Prompt != want || !got.Exact {
			t.Errorf("%+v, the cookbook's function counts %d in %s", got, want, raw)
		}
	})
}

// escaped spells all letters of a JSON text's strings as \u escapes.
func escaped(raw []byte) []byte {
	const hex = "0123456789aBcDeF"
	var out []byte
	quoted := false
	for i := 0; i < len(raw); i++ {
		c := raw[i]
		switch {
		case quoted && c == '\\':
			n := 2
			if raw[i+1] == 'u' {
				n = 6
			}
			out = append(out, raw[i:i+n]...)
			i += n - 1
			continue
		case c == '"':
			quoted = !quoted
		case quoted && ('a' <= c && c <= 'z' || c == '/'):
			out = append(out, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
			continue
		}
		out = append(out, c)
	}
	return out
}

// hostile are requests that are valid JSON and nothing else.
var hostile = []string{
	`{}`, ` { } `, `{"messages":{}}`, `{"messages":"x"}`, `{"messages":[null,1,"x",[],{},{"content":[[[]]]}]}`,
	`{"messages":[{"content":[{"image_url":{"url":"data:image/png;base64,"}},{"image_url":"data:,"},{"image_url":7},{"image_url":{}},{"file":{}},{"input_audio":{}}]}]}`,
	`{"messages":[{"tool_calls":[{"function":"x"},7],"function_call":[]}],"tools":[{"function":{"function":{"name":"x"}}},{"name":"\ud800"}],"tool_choice":{"function":[]}}`,
	`{"tools":[{"name":"a","parameters":{"properties":{"b":{"type":["string","null"],"enum":[[],{},"\"",null]},"c":{"type":"array"},"d":{"items":{"items":{}}},"":7}}}]}`,
	`{"input":[[],{},{"content":{"a":"b"}},{"output":7}],"instructions":[],"text":{"format":[]}}`,
	`{"prompt":[1,"x",[[]],{}],"input":{"a":1},"max_tokens":1e999,"n":-0}`,
	`{"system":{},"messages":[{"content":[{"type":"image","source":{"type":"base64","data":"\/9j\/"}},{"source":7},{"content":{}},{"input":{}}]}],"tools":{},"tool_choice":[]}`,
	`{"contents":["x",{"parts":"y"},{"parts":[7,{"inlineData":{"mimeType":7}}]}],"generationConfig":[],"systemInstruction":"z","requests":[{"content":[]}],"tools":7}`,
	"{\"a\\u0062\":\"\\u00e9\\ud83d\\ude00\\ud83d x\\\\\\\"\"\t,\r\n\"\":[ 1 ,2.5e3,true , null]}",
}

var operations = []dialect.Operation{
	dialect.Chat, dialect.Completion, dialect.Embedding, dialect.Responses, dialect.Moderation, dialect.Image, dialect.Speech,
	dialect.Messages, dialect.CountTokens, dialect.Generate, dialect.EmbedContent, dialect.Other,
}

// checkPrompt holds what must be true of any request: Prompt returns, the same
// again, and demands no more than its bytes can be: text has at most a token a
// byte (and Claude's half as many again), no element costs more than the most
// expensive image, and each element takes two bytes at least.
func checkPrompt(t interface{ Errorf(string, ...any) }, body *dialect.Body) {
	raw := body.Raw()
	for _, op := range operations {
		for _, model := range []string{"gpt-4o", "gpt-4o-mini", "gpt-4.1-mini", "claude-opus-5", "gemini-3-pro", "gemini-2.5-flash", ""} {
			got := tokens.Prompt(op, model, body)
			most := int64(len(raw))*8 + 1000 + int64(bytes.Count(raw, []byte(`":`)))*64*(2833+5667)
			if got.Prompt < 0 || got.Prompt > most || got.Completion < 0 || got.Completion > 1<<53 {
				t.Errorf("%s, %s: %+v of %d bytes", op, model, got, len(raw))
			}
			if again := tokens.Prompt(op, model, body); again != got {
				t.Errorf("%s, %s: %+v, then %+v", op, model, got, again)
			}
		}
	}
}

func TestHostileRequests(t *testing.T) {
	deep := func(open, end string, n int) string { return strings.Repeat(open, n) + strings.Repeat(end, n) }
	bodies := append([]string{
		`{"messages":` + deep("[", "]", 990) + `}`,
		`{"tools":[{"name":"x","parameters":` + strings.Repeat(`{"type":"object","properties":{"a":`, 400) + `{}` + strings.Repeat("}}", 400) + `}]}`,
		`{"tools":[{"name":"x","parameters":{"properties":{"a":` + strings.Repeat(`{"type":"array","items":`, 900) + `{}` + strings.Repeat("}", 900) + `}}}]}`,
		`{"messages":[{"content":` + strings.Repeat(`[{"type":"tool_result","content":`, 400) + `""` + strings.Repeat("}]", 400) + `}]}`,
		`{"messages":[{"role":"user","content":"` + strings.Repeat(`\ud83d`, 1000) + `"}]}`,
	}, hostile...)
	for _, body := range bodies {
		checkPrompt(t, mustScan(t, []byte(body)))
	}
}

// FuzzPrompt counts anything that is a JSON object, as every operation and for
// models of every maker.
func FuzzPrompt(f *testing.F) {
	for _, body := range hostile {
		f.Add([]byte(body))
	}
	f.Add(chatBody(f, 1500))
	f.Fuzz(func(t *testing.T, raw []byte) {
		body, err := dialect.Scan(raw)
		if err != nil {
			return
		}
		checkPrompt(t, body)
	})
}
