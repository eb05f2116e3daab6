package config

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"forward/internal/dialect"
	"forward/internal/keys"
	"forward/internal/upstream"
)

// maxLevel bounds levels; openai-forward's UI ends at 1000 as well.
const maxLevel = 1000

// parseLevel reads one level.
func parseLevel(s string) (int, error) {
	n, err := strconv.Atoi(strings.TrimSpace(s))
	if err != nil || n < 0 || n > maxLevel {
		return 0, bad("a level is not a number", fmt.Sprintf("write levels from 0 to %d", maxLevel))
	}
	return n, nil
}

// parseLevels reads 0, [0,1] or "0,1".
func parseLevels(n node) ([]int, error) {
	items, err := n.split()
	if err != nil {
		return nil, err
	}
	var levels []int
	for _, item := range items {
		level, err := parseLevel(item)
		if err != nil {
			return nil, err
		}
		if !slices.Contains(levels, level) {
			levels = append(levels, level)
		}
	}
	return levels, nil
}

// apiKeys stores the API keys of one provider's routes.
func apiKeys(d *dialect.Dialect) setter {
	return func(l *loader, v value) (string, error) {
		ks, err := l.parseAPIKeys(v)
		l.of(d).keys = ks
		return showAPIKeys(ks), err
	}
}

