//go:build e2e

package e2e

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/tidwall/gjson"

	"forward/internal/upstreamtest"
	"forward/test/harness"
)

// upstream is a running scripted upstream.
type upstream struct {
	*harness.Process
	URL string

	t testing.TB
}

// requests returns what the upstream has recorded.
func (u *upstream) requests() []upstreamtest.Request {
	u.t.Helper()
	var out []upstreamtest.Request
	if err := json.Unmarshal(send(u.t, "GET", u.URL+"/__requests", "").body, &out); err != nil {
		u.t.Fatal(err)
	}
	return out
}

// last returns the latest record.
func (u *upstream) last() upstreamtest.Request {
	u.t.Helper()
	all := u.requests()
	if len(all) == 0 {
		u.t.Fatal("nothing has reached the upstream")
	}
	return all[len(all)-1]
}

// count returns how many requests have reached the upstream.
func (u *upstream) count() int {
	u.t.Helper()
	return len(u.requests())
}

func (u *upstream) reset() {
	u.t.Helper()
	send(u.t, "POST", u.URL+"/__reset", "")
}

// answer is what a client got. Its error is that of reading the body; a request
// that fails before ends the test.
type answer struct {
	status int
	header http.Header
	body   []byte
	err    error
}

func (a answer) code() string { return gjson.GetBytes(a.body, "error.code").String() }

// send makes one request, with header fields as alternating names and values.
// It follows no redirect, asks for no compression, and uses its own connection.
func send(t testing.TB, method, url, body string, header ...string) answer {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for pair := range slices.Chunk(header, 2) {
		req.Header.Add(pair[0], pair[1])
	}
	tr := &http.Transport{DisableCompression: true, DisableKeepAlives: true}
	resp, err := tr.RoundTrip(req)
	if err != nil {
		t.Fatalf("%s %s: %v", method, url, err)
	}
	defer resp.Body.Close()
	var data bytes.Buffer
	_, err = io.Copy(&data, resp.Body)
	return answer{status: resp.StatusCode, header: resp.Header, body: data.Bytes(), err: err}
}

// bearer is the header of a key, for send.
func bearer(key string) []string { return []string{"Authorization", "Bearer " + key} }

// chatBody is a chat request with one message; extra fields start with a comma.
func chatBody(model, prompt, extra string) string {
	m, _ := json.Marshal(model)
	p, _ := json.Marshal(prompt)
	return `{"model":` + string(m) + `,"messages":[{"role":"user","content":` + string(p) + `}]` + extra + `}`
}

// lines splits a log into its lines.
func lines(data []byte) []string {
	return slices.Collect(strings.Lines(string(data)))
}
