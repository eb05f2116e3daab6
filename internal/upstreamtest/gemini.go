package upstreamtest

import (
	"encoding/json"
	"strings"
)

// Shapes after the Gemini API reference: candidates with parts; a stream is SSE
// with alt=sse and one JSON array without.

func raw(s string) json.RawMessage { return json.RawMessage(s) }

func (a answer) finishReason() string {
	if a.cut {
		return "MAX_TOKENS"
	}
	return "STOP"
}

func (x *exchange) generate() reply {
	a := x.compose()
	if !strings.HasSuffix(x.r.URL.Path, ":streamGenerateContent") {
		return jsonReply(200, marshal(a.candidate(a.parts(), a.finishReason())))
	}
	var chunks []string
	for _, c := range a.chunks() {
		chunks = append(chunks, marshal(c))
	}
	if x.r.URL.Query().Get("alt") != "sse" {
		return jsonReply(200, "["+strings.Join(chunks, ",\r\n")+"]")
	}
	return streamReply(a.chunkEvents())
}

// chunks are the pieces of a stream: a word of text or a whole function call
// each, the last one with the finish reason.
func (a answer) chunks() []obj {
	var parts, out []obj
	for _, w := range pieces(a.reasoning) {
		parts = append(parts, obj{"text": w, "thought": true})
	}
	for _, w := range pieces(a.text) {
		parts = append(parts, obj{"text": w})
	}
	parts = append(parts, a.functionCalls()...)
	for i, p := range parts {
		finish := ""
		if i == len(parts)-1 {
			finish = a.finishReason()
		}
		out = append(out, a.candidate([]obj{p}, finish))
	}
	return out
}

func (a answer) chunkEvents() []event {
	var out []event
	for _, c := range a.chunks() {
		out = append(out, event{data: marshal(c)})
	}
	return out
}

func (a answer) parts() []obj {
	var out []obj
	if a.reasoning != "" {
		out = append(out, obj{"text": a.reasoning, "thought": true})
	}
	if a.text != "" {
		out = append(out, obj{"text": a.text})
	}
	return append(out, a.functionCalls()...)
}

// functionCalls are parts without an id, as Gemini 2 sends them. The first
// carries the signature of the thoughts behind it, which the client has to send
// back unchanged: https://ai.google.dev/gemini-api/docs/thought-signatures.
func (a answer) functionCalls() []obj {
	var out []obj
	for i, c := range a.calls {
		part := obj{"functionCall": obj{"name": c.name, "args": raw(c.arguments)}}
		if i == 0 {
			part["thoughtSignature"] = signature
		}
		out = append(out, part)
	}
	return out
}

func (a answer) candidate(parts []obj, finish string) obj {
	c := obj{"index": 0, "content": obj{"role": "model", "parts": parts}}
	if finish != "" {
		c["finishReason"] = finish
	}
	return obj{
		"candidates": []obj{c}, "modelVersion": a.model, "responseId": a.id,
		"usageMetadata": a.usageMetadata(),
	}
}

func (a answer) usageMetadata() obj {
	u := obj{"promptTokenCount": a.in + a.cached, "candidatesTokenCount": a.out, "totalTokenCount": a.in + a.cached + a.out + a.thoughts}
	if a.cached > 0 {
		u["cachedContentTokenCount"] = a.cached
	}
	if a.thoughts > 0 {
		u["thoughtsTokenCount"] = a.thoughts
	}
	return u
}

func (x *exchange) geminiModels() reply {
	model := func(id string) obj {
		return obj{"name": "models/" + id, "displayName": id, "supportedGenerationMethods": []string{"generateContent", "countTokens"}}
	}
	if id := x.model(); id != "" {
		return jsonReply(200, marshal(model(id)))
	}
	return jsonReply(200, marshal(obj{"models": []obj{model("gemini-2.5-flash"), model("gemini-2.5-pro")}}))
}

func (x *exchange) generateCount() reply {
	return jsonReply(200, marshal(obj{"totalTokens": x.compose().in}))
}

func (x *exchange) embedContent() reply {
	return jsonReply(200, marshal(obj{"embedding": obj{"values": []float64{1, 0.5, 0.25}}}))
}

func (x *exchange) batchEmbedContents() reply {
	var out []obj
	for i, r := range x.field("requests").Array() {
		text := r.Get("content.parts.0.text").Str
		out = append(out, obj{"values": []float64{float64(len(text)), float64(i), 0.25}})
	}
	return jsonReply(200, marshal(obj{"embeddings": out}))
}
