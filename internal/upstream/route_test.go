package upstream_test

import (
	"bufio"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"path"
	"strings"
	"testing"

	"forward/internal/dialect/openai"
	"forward/internal/upstream"
)

func mustURL(t testing.TB, s string) *url.URL {
	t.Helper()
	u, err := url.Parse(s)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

func mustTable(t testing.TB, routes ...*upstream.Route) *upstream.Table {
	t.Helper()
	table, err := upstream.NewTable(routes)
	if err != nil {
		t.Fatal(err)
	}
	return table
}

func route(t testing.TB, name, base, prefix string, aliases ...string) *upstream.Route {
	t.Helper()
	return &upstream.Route{Name: name, Prefix: prefix, Aliases: aliases, Base: mustURL(t, base), Dialect: openai.Dialect}
}

func TestMatch(t *testing.T) {
	with := mustTable(t, route(t, "p", "http://p", "/p"), route(t, "deep", "http://d", "/p/deep"), route(t, "root", "http://r", "/", "/openai"), route(t, "esc", "http://e", "/a%20b"))
	without := mustTable(t, route(t, "p", "http://p", "/p"), route(t, "ab", "http://ab", "/ab"), route(t, "a", "http://a", "/a"))
	for _, test := range []struct {
		table                   *upstream.Table
		path, name, mount, rest string
	}{
		{without, "/p", "p", "/p", "/"},
		{without, "/p/", "p", "/p", "/"},
		{without, "/p/x", "p", "/p", "/x"},
		{without, "/p/x/", "p", "/p", "/x/"},
		{without, "/p/a%2Fb%20c/%7Ed", "p", "/p", "/a%2Fb%20c/%7Ed"},
		{without, "/p:81/x", "", "", ""},
		{without, "/p.evil/x", "", "", ""},
		{without, "/p@evil/x", "", "", ""},
		{without, "/p%2Fx", "", "", ""},
		{without, "/pfoo", "", "", ""},
		{without, "/P/x", "", "", ""},
		{without, "/x/p", "", "", ""},
		{without, "/ab/x", "ab", "/ab", "/x"},
		{without, "/a/bx", "a", "/a", "/bx"},
		{without, "/", "", "", ""},
		{without, "", "", "", ""},
		{without, "p/x", "", "", ""},
		{with, "/p/deep/x", "deep", "/p/deep", "/x"},
		{with, "/p/deeper/x", "p", "/p", "/deeper/x"},
		{with, "/p:81/x", "root", "/", "/p:81/x"},
		{with, "/pfoo", "root", "/", "/pfoo"},
		{with, "/openai/v1/models", "root", "/openai", "/v1/models"},
		{with, "/openaiv1", "root", "/", "/openaiv1"},
		{with, "/a%20b/c", "esc", "/a%20b", "/c"},
		{with, "/", "root", "/", "/"},
		{with, "", "root", "/", "/"},
	} {
		r, mount, rest, ok := test.table.Match(test.path)
		name := ""
		if ok {
			name = r.Name
		}
		if name != test.name || mount != test.mount || rest != test.rest {
			t.Errorf("%q: route %q, mount %q, rest %q; want %q, %q, %q", test.path, name, mount, rest, test.name, test.mount, test.rest)
		}
	}
	if got := with.Routes(); len(got) != 4 || got[0].Name != "p" || got[2].Name != "root" {
		t.Errorf("routes: %v", got)
	}
}

func TestNewTableReportsAllThatIsWrong(t *testing.T) {
	bad := func(base string) *upstream.Route { return route(t, "r"+base, base, "/"+url.PathEscape(base)) }
	_, err := upstream.NewTable([]*upstream.Route{
		route(t, "one", "http://h", "/x"), route(t, "two", "http://h", "/y", "/x"),
		route(t, "slash", "http://h", "/z/"), route(t, "rel", "http://h", "z"), route(t, "dots", "http://h", "/a/../b"), route(t, "none", "http://h", ""),
		bad("ftp://h"), bad("api.openai.com"), bad("http://user:secret@h"), bad("http://h?a=b"), bad("http://h#f"), bad("http:///p"),
		{Name: "nobase", Prefix: "/nobase", Dialect: openai.Dialect}, {Name: "nodialect", Prefix: "/nodialect", Base: mustURL(t, "http://h")},
	})
	if err == nil {
		t.Fatal("no error")
	}
	for _, want := range []string{
		`routes "one" and "two" have the same prefix "/x"`, `"slash"`, `"rel"`, `"dots"`, `"none"`, `"rftp://h"`, `"rapi.openai.com"`, "user name or password",
		"?query", `"rhttp:///p"`, `"nobase" has no base URL`, `"nodialect" has no dialect`,
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%s is not in:\n%v", want, err)
		}
	}
}

