package dialect

import (
	"net/url"
	"strings"
)

// PlainPath decodes the escapes that change nothing (RFC 3986, section 2.3:
// letters, digits, -._~) and the colon, so that a path cannot be spelled past
// the rules for its operation. What is sent on is the path as it came.
func PlainPath(path string) string {
	if !strings.Contains(path, "%") {
		return path
	}
	out := make([]byte, 0, len(path))
	for i := 0; i < len(path); i++ {
		if path[i] == '%' && i+2 < len(path) {
			if c, err := url.PathUnescape(path[i : i+3]); err == nil && (isUnreserved(c[0]) || c[0] == ':') {
				out = append(out, c[0])
				i += 2
				continue
			}
		}
		out = append(out, path[i])
	}
	return string(out)
}

func isUnreserved(c byte) bool {
	return ('a' <= c|0x20 && c|0x20 <= 'z') || ('0' <= c && c <= '9') || strings.IndexByte("-._~", c) >= 0
}

// CutLast cuts the last segment off a path.
func CutLast(path string) (parent, last string) {
	i := strings.LastIndexByte(path, '/')
	return path[:max(i, 0)], path[i+1:]
}

// IsBase reports whether path may stand before the API's own paths: nothing, a
// version, the name of the API, or the deployment of Azure and its ancestor,
// the engine. Without this, /v1/threads/T/responses would be taken for one.
func IsBase(path string) bool {
	parent, last := CutLast(path)
	switch last {
	case "", "openai", "api", "beta", "inference", "compat", "models":
		return true
	}
	if _, above := CutLast(parent); above == "deployments" || above == "engines" {
		return true
	}
	return isVersion(last)
}

// isVersion reports whether a segment is v1, v4, v1beta, v2alpha3 and the like.
func isVersion(segment string) bool {
	digits, ok := strings.CutPrefix(segment, "v")
	rest := strings.TrimLeft(digits, "0123456789")
	if !ok || rest == digits {
		return false
	}
	switch strings.TrimRight(rest, "0123456789") {
	case "", "alpha", "beta":
		return true
	}
	return false
}
