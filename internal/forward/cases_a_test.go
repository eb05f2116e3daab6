package forward_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"path"
	"strings"
	"sync"
	"testing"

	"github.com/tidwall/gjson"

	"forward/internal/database"
	"forward/internal/keys"
	"forward/internal/metrics"
)

// TestCasesOfAccess has the cases about which caller may do what, each by its
// number in the list of faults.
func TestCasesOfAccess(t *testing.T) {
	t.Run("B19 a page's key among the subprotocols", func(t *testing.T) {
		for name, test := range map[string]struct {
			change func(*setup)
			sent   string
			want   string
		}{
			"a forward key":     {nil, "realtime, openai-insecure-api-key.fk-alice, openai-project.p", "realtime"},
			"open access":       {func(s *setup) { s.keys = nil }, "realtime, openai-insecure-api-key.sk-own", "realtime"},
			"transparent":       {func(s *setup) { s.open = true }, "realtime, openai-insecure-api-key.sk-own", "realtime, openai-insecure-api-key.sk-own"},
			"a key and no more": {nil, "openai-insecure-api-key.fk-alice", ""},
		} {
			t.Run(name, func(t *testing.T) {
				b := start(t, acceptWebSocket, test.change)
				head := b.handshake("GET /v1/realtime?model=gpt-realtime", "Sec-WebSocket-Protocol: "+test.sent)
				seen, _ := b.last()
				if got := strings.Join(seen.Header["Sec-Websocket-Protocol"], ", "); got != test.want {
					t.Errorf("the upstream got the subprotocols %q, want %q", got, test.want)
				}
				if got := seen.Header.Get("Authorization"); name != "transparent" && got != "Bearer "+canary {
					t.Errorf("the upstream got Authorization %q", got)
				}
				if head.StatusCode != http.StatusSwitchingProtocols || !strings.HasPrefix(head.Header.Get("Sec-WebSocket-Protocol"), strings.SplitN(test.want, ",", 2)[0]) {
					t.Errorf("the client got %d and the subprotocol %q", head.StatusCode, head.Header.Get("Sec-WebSocket-Protocol"))
				}
			})
		}
		b := start(t, acceptWebSocket, nil)
		if head := b.handshake("GET /v1/realtime?model=gpt-realtime", "Sec-WebSocket-Protocol: realtime, openai-insecure-api-key.fk-eve"); head.StatusCode != http.StatusUnauthorized {
			t.Errorf("a wrong key got %d", head.StatusCode)
		}
	})
	t.Run("A2 ephemeral credentials for restricted keys", ephemeralForRestrictedKeys)
	t.Run("B20 ephemeral credentials count for their key", ephemeralCountForTheirKey)
	t.Run("A8 wrong keys are slowed by address", wrongKeysAreSlowed)
	t.Run("A9 metrics and health for holders of a key", metricsForHolders)
	t.Run("what is wrong with an Authorization header", wrongAuthorization)
	t.Run("A6 objects of other keys", objectsOfOthers)
}

// members are forward keys with different rights.
func members(s *setup) {
	s.keys = append(s.keys,
		keys.Key{Name: "narrow", Secret: keys.NewSecret("fk-narrow"), Policy: keys.Policy{Models: []string{"gpt-4o-mini"}}},
		keys.Key{Name: "budget", Secret: keys.NewSecret("fk-budget"), Policy: keys.Policy{Budgets: budgets("1usd/month")}},
		keys.Key{Name: "low", Secret: keys.NewSecret("fk-low"), Level: 1},
		keys.Key{Name: "allowed", Secret: keys.NewSecret("fk-allowed"), Policy: keys.Policy{Models: []string{"gpt-*"}, Ephemeral: "allow"}},
		keys.Key{Name: "denied", Secret: keys.NewSecret("fk-denied"), Policy: keys.Policy{Ephemeral: "deny"}},
		keys.Key{Name: "own", Secret: keys.NewSecret("fk-own"), Policy: keys.Policy{Objects: "own"}},
		keys.Key{Name: "gone", Secret: keys.NewSecret("fk-gone"), Policy: keys.Policy{Objects: "own"}},
	)
	s.Levels = keys.Levels{1: {"gpt-4o-mini"}}
	s.all = true
}

func budgets(text string) []keys.Budget {
	b, err := keys.ParseBudget(text)
	if err != nil {
		panic(err)
	}
	return []keys.Budget{b}
}

