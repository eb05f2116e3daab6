package admin

import (
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"

	"forward/internal/audit"
	"forward/internal/keys"
	"forward/internal/session"
)

// Every change of a key is made by keys.Editor, as forward keys makes it. The
// running gateway applies it as it applies those of the command line, within a
// second.

// newKey is the answer with the secret of a key, the only one that has it.
type newKey struct {
	Key      any       `json:"key"`
	Secret   *string   `json:"secret"`
	Handover *handover `json:"handover"`
}

// handover is a link by which a holder gets a secret.
type handover struct {
	Path  string    `json:"path"` // after the dashboard's address
	Until time.Time `json:"until"`
}

func (s *server) handoverOf(l keys.Link) *handover {
	if l.Code.IsZero() {
		return nil
	}
	return &handover{l.Path(), l.Until.In(s.Location)}
}

func revealed(secret keys.Secret) *string {
	if secret.IsZero() {
		return nil
	}
	text := secret.Reveal()
	return &text
}

// maxToken bounds an Idempotency-Key, in bytes.
const maxToken = 255

func (s *server) createKey(r *http.Request, v *viewer) (any, error) {
	var asked struct {
		Fields map[string]string `json:"fields"`
		Secret string            `json:"secret"`
	}
	if err := decode(r, &asked); err != nil {
		return nil, err
	}
	token := r.Header.Get("Idempotency-Key")
	switch {
	case asked.Secret != "" && asked.Secret != "now" && asked.Secret != "later":
		return nil, &problem{status: http.StatusBadRequest, code: "invalid_body", message: "secret is neither now nor later.", param: "secret"}
	case len(token) > maxToken:
		return nil, &problem{status: http.StatusBadRequest, code: "invalid_header", message: "The Idempotency-Key is longer than 255 bytes.", param: "Idempotency-Key"}
	}
	request, err := json.Marshal(asked) // whose members have an order
	if err != nil {
		return nil, err
	}
	made, err := s.editor().Create(r.Context(), asked.Fields, keys.Creation{Pending: asked.Secret == "later", Token: token, Request: string(request)})
	if err != nil {
		return nil, keyProblem(err)
	}
	if !made.Repeated {
		s.record(r, v, audit.Entry{Action: "key.create", Object: made.Key.ID, After: made.Key.Recorded(s.now())})
	}
	one, err := s.oneKey(r.Context(), made.Key.View(s.now()))
	if err != nil {
		return nil, err
	}
	one.header.Set("Location", s.Browser.Prefix(r)+"/_/api/keys/"+made.Key.ID)
	return reply{status: http.StatusCreated, header: one.header, value: newKey{one.value, revealed(made.Secret), s.handoverOf(made.Link)}}, nil
}

func (s *server) changeKey(r *http.Request, v *viewer) (any, error) {
	var asked struct {
		Fields   map[string]*string `json:"fields"`
		Disabled *bool              `json:"disabled"`
	}
	if err := decode(r, &asked); err != nil {
		return nil, err
	}
	change := keys.Change{Disabled: asked.Disabled, Texts: map[string]string{}}
	for name, text := range asked.Fields {
		if text == nil {
			change.Texts[name] = "" // taken away, as a merge patch has it
		} else {
			change.Texts[name] = *text
		}
	}
	var err error
	change.Version, err = ifMatch(r)
	if err != nil {
		return nil, err
	}
	done, err := s.editor().Change(r.Context(), r.PathValue("key"), change)
	if err != nil {
		return nil, keyProblem(err)
	}
	s.record(r, v, s.changed("key.update", done))
	return s.oneKey(r.Context(), done.After.View(s.now()))
}

// ifMatch returns the version of the key that a change is about, 0 for any.
func ifMatch(r *http.Request) (int64, error) {
	text := r.Header.Get("If-Match")
	if text == "" || text == "*" {
		return 0, nil
	}
	quoted, ok := strings.CutPrefix(text, `"`)
	number, closed := strings.CutSuffix(quoted, `"`)
	n, err := strconv.ParseInt(number, 10, 64)
	if !ok || !closed || err != nil || n <= 0 {
		return 0, &problem{status: http.StatusBadRequest, code: "invalid_header", message: `If-Match is the ETag of the key as it was read, such as "12".`, param: "If-Match"}
	}
	return n, nil
}

