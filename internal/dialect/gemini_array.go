package dialect

import "bytes"

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
		if ok = valid(data); ok {
			if len(array) > 1 {
				array = append(array, ",\r\n"...)
			}
			array = append(array, data...)
		}
		return ok
	})
	return append(array, ']'), ok
}
