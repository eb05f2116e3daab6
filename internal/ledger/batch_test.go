package ledger_test

import (
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"forward/internal/ledger"
)

// The lines are those of the providers' documentation, shortened.
const (
	openAIBatch = `{"id":"batch_req_1","custom_id":"request-2","response":{"status_code":200,"request_id":"req_1","body":{"id":"chatcmpl-1","object":"chat.completion","created":1711652795,"model":"gpt-4o-mini-2024-07-18","choices":[{"index":0,"message":{"role":"assistant","content":"Hello."},"logprobs":null,"finish_reason":"stop"}],"usage":{"prompt_tokens":22,"completion_tokens":2,"total_tokens":24}}},"error":null}
{"id":"batch_req_2","custom_id":"request-1","response":{"status_code":200,"request_id":"req_2","body":{"object":"list","data":[{"object":"embedding","index":0,"embedding":[0.1]}],"model":"text-embedding-3-small","usage":{"prompt_tokens":8,"total_tokens":8}}},"error":null}
{"id":"batch_req_3","custom_id":"request-3","response":null,"error":{"code":"batch_expired","message":"This request could not be executed before the completion window expired."}}
`
	anthropicBatch = `{"custom_id":"my-second-request","result":{"type":"succeeded","message":{"id":"msg_1","type":"message","role":"assistant","model":"claude-sonnet-4-5-20250929","content":[{"type":"text","text":"Hi"}],"stop_reason":"end_turn","usage":{"input_tokens":11,"output_tokens":36,"service_tier":"batch"}}}}
{"custom_id":"my-first-request","result":{"type":"errored","error":{"type":"error","error":{"type":"overloaded_error","message":"x"}}}}`
	geminiBatch = `{"key":"request-1","response":{"candidates":[{"content":{"parts":[{"text":"a"}],"role":"model"},"finishReason":"STOP"}],"usageMetadata":{"promptTokenCount":9,"candidatesTokenCount":3,"totalTokenCount":12},"modelVersion":"gemini-2.5-flash","responseId":"r1"}}
{"key":"request-2","error":{"code":400,"message":"x"}}
`
)

func readBatch(r io.Reader) (out string) {
	b := ledger.BatchReader{Each: func(i ledger.BatchItem) {
		out += fmt.Sprintf("%s %s %s %s %d+%d\n", i.ID, i.CustomID, i.Operation, i.Model, i.Usage.Input, i.Usage.Output)
	}}
	io.Copy(&b, r)
	b.Close()
	return out
}

func TestBatchResults(t *testing.T) {
	for _, c := range []struct{ name, text, want string }{
		{"OpenAI", openAIBatch, "batch_req_1 request-2 chat gpt-4o-mini-2024-07-18 22+2\nbatch_req_2 request-1 embedding text-embedding-3-small 8+0\n"},
		{"Anthropic, without a last line break", anthropicBatch, "msg_1 my-second-request messages claude-sonnet-4-5-20250929 11+36\n"},
		{"Gemini", geminiBatch, "r1 request-1 generate gemini-2.5-flash 9+3\n"},
		{"an error first", strings.Split(openAIBatch, "\n")[2] + "\n" + openAIBatch, "batch_req_1 request-2 chat gpt-4o-mini-2024-07-18 22+2\nbatch_req_2 request-1 embedding text-embedding-3-small 8+0\n"},
		{"requests of a batch", `{"custom_id":"request-1","method":"POST","url":"/v1/chat/completions","body":{"model":"gpt-4o"}}` + "\n" + openAIBatch, ""},
		{"an image", "\x89PNG\r\n\x1a\n\x00\x00" + openAIBatch, ""},
		{"a line that is torn", openAIBatch[:100], ""},
		{"nothing", "", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			for name, r := range map[string]io.Reader{"at once": strings.NewReader(c.text), "byte by byte": iotest.OneByteReader(strings.NewReader(c.text))} {
				if got := readBatch(r); got != c.want {
					t.Errorf("%s: %q, want %q", name, got, c.want)
				}
			}
		})
	}
	long := `{"id":"batch_req_0","response":{"body":{"x":"` + strings.Repeat("x", 33<<20) + `"}}}` + "\n" + openAIBatch
	if got := readBatch(strings.NewReader(long)); strings.Count(got, "\n") != 2 {
		t.Errorf("after a line that is too long: %q", got)
	}
}

// TestBatchSettlesOnce fetches the same results twice.
func TestBatchSettlesOnce(t *testing.T) {
	l, table := mustOpen(t, newDB(t), ledger.Options{}), mustTable(t)
	for range 2 {
		b := ledger.BatchReader{Each: func(i ledger.BatchItem) {
			list, why, ok := table.Price("openai", i.Model)
			cost, err := list.Cost(i.Usage, "batch")
			if !ok || err != nil {
				t.Fatal(why, err)
			}
			l.Record(ledger.Row{ID: i.ID, Time: noon, Model: i.Model, Usage: i.Usage, Priced: true, Cost: cost.Total, Status: 200})
		}}
		io.WriteString(&b, openAIBatch)
		mustFlush(t, l)
	}
	// Half of 22 × 0.15 + 2 × 0.60 + 8 × 0.02 millionths of a dollar
	if g := mustReport(t, l.Reader, ledger.Query{}); g[0].Requests != 2 || g[0].Cost != 2_330 {
		t.Errorf("%+v", g)
	}
}

func FuzzBatch(f *testing.F) {
	f.Add(openAIBatch)
	f.Add(anthropicBatch)
	f.Add(geminiBatch)
	f.Fuzz(func(t *testing.T, text string) {
		if whole, pieces := readBatch(strings.NewReader(text)), readBatch(iotest.HalfReader(strings.NewReader(text))); whole != pieces {
			t.Errorf("%q at once, %q in pieces", whole, pieces)
		}
	})
}