// changed is the entry of a change in the audit.
func (s *server) changed(action string, done keys.Changed) audit.Entry {
	return audit.Entry{Action: action, Object: done.After.ID, Before: done.Before.Recorded(s.now()), After: done.After.Recorded(s.now())}
}

// changeKeys disables, enables or ends many keys at once.
func (s *server) changeKeys(r *http.Request, v *viewer) (any, error) {
	var asked struct {
		IDs      []string `json:"ids"`
		Disabled *bool    `json:"disabled"`
		Expires  *string  `json:"expires"`
	}
	if err := decode(r, &asked); err != nil {
		return nil, err
	}
	change := keys.Change{Disabled: asked.Disabled, Texts: map[string]string{}}
	if asked.Expires != nil {
		change.Texts["expires"] = *asked.Expires
	}
	switch {
	case len(asked.IDs) == 0 || len(asked.IDs) > maxLimit:
		return nil, &problem{status: http.StatusBadRequest, code: "invalid_body", message: "ids names from 1 to 1000 keys.", param: "ids"}
	case asked.Disabled == nil && asked.Expires == nil:
		return nil, &problem{status: http.StatusBadRequest, code: "invalid_body", message: "Write what to change: disabled, or expires."}
	}
	done, failed, err := s.editor().ChangeAll(r.Context(), asked.IDs, change)
	if err != nil {
		return nil, keyProblem(err)
	}
	var entries []audit.Entry
	for _, one := range done {
		entries = append(entries, s.changed("key.update", one))
	}
	s.record(r, v, entries...)
	type failure struct {
		ID      string `json:"id"`
		Message string `json:"message"`
	}
	failures := []failure{}
	for _, id := range asked.IDs { // in their order
		if err := failed[id]; err != nil {
			failures = append(failures, failure{id, err.Error()})
		}
	}
	return struct {
		Changed int       `json:"changed"`
		Failed  []failure `json:"failed"`
	}{len(done), failures}, nil
}

// rotateKey gives a key a new secret. Holders may do it with their own key
// where KEY_ROTATE_OWN allows it.
func (s *server) rotateKey(r *http.Request, v *viewer) (any, error) {
	ref := r.PathValue("key")
	if v.key != nil {
		if !v.owns(ref) {
			return nil, noSuchKey
		}
		if !s.Features.RotateOwn {
			return nil, &problem{status: http.StatusForbidden, code: "role_not_allowed", message: "Only the administrator may rotate keys here: KEY_ROTATE_OWN=true lets holders rotate their own."}
		}
		ref = v.key.ID()
	}
	var asked struct {
		Grace string `json:"grace"`
	}
	if err := decode(r, &asked); err != nil {
		return nil, err
	}
	done, secret, err := s.editor().Rotate(r.Context(), ref, asked.Grace)
	if err != nil {
		return nil, keyProblem(err)
	}
	s.record(r, v, s.changed("key.rotate", done))
	one, err := s.oneKey(r.Context(), done.After.View(s.now()))
	if err != nil {
		return nil, err
	}
	one.value = newKey{Key: forViewer(v, one.value.(keyDetail)), Secret: revealed(secret)}
	return one, nil
}

// owns reports whether a reference is that of the holder's key.
func (v *viewer) owns(ref string) bool {
	return v.role == session.Holder && (ref == v.key.ID() || ref == v.key.Name)
}

// forViewer leaves out of a key what is the administrator's: tags, priority,
// and what the chat log keeps.
func forViewer(v *viewer, k keyDetail) keyDetail {
	if v.isAdministrator() {
		return k
	}
	k.Policy.Tags, k.Policy.Priority, k.Policy.Log = nil, 0, ""
	settings := keys.Settings{Name: k.Name, Level: k.Level, Policy: k.Policy}
	if k.Expires != nil {
		settings.Expires = *k.Expires
	}
	k.Fields = settings.Texts()
	return k
}

