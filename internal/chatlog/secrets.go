package chatlog

import (
	"regexp"
	"strings"
)

const (
	keyPrefix = "fk-"
	// minSecret is how long a credential must be to be looked for, in bytes: one of a few letters is in many words.
	minSecret = 8
)

// managedKey finds keys of `forward keys`, which are made to be recognised.
var managedKey = regexp.MustCompile(`\bfk-[0-9A-Za-z]{46}\b`)

// WithoutKeys returns s with [secret] in the place of the given credentials and of all forward keys that have the form of managed
// ones. Nothing is written without it, also where everything may be.
func WithoutKeys(s string, secrets []string) string {
	for _, secret := range secrets {
		if len(secret) >= minSecret {
			s = strings.ReplaceAll(s, secret, "[secret]")
		}
	}
	if strings.Contains(s, keyPrefix) {
		s = managedKey.ReplaceAllLiteralString(s, "[secret]")
	}
	return s
}
