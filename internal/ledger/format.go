package ledger

import (
	"encoding/csv"
	"encoding/json"
	"io"
	"strconv"
	"strings"
	"time"
)

// shownNames are the names of the sums in JSON and CSV, in the order of
// Sums.fields. Other programs read them, so they do not change.
var shownNames = []string{
	"requests", "errors", "estimated", "unpriced", "input_tokens", "cached_read_tokens", "cached_write_tokens", "output_tokens",
	"reasoning_tokens", "audio_tokens", "cost_nano_usd", "estimated_cost_nano_usd", "saved_nano_usd", "bytes_in", "bytes_out",
	"unmetered", "cached_write_hour_tokens", "list_nano_usd",
}

// MarshalJSON writes sums with stable names, cost and savings also in dollars.
func (s Sums) MarshalJSON() ([]byte, error) { return json.Marshal(s.named()) }

func (s *Sums) named() map[string]any {
	out := map[string]any{"cost_usd": s.Cost.Dollars(), "saved_usd": s.Saved.Dollars(), "list_usd": s.List.Dollars()}
	for i, n := range s.fields() {
		out[shownNames[i]] = *n
	}
	return out
}

// WriteJSON writes a report as one object: {"by": […], "since": …, "until": …,
// "groups": [{"key": …, "requests": …}], "total": {…}}.
func WriteJSON(w io.Writer, q Query, groups []Group, total Sums) error {
	list := make([]map[string]any, 0, len(groups))
	for _, g := range groups {
		named := g.Sums.named()
		for i, d := range q.By {
			named[string(d)] = g.Values[i]
			if d == ByKey {
				named["key_name"] = g.KeyName
			}
		}
		list = append(list, named)
	}
	encoder := json.NewEncoder(w)
	encoder.SetIndent("", "  ")
	encoder.SetEscapeHTML(false)
	return encoder.Encode(struct {
		By     []Dimension      `json:"by"`
		Since  time.Time        `json:"since,omitzero"`
		Until  time.Time        `json:"until,omitzero"`
		Groups []map[string]any `json:"groups"`
		Total  Sums             `json:"total"`
	}{append([]Dimension{}, q.By...), q.Since, q.Until, list, total})
}

// WriteCSV writes a report as a table with a head: the dimensions, the sums,
// and the cost in dollars.
func WriteCSV(w io.Writer, q Query, groups []Group) error {
	out := csv.NewWriter(w)
	var head []string
	for _, d := range q.By {
		head = append(head, string(d))
		if d == ByKey {
			head = append(head, "key_name")
		}
	}
	head = append(head, shownNames...)
	out.Write(append(head, "cost_usd")) // the writer keeps an error until Flush
	for _, g := range groups {
		var line []string
		for i, d := range q.By {
			line = append(line, CellText(g.Values[i]))
			if d == ByKey {
				line = append(line, CellText(g.KeyName))
			}
		}
		for _, n := range g.fields() {
			line = append(line, strconv.FormatInt(*n, 10))
		}
		out.Write(append(line, strings.TrimPrefix(g.Cost.String(), "$")))
	}
	out.Flush()
	return out.Error()
}

// CellText keeps a spreadsheet from reading a name as a formula: clients choose
// the names of models and users.
func CellText(s string) string {
	if s != "" && strings.ContainsRune("=+-@\t\r", rune(s[0])) {
		return "'" + s
	}
	return s
}
