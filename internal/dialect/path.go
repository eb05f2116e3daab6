package dialect

import (
	"net/url"
	"strings"
)

// JudgedPath returns the path by which a request is judged: its operation, its
// rules and its model. Servers read many spellings of a path as one, so what
// they commonly ignore is taken away: escapes except those of slashes and
// percent signs, empty segments and a slash at the end, the parameters of a
// segment (";a=b") and blanks at its end. Its case is kept, because models are
// named in paths; what is compared with the path is compared without case, see
// [FoldPath]. The path that is sent on is the path as it came.
func JudgedPath(path string) string {
	if isJudged(path) {
		return path
	}
	plain := unescape(path)
	var b strings.Builder
	b.Grow(len(plain) + 1)
	for segment := range strings.SplitSeq(plain, "/") {
		segment, _, _ = strings.Cut(segment, ";")
		segment = strings.TrimRight(segment, " ")
		if segment != "" {
			b.WriteByte('/')
			b.WriteString(segment)
		}
	}
	if b.Len() == 0 {
		return "/"
	}
	return b.String()
}

// isJudged reports whether JudgedPath changes nothing, which is so for the path
// of almost every request.
func isJudged(path string) bool {
	if path == "" || path[0] != '/' || (path != "/" && path[len(path)-1] == '/') {
		return path == "/"
	}
	for i := 0; i < len(path); i++ {
		switch path[i] {
		case '%', ';', ' ':
			return false
		case '/':
			if i > 0 && path[i-1] == '/' {
				return false
			}
		}
	}
	return true
}

// unescape decodes all escapes except those of slashes and percent signs, which
// would change the segments or the escapes of a path.
func unescape(path string) string {
	if strings.IndexByte(path, '%') < 0 {
		return path
	}
	var b strings.Builder
	b.Grow(len(path))
	for i := 0; i < len(path); i++ {
		if path[i] == '%' && i+2 < len(path) {
			c, err := url.PathUnescape(path[i : i+3])
			if err == nil && c != "/" && c != "%" {
				b.WriteString(c)
				i += 2
				continue
			}
		}
		b.WriteByte(path[i])
	}
	return b.String()
}

// FoldPath returns a path in lower case. Only ASCII letters change, so that the
// places in both are the same.
func FoldPath(path string) string {
	for i := 0; i < len(path); i++ {
		if 'A' <= path[i] && path[i] <= 'Z' {
			folded := []byte(path)
			for ; i < len(folded); i++ {
				if 'A' <= folded[i] && folded[i] <= 'Z' {
					folded[i] += 'a' - 'A'
				}
			}
			return string(folded)
		}
	}
	return path
}

// CutLast cuts the last segment off a path.
func CutLast(path string) (parent, last string) {
	i := strings.LastIndexByte(path, '/')
	return path[:max(i, 0)], path[i+1:]
}

// Between returns the segment of a judged path that follows the segment after,
// as it is spelled there. after is in lower case.
func Between(path, after string) (segment string, ok bool) {
	_, rest, ok := cutFold(path, "/"+after+"/")
	if !ok {
		return "", false
	}
	segment, _, _ = strings.Cut(rest, "/")
	if decoded, err := url.PathUnescape(segment); err == nil {
		segment = decoded
	}
	return segment, segment != ""
}

// cutFold is strings.Cut without regard to case; sep is in lower case.
func cutFold(path, sep string) (before, after string, ok bool) {
	i := strings.Index(FoldPath(path), sep)
	if i < 0 {
		return path, "", false
	}
	return path[:i], path[i+len(sep):], true
}

// isBase reports whether segments, which are in lower case, may stand before
// the API's own paths: none, a version, the name of an API, or the deployment
// of Azure, its ancestor the engine, and the location and the publisher of
// Vertex. Without this, /v1/threads/T/responses would be taken for a response.
func isBase(segments []string) bool {
	if len(segments) == 0 {
		return true
	}
	last := segments[len(segments)-1]
	if baseNames[last] || isVersion(last) {
		return true
	}
	if len(segments) == 1 {
		return false
	}
	switch segments[len(segments)-2] {
	case "deployments", "engines", "locations", "publishers":
		return true
	}
	return false
}

// baseNames are the names of APIs, and of what they are mounted on.
var baseNames = Set("openai", "anthropic", "api", "beta", "inference", "compat", "compatibility", "models", "openapi",
	"serving-endpoints", "extensions", "ollama")

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
