package dialect_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/tidwall/gjson"

	"forward/internal/dialect"
	"forward/internal/dialect/anthropic"
	"forward/internal/dialect/openai"
	"forward/internal/framing"
	"forward/internal/jsonscan"
)

// counted is a Usage of tokens.
func counted(input, output int64, more ...func(*dialect.Usage)) dialect.Usage {
	u := dialect.Usage{Input: input, Output: output, Total: input + output}
	for _, change := range more {
		change(&u)
	}
	return u
}

func reasoning(n int64) func(*dialect.Usage) { return func(u *dialect.Usage) { u.Reasoning = n } }

func cached(read, write, hour int64) func(*dialect.Usage) {
	return func(u *dialect.Usage) { u.CachedRead, u.CachedWrite, u.CachedWriteHour = read, write, hour }
}

func terms(t dialect.Terms) func(*dialect.Usage) { return func(u *dialect.Usage) { u.Terms = t } }

// TestReadUsage: the usage objects of all providers, by their shape. The
// letters and numbers are those of the cases of public bug reports.
func TestReadUsage(t *testing.T) {
	for name, test := range map[string]struct {
		json string
		want dialect.Usage
	}{
		"chat":      {`{"prompt_tokens":9,"completion_tokens":3,"total_tokens":12}`, counted(9, 3)},
		"responses": {`{"input_tokens":9,"input_tokens_details":{"cached_tokens":4},"output_tokens":3,"output_tokens_details":{"reasoning_tokens":2},"total_tokens":12}`, counted(9, 3, cached(4, 0, 0), reasoning(2))},
		"messages": {`{"input_tokens":9,"cache_creation_input_tokens":20,"cache_read_input_tokens":30,"cache_creation":{"ephemeral_5m_input_tokens":15,"ephemeral_1h_input_tokens":5},"output_tokens":3}`,
			counted(59, 3, cached(30, 20, 5))},
		"messages behind a chat":           {`{"prompt_tokens":59,"completion_tokens":3,"total_tokens":62,"cache_creation_input_tokens":20,"cache_read_input_tokens":30}`, counted(59, 3, cached(30, 20, 0))},
		"generate":                         {`{"promptTokenCount":8,"toolUsePromptTokenCount":2,"candidatesTokenCount":5,"thoughtsTokenCount":20,"totalTokenCount":35}`, counted(10, 25, reasoning(20))},
		"generate, thoughts in candidates": {`{"promptTokenCount":8,"candidatesTokenCount":25,"thoughtsTokenCount":20,"totalTokenCount":33}`, counted(8, 25, reasoning(20))},
		"interactions":                     {`{"total_input_tokens":8,"total_output_tokens":5,"total_thought_tokens":20,"total_tokens":33}`, counted(8, 25, reasoning(20))},
		"ollama":                           {`{"prompt_eval_count":8,"eval_count":5}`, counted(8, 5)},
		"converse":                         {`{"inputTokens":8,"outputTokens":5,"totalTokens":113,"cacheReadInputTokens":60,"cacheWriteInputTokens":40}`, counted(108, 5, cached(60, 40, 0))},
		"cohere":                           {`{"billed_units":{"input_tokens":8,"output_tokens":5},"tokens":{"input_tokens":900,"output_tokens":5}}`, counted(8, 5)},
		"rerank":                           {`{"billed_units":{"search_units":2}}`, counted(0, 0, terms(dialect.Terms{Fees: []dialect.Fee{{"search_unit", 2}}}))},
		"seconds":                          {`{"type":"duration","seconds":7.5}`, counted(0, 0, func(u *dialect.Usage) { u.Seconds = 7.5 })},
		"audio":                            {`{"input_tokens":1000,"output_tokens":500,"total_tokens":1500,"input_token_details":{"audio_tokens":1000}}`, counted(1000, 500, func(u *dialect.Usage) { u.Audio = 1000 })},

		"B12 reasoning beside the completion":       {`{"prompt_tokens":10120,"completion_tokens":1499,"total_tokens":14428,"completion_tokens_details":{"reasoning_tokens":2809}}`, counted(10120, 4308, reasoning(2809))},
		"B12 the rest of the total is output":       {`{"prompt_tokens":21,"completion_tokens":0,"total_tokens":81}`, counted(21, 60)},
		"B12 the rest with its reasoning":           {`{"prompt_tokens":21,"completion_tokens":0,"total_tokens":81,"completion_tokens_details":{"reasoning_tokens":60}}`, counted(21, 60, reasoning(60))},
		"B12 reasoning inside":                      {`{"prompt_tokens":500,"completion_tokens":500,"total_tokens":1000,"completion_tokens_details":{"reasoning_tokens":400}}`, counted(500, 500, reasoning(400))},
		"B12 more reasoning than completion":        {`{"prompt_tokens":10,"completion_tokens":5,"completion_tokens_details":{"reasoning_tokens":60}}`, counted(10, 65, reasoning(60))},
		"B12 cached tokens beside the prompt":       {`{"prompt_tokens":100,"completion_tokens":5,"total_tokens":195,"prompt_tokens_details":{"cached_tokens":90}}`, counted(190, 5, cached(90, 0, 0))},
		"B12 more cached than prompt":               {`{"prompt_tokens":10,"completion_tokens":5,"prompt_tokens_details":{"cached_tokens":90}}`, counted(100, 5, cached(90, 0, 0))},
		"B12 details larger than their sum":         {`{"prompt_tokens":10,"completion_tokens":5,"prompt_tokens_details":{"text_tokens":10,"audio_tokens":40}}`, counted(50, 5, func(u *dialect.Usage) { u.Audio = 40 })},
		"B12 a total below its parts":               {`{"prompt_tokens":10,"completion_tokens":5,"total_tokens":3}`, counted(10, 5)},
		"B12 written for an hour, more than at all": {`{"input_tokens":10,"output_tokens":5,"cache_creation_input_tokens":1,"cache_creation":{"ephemeral_1h_input_tokens":50}}`, counted(60, 5, cached(0, 50, 50))},

		"B13 a compaction": {`{"input_tokens":23000,"output_tokens":1000,"iterations":[{"type":"compaction","input_tokens":180000,"output_tokens":3500},{"type":"message","input_tokens":23000,"output_tokens":1000}]}`,
			counted(203000, 4500)},
		"B13 a compaction with all four kinds": {`{"input_tokens":10,"output_tokens":1,"iterations":[{"type":"compaction","input_tokens":100,"output_tokens":5,"cache_read_input_tokens":1000,"cache_creation_input_tokens":50,"cache_creation":{"ephemeral_1h_input_tokens":50}},{"type":"fallback_message","input_tokens":70,"output_tokens":0}]}`,
			counted(1160, 6, cached(1000, 50, 50))},
		"B13 a round of an unknown type": {`{"input_tokens":10,"output_tokens":1,"iterations":[{"type":"advisor_message","input_tokens":7,"output_tokens":5}]}`,
			counted(10, 1, terms(dialect.Terms{Doubt: "the usage has a round of type advisor_message, whose price is not known"}))},

		"B14 fast, in one country":  {`{"input_tokens":1000,"output_tokens":1000,"speed":"fast","inference_geo":"us"}`, counted(1000, 1000, terms(dialect.Terms{Speed: "fast", Geo: "us"}))},
		"B14 ordinary":              {`{"input_tokens":1000,"output_tokens":1000,"speed":"standard","inference_geo":"global"}`, counted(1000, 1000)},
		"B15 searches":              {`{"input_tokens":10,"output_tokens":1,"server_tool_use":{"web_search_requests":5,"web_fetch_requests":2,"other_requests":0}}`, counted(10, 1, terms(dialect.Terms{Fees: []dialect.Fee{{"web_search", 5}}}))},
		"B42 OpenRouter's amount":   {`{"prompt_tokens":9,"completion_tokens":3,"cost":0.00123,"cost_details":{"upstream_inference_cost":null},"is_byok":false}`, counted(9, 3, terms(dialect.Terms{Reported: 1_230_000, HasReported: true}))},
		"B42 with a key of its own": {`{"prompt_tokens":9,"completion_tokens":3,"cost":0.00005,"cost_details":{"upstream_inference_cost":0.001},"is_byok":true}`, counted(9, 3, terms(dialect.Terms{Reported: 1_050_000, HasReported: true}))},
		"B42 xAI's ticks":           {`{"prompt_tokens":9,"completion_tokens":3,"cost_in_usd_ticks":37756000}`, counted(9, 3, terms(dialect.Terms{Reported: 3_775_600, HasReported: true}))},
		"B42 Perplexity's parts":    {`{"prompt_tokens":9,"completion_tokens":3,"cost":{"input_tokens_cost":0.1,"total_cost":0.5}}`, counted(9, 3, terms(dialect.Terms{Reported: 500_000_000, HasReported: true}))},
		"B42 an amount of nothing":  {`{"prompt_tokens":9,"completion_tokens":3,"cost":0}`, counted(9, 3, terms(dialect.Terms{HasReported: true}))},
	} {
		u, ok := dialect.ReadUsage(gjson.Parse(test.json))
		if diff := cmp.Diff(test.want, u); diff != "" || !ok {
			t.Errorf("%s: ok %v %s", name, ok, diff)
		}
	}
	for _, nothing := range []string{`null`, `{}`, `[]`, `"usage"`, `{"prompt_tokens":null}`, `{"prompt_tokens":"9"}`, `{"other":5}`, ``} {
		if u, ok := dialect.ReadUsage(gjson.Parse(nothing)); ok {
			t.Errorf("%s: %+v", nothing, u)
		}
	}
}

