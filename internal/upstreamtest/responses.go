package upstreamtest

import "fmt"

// responses answers the Responses API: output items instead of choices, and
// named events instead of chunks.
func (x *exchange) responses() reply {
	a := x.compose()
	if x.prepares() {
		a.text = ""
		a.calls = nil
		a.out = 0
	} else if !x.socket && !x.field("stream").Bool() {
		return jsonReply(200, marshal(a.response("completed")))
	}
	return streamReply(a.responseEvents())
}

// prepares reports whether a message of a WebSocket only prepares the state for
// the next turn.
func (x *exchange) prepares() bool { return x.socket && x.field("generate").Raw == "false" }

// responseEvents is a Responses stream.
func (a answer) responseEvents() []event {
	var out []event
	send := func(name string, fields obj) {
		fields["type"], fields["sequence_number"] = name, len(out)
		out = append(out, event{name: name, data: marshal(fields)})
	}
	send("response.created", obj{"response": a.response("in_progress")})
	for i, item := range a.items() {
		send("response.output_item.added", obj{"output_index": i, "item": started(item)})
		if item["type"] == "function_call" {
			for _, part := range halves(item["arguments"].(string)) {
				send("response.function_call_arguments.delta", obj{"item_id": item["id"], "output_index": i, "delta": part})
			}
			send("response.function_call_arguments.done", obj{"item_id": item["id"], "output_index": i, "arguments": item["arguments"]})
		} else {
			at := obj{"item_id": item["id"], "output_index": i, "content_index": 0}
			send("response.content_part.added", with(at, obj{"part": outputText("")}))
			for _, w := range pieces(a.text) {
				send("response.output_text.delta", with(at, obj{"delta": w, "logprobs": []obj{}}))
			}
			send("response.output_text.done", with(at, obj{"text": a.text, "logprobs": []obj{}}))
			send("response.content_part.done", with(at, obj{"part": outputText(a.text)}))
		}
		send("response.output_item.done", obj{"output_index": i, "item": item})
	}
	send("response.completed", obj{"response": a.response("completed")})
	return out
}

// response is the response object; what is in progress has no output and no
// usage yet.
func (a answer) response(status string) obj {
	r := obj{
		"id": "resp_" + a.id, "object": "response", "created_at": 1700000000, "status": status, "model": a.model,
		"output": []obj{}, "error": nil, "incomplete_details": nil, "instructions": nil, "metadata": obj{},
		"parallel_tool_calls": true, "temperature": 1, "tool_choice": "auto", "tools": []obj{}, "top_p": 1, "usage": nil,
	}
	if status == "completed" {
		r["output"] = a.items()
		r["usage"] = obj{
			"input_tokens": a.in + a.cached, "output_tokens": a.out + a.thoughts, "total_tokens": a.in + a.cached + a.out + a.thoughts,
			"input_tokens_details": obj{"cached_tokens": a.cached}, "output_tokens_details": obj{"reasoning_tokens": a.thoughts},
		}
	}
	return r
}

func (a answer) items() []obj {
	var out []obj
	for i, c := range a.calls {
		out = append(out, obj{
			"type": "function_call", "id": fmt.Sprintf("fc_%s_%d", a.id, i), "call_id": c.id, "name": c.name,
			"arguments": c.arguments, "status": "completed",
		})
	}
	if out == nil {
		out = append(out, obj{
			"type": "message", "id": "msg_" + a.id, "role": "assistant", "status": "completed", "content": []obj{outputText(a.text)},
		})
	}
	return out
}

// started returns an item without its content.
func started(item obj) obj {
	if item["type"] == "function_call" {
		return with(item, obj{"status": "in_progress", "arguments": ""})
	}
	return with(item, obj{"status": "in_progress", "content": []obj{}})
}

func outputText(text string) obj {
	return obj{"type": "output_text", "text": text, "annotations": []obj{}, "logprobs": []obj{}}
}

// with returns a copy of base with more fields.
func with(base, more obj) obj {
	out := obj{}
	for _, m := range []obj{base, more} {
		for k, v := range m {
			out[k] = v
		}
	}
	return out
}
