package admin

import (
	"crypto/hmac"
	"errors"
	"fmt"
	"net/http"

	"forward/internal/keys"
	"forward/internal/session"
)

// viewer is the caller of a request. The zero value is a caller without a
// credential, which only routes for every caller see.
type viewer struct {
	role    string           // session.Administrator or session.Holder
	key     *keys.Key        // the holder's; nil for an administrator
	session *session.Session // nil: the credential came with the request
}

// isAdministrator reports whether the viewer sees all, and not only its own.
func (v *viewer) isAdministrator() bool { return v.role == session.Administrator }

// actor is the name of the viewer in the audit.
func (v *viewer) actor() string {
	if v.key != nil {
		return v.key.Name
	}
	return v.role
}

// may returns the role as a set.
func (v *viewer) roles() roles {
	switch v.role {
	case session.Administrator:
		return administrators
	case session.Holder:
		return holders
	}
	return 0
}

// view finds the caller of a request, and refuses it where its role may not ask
// the route. A credential in the request goes before a cookie: what a program
// presents is what it means.
func (s *server) view(r *http.Request, route route) (*viewer, error) {
	if route.who == 0 {
		return &viewer{}, nil
	}
	query := ""
	if route.inQuery {
		query = r.URL.RawQuery
	}
	presented, _, conflict := keys.Presented(r.Header, query)
	named, _ := keys.Named(r.Header) // beside a credential of the client's own
	secret := s.cookie(r)
	if route.program || presented != "" || named != "" || conflict != nil || secret == "" {
		return s.byCredential(r, route, query)
	}
	v, err := s.bySession(r, secret, route.again)
	switch {
	case err != nil:
		return nil, err
	case v.roles()&route.who == 0:
		return nil, &problem{status: http.StatusForbidden, code: "role_not_allowed", message: wrongRole(route)}
	}
	return v, nil
}

func wrongRole(route route) string {
	if route.who == administrators {
		return "Only the administrator may do this."
	}
	return "Only the holder of a forward key may do this."
}

// byCredential finds the caller by what the request presents. Wrong credentials
// are slowed down where too many came from their address. Right ones are always
// taken: others behind the address must not be able to lock an administrator
// out.
func (s *server) byCredential(r *http.Request, route route, query string) (*viewer, error) {
	v, err := s.presented(r, route, query)
	p, ok := errors.AsType[*problem](err)
	if !ok || p.status != http.StatusUnauthorized {
		return v, err
	}
	presented, _, conflict := keys.Presented(r.Header, query)
	if presented == "" && conflict == nil {
		return nil, err
	}
	wait := s.Guard.Fail(s.Address(r), presented, s.Now())
	if wait == 0 {
		return nil, err
	}
	return nil, &problem{status: http.StatusTooManyRequests, code: "rate_limit_exceeded", wait: wait,
		message: fmt.Sprintf("%s More than %d different wrong keys came from your address within a minute. Try again later.", p.message, keys.MaxFailures)}
}

// presented finds the caller by ADMIN_KEY, which comes in a header only, for
// URLs are written into logs, or by a forward key.
func (s *server) presented(r *http.Request, route route, query string) (*viewer, error) {
	if route.who&administrators != 0 {
		presented, _, err := keys.Presented(r.Header, "")
		if err == nil && s.AdminKey.Is(presented) {
			return &viewer{role: session.Administrator}, nil
		}
	}
	if route.who&holders != 0 {
		key, err := s.lookup(r.Header, query)
		return s.holder(r, key, err)
	}
	if s.AdminKey.IsZero() {
		return nil, &problem{status: http.StatusNotFound, code: "not_found", message: "This gateway has no administrator: set ADMIN_KEY, or sign in to the dashboard by forward dashboard."}
	}
	return nil, &problem{status: http.StatusUnauthorized, code: "invalid_api_key", message: "This needs ADMIN_KEY, in an Authorization header: Bearer …"}
}

// lookup returns the forward key of a request; its errors are those of
// keys.Ring.Lookup and keys.Presented.
func (s *server) lookup(h http.Header, query string) (*keys.Key, error) {
	presented, err := keys.Named(h) // beside a credential of the client's own
	if presented == "" && err == nil {
		presented, _, err = keys.Presented(h, query)
	}
	if err != nil {
		return nil, err
	}
	return s.Ring.Lookup(presented)
}

// holder is the viewer with a key, or why there is none.
func (s *server) holder(r *http.Request, key *keys.Key, err error) (*viewer, error) {
	switch {
	case errors.Is(err, keys.ErrExpired):
		return nil, &problem{status: http.StatusUnauthorized, code: "key_expired", message: "Your key has expired. Ask your gateway administrator for a new one."}
	case errors.Is(err, keys.ErrDisabled):
		return nil, &problem{status: http.StatusUnauthorized, code: "key_disabled", message: "Your key is disabled. Ask your gateway administrator."}
	case err != nil || key == nil:
		return nil, &problem{status: http.StatusUnauthorized, code: "invalid_api_key", message: "This needs a forward key, in an Authorization header: Bearer fk-…"}
	case !key.Policy.AllowsIP(s.Address(r)):
		return nil, &problem{status: http.StatusForbidden, code: "ip_not_allowed", message: "Your key may not be used from this address."}
	}
	return &viewer{role: session.Holder, key: key}, nil
}

// bySession finds the caller by its cookie. A session ends with the credential
// that opened it. A request that is looked at again is no new one of the
// session's.
func (s *server) bySession(r *http.Request, secret string, again bool) (*viewer, error) {
	if s.Sessions == nil {
		return nil, sessionEnded
	}
	find := s.Sessions.Find
	if again {
		find = s.Sessions.Peek
	}
	one, err := find(r.Context(), secret)
	if errors.Is(err, session.ErrNone) {
		return nil, sessionEnded
	}
	if err != nil {
		return nil, err
	}
	v, err := s.opened(r, one)
	if p, ok := errors.AsType[*problem](err); ok && p.status == http.StatusUnauthorized {
		if err := s.Sessions.End(r.Context(), one.ID); err != nil && !errors.Is(err, session.ErrNone) {
			return nil, err
		}
	}
	if err != nil {
		return nil, err
	}
	v.session = one
	return v, nil
}

// sessionEnded refuses a cookie without a session.
var sessionEnded = &problem{status: http.StatusUnauthorized, code: "session_ended", message: "You are not signed in any more. Sign in again."}

// opened is the viewer of a session whose credential is still good.
func (s *server) opened(r *http.Request, one *session.Session) (*viewer, error) {
	if one.Role == session.Administrator {
		if !hmac.Equal(one.Proof, s.Sessions.Proof(s.AdminKey.Reveal())) {
			return nil, sessionEnded
		}
		return &viewer{role: session.Administrator}, nil
	}
	key, err := s.Ring.ByDigest(one.Proof)
	if key != nil && key.ID() != one.Key {
		return nil, sessionEnded
	}
	v, err := s.holder(r, key, err)
	if p, ok := errors.AsType[*problem](err); ok && p.code == "invalid_api_key" {
		return nil, sessionEnded // "This needs a forward key" would puzzle a person
	}
	return v, err
}