func (s *server) revokeKey(r *http.Request, v *viewer) (any, error) {
	done, err := s.editor().Revoke(r.Context(), r.PathValue("key"))
	if err != nil {
		return nil, keyProblem(err)
	}
	s.record(r, v, s.changed("key.revoke", done))
	return reply{status: http.StatusNoContent}, nil
}

func (s *server) handOver(r *http.Request, v *viewer) (any, error) {
	if err := decode(r, &struct{}{}); err != nil {
		return nil, err
	}
	m, link, err := s.editor().Handover(r.Context(), r.PathValue("key"))
	if err != nil {
		return nil, keyProblem(err)
	}
	s.record(r, v, audit.Entry{Action: "key.handover", Object: m.ID, After: struct {
		Until time.Time `json:"until"`
	}{link.Until.In(s.Location)}})
	return reply{status: http.StatusCreated, value: s.handoverOf(link)}, nil
}

// openHandover opens a hand-over link for a caller that has no key yet. Wrong
// codes are slowed down as wrong keys are.
func (s *server) openHandover(r *http.Request, v *viewer) (any, error) {
	var asked struct {
		Code string `json:"code"`
	}
	if err := decode(r, &asked); err != nil {
		return nil, err
	}
	gone := &problem{status: http.StatusGone, code: "link_gone", message: "This link was opened, was replaced by another one, or has expired. Ask your gateway administrator for a new one.", param: "code"}
	if s.Keys == nil {
		return nil, gone
	}
	done, secret, err := s.Keys.Open(r.Context(), asked.Code)
	if errors.Is(err, keys.ErrLink) {
		if wait := s.Guard.Fail(s.Address(r), asked.Code, s.Now()); wait > 0 {
			return nil, &problem{status: http.StatusTooManyRequests, code: "rate_limit_exceeded", wait: wait, message: "Too many wrong codes came from your address. Try again later."}
		}
		return nil, gone
	}
	if err != nil {
		return nil, err
	}
	e := s.changed("key.open", done)
	e.Actor = "hand-over link"
	s.record(r, v, e)
	return struct {
		Secret string `json:"secret"`
		Name   string `json:"name"`
		ID     string `json:"id"`
	}{secret.Reveal(), done.After.Name, done.After.ID}, nil
}

var noSuchKey = &problem{status: http.StatusNotFound, code: "key_not_found", message: "There is no key of this id or name.", param: "key"}

// refusals are the errors of changes of keys that clients see, in the words of
// forward keys.
var refusals = []struct {
	err    error
	status int
	code   string
}{
	{keys.ErrDeclared, http.StatusConflict, "key_is_declared"},
	{keys.ErrNameTaken, http.StatusConflict, "key_exists"},
	{keys.ErrGone, http.StatusConflict, "key_is_revoked"},
	{keys.ErrRepeated, http.StatusConflict, "idempotency_key_reused"},
	{keys.ErrNoStore, http.StatusConflict, "no_managed_keys"},
	{keys.ErrUnknown, http.StatusNotFound, "key_not_found"},
}

// keyProblem returns what the client sees of an error about a key.
func keyProblem(err error) error {
	if errors.Is(err, keys.ErrNoSuchKey) {
		return noSuchKey
	}
	if changed, ok := errors.AsType[*keys.VersionError](err); ok {
		return &problem{status: http.StatusPreconditionFailed, code: "version_mismatch", message: err.Error(), param: "If-Match", header: etag(changed.Version)}
	}
	if errors.As(err, new(*keys.InputError)) {
		return &problem{status: http.StatusBadRequest, code: "invalid_key", message: err.Error(), param: "fields"}
	}
	for _, r := range refusals {
		if errors.Is(err, r.err) {
			return &problem{status: r.status, code: r.code, message: err.Error()}
		}
	}
	return err
}
