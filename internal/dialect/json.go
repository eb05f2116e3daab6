package dialect

import (
	"bytes"
	"unicode/utf8"
	"unsafe"

	"github.com/tidwall/gjson"
)

// maxDepth bounds how deep JSON may nest. gjson's validator recurses, and a goroutine stack beyond 1 GB kills the
// whole process, which a request body of some megabytes of "[" would reach. The JSON decoders of the usual upstreams
// stop at or below this depth.
const maxDepth = 1000

// maxCount is what larger numbers of tokens and choices are taken for: sums of them cannot overflow, and float64
// still tells them apart.
const maxCount = 1 << 53

// valid reports whether data is one JSON value that is safe to look into.
func valid(data []byte) bool { return tooDeepAt(data) < 0 && validJSON(data) }

// tooDeepAt returns the offset of the first bracket beyond maxDepth, or -1. Brackets inside of strings only count
// for the fast way out. Behind the first syntax error its answer may be wrong, but no validator gets there.
func tooDeepAt(data []byte) int {
	if bytes.Count(data, []byte{'{'})+bytes.Count(data, []byte{'['}) <= maxDepth {
		return -1
	}
	depth, quoted := 0, false
	for i := 0; i < len(data); i++ {
		switch c := data[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case quoted:
		case c == '{' || c == '[':
			if depth++; depth > maxDepth {
				return i
			}
		case c == '}' || c == ']':
			depth--
		}
	}
	return -1
}

// view looks into data, which must be valid and must not change as long as anything of the result is held.
func view(data []byte) gjson.Result { return gjson.Parse(unsafeString(data)) }

func unsafeString(data []byte) string { return unsafe.String(unsafe.SliceData(data), len(data)) }

// count reads a number of things. Negative numbers, which some upstreams and some attackers send, count as none.
func count(r gjson.Result) int64 {
	switch {
	case r.Type != gjson.Number || !(r.Num > 0):
		return 0
	case r.Num > maxCount:
		return maxCount
	}
	return int64(r.Num)
}

// seconds reads a length of time; what cannot be one is none.
func seconds(r gjson.Result) float64 {
	if r.Type != gjson.Number || !(r.Num > 0) {
		return 0
	}
	return min(r.Num, maxCount)
}

// stringOf returns the value of a JSON string, "" for every other type.
func stringOf(r gjson.Result) string {
	if r.Type != gjson.String {
		return ""
	}
	return r.Str
}

// appendString appends s as a JSON string. Unlike encoding/json and gjson it leaves <, > and & as they are.
func appendString(dst []byte, s string) []byte {
	const hex = "0123456789abcdef"
	dst = append(dst, '"')
	for i := 0; i < len(s); {
		c := s[i]
		if c >= utf8.RuneSelf {
			r, n := utf8.DecodeRuneInString(s[i:])
			dst = utf8.AppendRune(dst, r) // an invalid byte becomes U+FFFD
			i += n
			continue
		}
		switch {
		case c == '"' || c == '\\':
			dst = append(dst, '\\', c)
		case c == '\n':
			dst = append(dst, '\\', 'n')
		case c < ' ':
			dst = append(dst, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
		default:
			dst = append(dst, c)
		}
		i++
	}
	return append(dst, '"')
}
