package clientip_test

import (
	"fmt"
	"net/http"
	"net/netip"
	"testing"

	"forward/internal/clientip"
)

func Example() {
	r := &http.Request{RemoteAddr: "10.0.0.1:4000", Header: http.Header{"X-Forwarded-For": {"1.2.3.4, 2001:db8::7"}}}
	ip := clientip.Of(r, []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")})
	fmt.Println(ip, clientip.Network(ip))
	// Output: 2001:db8::7 2001:db8::/64
}

func TestOf(t *testing.T) {
	trusted := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("fe80::/10")}
	for _, test := range []struct {
		name, peer string
		forwarded  []string
		want       string
	}{
		{"no proxy", "192.0.2.1:1", nil, "192.0.2.1"},
		{"the peer is not trusted", "192.0.2.1:1", []string{"1.2.3.4"}, "192.0.2.1"},
		{"one proxy", "10.0.0.1:1", []string{"1.2.3.4"}, "1.2.3.4"},
		{"the client wrote some", "10.0.0.1:1", []string{"10.9.9.9, 1.2.3.4"}, "1.2.3.4"},
		{"two proxies", "10.0.0.1:1", []string{"6.6.6.6, 1.2.3.4 , 10.0.0.2"}, "1.2.3.4"},
		{"two headers", "10.0.0.1:1", []string{"6.6.6.6", "1.2.3.4,10.0.0.2"}, "1.2.3.4"},
		{"only proxies", "10.0.0.1:1", []string{"10.0.0.3,10.0.0.2"}, "10.0.0.3"},
		{"no header", "10.0.0.1:1", nil, "10.0.0.1"},
		{"nonsense", "10.0.0.1:1", []string{"1.2.3.4, unknown, 10.0.0.2"}, "10.0.0.2"},
		{"mapped peer", "[::ffff:10.0.0.1]:1", []string{"::ffff:1.2.3.4"}, "1.2.3.4"},
		{"a zone", "[fe80::1%eth0]:1", []string{"1.2.3.4"}, "1.2.3.4"},
		{"no peer", "@", []string{"1.2.3.4"}, "0.0.0.0"},
	} {
		r := &http.Request{RemoteAddr: test.peer, Header: http.Header{"X-Forwarded-For": test.forwarded}}
		if got := clientip.Of(r, trusted).String(); got != test.want {
			t.Errorf("%s: %s, want %s", test.name, got, test.want)
		}
	}
}

func TestNetwork(t *testing.T) {
	for text, want := range map[string]string{
		"192.0.2.1": "192.0.2.1", "::ffff:192.0.2.1": "192.0.2.1", "2001:db8::1": "2001:db8::/64", "2001:db8:0:0:ffff::": "2001:db8::/64",
		"2001:db8:0:1::": "2001:db8:0:1::/64", "fe80::1%eth0": "fe80::/64",
	} {
		if got := clientip.Network(netip.MustParseAddr(text)); got != want {
			t.Errorf("%s: %s, want %s", text, got, want)
		}
	}
	if got := clientip.Network(netip.Addr{}); got != "invalid IP" {
		t.Errorf("no address: %s", got)
	}
}
