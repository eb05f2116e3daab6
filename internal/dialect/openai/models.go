package openai

import (
	"encoding/json"
	"net/url"
	"time"

	"github.com/tidwall/gjson"

	"forward/internal/dialect"
)

// lists follow the API reference, "Models". There are no pages.
var lists = dialect.Lists{
	Path:      "/v1/models",
	Operation: dialect.Chat,
	Read: func(list []byte, owner string) []dialect.Model {
		return dialect.ReadModels(list, "data", "id", func(entry gjson.Result, m *dialect.Model) {
			m.Owner = entry.Get("owned_by").String()
			m.Display = entry.Get("name").String() // OpenRouter's
			if created := entry.Get("created").Int(); created > 0 {
				m.Created = time.Unix(created, 0).UTC()
			}
			if m.Owner == "" {
				m.Owner = owner
			}
			if entry.Get("object").String() != "model" {
				m.Raw = nil
			}
		})
	},
	Entry: func(m dialect.Model) []byte {
		created := int64(0)
		if !m.Created.IsZero() {
			created = m.Created.Unix()
		}
		b, _ := json.Marshal(struct {
			ID      string `json:"id"`
			Object  string `json:"object"`
			Created int64  `json:"created"`
			OwnedBy string `json:"owned_by"`
		}{m.ID, "model", created, m.Owner})
		return b
	},
	Page: func(_ []dialect.Model, entries []json.RawMessage, _ url.Values) (any, error) {
		return struct {
			Object string            `json:"object"`
			Data   []json.RawMessage `json:"data"`
		}{"list", entries}, nil
	},
}
