package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"forward/internal/keys"
)

const apiAdmin = "admin-0123456789abcdef"

// api sends a request with ADMIN_KEY, unless a header names another, and reads
// the answer.
func api(t *testing.T, method, url, body string, headers ...string) (int, string) {
	t.Helper()
	q, err := http.NewRequest(method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	q.Header.Set("Authorization", "Bearer "+apiAdmin)
	q.Header.Set("Content-Type", "application/json")
	for i := 0; i < len(headers); i += 2 {
		q.Header.Set(headers[i], headers[i+1])
	}
	res, err := http.DefaultClient.Do(q)
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

// made reads what the API answers about a key.
func made(t *testing.T, status int, text string) (answer struct {
	Key      struct{ ID string }
	Secret   string
	Handover struct{ Path string }
	ID       string
	Path     string
}) {
	t.Helper()
	if status >= 300 {
		t.Fatalf("status %d: %s", status, text)
	}
	if err := json.Unmarshal([]byte(text), &answer); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	return answer
}

// keyStream asks again and again with each of some keys, and knows the last
// answer to each.
type keyStream struct {
	url  string
	mu   sync.Mutex // guards last and keys
	keys []string
	last map[string]int
}

func (s *keyStream) add(key string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.keys = append(s.keys, key)
}

func (s *keyStream) run(t *testing.T, stop *atomic.Bool) {
	for !stop.Load() {
		s.mu.Lock()
		list := s.keys
		s.mu.Unlock()
		for _, key := range list {
			status, _ := ask(t, s.url, key)
			s.mu.Lock()
			s.last[key] = status
			s.mu.Unlock()
		}
	}
}

// becomes waits until requests with a key have a status, which has to be within
// a second of the change.
func (s *keyStream) becomes(t *testing.T, what, key string, status int) {
	t.Helper()
	deadline := time.Now().Add(time.Second)
	got := 0
	for time.Now().Before(deadline) {
		s.mu.Lock()
		got = s.last[key]
		s.mu.Unlock()
		if got == status {
			return
		}
		time.Sleep(5 * time.Millisecond)
	}
	t.Errorf("%s: a second later requests have status %d, not %d", what, got, status)
}

// D11: each change of a key applies to a stream of requests within a second,
// and neither the log, the database nor an answer keeps the secrets.
func TestChangesOfKeysApplyToAStream(t *testing.T) {
	upstream := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		io.WriteString(w, `{"id":"1","object":"chat.completion","model":"gpt-4o","choices":[],"usage":{"prompt_tokens":1000,"completion_tokens":1000,"total_tokens":2000}}`)
	}))
	t.Cleanup(upstream.Close)
	_, server := MustReload(t, "OPENAI_BASE_URL="+upstream.URL+"\nOPENAI_API_KEY=sk-real-0123456789\nFORWARD_KEY=ci=fk-declared-0123456789\nADMIN_KEY="+apiAdmin+"\nDATA_DIR=data\nTZ=UTC\nPRICES={\"m\": {\"input\": 1, \"output\": 1}}\n")
	base := server.URL + "/_/api/keys"
	status, text := api(t, "POST", base, `{"fields": {"name": "alice", "budget": "5usd/month"}}`)
	alice := made(t, status, text)
	path := base + "/" + alice.Key.ID
	secrets := []string{alice.Secret}
	s := &keyStream{url: server.URL, last: map[string]int{}}
	var stop atomic.Bool
	var running sync.WaitGroup
	running.Go(func() { s.run(t, &stop) })
	defer running.Wait()
	defer stop.Store(true)
	s.add(alice.Secret)
	s.becomes(t, "made", alice.Secret, 200)
	change := func(method, path, body string) string {
		t.Helper()
		status, text := api(t, method, path, body)
		if status >= 300 {
			t.Fatalf("%s %s %s: %d %s", method, path, body, status, text)
		}
		return text
	}
	change("PATCH", path, `{"fields": {"models": "other-*"}}`)
	s.becomes(t, "models", alice.Secret, 403)
	change("PATCH", path, `{"fields": {"models": null}}`)
	s.becomes(t, "all models", alice.Secret, 200)
	change("PATCH", path, `{"fields": {"budget": "0.000001usd/month"}}`)
	s.becomes(t, "a spent budget", alice.Secret, 402)
	change("PATCH", path, `{"fields": {"budget": "500usd/month"}}`)
	s.becomes(t, "a raised budget", alice.Secret, 200)
	change("PATCH", path, `{"disabled": true}`)
	s.becomes(t, "disabled", alice.Secret, 401)
	change("PATCH", path, `{"disabled": false}`)
	s.becomes(t, "enabled", alice.Secret, 200)
	next := made(t, 200, change("POST", path+"/rotate", `{"grace": "1h"}`)).Secret
	s.add(next)
	s.becomes(t, "rotated, the new one", next, 200)
	s.becomes(t, "rotated, the old one in its grace", alice.Secret, 200)
	last := made(t, 200, change("POST", path+"/rotate", `{"grace": "0"}`)).Secret
	s.add(last)
	s.becomes(t, "rotated again, the new one", last, 200)
	s.becomes(t, "rotated without grace", next, 401)
	secrets = append(secrets, next, last)
	// D13: a link makes the secret when it is opened.
	bob := made(t, 201, change("POST", base, `{"fields": {"name": "bob"}, "secret": "later"}`))
	if bob.Secret != "" || bob.Handover.Path == "" {
		t.Fatalf("%+v", bob)
	}
	code := strings.TrimPrefix(made(t, 201, change("POST", base+"/bob/handover", `{}`)).Path, "#/handover/")
	opened := made(t, 200, change("POST", server.URL+"/_/api/handover", `{"code": "`+code+`"}`))
	s.add(opened.Secret)
	s.becomes(t, "handed over", opened.Secret, 200)
	if status, text := api(t, "POST", server.URL+"/_/api/handover", `{"code": "`+code+`"}`); status != http.StatusGone {
		t.Errorf("opened again: %d %s", status, text)
	}
	secrets = append(secrets, opened.Secret, code)
	change("DELETE", path, "")
	s.becomes(t, "revoked", last, 401)
	stop.Store(true)
	running.Wait()
	for _, target := range []string{"/_/api/keys?details=true", "/_/api/keys/bob", "/_/api/audit?limit=100", "/_/api/usage?by=key"} {
		text := change("GET", server.URL+target, "")
		for _, secret := range secrets {
			if strings.Contains(text, secret) {
				t.Errorf("%s shows %s", target, secret)
			}
		}
	}
	actions := change("GET", server.URL+"/_/api/audit?limit=100", "")
	for _, action := range []string{"key.create", "key.update", "key.rotate", "key.handover", "key.open", "key.revoke"} {
		if !strings.Contains(actions, `"`+action+`"`) {
			t.Errorf("%s is not in the audit: %s", action, actions)
		}
	}
	files, err := filepath.Glob("data/*")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	for _, file := range files {
		content, err := os.ReadFile(file)
		for _, secret := range secrets {
			if err == nil && strings.Contains(string(content), secret) {
				t.Errorf("%s has %s", file, secret)
			}
		}
	}
}

