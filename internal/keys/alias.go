package keys

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
	"unicode"
)

// CheckAliases returns what is wrong with names for models: an alias and its
// model are single words without patterns, and the model is no alias itself.
func CheckAliases(aliases map[string]string) error {
	for _, alias := range slices.Sorted(maps.Keys(aliases)) {
		model := aliases[alias]
		for _, name := range []string{alias, model} {
			if name == "" || strings.ContainsFunc(name, func(r rune) bool { return unicode.IsSpace(r) || strings.ContainsRune(`*?[],="`, r) }) {
				return fmt.Errorf("%q is no name of a model; write an alias and its model, such as fast=gpt-4o-mini", name)
			}
		}
		if _, chained := aliases[model]; chained {
			return fmt.Errorf("%s is an alias of %s, which is an alias itself; name the model", alias, model)
		}
	}
	return nil
}

func setAliases(s *Settings, text string, _ time.Time) error {
	aliases := map[string]string{}
	for _, item := range list(text) {
		alias, model, _ := strings.Cut(item, "=")
		alias = strings.TrimSpace(alias)
		if _, twice := aliases[alias]; twice {
			return fmt.Errorf("%s is an alias of two models; keep one of them", alias)
		}
		aliases[alias] = strings.TrimSpace(model)
	}
	err := CheckAliases(aliases)
	if err != nil || len(aliases) == 0 {
		s.Policy.Aliases = nil
		return err
	}
	s.Policy.Aliases = aliases
	return nil
}

// AliasText returns aliases as the setting of a key spells them.
func AliasText(aliases map[string]string) string {
	var items []string
	for _, alias := range slices.Sorted(maps.Keys(aliases)) {
		items = append(items, alias+"="+aliases[alias])
	}
	return strings.Join(items, ",")
}
