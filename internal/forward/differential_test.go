package forward_test

import (
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"
	"testing"

	"forward/internal/dialect/anthropic"
	"forward/internal/dialect/gemini"
	"forward/internal/dialect/openai"
	"forward/internal/upstream"
)

// The differential test has each exchange twice, once with the upstream itself
// and once through a transparent gateway, and compares on both sides what came
// over the wire. What may differ is written here, and nowhere else.

// hopByHop are the headers of one connection (RFC 9110, section 7.6.1), and how
// a body was framed on it.
var hopByHop = []string{"connection", "keep-alive", "proxy-authenticate", "proxy-authorization", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade"}

// kept out of requests: the gateway's own cookies, what a client reports of
// other hops (ReverseProxy takes it out), and headers meant for the gateway.
// Never in answers: see notRelayed.
var (
	notAsked = []string{"cookie", "origin", "referer", "sec-fetch-mode", "sec-fetch-site", "forwarded", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto", "x-forward-cache-ttl"}
	notSent  = []string{"set-cookie", "access-control-allow-origin", "access-control-allow-credentials", "access-control-expose-headers"}
)

// differences that are inherent to net/http; a row must name each (and show) to
// be allowed it.
const (
	nothingRead = "net/http sends no Content-Type and no Content-Length with 304, which has no body"
	spelt       = "net/url escapes bytes that no path may have (RFC 3986, section 3.3)"
	unnamed     = "net/http takes an empty User-Agent for none"
	trailerLess = "net/http knows the names of trailers when the header is over, or never: unannounced ones are not sent on"
)

// exchanged is one row: what a client asks, at which mount, and what the
// upstream sends.
type exchanged struct {
	name, mount, ask, respond string
	apart                     string // one of the differences above
}

func TestDifferential(t *testing.T) {
	up := newRecorder(t)
	base := must(url.Parse(up.url))(t)
	routes := func(s *setup) {
		s.open, s.CORSOrigins = true, []string{"*"}
		s.routes = []*upstream.Route{
			{Name: "openai", Prefix: "/", Aliases: []string{"/openai"}, Base: base, Dialect: openai.Dialect},
			{Name: "anthropic", Prefix: "/anthropic", Base: base, Dialect: anthropic.Dialect},
			{Name: "gemini", Prefix: "/gemini", Base: base, Dialect: gemini.Dialect},
			{Name: "extra", Prefix: "/extra", Base: base, Dialect: openai.Dialect, Open: true},
		}
	}
	rows := slices.Concat(openAIExchanges, anthropicExchanges, geminiExchanges, oddRequests, oddAnswers, oddStreams)
	if len(rows) < 60 {
		t.Errorf("only %d rows", len(rows))
	}
	b := start(t, provider, routes)
	change, _ := logging(t, routes)
	logged := start(t, provider, change)
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			client, asked := up.converse(t, up.url, row.request(""), row.respond)
			gotClient, gotAsked := up.converse(t, b.url, row.request(row.mount), row.respond)
			found := append(answersDiffer(client, gotClient), requestsDiffer(asked, gotAsked)...)
			row.judge(t, found)

			// With a chat log the answer is read on the side, and asked for
			// uncompressed so that it can be.
			gotClient, gotAsked = up.converse(t, logged.url, row.request(row.mount), row.respond)
			delete(asked.header, "accept-encoding")
			delete(gotAsked.header, "accept-encoding")
			found = append(answersDiffer(client, gotClient), requestsDiffer(asked, gotAsked)...)
			row.judge(t, found)
		})
	}
}

// request is what the row asks when the upstream is mounted on a path. A
// connection is for one exchange.
func (e exchanged) request(mount string) string {
	line, rest, _ := strings.Cut(e.ask, "\r\n")
	return strings.Replace(line, " ", " "+mount, 1) + "\r\nHost: api.example\r\nConnection: close\r\n" + rest
}

// judge fails the test for differences, and for a row that claims one it does
// not have.
func (e exchanged) judge(t *testing.T, found []difference) {
	t.Helper()
	excused := false
	for _, d := range found {
		if d.excuse != "" && d.excuse == e.apart {
			excused = true
			continue
		}
		t.Errorf("%s: directly %.300q, through forward %.300q", d.what, d.direct, d.through)
	}
	if e.apart != "" && !excused {
		t.Errorf("no longer different, although %s", e.apart)
	}
}

// difference is what differs through forward; excuse is the only one there may
// be for it.
type difference struct{ what, direct, through, excuse string }

