package upstreamtest

// Shapes after Anthropic's Messages API reference: content blocks, named events, usage split over the first and last event.

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
	a := x.said()
	if x.field("stream").Bool() {
		return streamReply(a.messageEvents())
	}
	m := a.message()
	m["content"], m["stop_reason"], m["usage"] = a.blocks(), a.stopReason(), obj{"input_tokens": a.in, "output_tokens": a.out}
	return jsonReply(200, marshal(m))
}

// message is the message object before anything was said.
func (a answer) message() obj {
	return obj{
		"id": "msg_" + a.id, "type": "message", "role": "assistant", "model": a.model, "content": []obj{},
		"stop_reason": nil, "stop_sequence": nil, "usage": obj{"input_tokens": a.in, "output_tokens": 1},
	}
}

func (a answer) blocks() []obj {
	var out []obj
	if a.reasoning != "" {
		out = append(out, obj{"type": "thinking", "thinking": a.reasoning, "signature": "c2lnbmVk"})
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
	block := func(start obj, kind, field string, parts []string) {
		send("content_block_start", obj{"index": index, "content_block": start})
		for _, p := range parts {
			send("content_block_delta", obj{"index": index, "delta": obj{"type": kind, field: p}})
		}
		send("content_block_stop", obj{"index": index})
		index++
	}
	send("message_start", obj{"message": a.message()})
	send("ping", obj{})
	if a.reasoning != "" {
		block(obj{"type": "thinking", "thinking": ""}, "thinking_delta", "thinking", pieces(a.reasoning))
	}
	if a.text != "" {
		block(obj{"type": "text", "text": ""}, "text_delta", "text", pieces(a.text))
	}
	for _, c := range a.calls {
		parts := halves(c.arguments)
		block(obj{"type": "tool_use", "id": c.id, "name": c.name, "input": obj{}}, "input_json_delta", "partial_json", parts[:])
	}
	send("message_delta", obj{
		"delta": obj{"stop_reason": a.stopReason(), "stop_sequence": nil}, "usage": obj{"output_tokens": a.out},
	})
	send("message_stop", obj{})
	return out
}

func (x *exchange) countTokens() reply {
	return jsonReply(200, marshal(obj{"input_tokens": x.said().in}))
}
