package forward

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"regexp"
	"time"

	"forward/internal/dialect"
)

// compose makes the body that goes upstream of the one that came: the client's own bytes, without our flag and with what
// the gateway changes on purpose. What it changed is said in X-Forward-Modified.
func (x *exchange) compose() {
	if x.body == nil {
		return
	}
	x.modified = x.modified[:0]
	drop := []string{"caching"} // ours; strict upstreams refuse it, so it goes whether or not the cache is on
	var members []string
	if x.instead != "" {
		drop, members = append(drop, "model"), append(members, `"model":`+quoted(x.instead))
		x.modified = append(x.modified, "model")
	}
	if x.addedUsage = x.asksUsage(); x.addedUsage {
		drop, members = append(drop, "stream_options"), append(members, x.usageOptions())
		x.modified = append(x.modified, "include_usage")
	}
	if x.ask.Caching != nil {
		x.modified = append(x.modified, "caching")
	}
	x.payload = x.body.Without(drop...)
	for _, member := range members {
		x.payload = prepend(x.payload, member)
	}
}

// asksUsage reports whether the gateway asks for the usage of a stream although the client does not, and takes the chunk
// that tells it out again: when our API key pays, and when the stream is going to be remembered, so that a later request
// in the other form can be told. Streams that a client pays himself pass untouched.
func (x *exchange) asksUsage() bool {
	if x.withoutUsage || !x.ask.Stream || x.ask.IncludeUsage || x.op != dialect.Chat && x.op != dialect.Completion || !x.swap && !x.memory.store {
		return false
	}
	if until, refused := x.noUsage.Load(x.route); refused && x.begun.Before(until.(time.Time)) {
		return false
	}
	options := x.body.Get("stream_options")
	return options.Value() == nil || options.IsObject() && x.usageOptions() != "" // or the upstream is the one to complain
}

// usageOptions is the client's stream_options with include_usage, "" when they are no valid object.
func (x *exchange) usageOptions() string {
	const include = `"include_usage":true`
	options := x.body.Get("stream_options")
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
	if rest := bytes.TrimLeft(object[at:], " \t\r\n"); len(rest) == 0 || rest[0] != '}' {
		out = append(out, ',')
	}
	return append(out, object[at:]...)
}

func quoted(s string) string {
	b, _ := json.Marshal(s) // never fails for a string
	return string(b)
}

// errUsageRefused is why an answer of the upstream is not relayed: it is about stream_options, which the client did not send.
var errUsageRefused = errors.New("the upstream refuses a request in which we asked for usage")

// usageRefusedFor is for how long a route is not asked again for what it refused.
const usageRefusedFor = time.Hour

// refusesUsage reports whether the same is to be asked without what asksUsage added. Such an answer says that nothing was
// executed; Mistral, old versions of Azure and strict local servers give it to a field that they do not know, and name it.
func (x *exchange) refusesUsage(res *http.Response) bool {
	if !x.addedUsage || res.StatusCode != http.StatusBadRequest && res.StatusCode != http.StatusUnprocessableEntity {
		return false
	}
	head, _ := io.ReadAll(io.LimitReader(res.Body, 64<<10))
	res.Body = struct {
		io.Reader
		io.Closer
	}{io.MultiReader(bytes.NewReader(head), res.Body), res.Body}
	if bytes.Contains(head, []byte("stream_options")) || bytes.Contains(head, []byte("include_usage")) {
		x.noUsage.Store(x.route, x.begun.Add(usageRefusedFor))
		return true
	}
	if !unknownField.Match(head) {
		return false
	}
	x.withoutUsage = true // for this time; what was meant may be a field of the client's
	return true
}

// unknownField finds answers that complain of a field without naming it.
var unknownField = regexp.MustCompile(`(?i)extra|unrecognized|unknown|unexpected|additional propert`)
