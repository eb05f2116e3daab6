package admin

import (
	"crypto/hmac"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"os"
	"regexp"
	"strings"
	"time"

	"forward/internal/audit"
	"forward/internal/keys"
	"forward/internal/session"
)

func (s *server) sessionRoutes() []route {
	return []route{
		{method: http.MethodPost, pattern: "/_/api/session", ask: s.signIn, needs: hasSessions},
		{method: http.MethodGet, pattern: "/_/api/session", who: both, ask: s.showSession},
		{method: http.MethodDelete, pattern: "/_/api/session", who: both, ask: s.signOut},
		{method: http.MethodGet, pattern: "/_/api/sessions", who: administrators, ask: s.listSessions, needs: hasSessions},
		{method: http.MethodDelete, pattern: "/_/api/sessions", who: administrators, ask: s.endSessions, needs: hasSessions},
		{method: http.MethodDelete, pattern: "/_/api/sessions/{id}", who: administrators, ask: s.endSession, needs: hasSessions},
	}
}

// hasSessions is the need of a sign-in.
func hasSessions(s *server) error {
	if s.Sessions == nil {
		return &problem{status: http.StatusNotFound, code: "dashboard_off", message: "There is no sign-in here: the dashboard is switched off, is at DASHBOARD_ADDR, or DATA_DIR cannot be written."}
	}
	return nil
}

// sessionView is who is signed in, and what the gateway has switched on.
type sessionView struct {
	Role     string     `json:"role"`
	Name     string     `json:"name"` // of the holder's key; "" for the administrator
	Key      string     `json:"key"`  // its id
	Until    *time.Time `json:"until"`
	Version  string     `json:"version"`
	Zone     string     `json:"zone"`
	Secure   bool       `json:"secure"` // what is sent cannot be read on its way
	Features Features   `json:"features"`
}

func (s *server) sessionOf(r *http.Request, v *viewer) sessionView {
	view := sessionView{Role: v.role, Version: s.Features.Version, Zone: zoneName(s.now()), Secure: s.secure(r), Features: s.Features.shown()}
	if v.key != nil {
		view.Name, view.Key = v.key.Name, v.key.ID()
	}
	if v.session != nil {
		view.Until = when(v.session.Until().In(s.Location))
	}
	return view
}

// zoneName is the name of a time's zone as browsers know it. The zone of the
// machine has none in Go, so it is read where Go reads the zone itself.
func zoneName(now time.Time) string {
	name := now.Location().String()
	if name != "Local" {
		return name
	}
	if path, err := os.Readlink("/etc/localtime"); err == nil {
		if _, zone, ok := strings.Cut(path, "zoneinfo/"); ok {
			return zone
		}
	}
	if _, offset := now.Zone(); offset != 0 {
		return now.Format("-07:00")
	}
	return "UTC"
}

// secure reports whether a request came over TLS, or from the machine itself.
func (s *server) secure(r *http.Request) bool {
	name := hostname(r)
	ip, err := netip.ParseAddr(name)
	return s.overTLS(r) || name == "localhost" || strings.HasSuffix(name, ".localhost") || (err == nil && ip.IsLoopback())
}

func (s *server) overTLS(r *http.Request) bool { return strings.HasPrefix(s.Origin(r), "https://") }

func (s *server) showSession(r *http.Request, v *viewer) (any, error) { return s.sessionOf(r, v), nil }

