package admin

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"forward/internal/audit"
	"forward/internal/chatlog"
	"forward/internal/dialect"
	"forward/internal/ledger"
)

// Chats is where the content of requests is. The zero value means that none is
// kept.
type Chats struct {
	On        bool
	Dir       string
	Content   string        // full, meta or redacted where the key sets nothing; "" means full
	Retention time.Duration // 0: forever
}

type costLine struct {
	Name     string `json:"name"`
	Quantity int64  `json:"quantity"`
	Unit     string `json:"unit"`
	Rate     *int64 `json:"rate_nano_usd_per_million"`
	Cost     int64  `json:"cost_nano_usd"`
}

type refusalView struct {
	Code    string     `json:"code"`
	Message string     `json:"message"`
	Limit   string     `json:"limit"`
	Scope   string     `json:"scope"`
	Detail  string     `json:"detail"`
	Retry   *time.Time `json:"retry_at"`
}

type requestDetail struct {
	Request   ledger.Row   `json:"request"`
	Open      bool         `json:"open"`
	CostLines []costLine   `json:"cost_lines"`
	Content   string       `json:"content"`
	Refusal   *refusalView `json:"refusal"`
}

// noSuchRequest refuses an id that the viewer does not see, also where there is
// one.
var noSuchRequest = &problem{status: http.StatusNotFound, code: "request_not_found",
	message: "There is no request of this id. It may be older than the ledger keeps, was refused before its key was known, or is not written yet."}

// request reads the row of a request, if it is the viewer's to see.
func (s *server) request(r *http.Request, v *viewer) (row ledger.Row, open bool, err error) {
	id := r.PathValue("id")
	if !ledger.IsID(id) && !v.isAdministrator() { // the row of another one is found by reading all
		if settles, err := s.Ledger.IsSettlement(r.Context(), id); err != nil || !settles {
			return row, false, cmp.Or(err, error(noSuchRequest))
		}
	}
	row, open, err = s.Ledger.Trail(r.Context(), id)
	if errors.Is(err, ledger.ErrNoRow) {
		return row, false, noSuchRequest
	}
	if err == nil && !v.isAdministrator() && row.Key != v.key.ID() {
		return row, false, noSuchRequest
	}
	return row, open, err
}

func (s *server) showRequest(r *http.Request, v *viewer) (any, error) {
	if _, err := query(r); err != nil {
		return nil, err
	}
	row, open, err := s.request(r, v)
	if err != nil {
		return nil, err
	}
	out := requestDetail{Open: open, CostLines: []costLine{}, Content: s.contentState(&row), Refusal: s.refusal(&row)}
	if v.isAdministrator() || !isOverride(row.Price) {
		for _, l := range row.CostLines() {
			out.CostLines = append(out.CostLines, costLine{l.Name, l.Quantity, l.Unit, (*int64)(l.Rate), int64(l.Cost)})
		}
	}
	hide(v, &row)
	out.Request = row
	return out, nil
}

// refusal is why a request was refused: by a limit of the gateway's, or by the
// upstream.
func (s *server) refusal(row *ledger.Row) *refusalView {
	f, ok := row.Refusal()
	switch {
	case ok:
	case row.Status >= 400 && row.Status != 499 && row.Attempts > 0:
		f = ledger.Refusal{Message: fmt.Sprintf("The upstream answered %d.", row.Status), Limit: "upstream", Scope: "route " + row.Route, Detail: row.Cause}
	default:
		return nil
	}
	out := &refusalView{row.Cause, f.Message, f.Limit, f.Scope, f.Detail, nil}
	if !f.Retry.IsZero() {
		at := f.Retry.In(s.Location)
		out.Retry = &at
	}
	return out
}

// policy is what the chat log keeps of a row's key now.
func (s *server) policy(row *ledger.Row) string {
	set := ""
	if key, err := s.Ring.ByID(row.Key); key != nil && err == nil {
		set = key.Policy.Log
	}
	return s.keeps(set)
}

// keeps returns what is kept of the requests of a key with a policy.
func (s *server) keeps(log string) string { return cmp.Or(log, s.Features.Chats.Content, "full") }

// contentState is whether the content of a request can be shown, or why not. A
// policy that removes content now removes that of earlier requests too.
func (s *server) contentState(row *ledger.Row) string {
	policy := s.policy(row)
	switch {
	case !s.Features.Chats.On:
		return "no_chat_log"
	case !s.Features.Content:
		return "disabled"
	case policy == "off" || policy == "meta":
		return policy
	case s.Features.Chats.Retention > 0 && row.Time.Before(s.Now().Add(-s.Features.Chats.Retention)):
		return "expired"
	case !chatlog.Logs(row.Operation) || (row.Attempts == 0 && row.Cache != "hit"):
		return "not_found"
	}
	return "available"
}

// withoutContent are the sentences for each state of contentState.
var withoutContent = map[string]string{
	"no_chat_log": "The gateway keeps no chat log: set LOG_CHAT=true.",
	"disabled":    "The content of requests is not shown here: DASHBOARD_CONTENT is false.",
	"off":         "The key's policy lets the chat log keep nothing of its requests.",
	"meta":        "The key's policy lets the chat log keep sizes and no text.",
	"expired":     "The request is older than the chat log keeps (LOG_RETENTION).",
	"not_found":   "The chat log does not have this request.",
}

type contentView struct {
	Request   json.RawMessage   `json:"request"`
	Response  json.RawMessage   `json:"response"`
	Messages  []chatlog.Message `json:"messages"`
	Policy    string            `json:"policy"`
	Truncated bool              `json:"truncated"`
}

func (s *server) content(r *http.Request, v *viewer) (any, error) {
	if _, err := query(r); err != nil {
		return nil, err
	}
	row, _, err := s.request(r, v)
	if err != nil {
		return nil, err
	}
	missing := func(state string) error {
		return &problem{status: http.StatusNotFound, code: "content_" + state, message: withoutContent[state]}
	}
	if state := s.contentState(&row); state != "available" {
		return nil, missing(state)
	}
	found, err := chatlog.Find(r.Context(), chatlog.Wanted{Dir: s.Features.Chats.Dir, Route: row.Route, Operation: dialect.Operation(row.Operation), UID: row.ID, Time: row.Time})
	if errors.Is(err, chatlog.ErrNotFound) {
		return nil, missing("not_found")
	}
	if err != nil {
		return nil, err
	}
	if v.isAdministrator() {
		s.record(r, v, audit.Entry{Action: "content.read", Object: row.ID, After: map[string]string{"key": row.Key, "key_name": row.KeyName}})
	}
	return contentView{orNull(found.Request), orNull(found.Result), append([]chatlog.Message{}, found.Messages...), s.policy(&row), found.Truncated}, nil
}

// orNull returns null for no JSON.
func orNull(raw json.RawMessage) json.RawMessage {
	if raw == nil {
		return json.RawMessage("null")
	}
	return raw
}