func differ(list *[]difference, what string, direct, through any, excuse string) {
	if d, h := fmt.Sprint(direct), fmt.Sprint(through); d != h {
		*list = append(*list, difference{what, d, h, excuse})
	}
}

func requestsDiffer(direct, through message) (list []difference) {
	method, target, _ := strings.Cut(direct.start, " ")
	gotMethod, gotTarget, _ := strings.Cut(through.start, " ")
	differ(&list, "method", method, gotMethod, "")
	differ(&list, "target", target, gotTarget, spelt)
	differ(&list, "request body", direct.body, through.body, "")
	// An empty body may be announced or not: net/http announces it where the
	// method lets expect one, and then only.
	if direct.body != "" {
		differ(&list, "request framing", direct.framing, through.framing, "")
		if direct.framing == "length" {
			differ(&list, "length", direct.header["content-length"], through.header["content-length"], "")
		}
	}
	differ(&list, "request trailers", direct.trailer, through.trailer, trailerLess)
	for _, name := range notAsked {
		differ(&list, "request header "+name, []string(nil), through.header[name], "")
	}
	headersDiffer(&list, "request header ", direct.header, through.header, slices.Concat(notAsked, []string{"host", "content-length"}))
	return list
}

func answersDiffer(direct, through message) (list []difference) {
	differ(&list, "status", direct.status(), through.status(), "") // and not the phrase after it, which is net/http's
	differ(&list, "body", direct.body, through.body, "")
	trailer := maps.Clone(through.trailer)
	maps.DeleteFunc(trailer, func(name string, _ []string) bool { return ofUsage(direct.trailer, name) })
	differ(&list, "trailers", direct.trailer, trailer, "")
	differ(&list, "interim answers", len(direct.interim), len(through.interim), "")
	for i := range min(len(direct.interim), len(through.interim)) {
		differ(&list, "interim status", direct.interim[i].start[:12], through.interim[i].start[:12], "")
		headersDiffer(&list, "interim header ", direct.interim[i].header, through.interim[i].header, []string{"x-forward-request-id", "access-control-allow-origin", "access-control-expose-headers"})
	}
	// The gateway names the request and decides which pages may read the
	// answer.
	id := through.header["x-forward-request-id"]
	differ(&list, "number of ids", 1, len(id), "")
	for _, name := range notSent {
		if name != "access-control-allow-origin" && name != "access-control-expose-headers" || !slices.Equal(through.header[name], []string{"*"}) {
			differ(&list, "header "+name, []string(nil), through.header[name], "")
		}
	}
	free := slices.Concat(notSent, []string{"x-forward-request-id"})
	for _, name := range []string{"x-request-id", "request-id"} {
		if direct.header[name] == nil && slices.Equal(through.header[name], id) {
			free = append(free, name)
		}
	}
	if direct.header["date"] == nil {
		free = append(free, "date")
	}
	if direct.body == "" && direct.framing != "none" {
		free = append(free, "content-length") // what was empty without a length may have one
	}
	for name := range through.header {
		if ofUsage(direct.header, name) {
			free = append(free, name)
		}
	}
	// Which upstream answered, at which attempt.
	differ(&list, "attempts", []string{"1"}, through.header["x-forward-attempts"], "")
	differ(&list, "number of upstreams", 1, len(through.header["x-forward-upstream"]), "")
	free = append(free, "x-forward-attempts", "x-forward-upstream")
	headersDiffer(&list, "header ", direct.header, through.header, free)
	return list
}

// ofUsage reports whether a header reports the tokens of an answer and is the
// gateway's.
func ofUsage(direct map[string][]string, name string) bool {
	return (strings.HasPrefix(name, "x-llm-") && strings.HasSuffix(name, "-tokens") || name == "x-llm-tokens-estimated") && direct[name] == nil
}

// headersDiffer compares all headers but hop-by-hop ones and those in free.
func headersDiffer(list *[]difference, what string, direct, through map[string][]string, free []string) {
	names := map[string]bool{}
	for name := range direct {
		names[name] = true
	}
	for name := range through {
		names[name] = true
	}
	for name := range names {
		if slices.Contains(hopByHop, name) || slices.Contains(free, name) {
			continue
		}
		excuse := ""
		if what == "header " && (name == "content-type" || name == "content-length") {
			excuse = nothingRead
		}
		if what == "request header " && name == "user-agent" {
			excuse = unnamed
		}
		differ(list, what+name, fmt.Sprintf("%q", direct[name]), fmt.Sprintf("%q", through[name]), excuse)
	}
}
