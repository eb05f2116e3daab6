package forward_test

import (
	"database/sql"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	_ "modernc.org/sqlite"

	"forward/internal/keys"
	"forward/internal/upstream"
)

// account is a provider at which objects belong to the API key that made them.
type account struct {
	mu    sync.Mutex
	owner map[string]string
	n     int
}

func (p *account) make(r *http.Request, kind string) string {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.owner == nil {
		p.owner = map[string]string{}
	}
	p.n++
	id := fmt.Sprintf("%s%d", kind, p.n)
	p.owner[id] = credential(r)
	return id
}

func credential(r *http.Request) string {
	return r.Header.Get("Authorization") + r.Header.Get("X-Goog-Api-Key") + r.Header.Get("X-Api-Key")
}

func (p *account) serve(w http.ResponseWriter, r *http.Request) {
	raw, _ := io.ReadAll(r.Body)
	body := string(raw)
	w.Header().Set("Content-Type", "application/json")
	p.mu.Lock()
	for id, owner := range p.owner {
		if (strings.Contains(r.URL.Path, id) || strings.Contains(body, `"`+id+`"`)) && owner != credential(r) {
			defer p.mu.Unlock()
			w.WriteHeader(404)
			fmt.Fprintf(w, `{"error":{"message":"no such object: %s"}}`, id)
			return
		}
	}
	p.mu.Unlock()
	switch {
	case r.Method == "POST" && r.URL.Path == "/v1/files":
		fmt.Fprintf(w, `{"id":%q,"object":"file"}`, p.make(r, "file-"))
	case r.Method == "POST" && r.URL.Path == "/v1/batches":
		fmt.Fprintf(w, `{"id":%q,"object":"batch"}`, p.make(r, "batch_"))
	case r.URL.Path == "/v1/responses" && strings.Contains(body, `"stream":true`):
		w.Header().Set("Content-Type", "text/event-stream")
		id := p.make(r, "resp_")
		fmt.Fprintf(w, "event: response.created\ndata: {\"type\":\"response.created\",\"response\":{\"id\":%q,\"status\":\"in_progress\",\"output\":[]}}\n\n", id)
		fmt.Fprintf(w, "event: response.completed\ndata: {\"type\":\"response.completed\",\"response\":{\"id\":%q,\"status\":\"completed\",\"output\":[],\"usage\":{\"input_tokens\":1,\"output_tokens\":2,\"total_tokens\":3}}}\n\n", id)
	case r.URL.Path == "/v1/responses":
		fmt.Fprintf(w, `{"id":%q,"object":"response","status":"completed","output":[],"usage":{"input_tokens":1,"output_tokens":2,"total_tokens":3}}`, p.make(r, "resp_"))
	case r.URL.Path == "/v1beta/cachedContents":
		fmt.Fprintf(w, `{"name":%q}`, p.make(r, "cachedContents/c"))
	case r.URL.Path == "/v1/messages/batches":
		fmt.Fprintf(w, `{"id":%q,"type":"message_batch"}`, p.make(r, "msgbatch_"))
	default:
		io.WriteString(w, `{}`)
	}
}

// last is the id of the object that was made last.
func (p *account) last() (id string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i := range p.owner {
		if strings.HasSuffix(i, fmt.Sprint(p.n)) {
			id = i
		}
	}
	return id
}

