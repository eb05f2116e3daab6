package chatlog

import (
	"regexp"
	"strings"
)

const (
	keyPrefix = "fk-"
	// minSecret is the length in bytes from which credentials are searched for:
	// a shorter one would be found in ordinary words.
	minSecret = 8
)

// managedKey matches the keys of `forward keys`, whose form is made to be
// recognised.
var managedKey = regexp.MustCompile(`\bfk-[0-9A-Za-z]{46}\b`)

// WithoutKeys returns s with [secret] in place of the given credentials and of
// all managed forward keys. Every text of a client or a model passes it before
// it is written, whatever the policy.
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