// parseAPIKeys reads a list, {"key": level} or {"key": [levels]}. A key that
// comes twice serves the levels of both: the sample of openai-forward repeats
// its placeholder, and losing levels by that would lock their callers out.
func (l *loader) parseAPIKeys(v value) ([]upstream.APIKey, error) {
	var out []upstream.APIKey
	add := func(secret string, levels []int) error {
		s, err := l.newSecret(v, secret)
		if err != nil {
			return err
		}
		at := slices.IndexFunc(out, func(k upstream.APIKey) bool { return k.Secret.Reveal() == s.Reveal() })
		if at < 0 {
			out = append(out, upstream.APIKey{Secret: s, Levels: levels})
			return nil
		}
		l.warn(v, "one key is written twice; it serves the levels of both entries")
		if out[at].Levels == nil || levels == nil {
			out[at].Levels = nil
			return nil
		}
		out[at].Levels = slices.Compact(slices.Sorted(slices.Values(append(out[at].Levels, levels...))))
		return nil
	}
	if v.kind != object {
		items, err := v.split()
		for _, item := range items {
			if err == nil {
				err = add(item, nil)
			}
		}
		return out, err
	}
	for _, p := range v.pairs {
		if p.key == "" {
			continue // openai-forward's web UI exports {"": [0]} for "none"
		}
		levels, err := parseLevels(p.value)
		if err != nil {
			return nil, bad(err.(*fault).problem, `write {"sk-…": 0} or {"sk-…": [0, 1]}: each API key with the levels it serves`)
		}
		if err := add(p.key, levels); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// showAPIKeys lists masked keys with their levels.
func showAPIKeys(ks []upstream.APIKey) string {
	var out []string
	for _, k := range ks {
		s := k.Secret.String()
		if k.Levels != nil {
			s += " " + fmt.Sprint(k.Levels)
		}
		out = append(out, s)
	}
	return strings.Join(out, ", ")
}

// forwardKeys reads a list of keys, each perhaps with a name as in alice=fk-…,
// {"key": level}, {"level": ["key", …]} or {"key":
// {"level": 1, "name": "alice"}}. openai-forward turned the object around
// between 0.8.1 and 0.8.2; a list whose name is a number is the later form.
func forwardKeys(l *loader, v value) (string, error) {
	var err error
	add := func(secret string, k keys.Key) {
		secret, k.Name = cutName(secret, k.Name)
		s, wrong := l.newSecret(v, secret)
		if wrong != nil {
			err = wrong
			return
		}
		for _, before := range l.cfg.Access.Keys {
			if before.Secret.Reveal() != s.Reveal() {
				continue
			}
			if before.Level != k.Level {
				err = bad("one key is written twice, with different levels", "give each forward key one level")
				return
			}
			l.warn(v, "one key is written twice")
			return
		}
		for _, before := range l.cfg.Access.Keys {
			if k.Name != "" && before.Name == k.Name {
				err = bad(fmt.Sprintf("two keys have the name %q", k.Name), "give each forward key a name of its own")
				return
			}
		}
		k.Secret = s
		l.cfg.Access.Keys = append(l.cfg.Access.Keys, k)
	}
	if v.kind != object {
		items, wrong := v.split()
		for _, item := range items {
			add(item, keys.Key{})
		}
		if wrong != nil {
			err = wrong
		}
	}
	for _, p := range v.pairs {
		if p.key == "" || (p.value.empty() && p.value.kind == list) {
			continue // {"": 0} and {"0": []} are exports without keys
		}
		if wrong := addForwardPair(p, add); wrong != nil {
			return "", wrong
		}
	}
	return showForwardKeys(l.cfg.Access.Keys), err
}

// keyName is what may stand before a forward key: alice=fk-….
var keyName = regexp.MustCompile(`^\s*["']?([A-Za-z][A-Za-z0-9 ._@-]{0,63})=`)

// cutName cuts the name off a forward key. A key may end with = itself.
func cutName(text, name string) (secret, named string) {
	m := keyName.FindStringSubmatch(text)
	if m == nil || name != "" || strings.HasPrefix(m[1], "fk-") || strings.HasPrefix(m[1], "sk-") {
		return text, name
	}
	rest := strings.Trim(text[len(m[0]):], " \"'")
	if strings.Trim(rest, "=") == "" {
		return text, name
	}
	return rest, strings.TrimSpace(m[1])
}

func addForwardPair(p pair, add func(secret string, k keys.Key)) error {
	wrong := bad("an entry has no level", `write {"fk-…": 0} or {"0": ["fk-…"]}`)
	level, levelErr := parseLevel(p.key)
	items, err := p.value.split()
	switch {
	case p.value.kind == object:
		k, err := keyPolicy(p.value)
		if err != nil {
			return err
		}
		add(p.key, k)
	case err != nil || len(items) == 0:
		return wrong
	case p.value.kind == list && levelErr == nil:
		for _, item := range items {
			add(item, keys.Key{Level: level})
		}
	default:
		if keyLevel, err := parseLevel(items[0]); err == nil && len(items) == 1 {
			add(p.key, keys.Key{Level: keyLevel})
			return nil
		}
		if levelErr != nil {
			return wrong
		}
		for _, item := range items { // {"0": "fk-0"}
			add(item, keys.Key{Level: level})
		}
	}
	return nil
}

// keyPolicy reads the object of a key: the settings of `forward keys`, lists as
// lists.
func keyPolicy(n node) (keys.Key, error) {
	var names []string
	for _, f := range keys.Fields() {
		names = append(names, f.Name)
	}
	texts := map[string]string{}
	for _, p := range n.pairs {
		name := strings.ToLower(strings.ReplaceAll(p.key, "_", "-"))
		if !slices.Contains(names, name) {
			fix := "write " + strings.Join(names, ", ")
			if near := Nearest(name, names); near != "" {
				fix = "did you mean " + near + "?"
			}
			return keys.Key{}, bad(fmt.Sprintf("a key has no setting %q", shorten(p.key)), fix)
		}
		if name == "alias" && p.value.kind == object {
			aliases, err := aliasMap(p.value)
			if err != nil {
				return keys.Key{}, err
			}
			texts[name] = keys.AliasText(aliases)
			continue
		}
		items, err := p.value.split()
		if err != nil {
			return keys.Key{}, err
		}
		texts[name] = strings.Join(items, ",")
	}
	if texts["name"] == "" {
		delete(texts, "name")
	}
	var s keys.Settings
	if err := s.Apply(texts, time.Time{}); err != nil {
		return keys.Key{}, bad(strings.ReplaceAll(err.Error(), "\n", "; "), `write it like {"fk-…": {"name": "alice", "models": ["gpt-*"], "budget": "20usd/month"}}`)
	}
	return keys.Key{Name: s.Name, Level: s.Level, Expires: s.Expires, Policy: s.Policy}, nil
}

// keySecret reads KEY_SECRET.
func keySecret(l *loader, v value) (string, error) {
	s, err := l.newSecret(v, v.text)
	if err == nil && len(s.Reveal()) < 16 {
		return "", bad("the secret is shorter than 16 characters", "write 32 random ones, such as openssl rand -hex 16 prints")
	}
	l.cfg.Access.KeySecret = s
	return s.String(), err
}

func showForwardKeys(ks []keys.Key) string {
	var out []string
	for _, k := range ks {
		s := k.Secret.String()
		if k.Name != "" {
			s = k.Name + " " + s
		}
		if k.Level != 0 {
			s += fmt.Sprintf(" (level %d)", k.Level)
		}
		out = append(out, s)
	}
	return strings.Join(out, ", ")
}

// levelModels reads {"1": ["gpt-4", …]}. Level 0 may use all and cannot be
// narrowed, as in openai-forward.
func levelModels(l *loader, v value) (string, error) {
	if v.kind != object {
		return "", bad("a JSON object was expected", `write {"1": ["gpt-4o*"], "2": ["gpt-4o-mini"]}`)
	}
	l.cfg.Access.Levels = map[int][]string{}
	for _, p := range v.pairs {
		level, err := parseLevel(p.key)
		if err != nil {
			return "", bad("a name is not a level", `write {"1": ["gpt-4o*"], "2": ["gpt-4o-mini"]}`)
		}
		models, err := p.value.split()
		if err != nil {
			return "", err
		}
		if level == 0 {
			l.warn(v, "level 0 may use every model; its entry is ignored")
			continue
		}
		l.cfg.Access.Levels[level] = append(l.cfg.Access.Levels[level], models...)
	}
	return "", nil
}
