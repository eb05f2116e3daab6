package upstreamtest

import "fmt"

// finish is the OpenAI finish reason of a.
func (a answer) finish() string {
	switch {
	case a.cut:
		return "length"
	case len(a.calls) > 0:
		return "tool_calls"
	}
	return "stop"
}

func (a answer) usage() obj {
	return obj{
		"prompt_tokens": a.in + a.cached, "completion_tokens": a.out + a.thoughts, "total_tokens": a.in + a.cached + a.out + a.thoughts,
		"prompt_tokens_details":     obj{"cached_tokens": a.cached},
		"completion_tokens_details": obj{"reasoning_tokens": len(pieces(a.reasoning)) + a.thoughts},
	}
}

func (a answer) openaiCalls() []obj {
	var out []obj
	for _, c := range a.calls {
		out = append(out, obj{"id": c.id, "type": "function", "function": obj{"name": c.name, "arguments": c.arguments}})
	}
	return out
}

func (x *exchange) chat() reply {
	a := x.compose()
	if x.field("stream").Bool() {
		return streamReply(a.chatEvents(x.field("stream_options.include_usage").Bool()))
	}
	message := obj{"role": "assistant", "content": a.text, "refusal": nil}
	if a.refusal != "" || len(a.calls) > 0 {
		message["content"] = nil
	}
	if a.refusal != "" {
		message["refusal"] = a.refusal
	}
	if a.reasoning != "" {
		message["reasoning_content"] = a.reasoning
	}
	if len(a.calls) > 0 {
		message["tool_calls"] = a.openaiCalls()
	}
	var choices []obj
	for i := range a.choices {
		choices = append(choices, obj{"index": i, "message": message, "logprobs": nil, "finish_reason": a.finish()})
	}
	return jsonReply(200, marshal(obj{
		"id": "chatcmpl-" + a.id, "object": "chat.completion", "created": 1700000000, "model": a.model,
		"choices": choices, "usage": a.usage(), "system_fingerprint": "fp_scripted",
	}))
}

// chatEvents is the chat stream as OpenAI sends it: the role, the words, an
// empty delta with the finish reason, and with include_usage one more chunk
// that has usage and no choices.
func (a answer) chatEvents(includeUsage bool) []event {
	var out []event
	chunk := func(choices []obj, usage any) {
		c := obj{
			"id": "chatcmpl-" + a.id, "object": "chat.completion.chunk", "created": 1700000000, "model": a.model,
			"system_fingerprint": "fp_scripted", "choices": choices,
		}
		if includeUsage {
			c["usage"] = usage
		}
		out = append(out, event{data: marshal(c)})
	}
	for i := range a.choices {
		delta := func(d obj, finish any) {
			chunk([]obj{{"index": i, "delta": d, "logprobs": nil, "finish_reason": finish}}, nil)
		}
		delta(obj{"role": "assistant", "content": "", "refusal": nil}, nil)
		for _, w := range pieces(a.reasoning) {
			delta(obj{"reasoning_content": w}, nil)
		}
		for _, w := range pieces(a.text) {
			delta(obj{"content": w}, nil)
		}
		for _, w := range pieces(a.refusal) {
			delta(obj{"refusal": w}, nil)
		}
		for j, c := range a.calls {
			delta(obj{"tool_calls": []obj{{"index": j, "id": c.id, "type": "function", "function": obj{"name": c.name, "arguments": ""}}}}, nil)
		}
		for part := range 2 {
			for j, c := range a.calls {
				delta(obj{"tool_calls": []obj{{"index": j, "function": obj{"arguments": halves(c.arguments)[part]}}}}, nil)
			}
		}
		delta(obj{}, a.finish())
	}
	if includeUsage {
		chunk([]obj{}, a.usage())
	}
	return append(out, event{data: "[DONE]"})
}

func (x *exchange) completion() reply {
	a := x.compose()
	body := func(text string, finish any) obj {
		return obj{
			"id": "cmpl-" + a.id, "object": "text_completion", "created": 1700000000, "model": a.model,
			"choices": []obj{{"index": 0, "text": text, "logprobs": nil, "finish_reason": finish}},
		}
	}
	if !x.field("stream").Bool() {
		whole := body(a.text, a.finish())
		whole["usage"] = a.usage()
		return jsonReply(200, marshal(whole))
	}
	var out []event
	for _, w := range pieces(a.text) {
		out = append(out, event{data: marshal(body(w, nil))})
	}
	return streamReply(append(out, event{data: marshal(body("", a.finish()))}, event{data: "[DONE]"}))
}

func (x *exchange) embeddings() reply {
	inputs := x.field("input").Array() // a lone string is one element
	var data []obj
	for i, in := range inputs {
		var embedding any = []float64{float64(len(in.String())), float64(i), 0.25}
		if x.field("encoding_format").String() == "base64" {
			// Three little-endian float32: 1, 0.5, 0.25. The npm SDK asks for
			// this format by default.
			embedding = "AACAPwAAAD8AAIA+"
		}
		data = append(data, obj{"object": "embedding", "index": i, "embedding": embedding})
	}
	n := len(inputs)
	return jsonReply(200, marshal(obj{
		"object": "list", "model": x.model(), "data": data, "usage": obj{"prompt_tokens": n, "total_tokens": n},
	}))
}

func (x *exchange) moderation() reply {
	return jsonReply(200, marshal(obj{
		"id": fmt.Sprintf("modr-%d", x.rec.Seq), "model": x.model(),
		"results": []obj{{"flagged": false, "categories": obj{"violence": false}, "category_scores": obj{"violence": 0.01}}},
	}))
}

func (x *exchange) models() reply {
	switch x.dialect() {
	case anthropic:
		return x.anthropicModels()
	case gemini:
		return x.geminiModels()
	}
	model := func(id string) obj {
		return obj{"id": id, "object": "model", "created": 1700000000, "owned_by": "scripted"}
	}
	if id := x.model(); id != "" {
		return jsonReply(200, marshal(model(id)))
	}
	return jsonReply(200, marshal(obj{"object": "list", "data": []obj{model("gpt-4o-mini"), model("text-embedding-3-small")}}))
}
