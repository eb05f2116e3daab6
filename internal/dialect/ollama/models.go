package ollama

import (
	"encoding/json"
	"net/url"
	"time"

	"github.com/tidwall/gjson"

	"forward/internal/dialect"
)

// lists follow the documentation, "List Local Models". There are no pages.
var lists = dialect.Lists{
	Path:      "/api/tags",
	Operation: dialect.Chat,
	Read: func(list []byte, owner string) []dialect.Model {
		return dialect.ReadModels(list, "models", "name", func(entry gjson.Result, m *dialect.Model) {
			m.Owner = owner
			m.Created, _ = time.Parse(time.RFC3339, entry.Get("modified_at").String())
		})
	},
	Entry: func(m dialect.Model) []byte {
		b, _ := json.Marshal(struct {
			Name     string `json:"name"`
			Model    string `json:"model"`
			Modified string `json:"modified_at"`
		}{m.ID, m.ID, m.Created.Format(time.RFC3339)})
		return b
	},
	Page: func(_ []dialect.Model, entries []json.RawMessage, _ url.Values) (any, error) {
		return struct {
			Models []json.RawMessage `json:"models"`
		}{entries}, nil
	},
}
