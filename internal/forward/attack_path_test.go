package forward_test

import (
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"forward/internal/dialect"
	"forward/internal/dialect/anthropic"
	"forward/internal/dialect/gemini"
	"forward/internal/dialect/openai"
	"forward/internal/keys"
	"forward/internal/limits"
)

func TestAttacksOnThePath(t *testing.T) {
	b := start(t, provider, every)
	for _, d := range []*dialect.Dialect{openai.Dialect, anthropic.Dialect, gemini.Dialect} {
		for id, rest := range map[string]string{
			"A16 dots at the front":    "/../admin",
			"A16 dots in the middle":   "/v1/../../x",
			"A16 dots at the end":      "/v1/..",
			"A16 one dot":              "/./v1/models",
			"A17 escaped dots":         "/%2e%2e/x",
			"A17 half escaped dots":    "/.%2E/x",
			"A17 an escaped slash":     "/..%2fx",
			"A17 escaped twice":        "/%252e%252e/x",
			"A17 escaped three times":  "/%25252e%25252e/x",
			"A17 a path parameter":     "/..;/x",
			"A17 an escaped parameter": "/..%3bx/y",
			"A17 a backslash":          `/..\x`,
			"A17 an escaped backslash": "/..%5cx",
			"A17 dots and slashes":     "//..//v1/models",
			"A17 overlong UTF-8":       "/%c0%ae%c0%ae/x",
			"A17 NUL":                  "/v1/models%00.json",
			"A17 a line end":           "/v1/models%0d%0aX-A:%20b",
		} {
			t.Run(id+"/"+d.Name, func(t *testing.T) {
				answers := b.raw(request("GET /" + d.Name + rest))
				if len(answers) != 1 {
					t.Fatalf("%d answers", len(answers))
				}
				answers[0].wantRefused(t, d, 400, "invalid_path")
				b.wantCalls(t, 0)
			})
		}
	}
}

func TestA19PathsAreTakenAsTheyAre(t *testing.T) {
	b := start(t, provider, every)
	for path, upstream := range map[string]string{
		"/OPENAI/v1/models": "/OPENAI/v1/models", "/openai/v1/models/": "/v1/models/", "/openai": "/", "/Health": "/Health", "/%68ealth": "/%68ealth",
	} {
		a := b.do("POST", path, `{}`)
		if r, _ := b.last(); a.StatusCode != 200 || a.Header.Get("Location") != "" || r.Method != "POST" || r.RequestURI != upstream {
			t.Errorf("%s: status %d, upstream got %s %s", path, a.StatusCode, r.Method, r.RequestURI)
		}
	}
	for _, method := range []string{"TRACE", "CONNECT"} {
		before := b.calls()
		b.do(method, "/v1/models", "").wantRefused(t, openai.Dialect, 405, "method_not_allowed")
		b.wantCalls(t, before)
	}
}

// TestTheClientDoesNotChooseTheDestination is A12 to A14: nothing in a request
// changes where it goes, and nothing in it is fetched.
func TestTheClientDoesNotChooseTheDestination(t *testing.T) {
	trap := must(net.Listen("tcp", "127.0.0.1:0"))(t)
	defer trap.Close()
	go func() {
		for {
			conn, err := trap.Accept()
			if err != nil {
				return
			}
			t.Error("the gateway connected to a place of the client's choice")
			conn.Close()
		}
	}()
	evil := "http://" + trap.Addr().String()
	body := fmt.Sprintf(`{"model":"m","api_base":%q,"base_url":%[1]q,"messages":[{"role":"user","content":[{"type":"image_url","image_url":{"url":%[1]q}}]}]}`, evil)
	b := start(t, provider, nil)
	for _, row := range []struct{ id, line, header string }{
		{"A12 no header", "POST /v1/chat/completions", "X-A: b"},
		{"A12 x-base-url", "POST /v1/chat/completions", "X-Base-Url: " + evil},
		{"A12 x-portkey-custom-host", "POST /v1/chat/completions", "X-Portkey-Custom-Host: " + evil},
		{"A12 X-Forwarded-Host", "POST /v1/chat/completions", "X-Forwarded-Host: " + trap.Addr().String()},
		{"A12 Forwarded", "POST /v1/chat/completions", "Forwarded: host=" + trap.Addr().String()},
		{"A12 X-Original-URL", "POST /v1/chat/completions", "X-Original-URL: /admin"},
		{"A12 X-HTTP-Method-Override", "POST /v1/chat/completions", "X-HTTP-Method-Override: DELETE"},
		{"A13 an absolute form", "POST " + evil + "/v1/chat/completions", "X-A: b"},
		{"A13 a metadata service", "POST http://169.254.169.254/v1/chat/completions", "X-A: b"},
	} {
		t.Run(row.id, func(t *testing.T) {
			before := b.calls()
			got := statuses(b.raw(request(row.line, row.header, fmt.Sprint("Content-Length: ", len(body)), "", body)))
			if !slices.Equal(got, []int{200}) {
				t.Fatalf("statuses %v", got)
			}
			b.wantCalls(t, before+1)
			r, sent := b.last()
			if r.Host != strings.TrimPrefix(b.upstream.URL, "http://") || r.RequestURI != "/v1/chat/completions" || r.Method != "POST" {
				t.Errorf("upstream got %s %s of host %s", r.Method, r.RequestURI, r.Host)
			}
			if string(sent) != body {
				t.Errorf("upstream got %s", sent)
			}
			if r.Header.Get("X-Forwarded-Host") != "" || r.Header.Get("Forwarded") != "" || r.Header.Get("X-Forwarded-For") != "" {
				t.Errorf("upstream got %v", r.Header)
			}
		})
	}
}