// signIn opens a session by ADMIN_KEY, by a forward key, or by the code of a
// link of `forward dashboard`. Each try is recorded, without what was tried.
// Where too many wrong ones came from an address, what is tried is not looked
// at, and right ones have to wait too.
func (s *server) signIn(r *http.Request, _ *viewer) (any, error) {
	var given struct{ Key, Code string }
	if err := decode(r, &given); err != nil {
		return nil, err
	}
	if (given.Key == "") == (given.Code == "") {
		return nil, &problem{status: http.StatusBadRequest, code: "invalid_body", message: "Send either key, which is ADMIN_KEY or a forward key, or code, which is of a link by forward dashboard.", param: "key"}
	}
	if wait := s.Guard.Wait(s.Address(r), s.Now()); wait > 0 {
		return nil, &problem{status: http.StatusTooManyRequests, code: "rate_limit_exceeded", wait: wait,
			message: fmt.Sprintf("%d wrong keys came from your address within a minute. Try again later.", keys.MaxFailures)}
	}
	v, one, err := s.opener(r, given.Key, given.Code)
	if err != nil {
		p, ok := errors.AsType[*problem](err)
		if !ok {
			return nil, err
		}
		if p.status == http.StatusUnauthorized {
			s.Guard.Fail(s.Address(r), given.Key+given.Code, s.Now())
		}
		s.record(r, &viewer{}, audit.Entry{Action: "session.refused", After: map[string]string{"reason": p.code}})
		return nil, err
	}
	return s.start(r, v, one)
}

// opener returns the caller that a key or a code belongs to, and the session
// that it opens.
func (s *server) opener(r *http.Request, key, code string) (*viewer, *session.Session, error) {
	one := &session.Session{Role: session.Administrator, Address: s.Address(r).String(), Agent: r.UserAgent()}
	administrator := &viewer{role: session.Administrator}
	if code != "" {
		err := s.Sessions.Redeem(r.Context(), code)
		if errors.Is(err, session.ErrUsed) {
			return nil, nil, &problem{status: http.StatusUnauthorized, code: "link_used", message: "This link was used before or has expired. Make another one by forward dashboard.", param: "code"}
		}
		one.Proof = s.Sessions.Proof(s.AdminKey.Reveal())
		return administrator, one, err
	}
	if s.AdminKey.Is(key) {
		one.Proof = s.Sessions.Proof(key)
		return administrator, one, nil
	}
	found, err := s.Ring.Lookup(key)
	v, err := s.holder(r, found, err)
	if p, ok := errors.AsType[*problem](err); ok && p.code == "invalid_api_key" {
		err = &problem{status: http.StatusUnauthorized, code: "invalid_api_key", message: "This is neither ADMIN_KEY nor a forward key.", param: "key"}
	}
	if err != nil {
		return nil, nil, err
	}
	one.Role, one.Key, one.Proof = session.Holder, v.key.ID(), s.Ring.Digest(key)
	return v, one, nil
}

// start opens a session and sends its cookie. It ends the one that the browser
// had: its cookie is replaced.
func (s *server) start(r *http.Request, v *viewer, one *session.Session) (any, error) {
	if before, err := s.Sessions.Find(r.Context(), s.cookie(r)); err == nil {
		if err := s.Sessions.End(r.Context(), before.ID); err != nil && !errors.Is(err, session.ErrNone) {
			return nil, err
		}
	}
	secret, err := s.Sessions.Start(r.Context(), one)
	if err != nil {
		return nil, err
	}
	v.session = one
	s.record(r, v, audit.Entry{Action: "session.start", Object: one.ID})
	return reply{http.StatusCreated, http.Header{"Set-Cookie": {s.newCookie(r, secret).String()}}, s.sessionOf(r, v)}, nil
}

// signOut ends the session of the request. A credential in a request has none.
func (s *server) signOut(r *http.Request, v *viewer) (any, error) {
	if v.session == nil {
		return reply{status: http.StatusNoContent}, nil
	}
	if err := s.Sessions.End(r.Context(), v.session.ID); err != nil && !errors.Is(err, session.ErrNone) {
		return nil, err
	}
	s.record(r, v, audit.Entry{Action: "session.end", Object: v.session.ID})
	return reply{status: http.StatusNoContent, header: http.Header{"Set-Cookie": {s.newCookie(r, "").String()}}}, nil
}

// cookieName is that of the session's cookie. Browsers keep cookies by host and
// not by port, so it names the gateway; and over TLS it has the prefix with
// which browsers take it from TLS alone.
func (s *server) cookieName(r *http.Request) string {
	name := "forward-" + s.Sessions.Instance()
	if s.overTLS(r) {
		return "__Secure-" + name
	}
	return name
}

