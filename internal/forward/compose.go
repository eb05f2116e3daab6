package forward

import (
	"bytes"
	"io"
	"net/http"
	"regexp"
	"time"

	"forward/internal/dialect"
	"forward/internal/dialects"
	"forward/internal/jsonscan"
)

// composed is the body that goes upstream.
type composed struct {
	body       []byte   // nil: the client's streams through
	modified   []string // what of it is not the client's, for X-Forward-Modified
	addedUsage bool     // it asks for usage, and the client does not
}

// compose makes the body that goes upstream of the one that came: the client's
// own bytes, without the gateway's flag and with what the gateway changes on
// purpose. store is true when the answer is going to be cached.
func (g *Gateway) compose(a *ask, to target, store bool) composed {
	read := a.from.op.Parsed() || g.isCacheRoute(a) // other bodies are read on the side
	var c composed
	if a.alias != "" || to.instead {
		c.modified = append(c.modified, "model")
	}
	if a.body == nil || a.packed || !read {
		c.body = a.raw
		return c
	}
	var drop, members []string
	if to.instead {
		drop = append(drop, "model")
		members = append(members, `"model":`+quoted(to.model))
	}
	if g.asksUsage(a, to, store) {
		c.addedUsage = true
		drop = append(drop, "stream_options")
		members = append(members, a.usageOptions())
		c.modified = append(c.modified, "include_usage")
	}
	if a.req.Caching != nil { // a provider's own field of this name is no bool
		drop = append(drop, "caching") // strict upstreams refuse it, so it goes whether or not the cache is on
		c.modified = append(c.modified, "caching")
	}
	c.body = a.body.Without(drop...)
	for _, member := range members {
		c.body = prepend(c.body, member)
	}
	return c
}

// asksUsage reports whether the gateway asks for the usage of a stream although
// the client does not, and takes the chunk with it out again. It does so when
// its API key pays, and when the stream is going to be cached, so that a later
// request in the other form can report it. Streams that a client pays for
// itself pass untouched.
func (g *Gateway) asksUsage(a *ask, to target, store bool) bool {
	if to.withoutUsage || !a.req.Stream || a.req.IncludeUsage || (!to.swap && !store) {
		return false
	}
	if a.from.dialect != dialects.Default || (a.from.op != dialect.Chat && a.from.op != dialect.Completion) {
		return false
	}
	until, refused := g.noUsage.Load(to.route)
	if refused && a.in.start.Before(until.(time.Time)) {
		return false
	}
	options := a.body.Get("stream_options")
	// Options that are no object are the upstream's to complain about.
	return options.Value() == nil || (options.IsObject() && a.usageOptions() != "")
}

// usageOptions is the client's stream_options with include_usage, "" when they
// are no valid object.
func (a *ask) usageOptions() string {
	const include = `"include_usage":true`
	options := a.body.Get("stream_options")
	if !options.IsObject() {
		return `"stream_options":{` + include + `}`
	}
	inner, err := dialect.Scan([]byte(options.Raw))
	if err != nil {
		return ""
	}
	return `"stream_options":` + string(prepend(inner.Without("include_usage"), include))
}

// prepend puts a member first into a JSON object.
func prepend(object []byte, member string) []byte {
	at := bytes.IndexByte(object, '{') + 1
	out := make([]byte, 0, len(object)+len(member)+1)
	out = append(append(out, object[:at]...), member...)
	rest := bytes.TrimLeft(object[at:], " \t\r\n")
	if len(rest) == 0 || rest[0] != '}' {
		out = append(out, ',')
	}
	return append(out, object[at:]...)
}

// quoted writes s as a JSON string.
func quoted(s string) string { return string(jsonscan.AppendString(nil, s)) }

// usageRefusedFor is for how long a route is not asked again for usage that it
// refused to report, or that it reports without being asked.
const usageRefusedFor = time.Hour

// refusesUsage reports whether the same is to be asked without what asksUsage
// added. An upstream that answers so has executed nothing: Mistral, old
// versions of Azure and strict local servers give it to a field that they do
// not know, and names the field.
func (g *Gateway) refusesUsage(a *ask, to target, ans *answer) bool {
	status := ans.res.StatusCode
	if !ans.addedUsage || (status != http.StatusBadRequest && status != http.StatusUnprocessableEntity) {
		return false
	}
	body := ans.res.Body
	head, _ := io.ReadAll(io.LimitReader(body, 64<<10))
	ans.res.Body = struct {
		io.Reader
		io.Closer
	}{io.MultiReader(bytes.NewReader(head), body), body}
	if bytes.Contains(head, []byte("stream_options")) || bytes.Contains(head, []byte("include_usage")) {
		g.noUsage.Store(to.route, a.in.start.Add(usageRefusedFor))
		return true
	}
	// Only for this request: what was meant may be a field of the client's.
	return unknownField.Match(head)
}

// unknownField finds answers that complain of a field without naming it.
var unknownField = regexp.MustCompile(`(?i)extra|unrecognized|unknown|unexpected|additional propert`)
