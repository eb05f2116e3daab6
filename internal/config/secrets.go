package config

import (
	"fmt"
	"os"
	"regexp"
	"strings"
	"unicode"

	"forward/internal/keys"
)

var reference = regexp.MustCompile(`\$\{([A-Za-z_][A-Za-z0-9_]*)(:-[^}]*)?\}`)

// expander resolves ${NAME} from the process environment, then from .env. A
// name that is nowhere is an error: an empty secret would open what it was to
// close. ${NAME:-text} gives a default.
func expander(environ []string, dotenv layer) func(string) (string, error) {
	names := map[string]string{}
	for name, v := range dotenv {
		names[name] = v.text
	}
	for _, entry := range environ {
		if name, text, _ := strings.Cut(entry, "="); text != "" {
			names[name], _ = undocker(text, nil)
		}
	}
	return func(s string) (string, error) {
		var missing error
		out := reference.ReplaceAllStringFunc(s, func(ref string) string {
			m := reference.FindStringSubmatch(ref)
			if text := names[m[1]]; text != "" {
				return text
			}
			if m[2] == "" {
				missing = bad(fmt.Sprintf("${%s} is not set", m[1]), fmt.Sprintf("set %s in the environment or in .env", m[1]))
			}
			return strings.TrimPrefix(m[2], ":-")
		})
		return out, missing
	}
}

// maxSecretFile bounds what file:PATH reads, in bytes: a wrong path such as
// /dev/zero must not fill the memory.
const maxSecretFile = 1 << 20

// readSecret resolves file:PATH in a value, less one trailing newline; any
// other text is itself.
func (l *loader) readSecret(v value, s string) (string, error) {
	path, ok := strings.CutPrefix(s, "file:")
	if !ok {
		return s, nil
	}
	if l.closed(v) {
		return unread(path), nil
	}
	info, err := os.Stat(path)
	switch {
	case err != nil || !info.Mode().IsRegular():
		return "", bad(fmt.Sprintf("the file %q cannot be read", path), "write file: and the path of a readable file")
	case info.Size() > maxSecretFile:
		return "", bad(fmt.Sprintf("the file %q is larger than 1 MiB", path), "write the path of a file that holds the secret only")
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return "", bad(fmt.Sprintf("the file %q cannot be read", path), "make it readable for the user that runs forward")
	}
	if strings.TrimSpace(string(text)) == "" {
		return "", bad(fmt.Sprintf("the file %q is empty", path), "write the secret into it")
	}
	return strings.TrimSuffix(strings.TrimSuffix(string(text), "\n"), "\r"), nil
}

// newSecret makes a Secret of one list item: quotes left over from a list of
// quoted items go, file:PATH is read. A space or a control byte can be in no
// HTTP credential, so it is a mistake in the list and not part of the key.
func (l *loader) newSecret(v value, s string) (keys.Secret, error) {
	s = strings.TrimSpace(s)
	if n := len(s); n >= 2 && leadingQuote(s) != 0 && s[n-1] == s[0] {
		s = s[1 : n-1]
	}
	s, err := l.readSecret(v, s)
	if err != nil {
		return keys.Secret{}, err
	}
	if s == "" {
		return keys.Secret{}, bad("a key is empty", "write the key or remove its entry")
	}
	if strings.ContainsFunc(s, func(r rune) bool { return unicode.IsSpace(r) || unicode.IsControl(r) }) {
		return keys.Secret{}, bad("a key has a space or a line break in it", "separate keys with commas")
	}
	return keys.NewSecret(s), nil
}
