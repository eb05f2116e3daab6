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
)

// Pattern is one of the operator's own, for what only he knows not to be kept.
type Pattern struct {
	Name string // what is written in its place: [Name]; "" means redacted
	RE2  string
}

// Compile returns what finds the pattern. One that is found in nothing at all would be found everywhere, and is an error.
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

// Redactor replaces what should not be kept by the word for what it was: [secret], [email], [card], [phone], and the names of
// the operator's own patterns, which are looked for first. Safe for concurrent use.
//
//   - secrets: sk-…, fk-… and their kin (pk, rk, ak), AIza… of Google, AKIA… of AWS, ghp_… of GitHub, xox…- of Slack, JSON Web Tokens
//   - e-mail addresses
//   - card numbers: 13 to 19 digits, with spaces or dashes, whose check digit is right
//   - phone numbers: with a + before them, in North American form, Chinese mobile numbers
//
// It works on what strings say and not on how JSON spells them, so \u0040 is an @ to it. JSON inside of strings
// (arguments of tool calls) it reads as text. It does not look into base64 (images), and cannot know names and addresses.
type Redactor struct {
	secret, email, card, phone *regexp.Regexp
	own                        []ownPattern
	salt                       []byte
}

type ownPattern struct {
	re   *regexp.Regexp
	word string // instead of what it finds
}

// secretParts has a part of everything that the pattern of secrets matches.
var secretParts = []string{"k-", "AIza", "AKIA", "ghp_", "gho_", "ghu_", "ghs_", "ghr_", "xox", "eyJ"}

// NewRedactor makes a redactor with patterns of the operator's own. Salt makes the pseudonyms of Name: with another salt they
// are others, and who has it can tell whether a name that he guesses is meant.
func NewRedactor(patterns []Pattern, salt []byte) (*Redactor, error) {
	r := &Redactor{
		secret: regexp.MustCompile(`\b(?:[sfpra]k-[A-Za-z0-9_-]{8,}|AIza[A-Za-z0-9_-]{20,}|AKIA[A-Z0-9]{12,}|gh[pousr]_[A-Za-z0-9]{16,}|` +
			`xox[a-z]-[A-Za-z0-9-]{8,}|eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]*)`),
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

// Text returns s without what should not be kept. The checks before the patterns are there because most text has none of it
// and RE2 reads about 50 MB/s.
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

// maxRegularName is how long a name can be that is written as it is, in bytes.
const maxRegularName = 128

// Name returns the name of a user, a model or a reason as it is written where no text may be: as it is when it is made like
// a name (up to 128 bytes of letters, digits and . _ : / @ + -) and there is nothing in it to redact, else a pseudonym, name- and
// 16 digits, the same for the same name.
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

// Figures returns a JSON value, a provider's usage object, with its strings as Name would have them.
func (r *Redactor) Figures(raw []byte) []byte {
	if len(raw) == 0 || !valid(raw) {
		return nil
	}
	return appendCleaned(nil, string(raw), r.Name, r.Text)
}

// appendCleaned appends valid JSON on one line with what clean makes of its strings, the names in objects too, and what number
// makes of whole numbers; nil leaves these alone. What clean leaves as it is keeps its spelling.
func appendCleaned(dst []byte, raw string, clean, number func(string) string) []byte {
	start := len(dst)
	dst = appendOneLine(dst, raw)
	text := dst[start:]
	var out []byte
	from := 0
	for i := 0; i < len(text); i++ {
		end, said, kept := i, "", ""
		switch c := text[i]; {
		case c == '"':
			end = stringEnd(text, i)
			said = view(text[i : end+1]).Str
			kept = clean(said)
		case number != nil && (c == '-' || '0' <= c && c <= '9'):
			end = numberEnd(text, i)
			if said = string(text[i : end+1]); strings.ContainsAny(said, ".eE") {
				said = "" // a measure, and no number of anybody
				break
			}
			kept = number(said)
		}
		if kept != said {
			out = append(out, text[from:i]...)
			out = appendString(out, kept)
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

// numberEnd returns where the last byte is of the number that begins at i.
func numberEnd(text []byte, i int) int {
	for i+1 < len(text) && strings.IndexByte("0123456789.eE+-", text[i+1]) >= 0 {
		i++
	}
	return i
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