func TestFollowUpsGoToTheKeyThatMadeIt(t *testing.T) {
	p := &account{}
	file := filepath.Join(t.TempDir(), "forward.db")
	var apiKeys []string
	for i := range 4 {
		apiKeys = append(apiKeys, fmt.Sprintf("sk-key-%d-0123456789abcdef", i))
	}
	same := "" // the upstream of all benches
	restart := func() *bench {
		db := must(sql.Open("sqlite", "file:"+file+"?_pragma=journal_mode(wal)&_pragma=busy_timeout(5000)"))(t)
		t.Cleanup(func() { db.Close() })
		return start(t, p.serve, func(s *setup) {
			s.all, s.apiKeys, s.base = true, apiKeys, same
			s.Affinity = must(upstream.NewAffinity(db, nil))(t)
		})
	}
	b := restart()
	same = b.upstream.URL
	form := "--b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a\"\r\n\r\nabc\r\n--b--\r\n"
	for _, row := range []struct {
		name           string
		create, follow func(b *bench, id string) answer
	}{
		{"files",
			func(b *bench, _ string) answer {
				return b.do("POST", "/v1/files", form, "Content-Type", "multipart/form-data; boundary=b")
			},
			func(b *bench, id string) answer { return b.do("GET", "/v1/files/"+id+"/content", "") }},
		{"a batch of a file",
			func(b *bench, _ string) answer {
				b.do("POST", "/openai/v1/files", form, "Content-Type", "multipart/form-data; boundary=b")
				return b.do("POST", "/v1/batches", `{"input_file_id":"`+p.last()+`","endpoint":"/v1/chat/completions"}`)
			},
			func(b *bench, id string) answer { return b.do("POST", "/v1/batches/"+id+"/cancel", "") }},
		{"responses",
			func(b *bench, n string) answer {
				return b.do("POST", "/v1/responses", `{"model":"m","input":"hi `+n+`"}`)
			},
			func(b *bench, id string) answer {
				return b.do("POST", "/v1/responses", `{"model":"m","input":"and?","previous_response_id":"`+id+`"}`)
			}},
		{"responses as streams",
			func(b *bench, n string) answer {
				return b.do("POST", "/v1/responses", `{"model":"m","input":"hi `+n+`","stream":true}`)
			},
			func(b *bench, id string) answer { return b.do("DELETE", "/v1/responses/"+id, "") }},
		{"cached contents",
			func(b *bench, _ string) answer { return b.do("POST", "/gemini/v1beta/cachedContents", `{"model":"m"}`) },
			func(b *bench, id string) answer {
				return b.do("POST", "/gemini/v1beta/models/m:generateContent", `{"contents":[],"cachedContent":"`+id+`"}`)
			}},
		{"batches of messages",
			func(b *bench, _ string) answer {
				return b.do("POST", "/anthropic/v1/messages/batches", `{"requests":[]}`)
			},
			func(b *bench, id string) answer { return b.do("GET", "/anthropic/v1/messages/batches/"+id, "") }},
	} {
		t.Run(row.name, func(t *testing.T) {
			var made []string
			for i := range 6 { // more than there are keys, and other conversations
				row.create(b, fmt.Sprint(i)).want(t, 200)
				made = append(made, p.last())
			}
			owners := map[string]bool{}
			for _, id := range made {
				owners[p.owner[id]] = true
				row.follow(b, id).want(t, 200)
			}
			if len(owners) < 2 {
				t.Errorf("all objects were made with %d keys: the test shows nothing", len(owners))
			}
			after := restart() // a restart
			for _, id := range made {
				row.follow(after, id).want(t, 200)
				row.follow(after, id).want(t, 200)
			}
		})
	}
	// With nothing remembered the pool takes turns, and the provider's own
	// answers come through.
	forgetful := start(t, p.serve, func(s *setup) { s.apiKeys = apiKeys })
	id, lost := p.last(), 0
	p.owner["file-x"] = "Bearer " + apiKeys[0]
	for range 4 {
		if forgetful.do("GET", "/v1/files/file-x", "").StatusCode == 404 {
			lost++
		}
	}
	if lost != 3 {
		t.Errorf("%d of 4 requests for an object (not %s) were lost: the test shows nothing", lost, id)
	}
}

func TestSeveralBasesOfOneRoute(t *testing.T) {
	b := start(t, provider, nil)
	c := start(t, nil, func(s *setup) {
		s.routes = []*upstream.Route{{Name: "openai", Prefix: "/", Base: mustParse("http://" + unused(t)), Dialect: b.route("", "/", nil).Dialect,
			Keys: upstream.NewPool([]upstream.APIKey{{Secret: keys.NewSecret(canary)}}, nil)}}
		s.routes[0].Also = append(s.routes[0].Also, mustParse(b.upstream.URL+"/second"))
	})
	for range 3 {
		a := c.chat(`,"stream":true`)
		if a.StatusCode != 200 || a.body != events(false) || a.Header.Get("X-Forward-Upstream") != "openai#2" || a.Header.Get("X-Forward-Attempts") != "2" {
			t.Errorf("%d from %q after %q: %s", a.StatusCode, a.Header.Get("X-Forward-Upstream"), a.Header.Get("X-Forward-Attempts"), a.body)
		}
	}
	if r, _ := b.last(); r.URL.Path != "/second/v1/chat/completions" {
		t.Errorf("asked %s", r.URL)
	}
}
