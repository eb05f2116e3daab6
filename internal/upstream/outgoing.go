package upstream

import (
	"maps"
	"net/http"
	"strings"

	"forward/internal/keys"
)

// outgoing returns the request of one attempt: a copy, since a RoundTripper
// must not change the one it was given.
func (t *trip) outgoing(p *probe) *http.Request {
	out := t.r.WithContext(p.watch(t.r.Context()))
	out.Header = maps.Clone(t.r.Header) // its values are replaced, never changed
	if out.Header == nil {
		out.Header = http.Header{}
	}
	if at := t.targets[0]; at.index > 0 {
		out.URL = at.move(out.URL, t.Route.Base)
		out.Host = ""
	}
	out.Body = t.body.next()
	// net/http sends a POST again after its connection died, executed or not,
	// if it has GetBody (or no body) and one of these headers (measured: two
	// executions of one call). It looks for them by their canonical names only,
	// and names mean the same in lower case, so it passes them on and does not
	// see them.
	out.GetBody = nil
	for _, name := range [...]string{"Idempotency-Key", "X-Idempotency-Key"} {
		if v, ok := out.Header[name]; ok {
			delete(out.Header, name)
			out.Header[strings.ToLower(name)] = v
		}
	}
	if k := t.key(); k != nil {
		t.setCredential(out, k.Secret.Reveal())
	}
	return out
}

// setCredential makes key the one credential of a request.
func (t *trip) setCredential(out *http.Request, key string) {
	keys.Strip(out.Header)
	if query := keys.StripQuery(out.URL.RawQuery); query != out.URL.RawQuery {
		u := *out.URL
		u.RawQuery = query
		out.URL = &u
	}
	slot := t.Slot
	if !t.Route.General {
		slot = keys.NoSlot
	}
	switch slot {
	case keys.Bearer, keys.Subprotocol: // OpenAI reads both; only pages need the second
		out.Header.Set("Authorization", "Bearer "+key)
	case keys.XAPIKey:
		out.Header.Set("X-Api-Key", key)
	case keys.APIKey:
		out.Header.Set("Api-Key", key)
	case keys.XGoogAPIKey, keys.QueryKey: // ?key= is answered in the header, which is not logged on the way
		out.Header.Set("X-Goog-Api-Key", key)
	default:
		t.Route.Dialect.SetCredentialFor(out.URL.EscapedPath(), out.Header, key)
	}
}