// owners returns a store of who made what that lasts for the test.
func owners(t *testing.T) *keys.Owners {
	t.Helper()
	db := must(database.OpenMemory())(t)
	t.Cleanup(func() { db.Close() })
	return must(keys.NewOwners(db, nil))(t)
}

func ephemeralForRestrictedKeys(t *testing.T) {
	b := start(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		io.WriteString(w, `{"value":"ek_1"}`)
	}, members)
	for _, path := range []string{
		"/v1/realtime/client_secrets", "/v1/realtime/sessions", "/v1/realtime/transcription_sessions", "/v1/chatkit/sessions",
		"/v1/realtime/translations/client_secrets", "/openai/v1/realtime/client_secrets", "/v1/Realtime/Client_Secrets", "/v1/realtime/%63lient_secrets",
		"/v1/realtime/client_secrets/", "/gemini/v1alpha/auth_tokens", "/gemini/v1alpha/authTokens",
	} {
		for _, method := range []string{"POST", "PUT"} {
			for _, key := range []string{"narrow", "budget", "low", "denied"} {
				before := b.calls()
				b.do(method, path, `{"model":"gpt-4o-mini"}`, "Authorization", "Bearer fk-"+key).want(t, http.StatusForbidden)
				if b.calls() != before {
					t.Errorf("%s %s by %s reached the upstream", method, path, key)
				}
			}
		}
		for _, key := range []string{"alice", "allowed"} {
			if a := b.do("POST", path, `{"model":"gpt-4o-mini"}`, "Authorization", "Bearer fk-"+key); a.StatusCode != http.StatusOK {
				t.Errorf("POST %s by %s: %d %s", path, key, a.StatusCode, a.body)
			}
		}
	}
}

func ephemeralCountForTheirKey(t *testing.T) {
	answers := map[string]string{
		"/v1/realtime/client_secrets": `{"value":"ek_first","expires_at":9999999999,"session":{"model":"gpt-realtime"}}`,
		"/v1/realtime/sessions":       `{"id":"sess_1","client_secret":{"value":"ek_session","expires_at":9999999999}}`,
		"/v1/chatkit/sessions":        `{"id":"cksess_1","client_secret":"ek_chatkit","expires_at":9999999999}`,
		"/v1alpha/auth_tokens":        `{"name":"auth_tokens/t1"}`,
		"/v1/realtime/expired":        `{}`,
	}
	b := start(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		if upgrade := r.Header.Get("Upgrade"); upgrade != "" {
			acceptWebSocket(w, r)
			return
		}
		io.WriteString(w, answers[r.URL.Path])
	}, func(s *setup) {
		members(s)
		s.Owners = owners(t)
		s.keys[0].Policy.RPM = 5
	})
	none := []string{"Authorization", ""}
	b.do("POST", "/v1/realtime/calls", "v=0", "Authorization", "Bearer ek_first").want(t, http.StatusUnauthorized)
	for path, secret := range map[string]string{"/v1/realtime/client_secrets": "ek_first", "/v1/realtime/sessions": "ek_session", "/v1/chatkit/sessions": "ek_chatkit"} {
		b.do("POST", path, `{}`).want(t, http.StatusOK, secret)
		b.do("POST", "/gemini/v1/realtime/calls", "v=0", "Authorization", "Bearer "+secret).want(t, http.StatusUnauthorized)
	}
	// It passes as it came, and counts for alice, who has 5 requests a minute.
	b.do("POST", "/v1/realtime/calls", "v=0", "Authorization", "Bearer ek_first", "Content-Type", "application/sdp").want(t, http.StatusOK)
	seen, body := b.last()
	if seen.Header.Get("Authorization") != "Bearer ek_first" || string(body) != "v=0" {
		t.Errorf("the upstream got Authorization %q and %q", seen.Header.Get("Authorization"), body)
	}
	if log := b.logged(); !strings.Contains(log, "path=/v1/realtime/calls status=200") || !strings.Contains(log, "key=alice") {
		t.Error("the request is not logged as alice's")
	}
	head := b.handshake("GET /v1/realtime?model=gpt-realtime", "Sec-WebSocket-Protocol: realtime, openai-insecure-api-key.ek_session")
	seen, _ = b.last()
	if head.StatusCode != http.StatusSwitchingProtocols || seen.Header.Get("Sec-WebSocket-Protocol") != "realtime, openai-insecure-api-key.ek_session" || seen.Header.Get("Authorization") != "" {
		t.Errorf("%d, and the upstream got %v", head.StatusCode, seen.Header)
	}
	// A WebSocket is no request: its responses are.
	b.do("POST", "/v1/realtime/calls", "v=0", "Authorization", "Bearer ek_first").want(t, http.StatusOK)
	b.do("POST", "/v1/realtime/calls", "v=0", "Authorization", "Bearer ek_first").want(t, http.StatusTooManyRequests)
	// Gemini's come in the query.
	b.do("POST", "/gemini/v1alpha/auth_tokens", `{}`, "Authorization", "Bearer fk-bob").want(t, http.StatusOK)
	b.do("POST", "/gemini/v1alpha/x?access_token=auth_tokens/t1", `{}`, none...).want(t, http.StatusOK)
	seen, _ = b.last()
	if seen.URL.RawQuery != "access_token=auth_tokens/t1" || seen.Header.Get("X-Goog-Api-Key") != "" {
		t.Errorf("the upstream got %q and the key %q", seen.URL.RawQuery, seen.Header.Get("X-Goog-Api-Key"))
	}
	b.do("POST", "/gemini/v1alpha/x?access_token=auth_tokens/t2", `{}`, none...).want(t, http.StatusUnauthorized)
}

