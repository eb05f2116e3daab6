package config

import (
	"cmp"
	"errors"
	"fmt"
	"regexp"
	"regexp/syntax"
	"strings"

	"forward/internal/chatlog"
)

// redactionName is what can stand in brackets in the place of what was found.
var redactionName = regexp.MustCompile(`^[A-Za-z0-9_-]{1,32}$`)

// redactions reads {"name": "pattern"} or ["pattern", …], and one pattern
// alone. Patterns are Go's regular expressions, which RE2 made known: none
// takes longer than the text is long.
func redactions(l *loader, v value) (string, error) {
	const fix = `write {"customer": "C-\\d{6}"} or ["C-\\d{6}"], with each \ twice in JSON`
	var found []chatlog.Pattern
	switch v.kind {
	case object:
		for _, p := range v.pairs {
			if !redactionName.MatchString(p.key) {
				return "", bad(fmt.Sprintf("%q cannot stand in the place of what is found", shorten(p.key)), "name patterns with up to 32 letters, digits, - and _")
			}
			if p.value.kind != scalar {
				return "", bad(fmt.Sprintf("pattern %s is no text", p.key), fix)
			}
			found = append(found, chatlog.Pattern{Name: p.key, RE2: p.value.text})
		}
	case list:
		for i, item := range v.items {
			if item.kind != scalar {
				return "", bad(fmt.Sprintf("pattern %d is no text", i+1), fix)
			}
			found = append(found, chatlog.Pattern{RE2: item.text})
		}
	default:
		if v.text != "" {
			found = []chatlog.Pattern{{RE2: v.text}} // not split at commas: they are part of patterns
		}
	}
	shown := make([]string, len(found))
	for i, r := range found {
		shown[i] = r.RE2
		name := cmp.Or(r.Name, fmt.Sprint(i+1))
		re, err := regexp.Compile(r.RE2)
		if wrong := (*syntax.Error)(nil); errors.As(err, &wrong) {
			return "", bad(fmt.Sprintf("pattern %s, %q, cannot be read: %s", name, shorten(r.RE2), wrong.Code), "write it as RE2 has it, without look-around and back references: https://github.com/google/re2/wiki/Syntax")
		}
		if err != nil || re.MatchString("") {
			return "", bad(fmt.Sprintf("pattern %s, %q, is found in the empty text, and so everywhere", name, shorten(r.RE2)), "make it need at least one character")
		}
	}
	l.cfg.Log.Redact = found
	return strings.Join(shown, ", "), nil
}
