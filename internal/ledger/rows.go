package ledger

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"strings"
)

// rowHead are the columns of WriteRows: members of a row's JSON.
var rowHead = []string{
	"id", "time", "key", "key_name", "user", "tags", "session", "route", "upstream", "slot", "operation", "model", "alias", "answered", "status", "cause",
	"finish_reason", "service_tier", "stream", "cache", "attempts", "queue_ms", "upstream_ms", "first_token_ms", "total_ms", "input_tokens", "cached_read_tokens",
	"cached_write_tokens", "cached_write_hour_tokens", "output_tokens", "reasoning_tokens", "audio_tokens", "audio_output_tokens", "estimated", "unmetered",
	"cost_nano_usd", "cost_usd", "reported_nano_usd", "price", "saved_nano_usd", "list_nano_usd", "bytes_in", "bytes_out",
}

// WriteRows writes rows as a table with a head, under the names of their JSON.
// Tags are joined by blanks.
func WriteRows(w io.Writer, rows []Row) error {
	out := csv.NewWriter(w)
	out.Write(rowHead) // the writer keeps an error until Flush
	line := make([]string, len(rowHead))
	for _, r := range rows {
		text, err := r.MarshalJSON()
		if err != nil {
			return err
		}
		members := map[string]any{}
		d := json.NewDecoder(bytes.NewReader(text))
		d.UseNumber()
		if err := d.Decode(&members); err != nil {
			return err
		}
		for i, name := range rowHead {
			switch v := members[name].(type) {
			case nil:
				line[i] = ""
			case []any:
				line[i] = CellText(strings.Trim(fmt.Sprint(v), "[]"))
			case string:
				line[i] = CellText(v)
			default:
				line[i] = fmt.Sprint(v)
			}
		}
		out.Write(line)
	}
	out.Flush()
	return out.Error()
}
