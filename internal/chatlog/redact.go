package chatlog

import (
	"bytes"
	"cmp"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"unicode"

	"forward/internal/jsonscan"
)

// Pattern is a pattern of the operator's own for text to redact.
type Pattern struct {
	Name string // [Name] replaces what matches; "" means redacted
	RE2  string
}

// Compile compiles the pattern. A pattern that matches the empty text matches
// everywhere and is an error.
func (p Pattern) Compile() (*regexp.Regexp, error) {
	re, err := regexp.Compile(p.RE2)
	if err == nil && re.MatchString("") {
		err = fmt.Errorf("it is found in the empty text, and so everywhere")
	}
	if err != nil {
		return nil, fmt.Errorf("pattern %s %q: %w", p.Name, p.RE2, err)
	}
	return re, nil
}

// Redactor replaces secrets and personal data in text by a word for their kind:
// [secret], [email], [card], [phone], or the name of one of the operator's own
// patterns, which are applied first. It is safe for concurrent use.
//
//   - secrets: sk-…, fk-… and the like (pk, rk, ak), AIza… of Google, AKIA… of
//     AWS, ghp_… of GitHub, xox…- of Slack, JSON Web Tokens
//   - e-mail addresses
//   - card numbers: 13 to 19 digits, with spaces or dashes, whose check digit is
//     right
//   - phone numbers: with a + before them, in North American form, Chinese mobile
//     numbers
//
// It is given the text of strings, not their JSON form, so \u0040 is an @ to
// it. JSON inside strings (arguments of tool calls) is text to it. It does not
// look into base64 (images), and cannot recognise names and postal addresses.
type Redactor struct {
	secret, email, card, phone *regexp.Regexp
	own                        []ownPattern
	salt                       []byte
}

type ownPattern struct {
	re   *regexp.Regexp
	word string // replaces what matches
}

// secretParts are strings such that every match of the pattern for
// secrets has one.
var secretParts = []string{"k-", "AIza", "AKIA", "ghp_", "gho_", "ghu_", "ghs_", "ghr_", "xox", "eyJ"}

// NewRedactor returns a redactor with patterns of the operator's own. The
// pseudonyms of [Redactor.Name] depend on the salt, which must stay secret: it
// allows a guessed name to be checked against a pseudonym.
func NewRedactor(patterns []Pattern, salt []byte) (*Redactor, error) {
	r := &Redactor{
		secret: regexp.MustCompile(`\b(?:[sfpra]k-[A-Za-z0-9_-]{8,}|AIza[A-Za-z0-9_-]{20,}|AKIA[A-Z0-9]{12,}|` +
			`gh[pousr]_[A-Za-z0-9]{16,}|xox[a-z]-[A-Za-z0-9-]{8,}|` +
			`eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]*)`),
		email: regexp.MustCompile(`[\pL\pN._%+-]+@[\pL\pN-]+(?:\.[\pL\pN-]+)+`),
		card:  regexp.MustCompile(`\b\d(?:[ -]?\d){12,18}\b`),
		phone: regexp.MustCompile(`\+\d(?:[ ().-]{0,2}\d){6,14}\b|(?:\(\d{3}\) ?|\b\d{3}[ .-])\d{3}[ .-]\d{4}\b|\b1[3-9]\d{9}\b`),
		salt:  salt,
	}
	for _, p := range patterns {
		re, err := p.Compile()
		if err != nil {
			return nil, err
		}
		r.own = append(r.own, ownPattern{re, "[" + cmp.Or(p.Name, "redacted") + "]"})
	}
	return r, nil
}