// TestObjectsOfOthersInEveryDialect has lists as the other dialects write them,
// and objects that only a Location names.
func TestObjectsOfOthersInEveryDialect(t *testing.T) {
	b := start(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		id := r.Header.Get("X-Id")
		list := `{"data":[{"id":"file_1","type":"file"},{"id":"file_2","type":"file"}],"first_id":"file_1","last_id":"file_2","has_more":true}`
		switch {
		case r.URL.Path == "/v1/realtime/calls":
			w.Header().Set("Content-Type", "application/sdp")
			w.Header().Set("Location", "/v1/realtime/calls/"+id)
			w.WriteHeader(http.StatusCreated)
			io.WriteString(w, "v=0")
		case r.Method == "POST" && strings.HasPrefix(r.URL.Path, "/upload/"):
			fmt.Fprintf(w, `{"file":{"name":%q,"displayName":"files/other"}}`, id)
		case r.Method == "POST":
			fmt.Fprintf(w, `{"id":%q,"name":%[1]q}`, id)
		case r.URL.Path == "/v1beta/files":
			io.WriteString(w, `{"files":[{"name":"files/1"},{"name":"files/2","uri":"https://x/files/2"}],"nextPageToken":"t"}`)
		case r.URL.Path == "/v1beta/cachedContents":
			io.WriteString(w, `{}`)
		default:
			io.WriteString(w, list)
		}
	}, func(s *setup) {
		members(s)
		s.Owners = owners(t)
		s.Objects = "own"
	})
	alice := func(method, path, id string) answer { return b.do(method, path, "{}", "X-Id", id) }
	bob := func(method, path, id string) answer {
		return b.do(method, path, "{}", "X-Id", id, "Authorization", "Bearer fk-bob")
	}
	alice("POST", "/anthropic/v1/files", "file_1").want(t, http.StatusOK)
	bob("POST", "/anthropic/v1/files", "file_2").want(t, http.StatusOK)
	alice("GET", "/anthropic/v1/files", "").want(t, http.StatusOK, `{"data":[{"id":"file_1","type":"file"}],"first_id":"file_1","last_id":"file_1","has_more":true}`)
	alice("GET", "/anthropic/v1/files/file_1", "").want(t, http.StatusOK)
	alice("GET", "/anthropic/v1/files/file_2/content", "").want(t, http.StatusNotFound, "not_found_error")
	alice("POST", "/gemini/upload/v1beta/files", "files/1").want(t, http.StatusOK)
	bob("POST", "/gemini/upload/v1beta/files", "files/2").want(t, http.StatusOK)
	bob("GET", "/gemini/v1beta/files?pageSize=2", "").want(t, http.StatusOK, `{"files":[{"name":"files/2","uri":"https://x/files/2"}],"nextPageToken":"t"}`)
	bob("GET", "/gemini/v1beta/cachedContents", "").want(t, http.StatusOK, `{}`)
	bob("DELETE", "/gemini/v1beta/files/1", "").want(t, http.StatusNotFound, "NOT_FOUND")
	b.do("POST", "/gemini/v1beta/models/m:generateContent", `{"contents":[{"parts":[{"fileData":{"fileUri":"https://generativelanguage.googleapis.com/v1beta/files/2"}}]}]}`).want(t, http.StatusNotFound)
	b.do("POST", "/gemini/v1beta/models/m:generateContent", `{"contents":[{"parts":[{"fileData":{"fileUri":"https://www.youtube.com/watch?v=1"}}]}]}`).want(t, http.StatusOK)
	alice("POST", "/v1/realtime/calls", "rtc_1").want(t, http.StatusCreated)
	alice("POST", "/v1/realtime/calls/rtc_1/hangup", "").want(t, http.StatusOK)
	bob("POST", "/v1/realtime/calls/rtc_1/hangup", "").want(t, http.StatusNotFound)
	bob("GET", "/v1/realtime?call_id=rtc_1", "").want(t, http.StatusNotFound)
	alice("GET", "/v1/models", "").want(t, http.StatusOK)
}

