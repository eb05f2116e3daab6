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

// userOfPath takes /meta/{user} off a path: whom the request is for, for programs that can only be given a base URL. A
// route that is mounted below /meta keeps its paths.
func (x *exchange) userOfPath(path string) (rest string, err error) {
	after, ours := strings.CutPrefix(path, "/meta/")
	if !ours {
		return path, nil
	}
	if _, mount, _, ok := x.Routes.Match(path); ok && mount != "/" {
		return path, nil
	}
	segment, rest, more := strings.Cut(after, "/")
	if !more {
		return path, nil
	}
	user, err := url.PathUnescape(segment)
	if err != nil {
		return "", badUser()
	}
	return "/" + rest, x.attribute(user)
}

// attribute notes whom the request is for, the first that says so: the path, then X-User-ID, then the body. Only callers
// whose key lets them name users are believed (namesUsers); for the others nothing changes. Limits are the caller's either way.
func (x *exchange) attribute(user string) error {
	if user == "" || x.user != "" {
		return nil
	}
	if len(user) > maxUser || !utf8.ValidString(user) || strings.ContainsFunc(user, unicode.IsControl) {
		return badUser()
	}
	x.user = user
	return nil
}

// namesUsers reports whether the caller is believed when he says whom a request is for.
func (x *exchange) namesUsers() bool { return x.TrustUserIDs || x.policy.SetUser }

func badUser() error {
	return &refusal{status: http.StatusBadRequest, code: "invalid_user", message: "The name of the user is not UTF-8, holds control characters or has more than 256 bytes. Name an id of yours in /meta/{user}/… or X-User-ID."}
}
