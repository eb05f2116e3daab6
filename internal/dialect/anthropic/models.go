package anthropic

import (
	"cmp"
	"encoding/json"
	"net/http"
	"net/url"
	"time"

	"github.com/tidwall/gjson"

	"forward/internal/dialect"
)

// A page has 20 models without a limit, and 1,000 at most. Source:
// https://docs.anthropic.com/en/api/models-list.
const (
	usualPage = 20
	mostPage  = 1000
)

// lists follow https://docs.anthropic.com/en/api/models-list. Claude Code asks
// for limit=1000 and reads id and display_name
// (https://code.claude.com/docs/en/llm-gateway).
var lists = dialect.Lists{
	Path:      "/v1/models",
	Query:     "limit=1000",
	Header:    http.Header{"Anthropic-Version": {"2023-06-01"}},
	Operation: dialect.Messages,
	Read: func(list []byte, owner string) []dialect.Model {
		return dialect.ReadModels(list, "data", "id", func(entry gjson.Result, m *dialect.Model) {
			m.Owner = owner
			m.Display = entry.Get("display_name").String()
			m.Created, _ = time.Parse(time.RFC3339, entry.Get("created_at").String())
			if entry.Get("type").String() != "model" { // a compatible server answers in OpenAI's form
				m.Raw = nil
			}
		})
	},
	Entry: func(m dialect.Model) []byte {
		b, _ := json.Marshal(struct {
			Type        string `json:"type"`
			ID          string `json:"id"`
			DisplayName string `json:"display_name"`
			CreatedAt   string `json:"created_at"`
		}{"model", m.ID, cmp.Or(m.Display, m.ID), cmp.Or(m.Created, time.Unix(0, 0)).UTC().Format(time.RFC3339)})
		return b
	},
	Page: page,
}

// page writes the models after or before one.
func page(models []dialect.Model, entries []json.RawMessage, query url.Values) (any, error) {
	size, err := dialect.Size(query, "limit", usualPage, mostPage)
	if err != nil {
		return nil, err
	}
	after, err := dialect.Find(models, query, "after_id")
	if err != nil {
		return nil, err
	}
	before, err := dialect.Find(models, query, "before_id")
	if err != nil {
		return nil, err
	}
	start := after + 1
	end := min(start+size, len(models))
	more := end < len(models)
	if before >= 0 {
		end = before
		start = max(end-size, 0)
		more = start > 0
	}
	p := struct {
		Data    []json.RawMessage `json:"data"`
		HasMore bool              `json:"has_more"`
		FirstID *string           `json:"first_id"`
		LastID  *string           `json:"last_id"`
	}{Data: entries[start:end], HasMore: more}
	if start < end {
		p.FirstID = &models[start].ID
		p.LastID = &models[end-1].ID
	}
	return p, nil
}
