package forward_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"forward/internal/dialect"
	"forward/internal/dialect/anthropic"
	"forward/internal/dialect/gemini"
	"forward/internal/dialect/openai"
)

// The attack_*_test.go files send what is meant to get past the gateway or to
// break it. Each subtest is named after the row of the list of attacks (A…) and
// faults (F…) that it stands for, so that a row can be found by its number; a
// row that another test of this package tries already is not repeated.

// raw sends bytes as they are over one connection and returns the answers that
// come before it is closed.
func (b *bench) raw(send string) []answer { return b.exchange(send, false) }

// exchange is raw that may end its own side of the connection after sending.
func (b *bench) exchange(send string, end bool) (answers []answer) {
	b.t.Helper()
	conn := must(net.Dial("tcp", strings.TrimPrefix(b.url, "http://")))(b.t)
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(10 * time.Second)) // so that a gateway that hangs fails the test
	go func() {
		io.WriteString(conn, send) // the gateway may answer and close before it has read all
		if end {
			conn.(*net.TCPConn).CloseWrite()
		}
	}()
	for reader := bufio.NewReader(conn); ; {
		res, err := http.ReadResponse(reader, nil)
		if err != nil {
			return answers
		}
		body, err := io.ReadAll(res.Body)
		answers = append(answers, answer{res, string(body), err})
	}
}

// statuses are those of the answers.
func statuses(answers []answer) (all []int) {
	for _, a := range answers {
		all = append(all, a.StatusCode)
	}
	return all
}

// request is a raw request of alice's that ends its connection; lines are
// header lines or, after an empty one, the body.
func request(line string, lines ...string) string {
	head := []string{line + " HTTP/1.1", "Host: gateway.example", "Connection: close"}
	return strings.Join(append(append(head, "Authorization: Bearer fk-alice"), lines...), "\r\n") + "\r\n\r\n"
}

// wantRefused fails the test unless the answer is the gateway's own error in
// the dialect. Anthropic's errors have no code.
func (a answer) wantRefused(t testing.TB, d *dialect.Dialect, status int, code string) {
	t.Helper()
	a.want(t, status)
	if got := a.Header.Get("Content-Type"); got != "application/json" {
		t.Errorf("Content-Type %q", got)
	}
	var e struct {
		Type      string `json:"type"`
		RequestID string `json:"request_id"`
		Error     struct {
			Message, Type, Status string
			Code                  any
			Details               []struct{ Reason string }
		} `json:"error"`
	}
	if err := json.Unmarshal([]byte(a.body), &e); err != nil {
		t.Fatalf("%v in %q", err, a.body)
	}
	ok := e.Error.Message != ""
	switch d {
	case openai.Dialect:
		ok = ok && e.Error.Code == code && e.Error.Type != ""
	case anthropic.Dialect:
		ok = ok && e.Type == "error" && e.Error.Type != "" && e.RequestID != ""
	case gemini.Dialect:
		ok = ok && e.Error.Code == float64(status) && e.Error.Status != "" && len(e.Error.Details) == 1
		if ok && status != http.StatusUnauthorized {
			ok = e.Error.Details[0].Reason == strings.ToUpper(code)
		}
	}
	if !ok {
		t.Errorf("not an error %q of %s: %s", code, d.Name, a.body)
	}
}

// wantCalls fails the test unless the upstream has seen n requests.
func (b *bench) wantCalls(t testing.TB, n int) {
	t.Helper()
	if got := b.calls(); got != n {
		t.Errorf("the upstream saw %d requests, want %d", got, n)
	}
}

// every is a setup with a route of each dialect.
func every(s *setup) { s.all = true }

// spoken are paths of the three dialects, as requests of their SDKs have them.
var spoken = map[*dialect.Dialect]string{
	openai.Dialect: "/v1/chat/completions", anthropic.Dialect: "/anthropic/v1/messages", gemini.Dialect: "/gemini/v1beta/models/gemini-2.5-pro:generateContent",
}

