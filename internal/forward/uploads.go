package forward

import (
	"net/http"
	"net/url"
	"strings"
)

// uploadHeaders hold the address for the bytes of a resumable Google upload
// to (https://ai.google.dev/gemini-api/docs/files, "X-Goog-Upload-Protocol:
// resumable").
var uploadHeaders = [...]string{"X-Goog-Upload-Url", "X-Goog-Upload-Control-Url"}

// ownUploads leads the bytes of an upload through the gateway too: its client
// has no API key to send to the upstream itself, and @google/genai keeps the
// path of the address but replaces its host by that of its base URL, which
// would lead to another route. An address that is not below the route's base
// URL stays as it is.
func (g *Gateway) ownUploads(rec *record, h http.Header) {
	for _, name := range uploadHeaders {
		if !rec.to.swap || h[name] == nil {
			continue
		}
		u, err := url.Parse(h.Get(name))
		if err != nil || u.Host == "" {
			continue
		}
		base := rec.to.route.Base
		rest, below := strings.CutPrefix(u.EscapedPath(), strings.TrimRight(base.EscapedPath(), "/"))
		if u.Host != base.Host || !below || !strings.HasPrefix(rest, "/") {
			continue
		}
		scheme := "http"
		if rec.in.r.TLS != nil {
			scheme = "https"
		}
		h.Set(name, scheme+"://"+rec.in.r.Host+strings.TrimRight(rec.ask.from.mount, "/")+rest+"?"+u.RawQuery)
	}
}

// uploads is the object that an upload under way is for Affinity: its id is in
// the query.
func uploads(rawQuery string) (objects []string) {
	if id := firstParameter(rawQuery, "upload_id"); id != "" {
		objects = append(objects, "upload_id/"+id)
	}
	return objects
}

// firstParameter is the first value of a query's parameter, as it is spelled.
func firstParameter(rawQuery, name string) string {
	for pair := range strings.SplitSeq(rawQuery, "&") {
		if value, ok := strings.CutPrefix(pair, name+"="); ok {
			return value
		}
	}
	return ""
}
