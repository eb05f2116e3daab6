package gemini

import (
	"cmp"
	"encoding/json"
	"net/url"
	"strings"

	"github.com/tidwall/gjson"

	"forward/internal/dialect"
)

// A page has 50 models without a size, and 1,000 at most. Source:
// https://ai.google.dev/api/models, "models.list".
const (
	usualPage = 50
	mostPage  = 1000
)

// resource stands before the name of a model.
const resource = "models/"

var lists = dialect.Lists{
	Path:      "/v1beta/models",
	Query:     "pageSize=1000",
	Operation: dialect.Generate,
	Read: func(list []byte, owner string) []dialect.Model {
		return dialect.ReadModels(list, "models", "name", func(entry gjson.Result, m *dialect.Model) {
			m.Owner = owner
			m.Display = entry.Get("displayName").String()
			if name, ok := strings.CutPrefix(m.ID, resource); ok {
				m.ID = name
				m.Prefix = resource
			}
		})
	},
	Entry: func(m dialect.Model) []byte {
		b, _ := json.Marshal(struct {
			Name    string   `json:"name"`
			Display string   `json:"displayName"`
			Methods []string `json:"supportedGenerationMethods"`
		}{resource + m.ID, cmp.Or(m.Display, m.ID), []string{"generateContent", "countTokens"}})
		return b
	},
	Page: func(models []dialect.Model, entries []json.RawMessage, query url.Values) (any, error) {
		size, err := dialect.Size(query, "pageSize", usualPage, mostPage)
		if err != nil {
			return nil, err
		}
		start := 0
		token := query.Get("pageToken")
		if token != "" {
			start, err = dialect.AfterToken(models, token, "pageToken")
			if err != nil {
				return nil, err
			}
		}
		end := min(start+size, len(models))
		p := struct {
			Models []json.RawMessage `json:"models"`
			Next   string            `json:"nextPageToken,omitempty"`
		}{Models: entries[start:end]}
		if end < len(models) {
			p.Next = dialect.PageToken(models[end-1])
		}
		return p, nil
	},
}
