package admin

import (
	"errors"
	"net/http"
	"path"
	"strings"
	"time"

	"forward/internal/clients"
)

// usedLately is how far back the last use of a model is looked for.
const usedLately = 30 * 24 * time.Hour

// Model is a model as a viewer may use it. Aliases, routes and fallbacks that
// are nil are answered as empty lists.
type Model struct {
	ID        string      `json:"id"`
	Routes    []string    `json:"routes"` // prefixes
	Price     *ModelPrice `json:"price"`  // null: it has none
	Context   *int64      `json:"context"`
	MaxOutput *int64      `json:"max_output"`
	Aliases   []string    `json:"aliases"`
	Fallbacks []string    `json:"fallbacks"` // of an administrator's answer alone
	RPM       int64       `json:"rpm"`       // of the queue; 0: none
	TPM       int64       `json:"tpm"`
	LastUsed  *time.Time  `json:"last_used"` // the hour; null: not in the last 30 days
}

// ModelPrice is what a million tokens cost, in nano-dollars; null where they
// have no rate.
type ModelPrice struct {
	Input  *int64 `json:"input"`
	Output *int64 `json:"output"`
	Cached *int64 `json:"cached"`
	Source string `json:"source"`
	Date   string `json:"date"` // of the source; "": forward.yaml
}

func (s *server) modelRoutes() []route {
	return []route{
		{method: http.MethodGet, pattern: "/_/api/models", who: both, ask: s.models},
		{method: http.MethodGet, pattern: "/_/api/recipes", who: both, ask: s.recipes},
	}
}

// models lists what the viewer may use. A holder sees its own last use, and no
// fallbacks, which are models that its key need not have.
func (s *server) models(r *http.Request, v *viewer) (any, error) {
	if _, err := query(r); err != nil {
		return nil, err
	}
	list := []Model{}
	if s.Models != nil {
		list = append(list, s.Models(r.Context(), v.key)...)
	}
	used := map[string]time.Time{}
	if s.Ledger != nil {
		id := ""
		if v.key != nil {
			id = v.key.ID()
		}
		var err error
		used, err = s.Ledger.ModelsUsed(r.Context(), id, s.Now().Add(-usedLately))
		if err != nil {
			return nil, err
		}
	}
	for i := range list {
		m := &list[i]
		m.LastUsed = when(used[m.ID])
		if !v.isAdministrator() {
			m.Fallbacks = nil
		}
		for _, items := range []*[]string{&m.Routes, &m.Aliases, &m.Fallbacks} {
			*items = append([]string{}, *items...) // not null
		}
	}
	return struct {
		Models []Model `json:"models"`
	}{list}, nil
}

// recipes are the sections of docs/clients.md with this gateway's address, and
// with fk-… in place of a key: pages write the key in that they have.
func (s *server) recipes(r *http.Request, _ *viewer) (any, error) {
	if _, err := query(r); err != nil {
		return nil, err
	}
	guide, err := clients.New(clients.Options{URL: s.baseURL(r)})
	if errors.Is(err, clients.ErrAddress) {
		guide, err = clients.New(clients.Options{})
	}
	if err != nil {
		return nil, err
	}
	type recipe struct {
		ID   string `json:"id"`
		Name string `json:"name"`
		Kind string `json:"kind"`
		Text string `json:"text"`
	}
	list := []recipe{}
	for _, c := range guide.Clients {
		list = append(list, recipe{c.Name, c.Title, kindOf(c.Group), strings.ReplaceAll(c.Text, clients.Key, "fk-…")})
	}
	return struct {
		Recipes []recipe `json:"recipes"`
	}{list}, nil
}

// kindOf is the last word of a heading: agents of "Coding agents".
func kindOf(group string) string {
	return strings.ToLower(path.Base(strings.ReplaceAll(group, " ", "/")))
}
