package admin

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"forward/internal/audit"
	"forward/internal/keys"
)

func (s *server) keyRoutes() []route {
	return []route{
		{method: http.MethodGet, pattern: "/_/api/keys", who: administrators, ask: s.listKeys},
		{method: http.MethodPost, pattern: "/_/api/keys", who: administrators, ask: s.createKey},
		{method: http.MethodGet, pattern: "/_/api/keys/fields", who: administrators, ask: s.keyFields},
		{method: http.MethodPost, pattern: "/_/api/keys/whois", who: administrators, ask: s.whois},
		{method: http.MethodPost, pattern: "/_/api/keys/bulk", who: administrators, ask: s.changeKeys},
		{method: http.MethodGet, pattern: "/_/api/keys/{key}", who: administrators, ask: s.showKey},
		{method: http.MethodPatch, pattern: "/_/api/keys/{key}", who: administrators, ask: s.changeKey},
		{method: http.MethodDelete, pattern: "/_/api/keys/{key}", who: administrators, ask: s.revokeKey},
		{method: http.MethodPost, pattern: "/_/api/keys/{key}/rotate", who: both, ask: s.rotateKey},
		{method: http.MethodPost, pattern: "/_/api/keys/{key}/handover", who: administrators, ask: s.handOver},
		{method: http.MethodGet, pattern: "/_/api/keys/{key}/budget-history", who: both, ask: s.budgetHistory, needs: hasLedger},
		{method: http.MethodPost, pattern: "/_/api/handover", ask: s.openHandover},
	}
}

// editor changes keys by the rules of `forward keys`.
func (s *server) editor() *keys.Editor {
	return &keys.Editor{Store: s.Keys, Declared: s.Declared, Zone: s.Location}
}

// keyView is a keys.View whose times are null where there are none: the API
// promises each of its fields.
type keyView struct {
	ID       string            `json:"id"`
	Name     string            `json:"name"`
	State    string            `json:"state"`
	Origin   string            `json:"origin"`
	Level    int               `json:"level"`
	Expires  *time.Time        `json:"expires"`
	Grace    *time.Time        `json:"grace"`
	Created  *time.Time        `json:"created"`
	Updated  *time.Time        `json:"updated"`
	Masked   string            `json:"masked"` // "": nothing of the secret is known
	Version  int64             `json:"version"`
	LastUsed *time.Time        `json:"last_used"` // the hour
	Pending  bool              `json:"pending"`
	Policy   keys.Policy       `json:"policy"`
	Fields   map[string]string `json:"fields"`
}

func keyViewOf(v keys.View) keyView {
	return keyView{
		ID: v.ID, Name: v.Name, State: v.State, Origin: v.Origin, Level: v.Level, Expires: v.Expires, Grace: v.Grace, Created: v.Created, Updated: v.Updated,
		Masked: v.Masked, Version: v.Version, Pending: v.Pending, Policy: v.Policy, Fields: v.Fields,
	}
}

// keyDetail is a key with the state of its budgets.
type keyDetail struct {
	keyView
	Budgets []budgetView `json:"budgets"`
	Used    usedView     `json:"used"`
}

func (s *server) now() time.Time { return s.Now().In(s.Location) }

// views returns all keys, those of the settings first.
func (s *server) views(ctx context.Context) ([]keyView, error) {
	views := []keyView{}
	for _, v := range s.Declared.Views(s.now()) {
		views = append(views, keyViewOf(v))
	}
	if s.Keys == nil {
		return views, nil
	}
	managed, err := s.Keys.List(ctx)
	if err != nil {
		return nil, err
	}
	for _, m := range managed {
		views = append(views, keyViewOf(m.View(s.now())))
	}
	return views, nil
}

// setLastUsed sets when each key was last used.
func (s *server) setLastUsed(ctx context.Context, views []keyView) error {
	if s.Ledger == nil || len(views) == 0 {
		return nil
	}
	key := ""
	if len(views) == 1 {
		key = views[0].ID
	}
	used, err := s.Ledger.LastUsed(ctx, key)
	if err != nil {
		return err
	}
	for i := range views {
		views[i].LastUsed = when(used[views[i].ID])
	}
	return nil
}

