package forward

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"

	"forward/internal/clientip"
	"forward/internal/dialect"
	"forward/internal/dialects"
	"forward/internal/keys"
	"forward/internal/upstream"
)

// caller is who a request counts for.
type caller struct {
	id    string // stable and not secret: the bucket of his limits
	scope string // whose remembered answers he may get; see Options.CacheShared
	name  string // what logs call him
	level int
}

// nobody is what the access log calls a caller without a key.
const nobody = "-"

// identify finds the route and the caller from the request line and the headers alone.
func (x *exchange) identify() error {
	x.ip = clientip.Of(x.r, x.TrustedProxies)
	if err := x.match(x.r.URL.EscapedPath()); err != nil {
		return err
	}
	if !x.admitsIP() {
		return &refusal{status: http.StatusForbidden, code: "ip_not_allowed", message: "Requests from your address are not allowed here."}
	}
	if x.r.Method == http.MethodTrace || x.r.Method == http.MethodConnect {
		x.w.Header().Set("Allow", "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS")
		return &refusal{status: http.StatusMethodNotAllowed, code: "method_not_allowed", message: "Method " + x.r.Method + " is not forwarded."}
	}
	if err := x.attribute(x.r.Header.Get("X-User-Id")); err != nil {
		return err
	}
	if err := x.authenticate(); err != nil {
		return err
	}
	if !x.namesUsers() {
		x.user = ""
	}
	return x.comply()
}

// match finds the route. Only the path counts: whatever host an absolute-form request line names is ignored, so a
// client cannot choose where the gateway connects to.
func (x *exchange) match(path string) error {
	if err := upstream.CheckPath(path); err != nil {
		if route, _, _, ok := x.Routes.Match(path); ok {
			x.dialect = route.Dialect // what its callers read; nothing is matched yet
		}
		return err
	}
	path, err := x.userOfPath(path)
	if err != nil {
		return err
	}
	route, mount, rest, ok := x.Routes.Match(path)
	if !ok {
		return &refusal{status: http.StatusNotFound, code: "route_not_found", message: "No route of this gateway begins with this path."}
	}
	x.route, x.mount, x.rest, x.limits = route, mount, rest, route.Name
	x.matched, x.matchedRest = route, rest
	// Judged by the readable path, forwarded by the one that came: the upstream takes /v1/chat/%63ompletions for what
	// it is, and so do the rules.
	x.plain = readable(rest)
	x.op = route.Dialect.Operation(x.r.Method, x.plain)
	x.dialect = spoken(x.op, route.Dialect)
	x.paths = make([]string, 1, 1+len(route.Aliases))
	x.paths[0] = strings.TrimSuffix(route.Prefix, "/") + x.plain
	for _, mount := range route.Aliases {
		x.paths = append(x.paths, strings.TrimSuffix(mount, "/")+x.plain)
	}
	return nil
}

// readable decodes the escapes of a path that CheckPath has passed, all but those of slashes and percent signs: they
// would change what its segments are.
func readable(path string) string {
	if strings.IndexByte(path, '%') < 0 {
		return path
	}
	var b strings.Builder
	for i := 0; i < len(path); i++ {
		if path[i] == '%' && i+2 < len(path) {
			if c, err := strconv.ParseUint(path[i+1:i+3], 16, 8); err == nil && c != '/' && c != '%' {
				b.WriteByte(byte(c))
				i += 2
				continue
			}
		}
		b.WriteByte(path[i])
	}
	return b.String()
}

// spoken is the dialect of an operation on a route of dialect d: Anthropic and Google also serve OpenAI's operations, and
// whoever calls those expects OpenAI's events and errors.
func spoken(op dialect.Operation, d *dialect.Dialect) *dialect.Dialect {
	switch op {
	case dialect.Chat, dialect.Completion, dialect.Embedding, dialect.Responses, dialect.Moderation, dialect.Image, dialect.ImageEdit, dialect.Speech, dialect.Audio:
		return dialects.Default
	}
	return d
}