// Text returns s with secrets and personal data replaced. The checks before the
// patterns save time: most text has nothing to redact, and RE2 reads about 50
// MB/s.
func (r *Redactor) Text(s string) string {
	if isBlob(s) {
		return s
	}
	for _, p := range r.own {
		s = p.re.ReplaceAllLiteralString(s, p.word)
	}
	if slices.ContainsFunc(secretParts, func(part string) bool { return strings.Contains(s, part) }) {
		s = r.secret.ReplaceAllString(s, "[secret]")
	}
	if strings.IndexByte(s, '@') >= 0 {
		s = r.email.ReplaceAllString(s, "[email]")
	}
	digits := countDigits(s)
	if digits >= 13 {
		s = r.card.ReplaceAllStringFunc(s, func(number string) string {
			if validCard(number) {
				return "[card]"
			}
			return number
		})
	}
	if digits >= 7 {
		s = r.phone.ReplaceAllString(s, "[phone]")
	}
	return s
}

// maxRegularName is the length up to which a name may be written as it is, in
// bytes.
const maxRegularName = 128

// Name returns what is written for the name of a user, a model or a reason
// where no text may be. It is the name itself if that has the form of one (up
// to 128 bytes of letters, digits and . _ : / @ + -) and nothing in it is to be
// redacted. Otherwise it is a pseudonym, name- and 16 digits, always the same
// for the same name.
func (r *Redactor) Name(name string) string {
	if regularName(name) && r.Text(name) == name {
		return name
	}
	h := hmac.New(sha256.New, r.salt)
	h.Write([]byte(name))
	return "name-" + hex.EncodeToString(h.Sum(nil)[:8])
}

func regularName(name string) bool {
	return len(name) <= maxRegularName && !strings.ContainsFunc(name, func(c rune) bool {
		return !unicode.IsLetter(c) && !unicode.IsDigit(c) && !strings.ContainsRune("._:/@+-", c)
	})
}

// Figures returns a JSON value, such as a provider's usage object, with each of
// its strings replaced by Name of it.
func (r *Redactor) Figures(raw []byte) []byte {
	if len(raw) == 0 || !valid(raw) {
		return nil
	}
	return appendCleaned(nil, string(raw), r.Name, r.Text)
}

// appendCleaned appends valid JSON on one line with its strings, the names in
// objects included, replaced by clean of them, and whole numbers by number of
// them; a nil number leaves those alone. What does not change keeps its
// spelling.
func appendCleaned(dst []byte, raw string, clean, number func(string) string) []byte {
	start := len(dst)
	dst = appendOneLine(dst, raw)
	text := dst[start:]
	var out []byte
	from := 0
	for i := 0; i < len(text); i++ {
		end := i
		var before, after string
		switch c := text[i]; {
		case c == '"':
			end = stringEnd(text, i)
			before = jsonscan.View(text[i : end+1]).Str
			after = clean(before)
		case number != nil && (c == '-' || ('0' <= c && c <= '9')):
			end = numberEnd(text, i)
			before = string(text[i : end+1])
			if strings.ContainsAny(before, ".eE") {
				after = before // a measure: card and phone numbers are whole
			} else {
				after = number(before)
			}
		}
		if after != before {
			out = append(out, text[from:i]...)
			out = jsonscan.AppendString(out, after)
			from = end + 1
		}
		i = end
	}
	if from == 0 {
		return dst
	}
	out = append(out, text[from:]...)
	return append(dst[:start], out...)
}

// numberEnd returns the offset of the last byte of the number that starts at i.
func numberEnd(text []byte, i int) int {
	for i+1 < len(text) && strings.IndexByte("0123456789.eE+-", text[i+1]) >= 0 {
		i++
	}
	return i
}

// stringEnd returns the offset of the quote that ends the string that starts at
// i.
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

// isBlob reports whether s is a long run of base64, in which no secret could be
// recognised.
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
		c := s[i]
		if !alphanumeric(c) && c != '+' && c != '/' && c != '=' {
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
	sum := 0
	even := false
	for i := len(number) - 1; i >= 0; i-- {
		if number[i] < '0' || number[i] > '9' {
			continue
		}
		d := int(number[i] - '0')
		if even {
			d *= 2
			if d > 9 {
				d -= 9
			}
		}
		sum += d
		even = !even
	}
	return sum%10 == 0
}
