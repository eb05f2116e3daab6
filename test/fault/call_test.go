//go:build fault

package fault

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/tidwall/gjson"

	"forward/test/harness"
)

// call is a request of a client.
type call struct {
	ctx    context.Context // nil: the test's
	method string          // "" is POST
	path   string
	body   string
	key    string   // "" is alice's, "-" none
	script string   // what the upstream plays
	header []string // names and values in turn
	leave  bool     // of a soak: the client leaves at some time
}

// answer is what a client got. Its error is that of the connection, before the
// headers or in the body.
type answer struct {
	name   string // of the case
	status int
	header http.Header
	body   []byte
	err    error
	took   time.Duration
}

func (a answer) code() string { return gjson.GetBytes(a.body, "error.code").String() }

func (a answer) text() string { return harness.Tail(string(a.body)) }

// chatBody is a chat request with one message; extra fields start with a comma.
func chatBody(model, prompt, extra string) string {
	p, _ := json.Marshal(prompt)
	return `{"model":"` + model + `","messages":[{"role":"user","content":` + string(p) + `}]` + extra + `}`
}

const (
	chatPath  = "/v1/chat/completions"
	streaming = `,"stream":true`
	caching   = `,"caching":true`
)

// chat asks for a chat completion that the upstream answers by a script.
func (g *gateway) chat(script, extra string) answer {
	return g.ask(call{path: chatPath, script: script, body: chatBody("gpt-4o-mini", "hi", extra)})
}

// stream asks for a streamed one.
func (g *gateway) stream(script string) answer { return g.chat(script, streaming) }

// request makes the request of a call, under the name of a new case.
func (g *gateway) request(c call) (*http.Request, string) {
	ctx, method := c.ctx, c.method
	if ctx == nil {
		ctx = g.s.Context()
	}
	if method == "" {
		method = "POST"
	}
	r, err := http.NewRequestWithContext(ctx, method, g.URL+c.path, strings.NewReader(c.body))
	if err != nil {
		g.s.Error(err)
		return nil, ""
	}
	name := g.s.next()
	r.Header.Set("X-Case", name)
	r.Header.Set("X-User-Id", name)
	switch c.key {
	case "":
		r.Header.Set("Authorization", "Bearer "+template.alice)
	case "-":
	default:
		r.Header.Set("Authorization", "Bearer "+c.key)
	}
	if c.script != "" {
		r.Header.Set("X-Script", c.script)
	}
	for pair := range slices.Chunk(c.header, 2) {
		r.Header.Add(pair[0], pair[1])
	}
	return r, name
}

// ask makes a request on a connection of its own and reads the whole answer. It
// may be used by several goroutines.
func (g *gateway) ask(c call) (a answer) {
	r, name := g.request(c)
	if r == nil {
		return answer{}
	}
	start := time.Now()
	defer func() { a = g.s.note(a) }()
	resp, err := (&http.Transport{DisableCompression: true, DisableKeepAlives: true}).RoundTrip(r)
	if err != nil {
		return answer{name: name, err: err, took: time.Since(start)}
	}
	defer resp.Body.Close()
	var data bytes.Buffer
	_, err = io.Copy(&data, resp.Body)
	return answer{name: name, status: resp.StatusCode, header: resp.Header, body: data.Bytes(), err: err, took: time.Since(start)}
}
