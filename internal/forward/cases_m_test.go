package forward_test

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"forward/internal/keys"
	"forward/internal/ledger"
	"forward/internal/price"
)

// priceCase is a request of a key with a budget of one dollar, an answer to it
// and what its row costs.
type priceCase struct {
	path, body, kind string // of the request; kind is its Content-Type
	answer           string // Content-Type, a line feed and the body
	cost             price.Money
	unpriced         string // the row has no cost, and this in its price
	refused          string // 403, and this in the message
	trail            string // a part of a step
}

const answerJSON = "application/json\n"

func pricedChat(model, usage string) string {
	return answerJSON + `{"id":"c","object":"chat.completion","model":"` + model + `","choices":[{"index":0,"message":{"role":"assistant","content":"a"},"finish_reason":"stop"}],"usage":` + usage + `}`
}

func pricedMessages(usage string) string {
	return answerJSON + `{"id":"m","type":"message","role":"assistant","model":"claude-opus-5","content":[{"type":"text","text":"a"}],"stop_reason":"end_turn","usage":` + usage + `}`
}

const (
	chatOf      = "/v1/chat/completions"
	opusRequest = `{"model":"claude-opus-5","max_tokens":10,"messages":[{"role":"user","content":"hi"}]}`
	aCent       = price.Dollar / 100
)