func TestAttacksOnIdentity(t *testing.T) {
	const body = `{"model":"gpt-4o-mini","api_key":"fk-alice","messages":[]}`
	none := []string{"Authorization", ""}
	bearer := func(key string) []string { return []string{"Authorization", "Bearer " + key} }
	long := "fk-" + strings.Repeat("x", 8<<10)
	for _, row := range []struct {
		id, query string
		headers   []string
		secret    string // must not be in the log
	}{
		{"A01 no key", "", none, ""},
		{"A01 an empty key", "", bearer(""), ""},
		{"A03 SQL", "", bearer("' OR 1=1--"), "OR 1=1"},
		{"A03 8 KB", "", bearer(long), long},
		{"A03 UTF-8", "", bearer("fk-ключ-\u200b-alice"), "fk-ключ"},
		{"A03 a comma", "", bearer("fk-alice,fk-bob"), "fk-alice"},
		{"A03 a format", "", bearer("fk-%s%n%d%!"), "fk-%s"},
		{"A03 a comma instead of a space", "", []string{"Authorization", "Bearer,fk-alice"}, "fk-alice"},
		{"A04 a prefix", "", bearer("fk-alic"), "fk-alic"},
		{"A04 a letter more", "", bearer("fk-alice0"), "fk-alice0"},
		{"A04 another case", "", bearer("FK-ALICE"), "FK-ALICE"},
		{"A06 a key in a header and another in the query", "?key=fk-bob", nil, "fk-bob"},
		{"A06 two keys in the query", "?key=fk-bob&key=fk-alice", none, "fk-bob"},
		{"A06 two headers", "", []string{"Api-Key", "fk-bob"}, "fk-bob"},
		{"A07 a provider's key", "", bearer("sk-proj-0123456789abcdefghij"), "sk-proj-0123456789"},
		{"A07 the gateway's own API key", "", bearer(canary), canary},
		{"A10 a cookie", "", append(none, "Cookie", "Authorization=Bearer fk-alice; key=fk-alice"), "fk-alice"},
		{"A10 a body field", "", none, "fk-alice"},
		{"A10 another query field", "?api_key=fk-alice&KEY=fk-alice", none, "fk-alice"},
		{"A10 a header of ours", "", append(none, "X-Forward-User", "fk-alice", "Proxy-Authorization", "Bearer fk-alice"), "fk-alice"},
		{"A06 X-Forward-Key and another", "", []string{"X-Forward-Key", "fk-bob"}, "fk-bob"},
		{"A06 X-Forward-Key and a provider's key", "", []string{"X-Forward-Key", "fk-bob", "Authorization", "Bearer sk-proj-0123456789abcdefghij"}, "sk-proj-0123456789"},
		{"A07 a provider's key in X-Forward-Key", "", append(none, "X-Forward-Key", "sk-proj-0123456789abcdefghij"), "sk-proj-0123456789"},
		{"A10 a wrong key in X-Forward-Key", "", append(none, "X-Forward-Key", "fk-alice0"), "fk-alice0"},
		{"A65 an upgrade without a key", "", append(none, "Connection", "Upgrade", "Upgrade", "websocket"), ""},
	} {
		b := start(t, provider, every)
		for d, path := range spoken {
			t.Run(row.id+"/"+d.Name, func(t *testing.T) {
				b.do("POST", path+row.query, body, row.headers...).wantRefused(t, d, 401, "invalid_api_key")
				b.wantCalls(t, 0)
				if row.secret != "" && strings.Contains(b.logged(), row.secret) {
					t.Errorf("the log contains the key:\n%s", b.log)
				}
			})
		}
	}
}

func TestAttacksOnIdentityByHand(t *testing.T) {
	for _, row := range []struct {
		id, send string
		status   int
	}{
		{"A03 NUL", "GET /v1/models HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer fk-\x00alice\r\n\r\n", 400},
		{"A06 two Authorization headers", request("GET /v1/models", "Authorization: Bearer fk-bob"), 401},
		{"A06 the good one second", "GET /v1/models HTTP/1.1\r\nHost: h\r\nConnection: close\r\nAuthorization: Bearer fk-eve\r\nAuthorization: Bearer fk-alice\r\n\r\n", 401},
		{"A06 two x-api-key headers", "GET /v1/models HTTP/1.1\r\nHost: h\r\nConnection: close\r\nx-api-key: fk-bob\r\nX-API-KEY: fk-alice\r\n\r\n", 401},
		{"A10 the path", "GET /fk-alice/v1/models HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n", 401},
		{"A10 userinfo", "GET http://fk-alice:fk-alice@h/v1/models HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n", 401},
		{"A66 a profile", "GET /debug/pprof/ HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n", 401},
	} {
		t.Run(row.id, func(t *testing.T) {
			b := start(t, provider, nil)
			if got := statuses(b.raw(row.send)); !slices.Equal(got, []int{row.status}) {
				t.Errorf("statuses %v, want one %d", got, row.status)
			}
			b.wantCalls(t, 0)
		})
	}
}

func TestA01NothingOutOfTheCacheWithoutAKey(t *testing.T) {
	b := start(t, provider, caching(memoryCache(t)))
	b.chat(`,"caching":true`).want(t, 200)
	for _, key := range []string{"", "Bearer fk-eve", "Bearer " + canary} {
		a := b.chat(`,"caching":true`, "Authorization", key)
		a.wantRefused(t, openai.Dialect, 401, "invalid_api_key")
		if a.Header.Get("X-Cache") != "" || a.Header.Get("Cache-Status") != "" || a.Header.Get("Age") != "" {
			t.Errorf("a stranger learns of the cache: %v", a.Header)
		}
	}
	b.wantCalls(t, 1)
}

func TestA09AKeyInTheQueryOfGeminiGoesNoFurther(t *testing.T) {
	b := start(t, provider, every)
	for _, query := range []string{"?key=fk-alice", "?alt=sse&key=fk-alice", "?key=fk-alice&alt=sse", "?%6bey=fk-alice"} {
		b.do("POST", spoken[gemini.Dialect]+query, `{"contents":[]}`, "Authorization", "").want(t, 200)
		r, _ := b.last()
		if strings.Contains(r.RequestURI, "key") || strings.Contains(fmt.Sprint(r.Header), "fk-alice") || r.Header.Get("X-Goog-Api-Key") != canary {
			t.Errorf("%s: upstream got %s %v", query, r.RequestURI, r.Header)
		}
	}
	if strings.Contains(b.logged(), "fk-alice") {
		t.Errorf("the log contains the key:\n%s", b.log)
	}
}

func TestA66ProbesShowNoVersion(t *testing.T) {
	b := start(t, provider, func(s *setup) { s.Version = "v9.8.7" })
	a := b.do("GET", "/healthz", "", "Authorization", "")
	a.want(t, 200)
	if a.body != `"OK"` || strings.Contains(fmt.Sprint(a.Header), "9.8.7") || a.Header.Get("Server") != "" {
		t.Errorf("%q %v", a.body, a.Header)
	}
	b.wantCalls(t, 0)
}
