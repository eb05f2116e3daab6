package main

import (
	"encoding/json"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"forward/internal/config"
	"forward/internal/control"
)

// asBrowser sends a request as a page of the gateway does, with a cookie.
func asBrowser(t *testing.T, method, url, body string, cookies ...*http.Cookie) (*http.Response, string) {
	t.Helper()
	r, err := http.NewRequest(method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Accept", "text/html")
	for _, c := range cookies {
		r.AddCookie(c)
	}
	res, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res, string(text)
}

// signInTo signs in and returns the cookie.
func signInTo(t *testing.T, url, credential string) *http.Cookie {
	t.Helper()
	res, body := asBrowser(t, "POST", url+"/_/api/session", credential)
	if res.StatusCode != http.StatusCreated || len(res.Cookies()) != 1 {
		t.Fatalf("%s %s", res.Status, body)
	}
	return res.Cookies()[0]
}

func wantAnswer(t *testing.T, url string, status int, cookies ...*http.Cookie) string {
	t.Helper()
	res, body := asBrowser(t, "GET", url, "", cookies...)
	if res.StatusCode != status {
		t.Errorf("%s: %s, want %d: %s", url, res.Status, status, body)
	}
	return body
}

// D06: sessions survive a restart, and end when ADMIN_KEY changes.
func TestSessionsOverARestart(t *testing.T) {
	env := "ADMIN_KEY=admin-canary-1\nFORWARD_KEY=alice=fk-alice-canary\n"
	cfg := load(t, env)
	serve := func(cfg *config.Config) (string, func()) {
		a, err := open(cfg, slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		server := httptest.NewServer(a)
		return server.URL, func() {
			server.Close()
			if err := a.Close(); err != nil {
				t.Error(err)
			}
		}
	}
	url, stop := serve(cfg)
	admin, alice := signInTo(t, url, `{"key":"admin-canary-1"}`), signInTo(t, url, `{"key":"fk-alice-canary"}`)
	stop()
	url, stop = serve(cfg)
	wantAnswer(t, url+"/_/api/keys", 200, admin)
	wantAnswer(t, url+"/_/api/me", 200, alice)
	stop()
	writeEnv(t, strings.Replace(env, "canary-1", "canary-2", 1))
	cfg, _, err := config.Load(config.Flags{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	url, stop = serve(cfg)
	defer stop()
	wantAnswer(t, url+"/_/api/keys", 401, admin)
	wantAnswer(t, url+"/_/api/me", 200, alice)
}

// A reload switches the dashboard and its sign-in off and on; the API stays for
// programs.
func TestReloadSwitchesTheDashboard(t *testing.T) {
	const keys = "ADMIN_KEY=admin-canary-1\nFORWARD_KEY=alice=fk-alice-canary\n"
	l, server := MustReload(t, keys)
	admin := signInTo(t, server.URL, `{"key":"admin-canary-1"}`)
	if body := wantAnswer(t, server.URL+"/_/", 200); !strings.Contains(body, "<!doctype html>") {
		t.Errorf("%s", body)
	}
	if res, _ := asBrowser(t, "GET", server.URL+"/", ""); res.StatusCode != http.StatusFound || res.Header.Get("Location") != "_/" {
		t.Errorf("%s %v", res.Status, res.Header)
	}
	MustPut(t, l, keys+"DASHBOARD=false\n")
	wantAnswer(t, server.URL+"/_/", 404)
	wantAnswer(t, server.URL+"/_/api/keys", 401, admin)
	if res, body := asBrowser(t, "POST", server.URL+"/_/api/session", `{"key":"admin-canary-1"}`); res.StatusCode != http.StatusNotFound || !strings.Contains(body, "dashboard_off") {
		t.Errorf("%s %s", res.Status, body)
	}
	if res, _ := asBrowser(t, "GET", server.URL+"/", ""); res.StatusCode == http.StatusFound || res.Header.Get("Content-Security-Policy") != "" {
		t.Errorf("%s %v", res.Status, res.Header)
	}
	r, err := http.NewRequest("GET", server.URL+"/_/api/keys", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer admin-canary-1")
	if res, err := http.DefaultClient.Do(r); err != nil || res.StatusCode != 200 {
		t.Errorf("%v %v", res, err)
	} else {
		res.Body.Close()
	}
	MustPut(t, l, keys+"DASHBOARD_HOSTS=gw.example\nKEY_ROTATE_OWN=true\nDASHBOARD_CONTENT=false\nLOG_CHAT=true\n")
	var session struct {
		Features struct {
			RotateOwn bool `json:"rotate_own"`
			ChatLog   bool `json:"chat_log"`
			Content   bool
		}
	}
	if err := json.Unmarshal([]byte(wantAnswer(t, server.URL+"/_/api/session", 200, admin)), &session); err != nil || !session.Features.RotateOwn || !session.Features.ChatLog || session.Features.Content {
		t.Errorf("%+v %v", session, err)
	}
}

// With DASHBOARD_ADDR browsers have an origin of its own for the dashboard, and
// the gateway's own has no sign-in.
func TestDashboardAddr(t *testing.T) {
	cfg := load(t, "ADMIN_KEY=admin-canary-1\nDASHBOARD_ADDR=127.0.0.1:0\nIP_BLACKLIST=192.0.2.0/24\nTRUSTED_PROXIES=127.0.0.1\n")
	a, err := open(cfg, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	pages, err := listenPages(cfg)
	if err != nil {
		t.Fatal(err)
	}
	stop := a.servePages(pages, a.log)
	defer stop()
	gateway := httptest.NewServer(a)
	defer gateway.Close()
	a.reach(cfg, gateway.Listener, pages)
	there := "http://" + pages.Addr().String()
	admin := signInTo(t, there, `{"key":"admin-canary-1"}`)
	wantAnswer(t, there+"/_/", 200)
	wantAnswer(t, there+"/", 302)
	wantAnswer(t, there+"/_/api/keys", 200, admin)
	wantAnswer(t, there+"/v1/models", 404, admin)
	wantAnswer(t, gateway.URL+"/_/", 404)
	wantAnswer(t, gateway.URL+"/_/api/keys", 401, admin)
	if a.dashboardURL() != there+"/_/" {
		t.Errorf("%s", a.dashboardURL())
	}
	r, err := http.NewRequest("GET", there+"/_/", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("X-Forwarded-For", "192.0.2.1")
	if res, err := http.DefaultClient.Do(r); err != nil || res.StatusCode != 403 {
		t.Errorf("an address that is kept out: %v %v", res, err)
	} else {
		res.Body.Close()
	}
}

// D25: the cookie is for the path at which a trusted proxy has the gateway.
func TestCookieBelowAPrefix(t *testing.T) {
	for trusted, path := range map[string]string{"TRUSTED_PROXIES=127.0.0.1\n": "/gw/_/", "": "/_/"} {
		_, server := MustReload(t, "ADMIN_KEY=admin-canary-1\n"+trusted)
		r, err := http.NewRequest("POST", server.URL+"/_/api/session", strings.NewReader(`{"key":"admin-canary-1"}`))
		if err != nil {
			t.Fatal(err)
		}
		for name, value := range map[string]string{"Content-Type": "application/json", "X-Forwarded-Prefix": "/gw", "X-Forwarded-Proto": "https", "X-Forwarded-For": "198.51.100.1"} {
			r.Header.Set(name, value)
		}
		res, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		if res.StatusCode != http.StatusCreated {
			t.Fatalf("%s", res.Status)
		}
		if c := res.Cookies()[0]; c.Path != path || c.Secure != (trusted != "") || strings.HasPrefix(c.Name, "__Secure-") != c.Secure {
			t.Errorf("%q: %v", trusted, c)
		}
	}
}

// `forward dashboard` signs in without ADMIN_KEY, by the control socket of the
// machine, once.
func TestDashboardCommand(t *testing.T) {
	cfg := load(t, "")
	t.Setenv("DISPLAY", "")
	t.Setenv("WAYLAND_DISPLAY", "")
	a, err := open(cfg, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	if _, _, err := execute("dashboard"); err == nil || !strings.Contains(err.Error(), "start one") {
		t.Errorf("without a gateway: %v", err)
	}
	side, err := control.Listen(cfg.DataDir, a.controls(nil))
	if err != nil {
		t.Fatal(err)
	}
	defer side.Close()
	server := httptest.NewServer(a)
	defer server.Close()
	a.reach(cfg, server.Listener, nil)
	out, errs, err := execute("dashboard")
	link := strings.TrimSpace(out)
	base, code, ok := strings.Cut(link, "/_/#/signin/")
	if err != nil || !ok || base != server.URL || !strings.Contains(errs, "within a minute") {
		t.Fatalf("%q %q %v", out, errs, err)
	}
	cookie := signInTo(t, server.URL, `{"code":"`+code+`"}`)
	wantAnswer(t, server.URL+"/_/api/keys", 200, cookie)
	if res, body := asBrowser(t, "POST", server.URL+"/_/api/session", `{"code":"`+code+`"}`); res.StatusCode != http.StatusUnauthorized || !strings.Contains(body, "link_used") {
		t.Errorf("used again: %s %s", res.Status, body)
	}
	for url, want := range map[string]string{"https://llm.example.com": "https://llm.example.com/_/#/signin/", "https://llm.example.com/gw/": "https://llm.example.com/gw/_/#/signin/", "https://llm.example.com/_/": "https://llm.example.com/_/#/signin/"} {
		if out, _, err := execute("dashboard", "--print", "--url", url); err != nil || !strings.HasPrefix(out, want) {
			t.Errorf("%s: %q %v", url, out, err)
		}
	}
	// No file of DATA_DIR has the code or the cookie.
	err = filepath.WalkDir(cfg.DataDir, func(path string, d os.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		content, err := os.ReadFile(path)
		for _, secret := range []string{code, cookie.Value} {
			if strings.Contains(string(content), secret) {
				t.Errorf("%s has a secret", path)
			}
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

// Where the dashboard is off, the command states how to switch it on.
func TestDashboardCommandWhereItIsOff(t *testing.T) {
	cfg := load(t, "DASHBOARD=false\n")
	a, err := open(cfg, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	side, err := control.Listen(cfg.DataDir, a.controls(nil))
	if err != nil {
		t.Fatal(err)
	}
	defer side.Close()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	a.reach(cfg, listener, nil)
	if _, _, err := execute("dashboard"); err == nil || !strings.Contains(err.Error(), "DASHBOARD=true") {
		t.Errorf("%v", err)
	}
}

// The API is there without a ledger, and names what is missing.
func TestDashboardWithoutALedger(t *testing.T) {
	_, server := MustReload(t, "ADMIN_KEY=admin-canary-1\nLEDGER=false\nFORWARD_KEY=alice=fk-alice-canary\n")
	admin, alice := signInTo(t, server.URL, `{"key":"admin-canary-1"}`), signInTo(t, server.URL, `{"key":"fk-alice-canary"}`)
	wantAnswer(t, server.URL+"/_/api/keys", 200, admin)
	wantAnswer(t, server.URL+"/_/api/me", 200, alice)
	if body := wantAnswer(t, server.URL+"/_/api/usage", 404, admin); !strings.Contains(body, "ledger_off") {
		t.Errorf("%s", body)
	}
}