// TestWhatIsBilledBesideTokens sends each request by a key with a budget, and
// compares the cost in the row with the provider's price list.
func TestWhatIsBilledBesideTokens(t *testing.T) {
	for name, c := range map[string]priceCase{
		"M4 speech costs its characters":                           {path: "/v1/audio/speech", body: `{"model":"tts-1","input":"` + strings.Repeat("ä", 1000) + `"}`, answer: "audio/mpeg\nxxx", cost: 15 * aCent / 10},
		"B21 speech in words":                                      {path: "/v1/audio/speech", body: `{"model":"tts-1","input":"hello world"}`, answer: "audio/mpeg\nxxx", cost: 165_000},
		"B21 images as they are answered":                          {path: "/v1/images/generations", body: `{"model":"dall-e-3","n":2,"prompt":"a"}`, answer: answerJSON + `{"created":1,"data":[{"url":"a"},{"url":"b"}]}`, cost: 8 * aCent},
		"B21 fewer images than asked for":                          {path: "/v1/images/generations", body: `{"model":"dall-e-3","n":2,"size":"1792x1024","quality":"hd","prompt":"a"}`, answer: answerJSON + `{"data":[{"url":"a"}]}`, cost: 12 * aCent},
		"B21 images whose answer is unread":                        {path: "/v1/images/generations", body: `{"model":"dall-e-2","n":3,"size":"512x512","prompt":"a"}`, answer: "image/png\nxxx", cost: 54 * aCent / 10},
		"B21 images in tokens":                                     {path: "/v1/images/generations", body: `{"model":"gpt-image-1","prompt":"a"}`, answer: answerJSON + `{"data":[{"b64_json":"a"}],"usage":{"input_tokens":100,"output_tokens":4160,"total_tokens":4260}}`, cost: 100*5_000 + 4160*40_000},
		"B21 an image of an unknown size":                          {path: "/v1/images/generations", body: `{"model":"dall-e-3","size":"9x9","prompt":"a"}`, answer: answerJSON + `{"data":[{"url":"a"}]}`, unpriced: "no price of image/9x9/standard"},
		"B21 fewer images of Imagen's than it may answer with":     {path: "/gemini/v1beta/models/imagen-4.0-generate-001:predict", body: `{"instances":[{"prompt":"a"}]}`, answer: answerJSON + `{"predictions":[{"mimeType":"image/png","bytesBase64Encoded":"iVBO"},{"raiFilteredReason":"a"}]}`, cost: 4 * aCent},
		"M5 moderation without a model":                            {path: "/v1/moderations", body: `{"input":"a"}`, answer: answerJSON + `{"id":"m","model":"omni-moderation-latest","results":[]}`, trail: "request × $0.00"},
		"B14 fast":                                                 {path: "/anthropic/v1/messages", body: opusRequest, answer: pricedMessages(`{"input_tokens":1000,"output_tokens":1000,"speed":"fast"}`), cost: 6 * aCent, trail: "× $10.00/M"},
		"F7 fast in the US, with searches":                         {path: "/anthropic/v1/messages", body: opusRequest, answer: pricedMessages(`{"input_tokens":1000,"output_tokens":1000,"speed":"fast","inference_geo":"us","server_tool_use":{"web_search_requests":3}}`), cost: 66*aCent/10 + 3*aCent, trail: "3 call/web_search × $0.01 = $0.03"},
		"B14 a speed of the future":                                {path: "/anthropic/v1/messages", body: opusRequest, answer: pricedMessages(`{"input_tokens":1000,"output_tokens":1000,"speed":"ludicrous"}`), unpriced: "no price of speed/ludicrous"},
		"B14 asked for, in a broken stream":                        {path: "/anthropic/v1/messages", body: `{"model":"claude-opus-5","max_tokens":10,"stream":true,"speed":"fast","messages":[{"role":"user","content":"hi"}]}`, answer: "text/event-stream\nevent: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"id\":\"m\",\"type\":\"message\",\"role\":\"assistant\",\"model\":\"claude-opus-5\",\"content\":[],\"usage\":{\"input_tokens\":1000,\"output_tokens\":1}}}\n\n", cost: 1000*10_000 + 50_000, trail: "× $10.00/M"},
		"B14 asked for at an unknown price":                        {path: "/anthropic/v1/messages", body: strings.Replace(opusRequest, `"max_tokens"`, `"speed":"warp","max_tokens"`, 1), refused: "no price of speed/warp"},
		"B15 searches of OpenAI's":                                 {path: "/v1/responses", body: `{"model":"gpt-5.4","input":"hi"}`, answer: answerJSON + `{"id":"resp_1","object":"response","status":"completed","model":"gpt-5.4","output":[` + strings.Repeat(`{"type":"web_search_call","id":"ws","status":"completed","action":{"type":"search"}},`, 5) + `{"type":"message","id":"m","role":"assistant","content":[{"type":"output_text","text":"a"}]}],"usage":{"input_tokens":1000,"output_tokens":100,"total_tokens":1100}}`, cost: 5*aCent + 1000*2_500 + 100*15_000, trail: "5 call/web_search"},
		"B15 a tool without a rate":                                {path: "/v1/responses", body: `{"model":"gpt-5.4","input":"hi"}`, answer: answerJSON + `{"id":"resp_1","object":"response","status":"completed","model":"gpt-5.4","output":[{"type":"telescope_call","id":"x","status":"completed"}],"usage":{"input_tokens":1000,"output_tokens":100,"total_tokens":1100}}`, unpriced: "no price of call/telescope"},
		"B15 grounding of Gemini's":                                {path: "/gemini/v1beta/models/gemini-2.5-flash:generateContent", body: `{"contents":[{"parts":[{"text":"hi"}]}]}`, answer: answerJSON + `{"candidates":[{"content":{"parts":[{"text":"a"}],"role":"model"},"finishReason":"STOP","groundingMetadata":{"webSearchQueries":["a"]}}],"usageMetadata":{"promptTokenCount":1000,"candidatesTokenCount":100,"totalTokenCount":1100},"modelVersion":"gemini-2.5-flash"}`, cost: 35*aCent/10 + 1000*300 + 100*2_500},
		"B42 the amount of the provider":                           {path: chatOf, body: `{"model":"gpt-4o","messages":[]}`, answer: pricedChat("gpt-4o", `{"prompt_tokens":1000,"completion_tokens":100,"total_tokens":1100,"cost":0.5}`), cost: 1000*2_500 + 100*10_000, trail: "the provider reported $0.50"},
		"a service tier in another case":                           {path: chatOf, body: `{"model":"gpt-5.4","messages":[],"service_tier":"PRIORITY"}`, answer: strings.Replace(pricedChat("gpt-5.4", `{"prompt_tokens":1000,"completion_tokens":100,"total_tokens":1100}`), `"id"`, `"service_tier":"PRIORITY","id"`, 1), cost: 1000*5_000 + 100*30_000},
		"a service tier that is not sold":                          {path: chatOf, body: `{"model":"gpt-5.4","messages":[],"service_tier":"ultra"}`, refused: "no price of input for gpt-5.4 served as ultra"},
		"M4 speech that the budget cannot hold, at its characters": {path: "/v1/audio/speech", body: `{"model":"tts-9","input":"hello"}`, refused: `model \"tts-9\" has no price`},
	} {
		t.Run(name, func(t *testing.T) { c.check(t) })
	}
}

// answeringTyped is answering with a Content-Type, a line break and a body.
func answeringTyped(answer string) http.HandlerFunc {
	kind, body, _ := strings.Cut(answer, "\n")
	return answering(http.StatusOK, kind, body)
}

