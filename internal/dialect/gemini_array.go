package dialect

import (
	"bytes"
	"strings"

	"forward/internal/jsonscan"
)

// PlainForm returns the path and query by which a request would be asked for without a stream, so that both forms of it
// can share a remembered answer. Only Google tells them apart there and not in the body: :streamGenerateContent?alt=sse
// is the stream of :generateContent.
func (d *Dialect) PlainForm(op Operation, path, rawQuery string) (plain, query string) {
	base, streams := strings.CutSuffix(path, ":streamGenerateContent")
	if op != Generate || !streams {
		return path, rawQuery
	}
	var kept []string
	for pair := range strings.SplitSeq(rawQuery, "&") {
		if pair != "" && pair != "alt=sse" && pair != "alt=json" {
			kept = append(kept, pair)
		}
	}
	return base + ":generateContent", strings.Join(kept, "&")
}

// JSONArray returns the data of a whole stream's events as one JSON array, which is what Google answers to
// streamGenerateContent without alt=sse. ok is false when an event holds something else than JSON. The way back is
// Gemini's Fold, which takes either, and Cut.
func JSONArray(events []byte) (array []byte, ok bool) {
	array, ok = append(make([]byte, 0, len(events)), '['), true
	eachEvent(events, func(_ []byte, ev Event, has bool) bool {
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
