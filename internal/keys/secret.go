package keys

import (
	"crypto/sha256"
	"crypto/subtle"
	"fmt"
	"io"
	"log/slog"
	"strconv"
	"strings"
)

// Secret is a key that cannot be printed by accident: printing, encoding and
// logging all give its masked form. Only Reveal gives the plaintext. The zero
// value holds no secret. A Secret is immutable and safe for concurrent use.
type Secret struct {
	// A pointer, because fmt calls no methods on unexported fields of other
	// people's structs: there it prints what is inside, and a pointer prints as
	// an address. TestSecretInsideAnUnexportedField fails with a plain string.
	plain *string
}

// NewSecret returns the secret s; the empty string gives the zero Secret.
func NewSecret(s string) Secret {
	if s == "" {
		return Secret{}
	}
	return Secret{&s}
}

// Reveal returns the plaintext. It is for the one place that sends the secret
// and the one that looks for it.
func (s Secret) Reveal() string {
	if s.plain == nil {
		return ""
	}
	return *s.plain
}

// Is reports whether a text is the secret, in a time that shows nothing of it.
// The zero Secret is no text.
func (s Secret) Is(text string) bool {
	a := sha256.Sum256([]byte(s.Reveal()))
	b := sha256.Sum256([]byte(text))
	return subtle.ConstantTimeCompare(a[:], b[:]) == 1 && !s.IsZero()
}

// IsZero reports whether there is no secret.
func (s Secret) IsZero() bool { return s.plain == nil }

// String implements fmt.Stringer with the masked form.
func (s Secret) String() string { return Mask(s.Reveal()) }

// GoString implements fmt.GoStringer with the masked form.
func (s Secret) GoString() string { return "keys.Secret(" + strconv.Quote(s.String()) + ")" }

// Format implements fmt.Formatter. It takes every verb, for %x, %d or %p would
// otherwise look inside.
func (s Secret) Format(f fmt.State, verb rune) {
	switch {
	case verb == 'v' && f.Flag('#'):
		io.WriteString(f, s.GoString())
	case verb == 'q':
		io.WriteString(f, strconv.Quote(s.String()))
	default:
		io.WriteString(f, s.String())
	}
}

// MarshalText implements encoding.TextMarshaler with the masked form; XML, YAML
// and JSON map keys use it.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// MarshalJSON implements json.Marshaler with the masked form.
func (s Secret) MarshalJSON() ([]byte, error) { return []byte(`"` + s.String() + `"`), nil }

// LogValue implements slog.LogValuer with the masked form.
func (s Secret) LogValue() slog.Value { return slog.StringValue(s.String()) }

// publicPrefixes are starts of keys that show the kind of a key and nothing of
// its secret; longer ones first.
var publicPrefixes = [...]string{"sk-ant-api03-", "sk-svcacct-", "sk-or-v1-", "sk-proj-", "fk-", "sk-"}

// maskedHalf is how many characters of a managed key are shown at each end.
const maskedHalf = 4

// Mask returns s so that its owner recognises it and no reader can use it:
// "fk-a1B2…x9Zt". Of the secret itself, without a prefix that only shows its
// kind, it shows at most 8 characters and at most a third, and none when s is
// shorter than 16 bytes. The result is plain letters, digits and punctuation,
// whatever s holds, so that it can go into any log.
func Mask(s string) string {
	prefix := ""
	for _, p := range publicPrefixes {
		if strings.HasPrefix(s, p) {
			prefix = p
			break
		}
	}
	secret := s[len(prefix):]
	half := min(maskedHalf, len(secret)/6)
	if len(s) < 16 || half == 0 {
		return prefix + "…"
	}
	return prefix + printable(secret[:half]) + "…" + printable(secret[len(secret)-half:])
}

// printable replaces every character but letters, digits, "-", "_" and "." by
// "*".
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case '0' <= r && r <= '9', 'a' <= r && r <= 'z', 'A' <= r && r <= 'Z', r == '-', r == '_', r == '.':
			return r
		}
		return '*'
	}, s)
}
