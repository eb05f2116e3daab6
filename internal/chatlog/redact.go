package chatlog

import (
	"bytes"
	"regexp"
	"slices"
	"strings"
)

// redactor replaces what should not be kept by the word for what it was: [secret], [email], [card], [phone].
//
//   - secrets: sk-…, fk-… and their kin (pk, rk, ak), AIza… of Google, AKIA… of AWS, ghp_… of GitHub, xox…- of Slack, JSON Web Tokens
//   - e-mail addresses
//   - card numbers: 13 to 19 digits, with spaces or dashes, whose check digit is right
//   - phone numbers: with a + before them, in North American form, Chinese mobile numbers
//
// It works on what strings say and not on how JSON spells them, so \u0040 is an @ to it. JSON inside of strings
// (arguments of tool calls) it reads as text. It does not look into base64 (images), and cannot know names and addresses.
type redactor struct {
	secret, email, card, phone *regexp.Regexp
}

// secretParts has a part of everything that the pattern of secrets matches.
var secretParts = []string{"k-", "AIza", "AKIA", "ghp_", "gho_", "ghu_", "ghs_", "ghr_", "xox", "eyJ"}

func newRedactor() *redactor {
	return &redactor{
		secret: regexp.MustCompile(`\b(?:[sfpra]k-[A-Za-z0-9_-]{8,}|AIza[A-Za-z0-9_-]{20,}|AKIA[A-Z0-9]{12,}|gh[pousr]_[A-Za-z0-9]{16,}|` +
			`xox[a-z]-[A-Za-z0-9-]{8,}|eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]*)`),
		email: regexp.MustCompile(`[\pL\pN._%+-]+@[\pL\pN-]+(?:\.[\pL\pN-]+)+`),
		card:  regexp.MustCompile(`\b\d(?:[ -]?\d){12,18}\b`),
		phone: regexp.MustCompile(`\+\d(?:[ ().-]{0,2}\d){6,14}\b|(?:\(\d{3}\) ?|\b\d{3}[ .-])\d{3}[ .-]\d{4}\b|\b1[3-9]\d{9}\b`),
	}
}

// text returns s without what should not be kept. The checks before the patterns are there because most text has none of it
// and RE2 reads about 50 MB/s.
func (r *redactor) text(s string) string {
	if isBlob(s) {
		return s
	}
	if slices.ContainsFunc(secretParts, func(part string) bool { return strings.Contains(s, part) }) {
		s = r.secret.ReplaceAllString(s, "[secret]")
	}
	if strings.IndexByte(s, '@') >= 0 {
		s = r.email.ReplaceAllString(s, "[email]")
	}
	if n := countDigits(s); n >= 7 {
		if n >= 13 {
			s = r.card.ReplaceAllStringFunc(s, func(number string) string {
				if validCard(number) {
					return "[card]"
				}
				return number
			})
		}
		s = r.phone.ReplaceAllString(s, "[phone]")
	}
	return s
}

// appendJSON appends valid JSON on one line, with its strings redacted, the names in objects too. A string in which there
// is nothing to redact keeps its spelling.
func (r *redactor) appendJSON(dst []byte, raw string) []byte {
	start := len(dst)
	dst = appendOneLine(dst, raw)
	clean := dst[start:]
	var out []byte
	from := 0
	for i := 0; i < len(clean); i++ {
		if clean[i] != '"' {
			continue
		}
		end := stringEnd(clean, i)
		said := view(clean[i : end+1]).Str
		if kept := r.text(said); kept != said {
			out = append(out, clean[from:i]...)
			out = appendString(out, kept)
			from = end + 1
		}
		i = end
	}
	if from == 0 {
		return dst
	}
	out = append(out, clean[from:]...)
	return append(dst[:start], out...)
}

// stringEnd returns where the quote is that ends the string which begins at i.
func stringEnd(text []byte, i int) int {
	for i++; ; i++ {
		i += bytes.IndexAny(text[i:], `"\`)
		if text[i] == '"' {
			return i
		}
		i++
	}
}

const blobBytes = 1 << 10

// isBlob reports whether s is a long run of base64, which holds no secret that could be recognised.
func isBlob(s string) bool {
	if len(s) < blobBytes {
		return false
	}
	if strings.HasPrefix(s, "data:") {
		if _, after, ok := strings.Cut(s[:200], ";base64,"); ok {
			s = s[200-len(after):]
		}
	}
	for i := range len(s) {
		if c := s[i]; !alphanumeric(c) && c != '+' && c != '/' && c != '=' {
			return false
		}
	}
	return true
}

func countDigits(s string) (n int) {
	for i := range len(s) {
		if '0' <= s[i] && s[i] <= '9' {
			n++
		}
	}
	return n
}

// validCard reports whether the check digit of a card number is right (Luhn).
func validCard(number string) bool {
	sum, even := 0, false
	for i := len(number) - 1; i >= 0; i-- {
		if number[i] < '0' || number[i] > '9' {
			continue
		}
		d := int(number[i] - '0')
		if even {
			if d *= 2; d > 9 {
				d -= 9
			}
		}
		sum += d
		even = !even
	}
	return sum%10 == 0
}
