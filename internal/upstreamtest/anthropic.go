package upstreamtest

import (
	"fmt"
	"strings"
)

// Shapes after Anthropic's Messages API reference: content blocks, named
// events, usage split over the first and last event.

func (a answer) stopReason() string {
	switch {
	case a.cut:
		return "max_tokens"
	case len(a.calls) > 0:
		return "tool_use"
	}
	return "end_turn"
}

func (x *exchange) messages() reply {
	a := x.compose()
	if x.field("stream").Bool() {
		return streamReply(a.messageEvents())
	}
	m := a.message()
	m["content"], m["stop_reason"], m["usage"] = a.blocks(), a.stopReason(), a.messageUsage(a.out)
	return jsonReply(200, marshal(m))
}

// signature is what a client has to send back with a thought.
const signature = "c2lnbmVk"

// message is the message object before its content.
func (a answer) message() obj {
	return obj{
		"id": "msg_" + a.id, "type": "message", "role": "assistant", "model": a.model, "content": []obj{},
		"stop_reason": nil, "stop_sequence": nil, "usage": a.messageUsage(1),
	}
}

func (a answer) messageUsage(out int) obj {
	u := obj{"input_tokens": a.in, "output_tokens": out}
	if a.cached+a.written+a.written1h > 0 {
		u["cache_read_input_tokens"] = a.cached
		u["cache_creation_input_tokens"] = a.written + a.written1h
		u["cache_creation"] = obj{"ephemeral_5m_input_tokens": a.written, "ephemeral_1h_input_tokens": a.written1h}
	}
	return u
}

func (a answer) blocks() []obj {
	var out []obj
	if a.reasoning != "" {
		out = append(out, obj{"type": "thinking", "thinking": a.reasoning, "signature": signature})
	}
	if a.text != "" {
		out = append(out, obj{"type": "text", "text": a.text})
	}
	for _, c := range a.calls {
		out = append(out, obj{"type": "tool_use", "id": c.id, "name": c.name, "input": raw(c.arguments)})
	}
	return out
}

func (a answer) messageEvents() []event {
	var out []event
	send := func(name string, fields obj) {
		fields["type"] = name
		out = append(out, event{name: name, data: marshal(fields)})
	}
	index := 0
	delta := func(kind, field string, parts ...string) {
		for _, p := range parts {
			send("content_block_delta", obj{"index": index, "delta": obj{"type": kind, field: p}})
		}
	}
	block := func(start obj, deltas func()) {
		send("content_block_start", obj{"index": index, "content_block": start})
		deltas()
		send("content_block_stop", obj{"index": index})
		index++
	}
	send("message_start", obj{"message": a.message()})
	send("ping", obj{})
	if a.reasoning != "" {
		block(obj{"type": "thinking", "thinking": "", "signature": ""}, func() {
			delta("thinking_delta", "thinking", pieces(a.reasoning)...)
			delta("signature_delta", "signature", signature)
		})
	}
	if a.text != "" {
		block(obj{"type": "text", "text": ""}, func() { delta("text_delta", "text", pieces(a.text)...) })
	}
	for _, c := range a.calls {
		parts := halves(c.arguments)
		block(obj{"type": "tool_use", "id": c.id, "name": c.name, "input": obj{}}, func() {
			delta("input_json_delta", "partial_json", parts[:]...)
		})
	}
	send("message_delta", obj{
		"delta": obj{"stop_reason": a.stopReason(), "stop_sequence": nil}, "usage": obj{"output_tokens": a.out},
	})
	send("message_stop", obj{})
	return out
}

// messageBatch is a batch that is being processed, by the id in the path or a
// new one.
func (x *exchange) messageBatch() reply {
	_, id, found := strings.Cut(x.r.URL.Path, "/batches/")
	if !found {
		id = fmt.Sprintf("msgbatch_%d", x.rec.Seq)
	}
	return jsonReply(200, marshal(batchObject(id, len(x.field("requests").Array()))))
}

func (x *exchange) messageBatches() reply {
	return jsonReply(200, marshal(page([]obj{batchObject("msgbatch_a", 2), batchObject("msgbatch_b", 1)})))
}

func batchObject(id string, processing int) obj {
	return obj{
		"id": id, "type": "message_batch", "processing_status": "in_progress",
		"request_counts": obj{"processing": processing, "succeeded": 0, "errored": 0, "canceled": 0, "expired": 0},
		"created_at":     "2025-01-01T00:00:00Z", "expires_at": "2025-01-02T00:00:00Z", "ended_at": nil, "archived_at": nil,
		"cancel_initiated_at": nil, "results_url": nil,
	}
}

func (x *exchange) anthropicModels() reply {
	model := func(id string) obj {
		return obj{"type": "model", "id": id, "display_name": id, "created_at": "2025-01-01T00:00:00Z"}
	}
	if id := x.model(); id != "" {
		return jsonReply(200, marshal(model(id)))
	}
	return jsonReply(200, marshal(page([]obj{model("claude-sonnet-5"), model("claude-haiku-4-5")})))
}

// page is a list as Anthropic's API gives it, without a further page. Older
// lists have has_more and ids, newer ones next_page.
func page(data []obj) obj {
	p := obj{"data": data, "has_more": false, "first_id": nil, "last_id": nil, "next_page": nil}
	if len(data) > 0 {
		p["first_id"], p["last_id"] = data[0]["id"], data[len(data)-1]["id"]
	}
	return p
}

func (x *exchange) countTokens() reply {
	return jsonReply(200, marshal(obj{"input_tokens": x.compose().in}))
}
