package framing

import (
	"bytes"

	"forward/internal/jsonscan"
)

// JSONArray returns the data of a whole stream of server-sent events as one
// JSON array, which is what Google answers to streamGenerateContent without
// alt=sse. ok is false when an event holds something else than JSON. The way
// back is Gemini's Fold, which takes either, and Cut.
func JSONArray(stream []byte) (array []byte, ok bool) {
	array = append(make([]byte, 0, len(stream)), '[')
	ok = true
	SSE.Each(stream, func(_ []byte, ev Event, has bool) bool {
		data := bytes.TrimSpace(ev.Data)
		if !has || len(data) == 0 {
			return true
		}
		if ok = jsonscan.Valid(data); ok {
			if len(array) > 1 {
				array = append(array, ",\r\n"...)
			}
			array = append(array, data...)
		}
		return ok
	})
	return append(array, ']'), ok
}
