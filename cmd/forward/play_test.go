package main

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"
)

// withCookie sends a request as a page does that is signed in, and reads the
// answer.
func withCookie(t *testing.T, method, url, body string, cookie *http.Cookie, headers ...string) (int, string) {
	t.Helper()
	r, err := http.NewRequest(method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Sec-Fetch-Site", "same-origin")
	r.AddCookie(cookie)
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, string(text)
}

// D21: by its cookie a caller makes requests in the playground, which are those
// of its key: in the ledger and in its budget. Elsewhere the cookie is nothing.
func TestPlayingByACookie(t *testing.T) {
	up := upstreamOf(t)
	_, server := MustReload(t, "OPENAI_BASE_URL="+up.URL+"\nOPENAI_API_KEY=sk-real-0123456789\nADMIN_KEY="+apiAdmin+"\nDATA_DIR=data\nTZ=UTC\nPRICES={\"m\": {\"input\": 1, \"output\": 1}}\n")
	const path, chat = "/v1/chat/completions", `{"model":"m","messages":[]}`
	// A request costs 0.000002 USD, and 0.000003 are reserved for it: two are
	// within the budget.
	status, text := api(t, "POST", server.URL+"/_/api/keys", `{"fields": {"name": "alice", "budget": "0.000005usd/month"}}`)
	alice := made(t, status, text)
	within(t, "the new key is known", func() bool {
		status, _ := api(t, "GET", server.URL+"/_/api/me", "", "Authorization", "Bearer "+alice.Secret)
		return status == 200
	})
	holder := signInTo(t, server.URL, `{"key":"`+alice.Secret+`"}`)
	admin := signInTo(t, server.URL, `{"key":"`+apiAdmin+`"}`)
	want := func(what string, wanted int, status int, text string) {
		t.Helper()
		if status != wanted {
			t.Errorf("%s: %d, want %d: %s", what, status, wanted, text)
		}
	}
	play := func(cookie *http.Cookie, headers ...string) (int, string) {
		t.Helper()
		return withCookie(t, "POST", server.URL+"/_/api/play"+path, chat, cookie, headers...)
	}
	for _, cookie := range []*http.Cookie{holder, admin} {
		status, text := withCookie(t, "POST", server.URL+path, chat, cookie, "X-Forward-Play-Key", alice.Key.ID)
		want("a cookie outside of /_/", 401, status, text)
	}
	status, text = play(holder)
	want("the holder", 200, status, text)
	if !strings.Contains(text, `"content":"hi"`) {
		t.Errorf("the answer is %s", text)
	}
	status, text = play(admin, "X-Forward-Play-Key", alice.Key.ID)
	want("the administrator as alice", 200, status, text)
	status, text = play(holder)
	want("over the budget", 402, status, text)
	type row struct {
		KeyName string `json:"key_name"`
		Status  int
		Tags    []string
	}
	var rows []row
	within(t, "the rows are written", func() bool {
		var list struct{ Requests []row }
		status, text := withCookie(t, "GET", server.URL+"/_/api/requests?key=alice", "", holder)
		if err := json.Unmarshal([]byte(text), &list); err != nil || status != 200 {
			t.Fatalf("%d %v %s", status, err, text)
		}
		rows = list.Requests
		return len(rows) == 3
	})
	for i, want := range []row{{"alice", 402, nil}, {"alice", 200, []string{"playground"}}, {"alice", 200, nil}} {
		if got := rows[i]; got.KeyName != want.KeyName || got.Status != want.Status || !slices.Equal(got.Tags, want.Tags) {
			t.Errorf("row %d is %+v, want %+v", i, got, want)
		}
	}
}

// A page that looks at the requests under way is cut off when its session is
// signed out.
func TestSignOutEndsAFeed(t *testing.T) {
	_, server := MustReload(t, "ADMIN_KEY="+apiAdmin+"\nFORWARD_KEY=ci=fk-declared-0123456789\nDATA_DIR=data\n")
	cookie := signInTo(t, server.URL, `{"key":"fk-declared-0123456789"}`)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, "GET", server.URL+"/_/api/live", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.AddCookie(cookie)
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	lines := bufio.NewReader(res.Body)
	if line, err := lines.ReadString('\n'); err != nil || res.StatusCode != 200 {
		t.Fatalf("%s %q %v", res.Status, line, err)
	}
	if status, text := withCookie(t, "DELETE", server.URL+"/_/api/session", "", cookie); status != http.StatusNoContent {
		t.Fatalf("%d %s", status, text)
	}
	if _, err := io.Copy(io.Discard, lines); err != nil {
		t.Errorf("the feed goes on: %v", err)
	}
}

// A holder rotates its own key where KEY_ROTATE_OWN is set, and only there. The
// session of the old secret ends with it.
func TestHoldersRotateTheirKey(t *testing.T) {
	up := upstreamOf(t)
	env := "OPENAI_BASE_URL=" + up.URL + "\nOPENAI_API_KEY=sk-real-0123456789\nADMIN_KEY=" + apiAdmin + "\nDATA_DIR=data\nTZ=UTC\n"
	l, server := MustReload(t, env)
	status, text := api(t, "POST", server.URL+"/_/api/keys", `{"fields": {"name": "alice"}}`)
	alice := made(t, status, text)
	within(t, "the new key is known", func() bool {
		status, _ := api(t, "GET", server.URL+"/_/api/me", "", "Authorization", "Bearer "+alice.Secret)
		return status == 200
	})
	cookie := signInTo(t, server.URL, `{"key":"`+alice.Secret+`"}`)
	rotate := func() (int, string) {
		t.Helper()
		return withCookie(t, "POST", server.URL+"/_/api/keys/"+alice.Key.ID+"/rotate", `{"grace": "0"}`, cookie)
	}
	if status, text := rotate(); status != http.StatusForbidden || !strings.Contains(text, "KEY_ROTATE_OWN") {
		t.Errorf("without the setting: %d %s", status, text)
	}
	if status, _ := ask(t, server.URL, alice.Secret); status != 200 {
		t.Errorf("the refused rotation changed the key: %d", status)
	}
	MustPut(t, l, env+"KEY_ROTATE_OWN=true\n")
	status, text = rotate()
	next := made(t, status, text).Secret
	if next == "" || next == alice.Secret {
		t.Fatalf("%d %s", status, text)
	}
	within(t, "the new secret works and the old one does not", func() bool {
		now, _ := ask(t, server.URL, next)
		before, _ := ask(t, server.URL, alice.Secret)
		return now == 200 && before == 401
	})
	if status, text := withCookie(t, "GET", server.URL+"/_/api/me", "", cookie); status != 401 {
		t.Errorf("the session of the old secret: %d %s", status, text)
	}
	_, text = api(t, "GET", server.URL+"/_/api/audit?limit=100", "")
	if !strings.Contains(text, `"key.rotate"`) || !strings.Contains(text, `"alice"`) || strings.Contains(text, next) {
		t.Errorf("the audit has %s", text)
	}
	MustPut(t, l, env)
	cookie = signInTo(t, server.URL, `{"key":"`+next+`"}`)
	if status, text := rotate(); status != http.StatusForbidden {
		t.Errorf("without the setting again: %d %s", status, text)
	}
}