func TestURL(t *testing.T) {
	for _, test := range []struct{ base, rest, query, want string }{
		{"https://h", "/v1/models", "", "https://h/v1/models"},
		{"https://h/", "/v1/models", "", "https://h/v1/models"},
		{"https://h/v1", "/models", "a=1&b=%zz;c", "https://h/v1/models?a=1&b=%zz;c"},
		{"https://h/v1/", "/models", "", "https://h/v1/models"},
		{"https://h/v1//", "/models/", "", "https://h/v1/models/"},
		{"https://h", "/", "", "https://h/"},
		{"https://h/", "/", "", "https://h/"},
		{"https://h/hook", "/", "x", "https://h/hook?x"},
		{"https://h/hook/", "/", "", "https://h/hook/"},
		{"https://h:8443/a%2Fb", "/c%2Fd/%7E%41/%20+", "", "https://h:8443/a%2Fb/c%2Fd/%7E%41/%20+"},
		{"https://h", "/gemini-pro:generateContent", "", "https://h/gemini-pro:generateContent"},
		{"https://h", "/a(b)*c,d;e=f!$'@&", "", "https://h/a(b)*c,d;e=f!$'@&"},
		{"http://127.0.0.1", "/p:81/x", "", "http://127.0.0.1/p:81/x"},
		{"http://127.0.0.1", ":81/x", "", "http://127.0.0.1/:81/x"},
		{"http://127.0.0.1", ".evil/x", "", "http://127.0.0.1/.evil/x"},
		{"http://127.0.0.1", "@evil/x", "", "http://127.0.0.1/@evil/x"},
		{"http://h/b", "/100%", "", "http://h/b/100%25"},
	} {
		u := route(t, "r", test.base, "/").URL(test.rest, test.query)
		if got := u.String(); got != test.want {
			t.Errorf("%s + %s: %s, want %s", test.base, test.rest, got, test.want)
		}
	}
}

// TestRequestURI sees what arrives at the upstream byte for byte, for url.URL
// has its own ideas of when to trust RawPath.
func TestRequestURI(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	lines := make(chan string)
	go func() {
		defer close(lines)
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			r := bufio.NewReader(conn)
			line, _ := r.ReadString('\n')
			fmt.Fprint(conn, "HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n")
			conn.Close()
			lines <- strings.TrimSpace(line)
		}
	}()
	transport, _ := upstream.NewTransport(upstream.Options{})
	defer transport.CloseIdleConnections()
	for _, uri := range []string{"/v1/a%2Fb%20c?x=1;y=2&z=%zz", "/%41%2f%2F/~/%7e", "/p:81/x?//evil@h", "/a(b)*c,d;e=f!$'@&:[x]", "/%C3%A9%F0%9F%99%82?é", "/@evil", "/:81"} {
		rest, query, _ := strings.Cut(uri, "?")
		r := route(t, "r", "http://"+listener.Addr().String()+"/base/", "/")
		a := &upstream.Attempts{Route: r, Transport: transport}
		res, err := a.RoundTrip(&http.Request{Method: "GET", URL: r.URL(rest, query), Header: http.Header{"User-Agent": {""}}})
		if err != nil {
			t.Fatalf("%s: %v", uri, err)
		}
		res.Body.Close()
		if got := <-lines; got != "GET /base"+uri+" HTTP/1.1" {
			t.Errorf("%s arrived as %s", uri, got)
		}
	}
	listener.Close()
	<-lines
}