// TestNoUsageHidesNone: a usage that is null hides no other one of the same
// event.
func TestNoUsageHidesNone(t *testing.T) {
	for data, found := range map[string]bool{
		`{"choices":[],"usage":null}`:                                                           false,
		`{"choices":[],"usage":null,"meta":{"usage":null}}`:                                     false,
		`{"choices":[],"usage":null,"x_groq":{"usage":{"prompt_tokens":9}}}`:                    true,
		`{"choices":[],"x_groq":{"usage":{"prompt_tokens":9}},"usage":null}`:                    true,
		`{"choices":[],"usage":null,"prompt_eval_count":9}`:                                     true,
		`{"choices":[],"usage":null,"usageMetadata":{"promptTokenCount":9}}`:                    true,
		`{"choices":[],"usage":null,"meta":{"billed_units":{"input_tokens":9}}}`:                true,
		`{"choices":[],"usage" : null,"meta":{"usage" : {"input_tokens":9}}}`:                   true,
		`{"choices":[{"delta":{"content":"\"usage\":null"}}],"x":{"usage":{"input_tokens":9}}}`: true,
	} {
		var a dialect.Answer
		openai.Dialect.ParseEvent(dialect.Chat, &a, framing.Event{Data: []byte(data)})
		if (a.Usage != nil) != found || (found && a.Usage.Input != 9) {
			t.Errorf("%s: usage %+v", data, a.Usage)
		}
	}
}