// shelf is an upstream that keeps what it is given: files, responses, stored
// chats.
type shelf struct {
	mu   sync.Mutex
	made []string
}

func (s *shelf) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	make := func(id string) {
		s.made = append(s.made, id)
	}
	w.Header().Set("Content-Type", "application/json")
	kind := map[string]string{"/v1/files": "file-", "/v1/responses": "resp_", "/v1/chat/completions": "chatcmpl-", "/v1/batches": "batch_", "/v1/videos": "video_"}[r.URL.Path]
	body, _ := io.ReadAll(r.Body)
	switch {
	case kind != "" && r.Method == "POST":
		id := fmt.Sprint(kind, len(s.made)+1)
		make(id)
		if strings.Contains(string(body), `"stream":true`) {
			w.Header().Set("Content-Type", "text/event-stream")
			fmt.Fprintf(w, "event: response.created\ndata: {\"type\":\"response.created\",\"response\":{\"id\":%q}}\n\n", id)
			fmt.Fprintf(w, "event: response.completed\ndata: {\"type\":\"response.completed\",\"response\":{\"id\":%q,\"status\":\"completed\",\"usage\":{\"input_tokens\":1,\"output_tokens\":1,\"total_tokens\":2}}}\n\n", id)
			return
		}
		fmt.Fprintf(w, `{"id":%q,"object":"x","status":"completed","output":[{"type":"message","id":"msg_%s"}],"usage":{"input_tokens":1,"output_tokens":1,"total_tokens":2}}`, id, id)
	case kind != "":
		io.WriteString(w, `{"object":"list", "data": [`)
		for i, id := range s.made {
			if i > 0 {
				io.WriteString(w, ",")
			}
			fmt.Fprintf(w, `{"id": %q,"output_file_id":"out-%s"}`, id, id)
		}
		fmt.Fprintf(w, `],"first_id":%q,"last_id":%q,"has_more":false}`, s.made[0], s.made[len(s.made)-1])
	case strings.HasPrefix(r.URL.Path, "/v1/batches/"):
		fmt.Fprintf(w, `{"id":%q,"output_file_id":"out-%s"}`, path.Base(r.URL.Path), path.Base(r.URL.Path))
	case r.URL.Path == "/v1/vector_stores":
		io.WriteString(w, `[{"id":"vs_1"}]`)
	default:
		fmt.Fprintf(w, `{"id":%q}`, path.Base(r.URL.Path))
	}
}