func TestF55RedirectsAreNotFollowed(t *testing.T) {
	other := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("the redirect was followed") }))
	defer other.Close()
	for d, path := range spoken {
		for _, status := range []int{301, 302, 303, 307, 308} {
			t.Run(fmt.Sprintf("A15 %d/%s", status, d.Name), func(t *testing.T) {
				b := start(t, func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, other.URL+"/secret-place", status) }, every)
				a := b.do("POST", path, `{"model":"m"}`)
				a.wantRefused(t, d, 502, "upstream_redirect")
				b.wantCalls(t, 1)
				if a.Header.Get("Location") != "" || strings.Contains(a.body, "secret-place") || strings.Contains(a.body, "127.0.0.1") {
					t.Errorf("the client learns where to: %v %s", a.Header, a.body)
				}
			})
		}
	}
}

// TestConnectionNamesNoHeaderOfOurs is the trick by which a client has the
// swapped key removed from the request.
func TestConnectionNamesNoHeaderOfOurs(t *testing.T) {
	b := start(t, provider, nil)
	b.raw(strings.Replace(request("GET /v1/models"), "Connection: close", "Connection: close, Authorization, X-Forward-Request-Id", 1))
	if r, _ := b.last(); r.Header.Get("Authorization") != "Bearer "+canary {
		t.Errorf("upstream got %v", r.Header)
	}
}

// TestA28AndA65LimitsCannotBeWalkedAround counts requests of one caller in all
// the guises it can take.
func TestA28AndA65LimitsCannotBeWalkedAround(t *testing.T) {
	for id, guise := range map[string]func(b *bench, i int) answer{
		"A28 rotating addresses": func(b *bench, i int) answer {
			return b.chat("", "X-Forwarded-For", fmt.Sprintf("1.2.3.%d", i), "X-Real-Ip", fmt.Sprintf("1.2.3.%d", i), "Forwarded", fmt.Sprintf("for=1.2.3.%d", i))
		},
		"A28 rotating slots": func(b *bench, i int) answer {
			return b.chat("", "Authorization", "", []string{"X-Api-Key", "Api-Key", "X-Goog-Api-Key"}[i%3], "fk-alice")
		},
		"A65 upgrades": func(b *bench, _ int) answer {
			return b.do("GET", "/v1/realtime?model=m", "", "Connection", "Upgrade", "Upgrade", "websocket")
		},
	} {
		t.Run(id, func(t *testing.T) {
			b := start(t, provider, func(s *setup) { s.limits.Global = must(limits.ParseRates("2/hour"))(t) })
			for i := range 6 {
				a := guise(b, i)
				if i < 2 {
					a.want(t, 200)
				} else if a.wantRefused(t, openai.Dialect, 429, "rate_limit_exceeded"); a.Header.Get("Retry-After") == "" {
					t.Error("no Retry-After")
				}
			}
			b.wantCalls(t, 2)
			if strings.Contains(b.logged(), "1.2.3.") {
				t.Error("the log believes the client's address")
			}
		})
	}
}

// TestA30AModelIsNotHiddenInTheQuery is about what net/url cannot parse and
// therefore leaves out, and an upstream may read.
func TestA30AModelIsNotHiddenInTheQuery(t *testing.T) {
	b := start(t, provider, func(s *setup) {
		s.keys = append(s.keys, keys.Key{Name: "carol", Secret: keys.NewSecret("fk-carol"), Level: 1})
		s.Levels = keys.Levels{1: {"cheap"}}
		s.UnknownOperations = "allow"
	})
	for id, query := range map[string]string{
		"behind 10,000 others":     strings.Repeat("a&", 10001) + "model=dear",
		"behind a semicolon":       "a=1;model=dear",
		"twice with a semicolon":   "model=cheap&a=1;model=dear",
		"with a broken escape":     "model=dear%zz",
		"behind one with a broken": "model=cheap&model=dear%zz",
	} {
		t.Run(id, func(t *testing.T) {
			a := b.do("GET", "/v1/realtime?"+query, "", "Authorization", "Bearer fk-carol", "Connection", "Upgrade", "Upgrade", "websocket")
			if a.StatusCode != 400 && a.StatusCode != 403 {
				t.Errorf("status %d", a.StatusCode)
			}
			b.wantCalls(t, 0)
		})
	}
	b.do("GET", "/v1/realtime?model=cheap", "", "Authorization", "Bearer fk-carol").want(t, 200)
}

func TestA64AnEvilOriginGetsNothing(t *testing.T) {
	for _, origins := range [][]string{nil, {"https://chat.example"}} {
		b := start(t, provider, func(s *setup) { s.CORSOrigins = origins })
		for _, origin := range []string{"https://evil.example", "https://chat.example.evil.example", "null", "https://CHAT.example"} {
			a := b.do("OPTIONS", "/v1/chat/completions", "", "Origin", origin, "Access-Control-Request-Method", "POST", "Authorization", "")
			for name := range a.Header {
				if strings.HasPrefix(name, "Access-Control-") {
					t.Errorf("origin %s gets %s", origin, name)
				}
			}
		}
		b.wantCalls(t, 0)
	}
}