func TestCheckPath(t *testing.T) {
	for _, good := range []string{
		"/", "/v1/models", "/v1/models/", "/a.b/..c/c../...", "/a/.well-known/x", "/a%2Fb", "/models/meta%2Fllama-3", "/a;b/c;d=..", "/100%25", "/a%2520b", "/x%25zz",
		"/v1/models/gemini-pro:generateContent", "/é/%C3%A9", "/a%2f%2fb", "/@x", "/p:81", "/~", "/a%3Bb", "/%25", "/..x/x..", "/%252525",
		"/a//b", "/a//", "/a///b",
	} {
		if err := upstream.CheckPath(good); err != nil {
			t.Errorf("%q: %v", good, err)
		}
	}
	for _, bad := range []string{
		"", "*", "v1/models", "http://h/", "%2Fa",
		"/openai/../admin", "/openai/v1/../../x", "/..", "/../", "/a/..", "/.", "/a/./b", "/a/.",
		"/openai/%2e%2e/x", "/%2E%2e/x", "/.%2e/x", "/%2e./x", "/%2e/x", "/a/%2e",
		"/openai/..%2fx", "/a%2f..%2fb", "/a%2f..", "/..%2F", "/a%2F%2e%2E%2Fb",
		"/openai/%252e%252e/x", "/%25%32%65%25%32%65/x", "/..%252fx", "/%2525252e%2525252e/x", "/%25252525252e", "/a%252f%252e%252e",
		"/openai/..;/x", "/..;a=b/x", "/.;/x", "/%2e%2e;/x", "/..%3b/x", "/%2e%2e%3Bx/y", "/..;",
		"//", "//evil/x", "///v1/models",
		`/a\b`, `/..\x`, "/a%5cb", "/a%5Cb", "/a%255cb", `\`, `/\`,
		"/a\x00b", "/a%00b", "/a%2500b", "/a\nb", "/a%0ab", "/a%0Db", "/a\tb", "/a%09", "/a\x7f", "/a%7Fb", "/\x1b[31m", "/a%1f",
		"/%c0%ae%c0%ae/x", "/%c0%af", "/%C1%9C",
		"/%", "/%z", "/%zz", "/a%2", "/%%32%65",
	} {
		err := upstream.CheckPath(bad)
		if e, ok := errors.AsType[*upstream.ErrPath](err); !ok || e.Reason == "" || !strings.HasSuffix(e.Error(), ".") {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

// FuzzPath wants of every path that passes CheckPath: however often it is
// decoded, cleaning it changes nothing; it reaches one route; and where it goes
// has the authority of the configuration.
func FuzzPath(f *testing.F) {
	for _, seed := range []string{"/p/x", "/p:81/x", "/p@evil/x", "/%2e%2e/x", "/p/%252e%252e%252fx", "/..;/x", "/a%5cb", "/p/a%2F%2Fb", "//h/x", "/p/%zz", "/%c0%ae/"} {
		f.Add(seed)
	}
	table := mustTable(f, route(f, "p", "http://p:81/base", "/p"), route(f, "root", "https://r", "/", "/openai"))
	f.Fuzz(func(t *testing.T, escaped string) {
		if upstream.CheckPath(escaped) != nil {
			return
		}
		for p, depth := escaped, 0; depth < 5; depth++ {
			cut := strings.Split(p, "/")
			for i, s := range cut {
				cut[i], _, _ = strings.Cut(s, ";")
			}
			plain := strings.Join(cut, "/")
			for strings.Contains(plain, "//") { // %2F%2F is let through
				plain = strings.ReplaceAll(plain, "//", "/")
			}
			if clean := path.Clean(plain); clean != plain && clean+"/" != plain || strings.ContainsAny(p, "\\\x00\r\n\x7f") {
				t.Fatalf("%q passes, and decodes to %q", escaped, p)
			}
			next, err := url.PathUnescape(p)
			if err != nil {
				break
			}
			p = next
		}
		r, mount, rest, ok := table.Match(escaped)
		if !ok || !strings.HasPrefix(rest, "/") {
			t.Fatalf("%q: %q, %v", escaped, rest, ok)
		}
		if joined := strings.TrimSuffix(mount, "/") + rest; joined != escaped && joined != escaped+"/" {
			t.Fatalf("%q became %q and %q", escaped, mount, rest)
		}
		u := r.URL(rest, "")
		if u.Scheme != r.Base.Scheme || u.Host != r.Base.Host || u.User != nil || u.Opaque != "" {
			t.Fatalf("%q goes to %s", escaped, u)
		}
		back, err := url.Parse(u.String())
		if err != nil || back.Host != r.Base.Host || back.Scheme != r.Base.Scheme {
			t.Fatalf("%q goes to %s: %v", escaped, u, err)
		}
		if uri := u.RequestURI(); !strings.HasPrefix(uri, "/") || strings.ContainsAny(uri, " \r\n") {
			t.Fatalf("%q gives the request line %q", escaped, uri)
		}
	})
}

func BenchmarkCheckPathAndMatch(b *testing.B) {
	table := mustTable(b, route(b, "root", "https://r", "/", "/openai"), route(b, "a", "http://a", "/anthropic"), route(b, "g", "http://g", "/gemini"))
	b.ReportAllocs()
	for b.Loop() {
		if upstream.CheckPath("/openai/v1/chat/completions") != nil {
			b.Fatal()
		}
		r, _, rest, _ := table.Match("/openai/v1/chat/completions")
		r.URL(rest, "")
	}
}

func ExampleTable_Match() {
	base, _ := url.Parse("https://api.openai.com")
	table, err := upstream.NewTable([]*upstream.Route{{Name: "openai", Prefix: "/", Aliases: []string{"/openai"}, Base: base, Dialect: openai.Dialect}})
	if err != nil {
		fmt.Println(err)
		return
	}
	r, mount, rest, _ := table.Match("/openai/v1/models/a%2Fb")
	fmt.Println(r.Name, mount, rest, r.URL(rest, "limit=2"))
	// Output: openai /openai /v1/models/a%2Fb https://api.openai.com/v1/models/a%2Fb?limit=2
}