func objectsOfOthers(t *testing.T) {
	b := start(t, (&shelf{}).ServeHTTP, func(s *setup) {
		members(s)
		s.Owners = owners(t)
	})
	as := func(key string) []string { return []string{"Authorization", "Bearer fk-" + key} }
	id := func(a answer) string { return gjson.Get(a.body, "id").String() }
	chat := `{"model":"gpt-4o","store":true,"messages":[]}`
	ids := map[string]map[string]string{}
	for _, key := range []string{"own", "gone", "alice"} {
		ids[key] = map[string]string{
			"files":            id(b.do("POST", "/v1/files", `x`, append(as(key), "Content-Type", "multipart/form-data; boundary=x")...)),
			"responses":        id(b.do("POST", "/v1/responses", `{"model":"gpt-4o","input":"hi"}`, as(key)...)),
			"chat/completions": id(b.do("POST", "/v1/chat/completions", chat, as(key)...)),
			"batches":          id(b.do("POST", "/v1/batches", `{"endpoint":"/v1/responses"}`, as(key)...)),
			"videos":           id(b.do("POST", "/v1/videos", `{"model":"sora-2"}`, as(key)...)),
		}
	}
	streamed := b.do("POST", "/v1/responses", `{"model":"gpt-4o","input":"hi","stream":true}`, as("own")...)
	last := gjson.Get(streamed.body[strings.Index(streamed.body, "{"):], "response.id").String()
	for collection, mine := range ids["own"] {
		for _, method := range []string{"GET", "DELETE", "POST"} {
			for _, other := range []string{ids["gone"][collection], ids["alice"][collection], "unknown-1"} {
				for _, spelled := range []string{"/v1/" + collection + "/" + other, "/v1/" + collection + "/" + other + "/content", "/V1/" + strings.ToUpper(collection) + "/" + other} {
					before := b.calls()
					a := b.do(method, spelled, "", as("own")...)
					a.want(t, http.StatusNotFound, other, `"code":"not_found"`)
					if b.calls() != before {
						t.Errorf("%s %s reached the upstream", method, spelled)
					}
				}
			}
		}
		b.do("GET", "/v1/"+collection+"/"+mine, "", as("own")...).want(t, http.StatusOK)
		b.do("GET", "/v1/"+collection+"/"+mine, "", as("alice")...).want(t, http.StatusOK) // all is the default
		list := b.do("GET", "/v1/"+collection+"?limit=3", "", as("own")...)
		list.want(t, http.StatusOK, mine, `"has_more":false`, `"first_id":"`+ids["own"]["files"])
		for _, other := range []string{"gone", "alice"} {
			for _, theirs := range ids[other] {
				if strings.Contains(list.body, theirs+`"`) {
					t.Errorf("the list shows %s: %s", theirs, list.body)
				}
			}
		}
		b.do("GET", "/v1/"+collection, "", as("alice")...).want(t, http.StatusOK, ids["gone"][collection], mine, ids["alice"][collection])
	}
	theirs := ids["gone"]["responses"]
	for _, body := range []string{
		`{"model":"gpt-4o","input":"hi","previous_response_id":"` + theirs + `"}`,
		`{"model":"gpt-4o","input":[{"type":"item_reference","id":"msg_` + theirs + `"}]}`,
		`{"model":"gpt-4o","input":[{"id":"msg_unknown"}]}`,
		`{"model":"gpt-4o","input":[{"role":"user","content":[{"type":"input_file","file_id":"` + ids["gone"]["files"] + `"}]}]}`,
		`{"model":"gpt-4o","input":"hi","conversation":{"id":"conv_1"}}`,
	} {
		b.do("POST", "/v1/responses", body, as("own")...).want(t, http.StatusNotFound)
	}
	for _, body := range []string{
		`{"model":"gpt-4o","input":"hi","previous_response_id":"` + last + `"}`,
		`{"model":"gpt-4o","input":[{"type":"item_reference","id":"msg_` + ids["own"]["responses"] + `"}]}`,
		`{"model":"gpt-4o","input":[{"id":"msg_elsewhere","type":"message","role":"assistant","content":[]}]}`,
	} {
		b.do("POST", "/v1/responses", body, as("own")...).want(t, http.StatusOK)
	}
	// What a batch of one's own has made is one's own.
	b.do("GET", "/v1/files/out-"+ids["own"]["batches"]+"/content", "", as("own")...).want(t, http.StatusOK)
	b.do("GET", "/v1/files/out-"+ids["gone"]["batches"]+"/content", "", as("own")...).want(t, http.StatusNotFound)
	// A list that cannot be read is refused.
	b.do("GET", "/v1/vector_stores", "", as("own")...).want(t, http.StatusForbidden, "operation_not_allowed")
	b.do("POST", "/v1/responses/compact", `{"model":"gpt-4o","input":"hi"}`, as("own")...).want(t, http.StatusOK)
}

// acceptWebSocket is an upstream that accepts an upgrade with the first
// subprotocol.
func acceptWebSocket(w http.ResponseWriter, r *http.Request) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return
	}
	defer conn.Close()
	chosen, _, _ := strings.Cut(r.Header.Get("Sec-WebSocket-Protocol"), ",")
	io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Protocol: "+chosen+"\r\n\r\n")
}

// handshake asks for a WebSocket, with these header lines and no other
// credential, and returns the head of the answer.
func (b *bench) handshake(line string, header ...string) *http.Response {
	b.t.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(b.url, "http://"))
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() { conn.Close() })
	lines := append([]string{line + " HTTP/1.1", "Host: h", "Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==", "Sec-WebSocket-Version: 13"}, header...)
	io.WriteString(conn, strings.Join(lines, "\r\n")+"\r\n\r\n")
	head, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		b.t.Fatal(err)
	}
	return head
}

