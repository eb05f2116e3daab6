package dialect

import (
	"bytes"

	"github.com/tidwall/gjson"

	"forward/internal/jsonscan"
)

// responsesFold takes the body out of the last event of a stream, which says the whole response again. Source: API
// reference, "Streaming events" of "Responses". Some servers leave its output empty there; then it is put together from
// the items that are done. A response that failed, or whose last event does not know all items that there were events
// of, has no body.
func responsesFold(events []byte) ([]byte, bool) {
	var last gjson.Result
	var items []string // that are done
	seen := int64(0)   // items
	whole, ordered := true, true
	eachEvent(events, func(_ []byte, ev Event, ok bool) bool {
		data := bytes.TrimSpace(ev.Data)
		switch {
		case !ok || len(data) == 0:
			return true
		case string(data) == "[DONE]": // of some compatible servers
			return true
		case !jsonscan.Valid(data) || last.Exists():
			whole = false
			return false
		}
		root := jsonscan.View(data)
		if i := root.Get("output_index"); i.Exists() {
			seen = max(seen, jsonscan.Count(i)+1)
		}
		switch jsonscan.String(root.Get("type")) {
		case "", "error", "response.failed":
			whole = false
		case "response.output_item.done":
			i, item := root.Get("output_index"), root.Get("item")
			whole = item.IsObject()
			ordered = ordered && i.Raw == string(appendInt(nil, int64(len(items))))
			items = append(items, item.Raw)
		case "response.completed", "response.incomplete":
			last = root.Get("response")
			whole = last.IsObject()
		}
		return whole
	})
	if !whole || !last.Exists() {
		return nil, false
	}
	response, ok := fieldsOf(last)
	if !ok || !finalResponse(response) {
		return nil, false
	}
	output := response.get("output")
	switch n := int64(len(gjson.Parse(output).Array())); {
	case n == seen:
	case n > 0 || !ordered || int64(len(items)) != seen:
		return nil, false
	default:
		joined := []byte{'['}
		for i, item := range items {
			if i > 0 {
				joined = append(joined, ',')
			}
			joined = append(joined, item...)
		}
		response.set("output", jsonscan.UnsafeString(append(joined, ']')))
		return response.appendTo(nil), true
	}
	return []byte(last.Raw), true
}

// finalResponse reports whether a response is at its end, and well.
func finalResponse(r fields) bool {
	status := r.get("status")
	return (status == `"completed"` || status == `"incomplete"`) && isArrayText(r.get("output")) && isAbsent(r.get("error"))
}