// authenticate decides who the caller is and whose credential goes upstream, by the rules of «Who may come in» in the
// README: open routes ask nobody, an empty ring asks nobody, otherwise a forward key is needed.
func (x *exchange) authenticate() error {
	asked := x.Ring.Len() > 0 && (!x.route.Open || x.ExtraAuth)
	presented, slot, err := keys.Presented(x.r.Header, x.r.URL.RawQuery)
	if err != nil {
		if asked || x.mayBringOurs() {
			return err
		}
		presented = credentials(x.r.Header) + x.r.URL.RawQuery // both are the upstream's to judge
	}
	x.slot = slot
	key, err := x.Ring.Lookup(presented)
	x.ours = !errors.Is(err, keys.ErrUnknown)
	switch {
	case err == nil:
		x.known, x.policy = true, &key.Policy
		id := key.ID()
		x.caller = caller{id: id, scope: "key:" + id, name: key.Name, level: key.Level}
		x.credential()
	case asked && (x.ours || !x.mayPass(presented)):
		return &keyError{err: err, presented: presented}
	case asked: // with a provider key of his own, which is neither swapped nor removed
		x.anonymous(presented)
	default:
		if x.credential(); x.strip {
			presented = "" // it does not go upstream
		}
		x.anonymous(presented)
	}
	return nil
}

// mayBringOurs reports whether a forward key may be among several credentials.
func (x *exchange) mayBringOurs() bool {
	if x.Ring.Len() == 0 {
		return false
	}
	bring := func(h http.Header, rawQuery string) bool {
		one, _, err := keys.Presented(h, rawQuery)
		if err == nil {
			_, err = x.Ring.Lookup(one)
		}
		return !errors.Is(err, keys.ErrUnknown)
	}
	for _, name := range credentialHeaders {
		if bring(http.Header{name: x.r.Header[name]}, "") {
			return true
		}
	}
	return bring(nil, x.r.URL.RawQuery)
}

// credentialHeaders are those that keys.Strip removes.
var credentialHeaders = [...]string{"Authorization", "X-Api-Key", "Api-Key", "X-Goog-Api-Key"}

// credentials are the values of the headers in which a credential may come, for digests.
func credentials(h http.Header) string {
	var b strings.Builder
	for _, name := range credentialHeaders {
		for _, v := range h[name] {
			b.WriteString(name + "\x00" + v + "\x00")
		}
	}
	return b.String()
}

// credential decides what goes upstream on the route. A key of ours never does, also not where none is asked. Where
// nobody is asked and the gateway has API keys, they replace whatever the client sent, as openai-forward does it;
// elsewhere the client's own credential goes through untouched.
func (x *exchange) credential() {
	x.swap = !x.route.Open && (x.known || x.route.Keys.Len() > 0)
	x.strip = x.ours || x.swap
}

// mayPass reports whether a provider key of the client's own is let through although forward keys are configured.
func (x *exchange) mayPass(presented string) bool {
	return x.Passthrough && presented != "" && !strings.HasPrefix(presented, "fk-")
}

// anonymous identifies a caller without a forward key: by a digest of the provider key that goes upstream, or by his
// address when there is none. Level 0 may use every model, for it is not our key that pays or nobody is asked.
func (x *exchange) anonymous(presented string) {
	if presented == "" {
		x.caller = caller{id: "ip:" + clientip.Network(x.ip), scope: "anyone", name: nobody}
		return
	}
	sum := sha256.Sum256([]byte("credential\x00" + presented))
	id := "own:" + hex.EncodeToString(sum[:6])
	// The whole digest scopes remembered answers: they must not be shared between two provider accounts.
	x.caller = caller{id: id, scope: "own:" + hex.EncodeToString(sum[:]), name: id}
}

func (x *exchange) admitsIP() bool {
	if clientip.In(x.Deny, x.ip) {
		return false
	}
	return len(x.Allow) == 0 || clientip.In(x.Allow, x.ip)
}

// newID returns the name of a request: 32 hexadecimal digits, 12 of time in milliseconds and 20 random ones, so that
// ids sort by time and cannot be guessed.
func newID() string {
	var b [16]byte
	ms := time.Now().UnixMilli()
	for i := range 6 {
		b[i] = byte(ms >> (40 - 8*i))
	}
	rand.Read(b[6:]) // never fails, see its documentation
	return "req_" + hex.EncodeToString(b[:])
}
