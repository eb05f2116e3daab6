package forward

import (
	"net/http"
	"net/url"
	"strings"
	"unicode"
	"unicode/utf8"
)

// maxUser bounds the name of a user, in bytes.
const maxUser = 256

// A request may name the user on whose behalf it asks: in its path, then in
// X-User-ID, then in its body; the first one counts. Only callers whose key
// lets them name users are believed; for others nothing changes. Limits are the
// caller's either way.

// userOfPath takes /meta/{user} off a path, for programs that can only be given
// a base URL. A route that is mounted below /meta keeps its paths.
func (g *Gateway) userOfPath(path string) (rest, user string, err error) {
	after, ours := strings.CutPrefix(path, "/meta/")
	if !ours {
		return path, "", nil
	}
	if _, mount, _, ok := g.Routes.Match(path); ok && mount != "/" {
		return path, "", nil
	}
	segment, rest, more := strings.Cut(after, "/")
	if !more {
		return path, "", nil
	}
	user, err = url.PathUnescape(segment)
	if err != nil {
		return "", "", badUser()
	}
	return "/" + rest, user, checkUser(user)
}

// checkUser refuses the name of a user that cannot be written down.
func checkUser(user string) error {
	if len(user) > maxUser || !utf8.ValidString(user) || strings.ContainsFunc(user, unicode.IsControl) {
		return badUser()
	}
	return nil
}

// namesUsers reports whether the caller may name users.
func (g *Gateway) namesUsers(who *caller) bool { return g.TrustUserIDs || who.policy.SetUser }

func badUser() error {
	return refused(http.StatusBadRequest, "invalid_user",
		"The name of the user is not UTF-8, holds control characters or has more than 256 bytes. Name an id of yours in /meta/{user}/… or X-User-ID.")
}
