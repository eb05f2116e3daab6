package chatlog

import (
	"cmp"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"slices"
	"strings"

	"forward/internal/jsonscan"
)

// A line has [image/png, 1500 bytes, sha256:…] in place of what is no text: the
// media type, the size and the digest of the bytes themselves.

// mediaMark precedes the data of a URL that holds it.
const mediaMark = ";base64,"

// maxMediaType bounds what stands between data: and mediaMark, in bytes.
const maxMediaType = 256

// minURL is the length from which base64 in the midst of text is data.
const minURL = 32

// maxWord is the length from which letters and digits in a row are no word.
const maxWord = 64

// mediaHints are what JSON has that holds media: of the lines without any of
// them nothing is taken apart.
var mediaHints = []string{mediaMark, `"data"`, `"file_data"`, `"b64_json"`, `"images"`, `"encrypted_content"`, `\u00`}

// mediaDigest is what withoutMedia writes.
var mediaDigest = regexp.MustCompile(`\[[^\[\], ]+, [0-9]+ bytes, sha256:[0-9a-f]{64}\]`)

// withoutMedia returns valid JSON with digests in place of media: data URLs in
// any string, and base64 where the protocols have it. name is the field that
// holds the JSON. All else keeps its bytes.
func withoutMedia(raw, name string) string {
	if name != "images" && !slices.ContainsFunc(mediaHints, func(hint string) bool { return strings.Contains(raw, hint) }) {
		return raw
	}
	var out []byte
	from := 0
	fields := []string{name} // that hold the position, from the outside
	text := []byte(raw)
	for i := 0; i < len(text); i++ {
		switch text[i] {
		case '{', '[':
			fields = append(fields, fields[len(fields)-1]) // elements of an array are of its field
		case '}', ']':
			fields = fields[:len(fields)-1]
		case '"':
			end := stringEnd(text, i)
			s := jsonscan.View(text[i : end+1]).Str
			if strings.HasPrefix(strings.TrimLeft(raw[end+1:], " \t\r\n"), ":") {
				fields[len(fields)-1] = s
			} else if short := mediaText(s, fields); short != s {
				out = append(out, raw[from:i]...)
				out = jsonscan.AppendString(out, short)
				from = end + 1
			}
			i = end
		}
	}
	if from == 0 {
		return raw
	}
	return string(append(out, raw[from:]...))
}

// mediaText returns a string with digests in place of media. The last of the
// fields is its own, those before are around it.
func mediaText(s string, fields []string) string {
	if isMediaField(fields, len(s)) && isBase64(s) {
		return digestOf("", s)
	}
	return withoutMediaURLs(s)
}

// isMediaField reports whether a field has base64 in one of the protocols.
// Where its name alone does not show that, the length has to.
func isMediaField(fields []string, length int) bool {
	switch fields[len(fields)-1] {
	case "file_data", "b64_json", "encrypted_content":
		return true
	case "data":
		around := ""
		if len(fields) > 1 {
			around = fields[len(fields)-2]
		}
		switch around {
		case "source":
			return length >= maxWord // it may be of a plain text
		case "inlineData", "inline_data", "input_audio", "audio":
			return true
		}
		return length >= blobBytes
	case "images":
		return length >= blobBytes
	}
	return false
}

// isBase64 reports whether s is nothing but base64, in either alphabet.
func isBase64(s string) bool {
	return s != "" && base64Run(s) == len(s)
}

// base64Run returns how many bytes at the start of s are base64.
func base64Run(s string) int {
	for i := range len(s) {
		c := s[i]
		if !alphanumeric(c) && strings.IndexByte("+/-_=\r\n", c) < 0 {
			return i
		}
	}
	return len(s)
}

// withoutMediaURLs returns text with digests in place of the data URLs in it.
func withoutMediaURLs(s string) string {
	if !strings.Contains(s, mediaMark) {
		return s
	}
	var out strings.Builder
	for {
		mark := strings.Index(s, mediaMark)
		if mark < 0 {
			break
		}
		data := mark + len(mediaMark)
		end := data + base64Run(s[data:])
		start := strings.LastIndex(s[max(0, mark-maxMediaType):mark], "data:")
		whole := start == 0 && mark <= maxMediaType && end == len(s)
		if start < 0 || end == data || (end-data < minURL && !whole) {
			out.WriteString(s[:data])
			s = s[data:]
			continue
		}
		start += max(0, mark-maxMediaType)
		kind, _, _ := strings.Cut(s[start+len("data:"):mark], ";")
		out.WriteString(s[:start])
		out.WriteString(digestOf(kind, s[data:end]))
		s = s[end:]
	}
	out.WriteString(s)
	return out.String()
}

// digestOf returns what is written for base64. Without a media type the first
// bytes show it.
func digestOf(kind, data string) string {
	encoding := base64.RawStdEncoding
	if strings.ContainsAny(data, "-_") {
		encoding = base64.RawURLEncoding
	}
	sum := sha256.New()
	var start prefix
	n, err := io.Copy(io.MultiWriter(sum, &start), base64.NewDecoder(encoding, strings.NewReader(strings.TrimRight(data, "=\r\n"))))
	if err != nil { // it only looks like base64: the digest is that of the text
		sum.Reset()
		n, _ = io.Copy(sum, strings.NewReader(data))
	}
	if kind == "" || strings.ContainsAny(kind, "[], ") {
		kind, _, _ = strings.Cut(http.DetectContentType(start.bytes), ";")
	}
	return fmt.Sprintf("[%s, %d bytes, sha256:%x]", cmp.Or(kind, "application/octet-stream"), n, sum.Sum(nil))
}

// prefix keeps as much of what is written to it as shows a media type.
type prefix struct{ bytes []byte }

func (p *prefix) Write(b []byte) (int, error) {
	const enough = 512
	p.bytes = append(p.bytes, b[:min(len(b), enough-len(p.bytes))]...)
	return len(b), nil
}