func wrongKeysAreSlowed(t *testing.T) {
	b := start(t, func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "{}") }, func(s *setup) {
		members(s)
		s.keys[1].Disabled = true
	})
	for range 30 { // neither a guess
		b.do("GET", "/v1/models", "", "Authorization", "").want(t, http.StatusUnauthorized)
		b.do("GET", "/v1/models", "", "Authorization", "Bearer fk-bob").want(t, http.StatusUnauthorized, "key_disabled")
	}
	for i := range 30 {
		path := []string{"/v1/models", "/anthropic/v1/messages", "/gemini/v1beta/models", "/v1/chat/completions"}[i%4]
		a := b.do("POST", path, `{}`, "Authorization", fmt.Sprint("Bearer fk-guess", i))
		switch {
		case i < keys.MaxFailures:
			a.want(t, http.StatusUnauthorized)
		default:
			a.want(t, http.StatusTooManyRequests, "different wrong keys")
			if a.Header.Get("Retry-After") == "" {
				t.Error("there is no Retry-After")
			}
		}
	}
	b.do("GET", "/v1/models", "").want(t, http.StatusOK)
	b.do("GET", "/v1/models", "", "Authorization", "").want(t, http.StatusUnauthorized)
	b.do("GET", "/v1/models", "", "Authorization", "Bearer fk-1", "X-Api-Key", "fk-2").want(t, http.StatusTooManyRequests)
	if b.calls() != 1 {
		t.Errorf("%d requests reached the upstream", b.calls())
	}
}

func TestKeysOfEarlierSettingsAreNoGuesses(t *testing.T) {
	first := must(keys.NewRing([]keys.Key{{Secret: keys.NewSecret("fk-1")}, {Secret: keys.NewSecret("fk-2")}}))(t)
	second := must(first.With([]keys.Key{{Secret: keys.NewSecret("fk-2")}}))(t)
	third := must(second.With([]keys.Key{{Secret: keys.NewSecret("fk-3")}}))(t)
	if !second.Former("fk-1") || !third.Former("fk-1") || !third.Former("fk-2") || third.Former("fk-4") || first.Former("fk-1") {
		t.Error("keys of earlier settings are taken for guesses")
	}
}

func metricsForHolders(t *testing.T) {
	for name, test := range map[string]struct {
		metrics, admin, presented string
		shown                     bool
	}{
		"open":             {"", "adm", "", true},
		"no key":           {"mk", "adm", "", false},
		"its key":          {"mk", "adm", "Bearer mk", true},
		"the admin's key":  {"mk", "adm", "Bearer adm", true},
		"a wrong key":      {"mk", "adm", "Bearer mkx", false},
		"a forward key":    {"mk", "adm", "Bearer fk-alice", false},
		"no administrator": {"mk", "", "Bearer ", false},
	} {
		t.Run(name, func(t *testing.T) {
			b := start(t, func(w http.ResponseWriter, _ *http.Request) {}, func(s *setup) {
				s.Metrics = metrics.New(metrics.Options{})
				s.MetricsKey = keys.NewSecret(test.metrics)
				s.AdminKey = keys.NewSecret(test.admin)
			})
			status := http.StatusUnauthorized
			if test.shown {
				status = http.StatusOK
			}
			b.do("GET", "/metrics", "", "Authorization", test.presented).want(t, status)
			for _, path := range []string{"/health", "/readyz", "/healthz"} {
				a := b.do("GET", path, "", "Authorization", test.presented)
				a.want(t, http.StatusOK)
				if shown := strings.Contains(a.body, "stores"); shown != (test.shown && path != "/healthz") || strings.Contains(a.body, "version") != (shown && path == "/health") {
					t.Errorf("%s shows %s", path, a.body)
				}
			}
		})
	}
}

func wrongAuthorization(t *testing.T) {
	b := start(t, func(w http.ResponseWriter, _ *http.Request) {}, nil)
	for header, part := range map[string]string{
		`Bearer \"fk-alice\"`: "quotes", `Bearer 'fk-alice'`: "quotes", "fk-alice": "the word Bearer", "Basic Zms6": "didn't provide",
	} {
		b.do("GET", "/v1/models", "", "Authorization", strings.ReplaceAll(header, `\"`, `"`)).want(t, http.StatusUnauthorized, part)
	}
}
