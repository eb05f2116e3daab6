package admin_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"forward/internal/admin"
	"forward/internal/keys"
	"forward/internal/session"
)

// browse sends a request as a page of the dashboard does.
func (h *fixture) browse(method, target, body string, cookie *http.Cookie, change ...func(*http.Request)) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, target, strings.NewReader(body))
	r.Host = "127.0.0.1:8000"
	r.Header.Set("Sec-Fetch-Site", "same-origin")
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("User-Agent", "Mozilla/5.0 (a browser)")
	if cookie != nil {
		r.AddCookie(cookie)
	}
	for _, f := range change {
		f(r)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

// try signs in and returns the answer.
func (h *fixture) try(member, value string, change ...func(*http.Request)) *httptest.ResponseRecorder {
	body, err := json.Marshal(map[string]string{member: value})
	if err != nil {
		h.t.Fatal(err)
	}
	return h.browse(http.MethodPost, "/_/api/session", string(body), nil, change...)
}

// signIn signs in with the key of a name and returns the cookie.
func (h *fixture) signIn(name string, change ...func(*http.Request)) *http.Cookie {
	h.t.Helper()
	w := h.try("key", h.secrets[name], change...)
	cookies := w.Result().Cookies()
	if w.Code != http.StatusCreated || len(cookies) != 1 {
		h.t.Fatalf("%s signs in: %d %v %s", name, w.Code, cookies, w.Body)
	}
	return cookies[0]
}

func (h *fixture) wantStatus(w *httptest.ResponseRecorder, status int, code string) {
	h.t.Helper()
	if w.Code != status || (code != "" && !strings.Contains(w.Body.String(), `"code":"`+code+`"`)) {
		h.t.Errorf("status %d, want %d %s: %s", w.Code, status, code, w.Body)
	}
}

const whoAmI = "/_/api/session"

// D05: both roles sign in and see what is theirs; signing out ends the session
// on the server.
func TestSignIn(t *testing.T) {
	h := newFixture(t).spent()
	for name, role := range map[string]string{"admin": "administrator", "alice": "holder", "ci": "holder"} {
		w := h.try("key", h.secrets[name])
		h.wantStatus(w, http.StatusCreated, "")
		cookie := w.Result().Cookies()[0]
		var got struct {
			Role, Name, Key, Zone string
			Until                 time.Time
			Secure                bool
		}
		if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil {
			t.Fatal(err)
		}
		if got.Role != role || got.Key != h.ids[name] || (name != "admin" && got.Name != name) || !got.Until.Equal(now.Add(12*time.Hour)) || got.Zone != "UTC" || !got.Secure {
			t.Errorf("%s is %+v", name, got)
		}
		if cookie.Path != "/_/" || !cookie.HttpOnly || cookie.SameSite != http.SameSiteStrictMode || cookie.Secure || cookie.MaxAge != 7*24*3600 || cookie.Domain != "" || !strings.HasPrefix(cookie.Name, "forward-") || len(cookie.Name) != len("forward-")+6 {
			t.Errorf("the cookie is %v", cookie)
		}
		if strings.Contains(w.Body.String(), cookie.Value) {
			t.Error("the answer has what scripts must not read")
		}
		h.wantStatus(h.browse(http.MethodGet, whoAmI, "", cookie), http.StatusOK, "")
		w = h.browse(http.MethodDelete, whoAmI, "", cookie)
		h.wantStatus(w, http.StatusNoContent, "")
		if gone := w.Result().Cookies(); len(gone) != 1 || gone[0].MaxAge >= 0 || gone[0].Name != cookie.Name || gone[0].Path != cookie.Path {
			t.Errorf("signing out answers %v", gone)
		}
		h.wantStatus(h.browse(http.MethodGet, whoAmI, "", cookie), http.StatusUnauthorized, "session_ended")
	}
	alice, admin := h.signIn("alice"), h.signIn("admin")
	h.wantStatus(h.browse(http.MethodGet, "/_/api/me", "", alice), http.StatusOK, "")
	h.wantStatus(h.browse(http.MethodGet, "/_/api/keys", "", alice), http.StatusForbidden, "role_not_allowed")
	h.wantStatus(h.browse(http.MethodGet, "/_/api/keys", "", admin), http.StatusOK, "")
	h.wantStatus(h.browse(http.MethodGet, "/_/api/me", "", admin), http.StatusForbidden, "role_not_allowed")
	h.wantStatus(h.browse(http.MethodGet, "/_/api/usage?key=bob", "", alice), http.StatusNotFound, "key_not_found")
	h.wantStatus(h.browse(http.MethodGet, "/_/api/usage?key=alice", "", admin), http.StatusOK, "") // a filter, and no credential
	// Chat clients' paths know no cookie.
	h.wantStatus(h.browse(http.MethodGet, "/v1/dashboard/billing/usage", "", alice), http.StatusUnauthorized, "invalid_api_key")
	// Another sign-in replaces the session of the browser.
	w := h.browse(http.MethodPost, whoAmI, `{"key":"`+adminKey+`"}`, alice)
	h.wantStatus(w, http.StatusCreated, "")
	h.wantStatus(h.browse(http.MethodGet, whoAmI, "", alice), http.StatusUnauthorized, "session_ended")
}

// D05, D25: the cookie's name and path are those of the address that the
// browser has reached.
func TestCookieOfAnAddress(t *testing.T) {
	prefix := ""
	origin := "https://host"
	h := newFixture(t, func(o *admin.Options) {
		o.Origin = func(*http.Request) string { return origin }
		o.Browser.Prefix = func(*http.Request) string { return prefix }
	})
	for given, path := range map[string]string{"": "/_/", "/gw": "/gw/_/", "/gw/": "/gw/_/", "/a/b-c": "/a/b-c/_/", "gw": "/_/", "/a;Domain=x": "/_/", "/a b": "/_/", "/../x\r\nA: b": "/_/"} {
		prefix = given
		if c := h.signIn("admin"); c.Path != path || !c.Secure || !strings.HasPrefix(c.Name, "__Secure-forward-") {
			t.Errorf("%q: %v", given, c)
		}
	}
	origin = "http://host"
	if c := h.signIn("admin"); c.Secure || strings.HasPrefix(c.Name, "__") {
		t.Errorf("without TLS: %v", c)
	}
}

// D05: wrong keys are slowed down by address, and a right one waits too.
func TestGuessingAtTheSignIn(t *testing.T) {
	h := newFixture(t)
	from := func(address string) func(*http.Request) {
		return func(r *http.Request) { r.RemoteAddr = address + ":4000" }
	}
	for i := range keys.MaxFailures {
		h.wantStatus(h.try("key", fmt.Sprint("fk-guess", i), from("192.0.2.1")), http.StatusUnauthorized, "invalid_api_key")
	}
	for _, name := range []string{"admin", "alice"} {
		w := h.try("key", h.secrets[name], from("192.0.2.1"))
		h.wantStatus(w, http.StatusTooManyRequests, "rate_limit_exceeded")
		if w.Header().Get("Retry-After") != "60" || len(w.Result().Cookies()) > 0 {
			t.Errorf("%v", w.Header())
		}
	}
	h.wantStatus(h.try("code", "x", from("192.0.2.1")), http.StatusTooManyRequests, "rate_limit_exceeded")
	h.signIn("admin", from("192.0.2.2"))
	h.passed.Add(int64(time.Minute))
	h.signIn("admin", from("192.0.2.1"))
	for i := range keys.MaxFailures {
		h.wantStatus(h.try("code", fmt.Sprint(i), from("192.0.2.3")), http.StatusUnauthorized, "link_used")
	}
	h.wantStatus(h.try("key", adminKey, from("192.0.2.3")), http.StatusTooManyRequests, "")
}

// A key that is not good opens nothing, and the page can state why.
func TestSignInRefused(t *testing.T) {
	h := newFixture(t)
	h.add("office", map[string]string{"ips": "203.0.113.0/24"})
	h.reread()
	for _, test := range []struct {
		body   string
		status int
		code   string
	}{
		{`{"key":"` + h.secrets["carol"] + `"}`, 401, "key_disabled"},
		{`{"key":"` + h.secrets["office"] + `"}`, 403, "ip_not_allowed"},
		{`{"key":"fk-unknown"}`, 401, "invalid_api_key"},
		{`{"key":""}`, 400, "invalid_body"},
		{`{}`, 400, "invalid_body"},
		{``, 400, "invalid_body"},
		{`{"key":"a","code":"b"}`, 400, "invalid_body"},
		{`{"key":"a","role":"administrator"}`, 400, "invalid_body"},
		{`{"key":"a"}{}`, 400, "invalid_body"},
		{`{"key":"` + strings.Repeat("a", 64<<10) + `"}`, 413, "body_too_large"},
	} {
		w := h.browse(http.MethodPost, whoAmI, test.body, nil)
		h.wantStatus(w, test.status, test.code)
		if len(w.Result().Cookies()) > 0 {
			t.Errorf("%.40s: a cookie", test.body)
		}
	}
}

// D06: a session ends with the credential that opened it, and survives a
// restart.
func TestSessionsEndWithTheirCredential(t *testing.T) {
	h := newFixture(t)
	open := func(cookie *http.Cookie) {
		t.Helper()
		h.wantStatus(h.browse(http.MethodGet, whoAmI, "", cookie), 200, "")
	}
	ended := func(cookie *http.Cookie, code string) {
		t.Helper()
		h.wantStatus(h.browse(http.MethodGet, whoAmI, "", cookie), 401, code)
	}
	update := func(name string, change func(*keys.Managed)) {
		t.Helper()
		if _, err := h.store.Update(t.Context(), name, func(m *keys.Managed) error { change(m); return nil }); err != nil {
			t.Fatal(err)
		}
		h.reread()
	}
	alice, bob, admin, ci := h.signIn("alice"), h.signIn("bob"), h.signIn("admin"), h.signIn("ci")
	h.rebuild()
	open(alice)
	open(admin)
	open(ci)

	update("alice", func(m *keys.Managed) { m.Disabled = true })
	ended(alice, "key_disabled")
	update("alice", func(m *keys.Managed) { m.Disabled = false })
	ended(alice, "session_ended") // for good
	alice = h.signIn("alice")
	update("alice", func(m *keys.Managed) { m.Revoked = true })
	ended(alice, "session_ended")

	if _, secret, err := h.store.Rotate(t.Context(), "bob", 0); err != nil {
		t.Fatal(err)
	} else {
		h.reread()
		ended(bob, "session_ended")
		h.secrets["bob"] = secret.Reveal()
		open(h.signIn("bob"))
	}
	bob = h.signIn("bob")
	update("bob", func(m *keys.Managed) { m.Expires = time.Now().Add(-time.Hour) })
	ended(bob, "key_expired")

	h.options.AdminKey = keys.NewSecret("another-admin-key")
	h.rebuild()
	ended(admin, "session_ended")
	h.options.AdminKey = keys.NewSecret(adminKey)
	h.rebuild()
	ended(admin, "session_ended")
	admin = h.signIn("admin")
	h.options.AdminKey = keys.Secret{}
	h.rebuild()
	ended(admin, "session_ended")

	open(ci)
	h.options.Declared = nil // it left the settings
	h.reread()
	ended(ci, "session_ended")
}

// A session ends after 12 hours without a request and after 7 days.
func TestSessionsEndWithTime(t *testing.T) {
	h := newFixture(t)
	idle, busy := h.signIn("admin"), h.signIn("admin")
	for range 14 {
		h.passed.Add(int64(11 * time.Hour))
		h.wantStatus(h.browse(http.MethodGet, whoAmI, "", busy), 200, "")
	}
	h.wantStatus(h.browse(http.MethodGet, whoAmI, "", idle), 401, "session_ended")
	h.passed.Add(int64(14 * time.Hour)) // 168 hours in all
	h.wantStatus(h.browse(http.MethodGet, whoAmI, "", busy), 401, "session_ended")
}

// The link of the gateway's machine signs in once, within its time, also where
// there is no ADMIN_KEY.
func TestLinks(t *testing.T) {
	h := newFixture(t, func(o *admin.Options) { o.AdminKey = keys.Secret{} })
	link := func() string {
		t.Helper()
		code, err := h.options.Sessions.Link(t.Context(), time.Minute)
		if err != nil {
			t.Fatal(err)
		}
		return code
	}
	code := link()
	w := h.try("code", code)
	h.wantStatus(w, http.StatusCreated, "")
	cookie := w.Result().Cookies()[0]
	h.wantStatus(h.browse(http.MethodGet, "/_/api/keys", "", cookie), 200, "")
	h.wantStatus(h.try("code", code), 401, "link_used")
	late := link()
	h.passed.Add(int64(time.Minute))
	h.wantStatus(h.try("code", late), 401, "link_used")
	h.options.AdminKey = keys.NewSecret(adminKey)
	h.rebuild()
	h.wantStatus(h.browse(http.MethodGet, "/_/api/keys", "", cookie), 401, "session_ended")
}

// The administrator sees the open sessions and ends them.
func TestSessions(t *testing.T) {
	h := newFixture(t)
	admin, alice, bob, other := h.signIn("admin"), h.signIn("alice"), h.signIn("bob"), h.signIn("admin")
	type list struct {
		Sessions []struct {
			ID, Role, Name, Address, Agent string
			Current                        bool
		}
	}
	read := func() (l list) {
		t.Helper()
		w := h.browse(http.MethodGet, "/_/api/sessions", "", admin)
		h.wantStatus(w, 200, "")
		if err := json.Unmarshal(w.Body.Bytes(), &l); err != nil {
			t.Fatal(err)
		}
		for _, c := range []*http.Cookie{admin, alice, bob, other} {
			if strings.Contains(w.Body.String(), c.Value) {
				t.Error("the list has the secret of a session")
			}
		}
		return l
	}
	all := read()
	current, id := 0, ""
	for _, one := range all.Sessions {
		if one.Current {
			current++
		}
		if one.Name == "alice" {
			id = one.ID
		}
		if one.Address != "192.0.2.1" || one.Agent != "Mozilla/5.0 (a browser)" {
			t.Errorf("%+v", one)
		}
	}
	if len(all.Sessions) != 4 || current != 1 || id == "" {
		t.Fatalf("%+v", all)
	}
	h.wantStatus(h.browse(http.MethodDelete, "/_/api/sessions/"+id, "", alice), 403, "role_not_allowed")
	h.wantStatus(h.browse(http.MethodDelete, "/_/api/sessions/"+id, "", admin), 204, "")
	h.wantStatus(h.browse(http.MethodDelete, "/_/api/sessions/"+id, "", admin), 404, "session_not_found")
	h.wantStatus(h.browse(http.MethodGet, whoAmI, "", alice), 401, "session_ended")
	h.wantStatus(h.browse(http.MethodDelete, "/_/api/sessions", "", admin), 204, "")
	h.wantStatus(h.browse(http.MethodGet, whoAmI, "", bob), 401, "session_ended")
	h.wantStatus(h.browse(http.MethodGet, whoAmI, "", other), 401, "session_ended")
	if left := read(); len(left.Sessions) != 1 {
		t.Errorf("%+v", left)
	}
}

// D08: what a page of another origin makes a browser send is refused, and
// changes nothing.
func TestPagesOfOtherOrigins(t *testing.T) {
	h := newFixture(t)
	cookie := h.signIn("admin")
	sign := `{"key":"` + adminKey + `"}`
	for name, test := range map[string]struct {
		method, target, body string
		change               func(*http.Request)
		status               int
	}{
		"a form of another site": {"POST", whoAmI, "key=" + adminKey, func(r *http.Request) {
			r.Header.Set("Sec-Fetch-Site", "cross-site")
			r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		}, 403},
		"fetch of another site":    {"DELETE", "/_/api/sessions", "", func(r *http.Request) { r.Header.Set("Sec-Fetch-Site", "cross-site") }, 403},
		"fetch of another port":    {"DELETE", "/_/api/sessions", "", func(r *http.Request) { r.Header.Set("Sec-Fetch-Site", "same-site") }, 403},
		"an older browser":         {"DELETE", "/_/api/sessions", "", func(r *http.Request) { r.Header.Del("Sec-Fetch-Site"); r.Header.Set("Origin", "https://evil.example") }, 403},
		"Origin null":              {"POST", whoAmI, sign, func(r *http.Request) { r.Header.Del("Sec-Fetch-Site"); r.Header.Set("Origin", "null") }, 403},
		"JSON as text":             {"POST", whoAmI, sign, func(r *http.Request) { r.Header.Set("Content-Type", "text/plain") }, 415},
		"JSON without a type":      {"POST", whoAmI, sign, func(r *http.Request) { r.Header.Del("Content-Type") }, 415},
		"Host evil":                {"POST", whoAmI, sign, func(r *http.Request) { r.Host = "evil.example" }, 421},
		"Host evil, reading":       {"GET", whoAmI, "", func(r *http.Request) { r.Host = "evil.example:8000" }, 421},
		"reading of another port":  {"GET", "/_/api/keys", "", func(r *http.Request) { r.Header.Set("Sec-Fetch-Site", "same-site") }, 403},
		"a stream to another site": {"GET", "/_/api/live", "", func(r *http.Request) { r.Header.Del("Sec-Fetch-Site"); r.Header.Set("Origin", "https://evil.example") }, 403},
	} {
		w := h.browse(test.method, test.target, test.body, cookie, test.change)
		if w.Code != test.status && !(test.target == "/_/api/live" && w.Code == http.StatusNotFound) {
			t.Errorf("%s: status %d: %s", name, w.Code, w.Body)
		}
		for header := range w.Header() {
			if strings.HasPrefix(header, "Access-Control-") || header == "Set-Cookie" {
				t.Errorf("%s: answered with %s", name, header)
			}
		}
	}
	h.wantStatus(h.browse(http.MethodGet, whoAmI, "", cookie), 200, "") // no session was ended
	for host, status := range map[string]int{"localhost:8000": 200, "gw.localhost": 200, "[::1]:8000": 200, "192.0.2.7": 200, "gw.example": 421, "localhost.evil.example": 421, "127.0.0.1.evil.example": 421, "": 421} {
		h.wantStatus(h.browse(http.MethodGet, whoAmI, "", cookie, func(r *http.Request) { r.Host = host }), status, "")
	}
	// Programs name the gateway as they like.
	r := httptest.NewRequest(http.MethodGet, "/_/api/keys", nil)
	r.Host = "forward:8000"
	r.Header.Set("Authorization", "Bearer "+adminKey)
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	h.wantStatus(w, 200, "")
	h.options.Browser.Hosts = []string{"gw.example"}
	h.rebuild()
	for host, status := range map[string]int{"GW.example:8000": 200, "gw.example.": 200, "other.example": 421, "127.0.0.1:8000": 200} {
		h.wantStatus(h.browse(http.MethodGet, whoAmI, "", cookie, func(r *http.Request) { r.Host = host }), status, "")
	}
}

// A feed that a page leaves open is no sign that its user is there: it keeps no
// session from ending.
func TestAFeedKeepsNoSession(t *testing.T) {
	quick(t)
	h := newFixture(t)
	var at atomic.Int64
	at.Store(now.Unix())
	sessions, err := session.Open(t.Context(), h.db, []byte(storeSecret), func() time.Time { return time.Unix(at.Load(), 0) })
	if err != nil {
		t.Fatal(err)
	}
	h.options.Sessions = sessions
	h.rebuild()
	cookie := h.signIn("admin")
	server := h.serve()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, server.URL+"/_/api/live", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.AddCookie(cookie)
	res, err := server.Client().Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	feed := &viewer{t, res, bufio.NewScanner(res.Body)}
	at.Add(11 * 3600)
	for range 3 { // the session is looked at twice meanwhile
		feed.next("comment")
	}
	at.Add(2 * 3600)
	for end := time.Now().Add(5 * time.Second); ; {
		if _, ok := feed.read("comment"); !ok {
			break
		}
		if time.Now().After(end) {
			t.Fatal("the feed goes on after 13 hours without a request")
		}
	}
	h.wantStatus(h.browse(http.MethodGet, whoAmI, "", cookie), http.StatusUnauthorized, "session_ended")
}
