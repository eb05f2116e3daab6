package upstreamtest

import (
	"encoding/json"
	"strings"
)

// Shapes after the Gemini API reference: candidates with parts; a stream is SSE with alt=sse and one JSON array without.

func raw(s string) json.RawMessage { return json.RawMessage(s) }

func (a answer) finishReason() string {
	if a.cut {
		return "MAX_TOKENS"
	}
	return "STOP"
}

func (x *exchange) generate() reply {
	a := x.said()
	if !strings.HasSuffix(x.r.URL.Path, ":streamGenerateContent") {
		return jsonReply(200, marshal(a.candidate(a.parts(), a.finishReason())))
	}
	var chunks []string
	parts := a.parts()
	if len(a.calls) == 0 {
		parts = nil
		for _, w := range pieces(a.text) {
			parts = append(parts, obj{"text": w})
		}
	}
	for i, p := range parts {
		finish := ""
		if i == len(parts)-1 {
			finish = a.finishReason()
		}
		chunks = append(chunks, marshal(a.candidate([]obj{p}, finish)))
	}
	if x.r.URL.Query().Get("alt") != "sse" {
		return jsonReply(200, "["+strings.Join(chunks, ",\r\n")+"]")
	}
	var out []event
	for _, c := range chunks {
		out = append(out, event{data: c})
	}
	return streamReply(out)
}

func (a answer) parts() []obj {
	var out []obj
	if a.text != "" {
		out = append(out, obj{"text": a.text})
	}
	for _, c := range a.calls {
		out = append(out, obj{"functionCall": obj{"name": c.name, "args": raw(c.arguments)}})
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
		"usageMetadata": obj{"promptTokenCount": a.in, "candidatesTokenCount": a.out, "totalTokenCount": a.in + a.out},
	}
}

func (x *exchange) generateCount() reply {
	return jsonReply(200, marshal(obj{"totalTokens": x.said().in}))
}

func (x *exchange) embedContent() reply {
	return jsonReply(200, marshal(obj{"embedding": obj{"values": []float64{1, 0.5, 0.25}}}))
}