func (c priceCase) check(t *testing.T) {
	accounts, rows := accounting(t)
	b := start(t, answeringTyped(c.answer), func(s *setup) {
		accounts(s)
		s.all = true
		s.keys = []keys.Key{budgetHolder("carol", 1)}
	})
	kind := c.kind
	if kind == "" {
		kind = "application/json"
	}
	got := b.do("POST", c.path, c.body, "Content-Type", kind, "Authorization", "Bearer fk-carol")
	if c.refused != "" {
		got.want(t, 403, c.refused)
		return
	}
	got.want(t, 200)
	list := rows(b)
	if len(list) != 1 {
		t.Fatalf("%d rows", len(list))
	}
	r := list[0]
	if r.Cost != c.cost || r.Priced != (c.unpriced == "") || !strings.Contains(r.Price, c.unpriced) {
		t.Errorf("%v, priced %v, %q; want %v %q", r.Cost, r.Priced, r.Price, c.cost, c.unpriced)
	}
	if !strings.Contains(fmt.Sprint(r.Trail), c.trail) {
		t.Errorf("no %q in %v", c.trail, r.Trail)
	}
}

// holder is a key with a budget of so many dollars in all.
func budgetHolder(name string, dollars int64) keys.Key {
	return keys.Key{Name: name, Secret: keys.NewSecret("fk-" + name), Policy: keys.Policy{
		Budgets: []keys.Budget{{Unit: "usd", Amount: dollars * int64(price.Dollar), Period: "total"}}}}
}

// TestBudgetsHoldForPieces spends a budget on speech, images and searches. What
// each request costs is reserved before it is sent, so the budget is never
// exceeded.
func TestBudgetsHoldForPieces(t *testing.T) {
	for name, c := range map[string]struct{ path, body, answer string }{
		"M4 speech": {"/v1/audio/speech", `{"model":"tts-1","input":"` + strings.Repeat("x", 20_000) + `"}`, "audio/mpeg\nxxx"},
		"M4 images": {"/v1/images/generations", `{"model":"dall-e-3","n":2,"quality":"hd","prompt":"a"}`, answerJSON + `{"data":[{"url":"a"},{"url":"b"}]}`},
		"B15 searches": {"/v1/responses", `{"model":"gpt-5.4","input":"hi","max_output_tokens":100,"tools":[{"type":"web_search"}]}`, answerJSON + `{"id":"resp_1","object":"response","status":"completed","model":"gpt-5.4","output":[` +
			strings.Repeat(`{"type":"web_search_call","id":"ws","status":"completed","action":{"type":"search"}},`, 5) +
			`{"type":"message","id":"m","role":"assistant","content":[{"type":"output_text","text":"a"}]}],"usage":{"input_tokens":1000,"output_tokens":100,"total_tokens":1100}}`},
	} {
		t.Run(name, func(t *testing.T) {
			accounts, rows := accounting(t)
			b := start(t, answeringTyped(c.answer), func(s *setup) {
				accounts(s)
				s.keys = []keys.Key{budgetHolder("carol", 1)}
			})
			refused := 0
			for range 20 {
				if b.do("POST", c.path, c.body, "Authorization", "Bearer fk-carol").StatusCode == 402 {
					refused++
				}
			}
			var spent price.Money
			for _, r := range rows(b) {
				spent += r.Cost
			}
			if refused == 0 || spent < price.Dollar/2 || spent > price.Dollar {
				t.Errorf("%v spent of $1.00 by %d requests, %d refused", spent, b.calls(), refused)
			}
		})
	}
}

// TestDeploymentsArePricedByTheirAnswers asks for a name that the table does
// not have. A budget refuses it and the message names the cures, until an
// answer of another key names the model.
func TestDeploymentsArePricedByTheirAnswers(t *testing.T) {
	accounts, rows := accounting(t)
	b := start(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, body, _ := strings.Cut(pricedChat("gpt-4o-2024-08-06", `{"prompt_tokens":1000,"completion_tokens":100,"total_tokens":1100}`), "\n")
		io.WriteString(w, body)
	}, func(s *setup) {
		accounts(s)
		s.keys = append(s.keys, budgetHolder("carol", 1))
	})
	ask := func(key string) answer {
		return b.do("POST", "/openai/deployments/team-prod-4o/chat/completions?api-version=1", `{"messages":[{"role":"user","content":"hi"}],"max_tokens":100}`, "Authorization", "Bearer fk-"+key)
	}
	ask("carol").want(t, 403, "prices: {team-prod-4o: {input: 2.50, output: 10}}", "prices: {team-prod-4o: openai/gpt-4o}")
	ask("alice").want(t, 200)
	rows(b) // after the first is settled
	ask("carol").want(t, 200)
	var got []ledger.Row
	for _, r := range rows(b) {
		if r.Status == 200 {
			got = append(got, r)
		}
	}
	for _, r := range got {
		if r.Model != "team-prod-4o" || r.Cost != 1000*2_500+100*10_000 {
			t.Errorf("%s: %v, %s", r.Model, r.Cost, r.Price)
		}
	}
	if len(got) != 2 {
		t.Errorf("%d answers", len(got))
	}
}