// newCookie is the cookie with a session's secret; with "" the browser removes
// the one that it has. Its path keeps it from the requests of programs, which
// are not below /_/.
func (s *server) newCookie(r *http.Request, secret string) *http.Cookie {
	c := &http.Cookie{Name: s.cookieName(r), Value: secret, Path: "/_/", MaxAge: int(session.Longest.Seconds()), Secure: s.overTLS(r), HttpOnly: true, SameSite: http.SameSiteStrictMode}
	if prefix := strings.TrimRight(s.Browser.Prefix(r), "/"); pathPrefix.MatchString(prefix) {
		c.Path = prefix + "/_/"
	}
	if secret == "" {
		c.MaxAge = -1
	}
	return c
}

// pathPrefix matches what may stand in a cookie's path.
var pathPrefix = regexp.MustCompile(`^(/[A-Za-z0-9._~-]+)+$`)

// cookie returns the secret of the session that a request names, or "".
func (s *server) cookie(r *http.Request) string {
	if s.Sessions == nil {
		return ""
	}
	c, err := r.Cookie(s.cookieName(r))
	if err != nil {
		return ""
	}
	return c.Value
}

// openSession is a session as the administrator sees it.
type openSession struct {
	ID      string    `json:"id"` // not the secret
	Role    string    `json:"role"`
	Name    string    `json:"name"`
	Key     string    `json:"key"`
	Created time.Time `json:"created"`
	Seen    time.Time `json:"seen"`
	Until   time.Time `json:"until"`
	Address string    `json:"address"`
	Agent   string    `json:"agent"`
	Current bool      `json:"current"` // it is the caller's own
}

// listSessions shows the sessions whose credentials are still good.
func (s *server) listSessions(r *http.Request, v *viewer) (any, error) {
	if _, err := query(r); err != nil {
		return nil, err
	}
	list, err := s.Sessions.List(r.Context())
	if err != nil {
		return nil, err
	}
	views := []openSession{}
	for _, one := range list {
		view := openSession{ID: one.ID, Role: one.Role, Key: one.Key, Created: one.Created.In(s.Location), Seen: one.Seen.In(s.Location), Until: one.Until().In(s.Location),
			Address: one.Address, Agent: one.Agent, Current: v.session != nil && v.session.ID == one.ID}
		if one.Role == session.Holder {
			key, err := s.Ring.ByDigest(one.Proof)
			if err != nil {
				continue
			}
			view.Name = key.Name
		} else if !hmac.Equal(one.Proof, s.Sessions.Proof(s.AdminKey.Reveal())) {
			continue
		}
		views = append(views, view)
	}
	return struct {
		Sessions []openSession `json:"sessions"`
	}{views}, nil
}

func (s *server) endSession(r *http.Request, v *viewer) (any, error) {
	id := r.PathValue("id")
	err := s.Sessions.End(r.Context(), id)
	if errors.Is(err, session.ErrNone) {
		return nil, &problem{status: http.StatusNotFound, code: "session_not_found", message: "There is no open session of this id.", param: "id"}
	}
	if err != nil {
		return nil, err
	}
	s.record(r, v, audit.Entry{Action: "session.end", Object: id})
	return reply{status: http.StatusNoContent}, nil
}

// endSessions ends all sessions but the caller's own.
func (s *server) endSessions(r *http.Request, v *viewer) (any, error) {
	if _, err := query(r); err != nil {
		return nil, err
	}
	own := ""
	if v.session != nil {
		own = v.session.ID
	}
	n, err := s.Sessions.EndAll(r.Context(), own)
	if err != nil {
		return nil, err
	}
	s.record(r, v, audit.Entry{Action: "session.end", Object: "all others", After: map[string]int64{"ended": n}})
	return reply{status: http.StatusNoContent}, nil
}
