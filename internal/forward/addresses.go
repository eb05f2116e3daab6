package forward

import (
	"bytes"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/tidwall/gjson"

	"forward/internal/clientip"
	"forward/internal/dialect"
)

// addressHeaders hold an address of the provider's that clients go to next: of
// a redirect or a new object, of an operation under way, and of the bytes of a
// resumable Google upload (https://ai.google.dev/gemini-api/docs/files,
// "X-Goog-Upload-Protocol: resumable").
var addressHeaders = [...]string{"Location", "Operation-Location", "X-Goog-Upload-Url", "X-Goog-Upload-Control-Url"}

// maxAddressed bounds an answer whose body is read for addresses, in bytes.
const maxAddressed = 4 << 20

// ownAddresses leads addresses below the route's base URLs through the gateway:
// a client has no API key to send to the upstream itself, and would send its
// forward key there. @google/genai keeps the path of an upload's address but
// replaces its host by that of its base URL, which would lead to another route.
// Other addresses stay as they are.
func (g *Gateway) ownAddresses(rec *record) {
	if rec.answer.attempts.Count == 0 || rec.to.route.Open {
		return
	}
	h := rec.answer.res.Header
	for _, name := range addressHeaders {
		if h[name] == nil || (!rec.to.swap && name != "Location") {
			continue
		}
		own, ok := g.ownAddress(rec, h.Get(name))
		if ok {
			h.Set(name, own)
			rec.answer.modified = append(rec.answer.modified, strings.ToLower(name))
		}
	}
	if rec.to.swap && rec.ask.from.op == dialect.Other {
		g.ownMembers(rec)
	}
}

// ownAddress returns the gateway's own address for one of the upstream's.
func (g *Gateway) ownAddress(rec *record, address string) (own string, ok bool) {
	u, err := url.Parse(address)
	if err != nil || u.Host == "" {
		return "", false
	}
	rest, ok := rec.to.route.Below(u)
	if !ok {
		return "", false
	}
	mount := rec.ask.from.mount
	if rec.to.route != rec.ask.from.route {
		mount = rec.to.route.Prefix
	}
	own = clientip.Origin(rec.in.r, g.TrustedProxies) + strings.TrimRight(mount, "/") + rest
	if u.RawQuery != "" || u.ForceQuery {
		own += "?" + u.RawQuery
	}
	if u.Fragment != "" {
		own += "#" + u.EscapedFragment()
	}
	return own, true
}

// ownMembers leads the addresses in the body of an answer through the gateway.
// Only the values themselves are replaced.
func (g *Gateway) ownMembers(rec *record) {
	res := rec.answer.res
	paths := rec.to.route.Dialect.Provider.Addresses
	if len(paths) == 0 || res.StatusCode != http.StatusOK || !isJSON(res.Header) || encodingOf(res.Header) != "" || res.ContentLength > maxAddressed {
		return
	}
	rest := res.Body
	if g.StreamIdleTimeout > 0 {
		rest = newWatchedBody(rest, g.StreamIdleTimeout, rec.memory.work(rec.in))
	}
	body, err := io.ReadAll(io.LimitReader(rest, maxAddressed))
	if err == nil && len(body) < maxAddressed && gjson.ValidBytes(body) {
		body = g.withOwnMembers(rec, body, paths)
	}
	if len(body) < maxAddressed && err == nil && res.ContentLength >= 0 {
		res.ContentLength = int64(len(body))
		res.Header.Set("Content-Length", strconv.Itoa(len(body)))
	}
	if err != nil {
		rest = brokenBody{rest, err}
	}
	res.Body = struct {
		io.Reader
		io.Closer
	}{io.MultiReader(bytes.NewReader(body), rest), rest}
}

// withOwnMembers returns body with the gateway's own addresses at the paths.
func (g *Gateway) withOwnMembers(rec *record, body []byte, paths []string) []byte {
	for _, path := range paths {
		values := []gjson.Result{gjson.GetBytes(body, path)}
		if values[0].IsArray() { // a path through a list
			at := values[0].Indexes
			values = values[0].Array()
			for i := range values {
				values[i].Index = at[i]
			}
		}
		for _, value := range slices.Backward(values) {
			own, ok := g.ownAddress(rec, value.Str)
			if ok && value.Index > 0 {
				body = slices.Replace(body, value.Index, value.Index+len(value.Raw), []byte(quoted(own))...)
				rec.answer.modified = append(rec.answer.modified, path)
			}
		}
	}
	return body
}

// brokenBody is the rest of a body that broke off.
type brokenBody struct {
	io.Closer
	err error
}

// Read implements io.Reader.
func (b brokenBody) Read([]byte) (int, error) { return 0, b.err }
