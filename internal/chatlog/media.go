package chatlog

import (
	"cmp"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"regexp"
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

// mediaDigest is what withoutMedia writes.
var mediaDigest = regexp.MustCompile(`\[[^\[\], ]+, [0-9]+ bytes, sha256:[0-9a-f]{64}\]`)

// withoutMedia returns valid JSON with digests in place of media: data URLs in
// any string, and base64 where the protocols have it. name is the field that
// holds the JSON. All else keeps its bytes.
func withoutMedia(raw, name string) string {
	var out []byte
	from := 0
	fields := []string{name} // that hold the position, from the outside
	for i := 0; i < len(raw); i++ {
		switch raw[i] {
		case '{', '[':
			fields = append(fields, fields[len(fields)-1]) // elements of an array are of its field
		case '}', ']':
			fields = fields[:len(fields)-1]
		case '"':
			end := closingQuote(raw, i)
			inside := raw[i+1 : end]
			switch after := strings.TrimLeft(raw[end+1:], " \t\r\n"); {
			case strings.HasPrefix(after, ":"):
				fields[len(fields)-1] = unescaped(inside)
			case isMediaField(fields, len(inside)) || strings.Contains(inside, mediaMark):
				text := unescaped(inside)
				if short := mediaText(text, fields); short != text {
					out = append(out, raw[from:i]...)
					out = jsonscan.AppendString(out, short)
					from = end + 1
				}
			}
			i = end
		}
	}
	if from == 0 {
		return raw
	}
	return string(append(out, raw[from:]...))
}

// closingQuote returns the offset of the quote that ends the string that starts
// at i.
func closingQuote(raw string, i int) int {
	for {
		i += 1 + strings.IndexByte(raw[i+1:], '"')
		escapes := i
		for raw[escapes-1] == '\\' {
			escapes--
		}
		if (i-escapes)%2 == 0 {
			return i
		}
	}
}

// unescaped returns the text of a JSON string, given what is between its
// quotes.
func unescaped(inside string) string {
	if strings.IndexByte(inside, '\\') < 0 {
		return inside
	}
	return jsonscan.View([]byte(`"` + inside + `"`)).Str
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

// base64Bytes are the bytes of base64 in either alphabet, with line ends.
var base64Bytes = func() (is [256]bool) {
	for c := range 256 {
		is[c] = alphanumeric(byte(c)) || strings.IndexByte("+/-_=\r\n", byte(c)) >= 0
	}
	return is
}()

// base64Run returns how many bytes at the start of s are base64.
func base64Run(s string) int {
	for i := range len(s) {
		if !base64Bytes[s[i]] {
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
	if strings.IndexByte(data, '-') >= 0 || strings.IndexByte(data, '_') >= 0 {
		encoding = base64.RawURLEncoding
	}
	const piece = 32 << 10 // a multiple of 4, as base64 is
	var in [piece]byte
	var decoded [piece]byte
	sum := sha256.New()
	size := 0
	sniffed := ""
	rest := data
	if strings.IndexByte(rest, '\n') >= 0 || strings.IndexByte(rest, '\r') >= 0 {
		rest = lineEnds.Replace(rest)
	}
	for rest = strings.TrimRight(rest, "="); rest != ""; {
		n := copy(in[:], rest)
		rest = rest[n:]
		n, err := encoding.Decode(decoded[:], in[:n])
		if err != nil { // it only looks like base64: the digest is that of the text
			sum.Reset()
			io.WriteString(sum, data)
			size = len(data)
			sniffed = ""
			break
		}
		if size == 0 {
			sniffed, _, _ = strings.Cut(http.DetectContentType(decoded[:n]), ";")
		}
		sum.Write(decoded[:n])
		size += n
	}
	if kind == "" || strings.ContainsAny(kind, "[], ") {
		kind = cmp.Or(sniffed, "application/octet-stream")
	}
	return fmt.Sprintf("[%s, %d bytes, sha256:%x]", kind, size, sum.Sum(nil))
}

// lineEnds takes out line ends.
var lineEnds = strings.NewReplacer("\r", "", "\n", "")