// TestFindUsage: usage counts wherever answers have it, and not where it is
// content.
func TestFindUsage(t *testing.T) {
	for json, found := range map[string]bool{
		`{"usage":{"input_tokens":9,"output_tokens":3}}`:                              true,
		`{"usageMetadata":{"promptTokenCount":9,"candidatesTokenCount":3}}`:           true,
		`{"model":"m","prompt_eval_count":9,"eval_count":3}`:                          true,
		`{"response":{"usage":{"input_tokens":9,"output_tokens":3}}}`:                 true,
		`{"message":{"usage":{"input_tokens":9,"output_tokens":3}}}`:                  true,
		`{"x_groq":{"usage":{"prompt_tokens":9,"completion_tokens":3}}}`:              true,
		`{"choices":[{},{"usage":{"prompt_tokens":9,"completion_tokens":3}}]}`:        true,
		`{"result":{"usage":{"prompt_tokens":9,"completion_tokens":3}}}`:              true,
		`{"meta":{"billed_units":{"input_tokens":9,"output_tokens":3}}}`:              true,
		`{"usage":null,"x_groq":{"usage":{"prompt_tokens":9,"completion_tokens":3}}}`: true,
		`{"usage":null}`: false,
		`{"metadata":{"usage":{"prompt_tokens":9,"completion_tokens":3}}}`:                   false,
		`{"content":[{"input":{"usage":{"prompt_tokens":9}}}],"text":"\"usage\":{\"a\":1}"}`: false,
	} {
		v, ok := dialect.FindUsage(gjson.Parse(json))
		if u, _ := dialect.ReadUsage(v); ok != found || found && (u.Input != 9 || u.Output != 3) {
			t.Errorf("%s: %v %+v", json, ok, u)
		}
	}
}