// The command line and the API take and refuse the same texts, in the same
// words.
func TestCommandAndAPIRefuseTheSame(t *testing.T) {
	_, server := MustReload(t, "OPENAI_API_KEY=sk-real-0123456789\nFORWARD_KEY=ci=fk-declared-0123456789\nADMIN_KEY="+apiAdmin+"\nDATA_DIR=data\nTZ=UTC\n")
	base := server.URL + "/_/api/keys"
	texts := map[string][]string{
		"level": {"-1", "x", "3"}, "models": {"a b", "!", "gpt-*"}, "alias": {"a=b,b=c", "a=", "a=b"}, "routes": {"a b", "openai"}, "ips": {"here", "::ffff:10.0.0.0/100", "10.0.0.0/8"},
		"expires": {"soon", "0d", "2027-01-31"}, "rpm": {"many", "-1", "60"}, "tpm": {"1.5", "90000"}, "parallel": {"9999999", "4"}, "budget": {"1eur", "1usd/year", "1usd/day,2usd/day", "20usd/month"},
		"unknown-price": {"maybe", "allow"}, "overrun": {"x", "deny"}, "ephemeral": {"x", "deny"}, "objects": {"mine", "own"}, "credentials": {"theirs", "client"}, "count-list": {"perhaps", "true"},
		"unknown-operations": {"x", "deny"}, "cache": {"x", "key"}, "log": {"all", "meta"}, "priority": {"101", "x", "7"}, "tags": {`a"b`, strings.Repeat("x", 65), "team=search"}, "set-user": {"perhaps", "true"},
	}
	n := 0
	for _, f := range keys.Fields() {
		if f.Name == "name" {
			continue
		}
		if len(texts[f.Name]) < 2 {
			t.Errorf("%s has no texts here", f.Name)
		}
		for _, text := range texts[f.Name] {
			n++
			body, err := json.Marshal(map[string]any{"fields": map[string]string{"name": fmt.Sprint("api", n), f.Name: text}})
			if err != nil {
				t.Fatal(err)
			}
			status, answer := api(t, "POST", base, string(body))
			_, _, failed := execute("keys", "add", fmt.Sprint("cmd", n), "--"+f.Name+"="+text)
			refused(t, f.Name+" "+text, status, answer, failed)
		}
	}
	for _, name := range []string{"", "a,b", "fk-x", strings.Repeat("n", 65), "ci", "api1taken"} {
		if name == "api1taken" {
			name = "dave"
			if _, _, err := execute("keys", "add", name); err != nil {
				t.Fatal(err)
			}
		}
		body, err := json.Marshal(map[string]any{"fields": map[string]string{"name": name}})
		if err != nil {
			t.Fatal(err)
		}
		status, answer := api(t, "POST", base, string(body))
		_, _, failed := execute("keys", "add", "--", name)
		if status == http.StatusCreated || failed == nil {
			t.Errorf("%q is a name: %d, %v", name, status, failed)
		}
		refused(t, "name "+name, status, answer, failed)
	}
	for _, one := range []struct {
		args         []string
		method, path string
		body         string
	}{
		{[]string{"set", "ci", "--rpm", "1"}, "PATCH", "/ci", `{"fields": {"rpm": "1"}}`},
		{[]string{"rotate", "ci"}, "POST", "/ci/rotate", `{}`},
		{[]string{"rotate", "dave", "--grace", "soon"}, "POST", "/dave/rotate", `{"grace": "soon"}`},
		{[]string{"handover", "ci"}, "POST", "/ci/handover", `{}`},
		{[]string{"revoke", "ci", "--yes"}, "DELETE", "/ci", ``},
		{[]string{"set", "dave", "--name", "ci"}, "PATCH", "/dave", `{"fields": {"name": "ci"}}`},
		{[]string{"whois", "fk-" + strings.Repeat("0", 46)}, "POST", "/whois", `{"secret": "fk-` + strings.Repeat("0", 46) + `"}`},
	} {
		status, answer := api(t, one.method, base+one.path, one.body)
		_, _, failed := execute(append([]string{"keys"}, one.args...)...)
		if status < 400 || failed == nil {
			t.Errorf("%v is taken: %d, %v", one.args, status, failed)
		}
		refused(t, strings.Join(one.args, " "), status, answer, failed)
	}
}

// refused compares what the API and the command line made of the same.
func refused(t *testing.T, what string, status int, answer string, failed error) {
	t.Helper()
	if (status >= 400) != (failed != nil) {
		t.Errorf("%s: the API answers %d %s, the command %v", what, status, answer, failed)
	}
	if failed == nil || status < 400 {
		return
	}
	var problem struct{ Error struct{ Message string } }
	if err := json.Unmarshal([]byte(answer), &problem); err != nil {
		t.Fatal(err)
	}
	words := failed.Error()
	if wrong, ok := errors.AsType[*usageError](failed); ok {
		words = wrong.Error()
	}
	if !strings.Contains(words, problem.Error.Message) {
		t.Errorf("%s:\n the API writes     %s\n the command writes %s", what, problem.Error.Message, words)
	}
}
