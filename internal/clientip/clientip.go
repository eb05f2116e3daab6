// Package clientip finds the address that a request comes from, the network
// that an address counts for, and the address that a request was sent to.
//
// Limits, allow lists and the guard against guessing of keys all go by address,
// so they must agree on it, and a client must not be able to choose it. Only
// the part of X-Forwarded-For that trusted proxies wrote counts, read from the
// right; a client can put anything to the left of it. IPv4 addresses that are
// mapped into IPv6 are IPv4 addresses here.
package clientip

import (
	"net/http"
	"net/netip"
	"strings"
)

// Of returns the address that a request comes from: the peer of the connection,
// or the last address of X-Forwarded-For that is not a trusted proxy where the
// peer is one. A request without a peer, such as one over a Unix socket, comes
// from 0.0.0.0.
func Of(r *http.Request, trusted []netip.Prefix) netip.Addr {
	peer, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return netip.IPv4Unspecified()
	}
	ip := peer.Addr().Unmap()
	if !In(trusted, ip) {
		return ip
	}
	hops := strings.Split(strings.Join(r.Header.Values("X-Forwarded-For"), ","), ",")
	for i := len(hops) - 1; i >= 0; i-- {
		hop, err := netip.ParseAddr(strings.TrimSpace(hops[i]))
		if err != nil {
			return ip
		}
		ip = hop.Unmap()
		if !In(trusted, ip) {
			return ip
		}
	}
	return ip
}

// Origin returns the scheme and the host at which the client of a request has
// reached this server. A trusted proxy in front may have ended its TLS.
func Origin(r *http.Request, trusted []netip.Prefix) string {
	scheme := "http"
	if r.TLS != nil {
		scheme = "https"
	}
	peer, err := netip.ParseAddrPort(r.RemoteAddr)
	if err == nil && In(trusted, peer.Addr()) && strings.EqualFold(r.Header.Get("X-Forwarded-Proto"), "https") {
		scheme = "https"
	}
	return scheme + "://" + r.Host
}

// Prefix returns the path at which a trusted proxy in front has this server, as
// X-Forwarded-Prefix names it, or "".
func Prefix(r *http.Request, trusted []netip.Prefix) string {
	peer, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil || !In(trusted, peer.Addr()) {
		return ""
	}
	return r.Header.Get("X-Forwarded-Prefix")
}

// In reports whether ip is in one of the networks.
func In(networks []netip.Prefix, ip netip.Addr) bool {
	ip = ip.Unmap().WithZone("") // a prefix has no zone
	for _, network := range networks {
		if network.Contains(ip) {
			return true
		}
	}
	return false
}

// Network returns what ip counts for, as text: the address itself, or of IPv6
// the /64 that a subscriber is given as a whole. Without that, a subscriber
// could start a new count with each request.
func Network(ip netip.Addr) string {
	ip = ip.Unmap()
	if ip.Is6() {
		network, _ := ip.WithZone("").Prefix(64) // every IPv6 address has one
		return network.String()
	}
	return ip.String()
}