// TestUsageOfEvents: usage counts in whatever event it stands, and of several
// the last one does.
func TestUsageOfEvents(t *testing.T) {
	start := `{"type":"message_start","message":{"usage":`
	for name, test := range map[string]struct {
		d             *dialect.Dialect
		op            dialect.Operation
		events        string
		input, output int64
	}{
		"B46 nothing, then the counts": {anthropic.Dialect, dialect.Messages, start + `{"input_tokens":0,"output_tokens":0}}}
{"type":"message_delta","delta":{},"usage":{"input_tokens":90,"cache_read_input_tokens":10,"output_tokens":15}}`, 100, 15},
		"B46 the counts, then nothing": {anthropic.Dialect, dialect.Messages, start + `{"input_tokens":90,"cache_read_input_tokens":10,"output_tokens":1}}}
{"type":"message_delta","delta":{},"usage":{"input_tokens":0,"cache_read_input_tokens":0,"output_tokens":15}}`, 100, 15},
		"B47 cumulative": {anthropic.Dialect, dialect.Messages, start + `{"input_tokens":90,"output_tokens":1}}}
{"type":"message_delta","delta":{},"usage":{"output_tokens":15}}`, 90, 15},
		"B13 a compaction in the delta": {anthropic.Dialect, dialect.Messages, start + `{"input_tokens":23000,"output_tokens":1}}}
{"type":"message_delta","delta":{},"usage":{"output_tokens":1000,"iterations":[{"type":"compaction","input_tokens":180000,"output_tokens":3500},{"type":"message","input_tokens":23000,"output_tokens":1000}]}}`, 203000, 4500},
		"B51 without choices, after tool calls": {openai.Dialect, dialect.Chat, `{"choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"id":"a","function":{"name":"f","arguments":"{}"}}]},"finish_reason":"tool_calls"}]}
{"choices":[],"usage":{"prompt_tokens":9,"completion_tokens":3,"total_tokens":12}}`, 9, 3},
		"x_groq": {openai.Dialect, dialect.Chat, `{"choices":[{"index":0,"delta":{"content":"a"}}],"x_groq":{"id":"r"}}
{"choices":[{"index":0,"delta":{},"finish_reason":"stop"}],"x_groq":{"id":"r","usage":{"prompt_tokens":9,"completion_tokens":3}}}`, 9, 3},
		"nothing after the counts": {openai.Dialect, dialect.Chat, `{"choices":[],"usage":{"prompt_tokens":9,"completion_tokens":3}}
{"choices":[],"usage":{"prompt_tokens":0,"completion_tokens":0,"total_tokens":0}}`, 9, 3},
		"another protocol's": {openai.Dialect, dialect.Chat, `{"message":{"content":"a"},"done":true,"prompt_eval_count":9,"eval_count":3}`, 9, 3},
	} {
		var a dialect.Answer
		for data := range strings.SplitSeq(test.events, "\n") {
			test.d.ReadEvent(test.op, &a, framing.Event{Data: []byte(data)})
		}
		if a.Usage == nil || a.Usage.Input != test.input || a.Usage.Output != test.output {
			t.Errorf("%s: %+v", name, a.Usage)
		}
	}
}

// TestFees: calls of the provider's tools count once, in streams as in bodies.
func TestFees(t *testing.T) {
	item := func(kind, more string) string { return `{"type":"` + kind + `"` + more + `}` }
	output := strings.Join([]string{
		item("web_search_call", `,"action":{"type":"search"}`), item("web_search_call", `,"action":{"type":"open_page"}`), item("web_search_call", ""),
		item("file_search_call", ""), item("code_interpreter_call", `,"container_id":"c1"`), item("code_interpreter_call", `,"container_id":"c1"`),
		item("function_call", `,"name":"f"`), item("message", ""),
	}, ",")
	response := `{"id":"r","status":"completed","output":[` + output + `],"usage":{"input_tokens":9,"output_tokens":3}}`
	want := []dialect.Fee{{"web_search", 2}, {"file_search", 1}, {"code_interpreter", 1}}
	var whole, stream dialect.Answer
	if err := openai.Dialect.ReadBody(dialect.Responses, &whole, []byte(response)); err != nil {
		t.Fatal(err)
	}
	items := jsonscan.View([]byte("[" + output + "]")).Array()
	for _, item := range items {
		openai.Dialect.ReadEvent(dialect.Responses, &stream, framing.Event{Data: []byte(`{"type":"response.output_item.done","item":` + item.Raw + `}`)})
	}
	openai.Dialect.ReadEvent(dialect.Responses, &stream, framing.Event{Data: []byte(`{"type":"response.completed","response":` + response + `}`)})
	for form, a := range map[string]*dialect.Answer{"body": &whole, "stream": &stream} {
		if diff := cmp.Diff(want, a.Usage.Terms.Fees); diff != "" {
			t.Errorf("%s: %s", form, diff)
		}
	}
	var large dialect.Answer
	tools := `"tools":[{"type":"web_search"},{"type":"code_interpreter","container":{"type":"auto","memory_limit":"4g"}}],`
	if err := openai.Dialect.ReadBody(dialect.Responses, &large, []byte("{"+tools+response[1:])); err != nil {
		t.Fatal(err)
	}
	if got := large.Usage.Terms.Fees; len(got) != 3 || got[2] != (dialect.Fee{Name: "code_interpreter/4g", Count: 1}) {
		t.Errorf("a container of 4 GB: %v", got)
	}
}

// TestTotalOfVectors: what generates nothing has only a prompt.
func TestTotalOfVectors(t *testing.T) {
	var a dialect.Answer
	err := openai.Dialect.ReadBody(dialect.Embedding, &a, []byte(`{"data":[{"embedding":[1]}],"usage":{"total_tokens":50}}`))
	if err != nil || a.Usage.Input != 50 || a.Usage.Output != 0 {
		t.Errorf("%v %+v", err, a.Usage)
	}
}