func (s *server) listKeys(r *http.Request, _ *viewer) (any, error) {
	values, err := query(r, "state", "details", "limit", "offset")
	if err != nil {
		return nil, err
	}
	p, err := paging(values)
	if err != nil {
		return nil, err
	}
	state := values.Get("state")
	if states := []string{"", "active", "disabled", "expired", "revoked"}; !slices.Contains(states, state) {
		return nil, invalid("state", "is none of active, disabled, expired, revoked")
	}
	detailed := values.Get("details")
	if !slices.Contains([]string{"", "true", "false"}, detailed) {
		return nil, invalid("details", "is neither true nor false")
	}
	views, err := s.views(r.Context())
	if err != nil {
		return nil, err
	}
	if state != "" {
		views = slices.DeleteFunc(views, func(v keyView) bool { return v.State != state })
	}
	shown := of(p, views)
	err = s.setLastUsed(r.Context(), shown)
	if err != nil {
		return nil, err
	}
	var list any = shown
	if detailed == "true" {
		list, err = s.details(r.Context(), shown)
		if err != nil {
			return nil, err
		}
	}
	return struct {
		Keys  any  `json:"keys"`
		Count int  `json:"count"`
		Next  *int `json:"next_offset"`
	}{list, len(views), p.next(len(views))}, nil
}

func (s *server) showKey(r *http.Request, _ *viewer) (any, error) {
	if _, err := query(r); err != nil {
		return nil, err
	}
	v, err := s.editor().Find(r.Context(), r.PathValue("key"))
	if err != nil {
		return nil, keyProblem(err)
	}
	return s.oneKey(r.Context(), v)
}

// oneKey returns the details of a key.
func (s *server) oneKey(ctx context.Context, v keys.View) (reply, error) {
	views := []keyView{keyViewOf(v)}
	err := s.setLastUsed(ctx, views)
	if err != nil {
		return reply{}, err
	}
	list, err := s.details(ctx, views)
	if err != nil {
		return reply{}, err
	}
	return reply{status: http.StatusOK, header: etag(v.Version), value: list[0]}, nil
}

// etag returns the header with a key's version, if it has one.
func etag(version int64) http.Header {
	if version == 0 {
		return nil
	}
	return http.Header{"Etag": {fmt.Sprintf(`"%d"`, version)}}
}

// details adds the state of their budgets and what they used to keys, by a few
// queries for all of them.
func (s *server) details(ctx context.Context, views []keyView) ([]keyDetail, error) {
	policies := make(map[string]*keys.Policy, len(views))
	for i := range views {
		policies[views[i].ID] = &views[i].Policy
	}
	balances, err := s.balances(ctx, policies)
	if err != nil {
		return nil, err
	}
	only := ""
	if len(views) == 1 {
		only = views[0].ID
	}
	used, err := s.used(ctx, only)
	if err != nil {
		return nil, err
	}
	list := make([]keyDetail, len(views))
	for i, v := range views {
		list[i] = keyDetail{v, s.standing(v.Policy, balances[v.ID]), used[v.ID]}
	}
	return list, nil
}

func (s *server) keyFields(r *http.Request, _ *viewer) (any, error) {
	if _, err := query(r); err != nil {
		return nil, err
	}
	return struct {
		Fields []keys.Field `json:"fields"`
	}{keys.Fields()}, nil
}

// whois finds the key of a secret, which comes in the body, for URLs are
// written into logs.
func (s *server) whois(r *http.Request, v *viewer) (any, error) {
	var asked struct {
		Secret string `json:"secret"`
	}
	if err := decode(r, &asked); err != nil {
		return nil, err
	}
	found, replaced, err := s.editor().Whois(r.Context(), strings.TrimSpace(asked.Secret))
	if err != nil {
		return nil, keyProblem(err)
	}
	views := []keyView{keyViewOf(found)}
	err = s.setLastUsed(r.Context(), views)
	if err != nil {
		return nil, err
	}
	s.record(r, v, audit.Entry{Action: "key.whois", Object: found.ID})
	return struct {
		Key      keyView `json:"key"`
		Replaced bool    `json:"replaced"`
	}{views[0], replaced}, nil
}
