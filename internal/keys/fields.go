package keys

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
)

// Field is a setting of a key, as the command line, forward.yaml and the API
// name it.
type Field struct {
	Name  string `json:"name"`
	Usage string `json:"usage"`
}

// field is a Field with its texts: set reads one, and text writes what set
// reads the same from. An empty text takes the setting away.
type field struct {
	Field
	set  func(s *Settings, text string, now time.Time) error
	text func(s *Settings) string
}

func fields() []field {
	return []field{
		{Field{"name", "what lists and logs call the key"}, func(s *Settings, text string, _ time.Time) error {
			s.Name = text
			return checkName(text)
		}, func(s *Settings) string { return s.Name }},
		number("level", "level, as in LEVEL_MODELS; 0 may use all models", 1000, func(s *Settings) *int { return &s.Level }),
		globs("models", "models it may use: globs, ! takes away, as in gpt-*,!gpt-4*", func(s *Settings) *[]string { return &s.Policy.Models }),
		{Field{"alias", "names of its own for models, as in fast=gpt-4o-mini"}, setAliases, func(s *Settings) string { return AliasText(s.Policy.Aliases) }},
		globs("routes", "routes it may use, by name or prefix; ! takes away", func(s *Settings) *[]string { return &s.Policy.Routes }),
		{Field{"ips", "addresses or networks its requests may come from"}, setIPs, func(s *Settings) string { return joined(s.Policy.IPs) }},
		{Field{"expires", "when it ends: 90d, 12h, 2026-12-31 (the whole day) or never"}, func(s *Settings, text string, now time.Time) (err error) {
			s.Expires, err = parseExpiry(text, now)
			return err
		}, func(s *Settings) string {
			if s.Expires.IsZero() {
				return ""
			}
			return s.Expires.Format(time.RFC3339)
		}},
		number("rpm", "requests a minute; 0 is no limit", 1e9, func(s *Settings) *int64 { return &s.Policy.RPM }),
		number("tpm", "tokens a minute; 0 is no limit", 1e12, func(s *Settings) *int64 { return &s.Policy.TPM }),
		number("parallel", "requests at the same time; 0 is no limit", 1e6, func(s *Settings) *int { return &s.Policy.Parallel }),
		{Field{"budget", "what it may spend: 20usd/month, 500ktokens/day, 100usd/total; a list is several"}, setBudgets, func(s *Settings) string { return joined(s.Policy.Budgets) }},
		oneOf("unknown-price", "models without a price under a budget in usd: deny or allow", func(s *Settings) *string { return &s.Policy.UnknownPrice }, "deny", "allow"),
		oneOf("overrun", "a request that may cost more than is left of a budget: deny or allow", func(s *Settings) *string { return &s.Policy.Overrun }, "deny", "allow"),
		oneOf("ephemeral", "credentials for clients that dial the provider themselves: deny or allow; a key with a budget or models needs allow", func(s *Settings) *string { return &s.Policy.Ephemeral }, "deny", "allow"),
		oneOf("objects", "files, responses, batches and the like that it may use: own or all", func(s *Settings) *string { return &s.Policy.Objects }, "own", "all"),
		oneOf("credentials", "client: its holder's own credential goes upstream, and the key comes in X-Forward-Key", func(s *Settings) *string { return &s.Policy.Credentials }, "client"),
		truth("count-list", "whether budgets in usd count the list price of requests with a credential of the client's own: true or false", func(s *Settings) *bool { return &s.Policy.CountList }),
		oneOf("unknown-operations", "requests whose model and cost cannot be read: deny or allow; without it deny under budgets and models", func(s *Settings) *string { return &s.Policy.UnknownOperations }, "deny", "allow"),
		oneOf("cache", "who shares its cached answers: key or shared", func(s *Settings) *string { return &s.Policy.CacheScope }, "key", "shared"),
		oneOf("log", "what the chat log keeps: full, meta, redacted or off", func(s *Settings) *string { return &s.Policy.Log }, "full", "meta", "redacted", "off"),
		{Field{"priority", "from -100 to 100; higher ones leave a queue first"}, func(s *Settings, text string, _ time.Time) (err error) {
			n, err := strconv.Atoi(cmp.Or(text, "0"))
			if s.Policy.Priority = n; err != nil || n < -100 || n > 100 {
				return fmt.Errorf("%q is not a priority; write a whole number from -100 to 100", text)
			}
			return nil
		}, func(s *Settings) string { return unlessZero(s.Policy.Priority) }},
		{Field{"tags", "words for reports, such as team=search"}, setTags, func(s *Settings) string { return strings.Join(s.Policy.Tags, ",") }},
		truth("set-user", "whether it may name the user it asks for: true or false", func(s *Settings) *bool { return &s.Policy.SetUser }),
	}
}

// number is a whole number from 0, which is no limit.
func number[T int | int64](name, usage string, most T, at func(*Settings) *T) field {
	return field{Field{name, usage}, func(s *Settings, text string, _ time.Time) (err error) {
		*at(s), err = whole(text, most)
		return err
	}, func(s *Settings) string { return unlessZero(*at(s)) }}
}

func whole[T int | int64](text string, most T) (T, error) {
	n, err := strconv.ParseInt(cmp.Or(text, "0"), 10, 64)
	if err != nil || n < 0 || n > int64(most) {
		return 0, fmt.Errorf("%q is not a whole number; write one from 0 to %d", text, most)
	}
	return T(n), nil
}

func unlessZero[T int | int64](n T) string {
	if n == 0 {
		return ""
	}
	return strconv.FormatInt(int64(n), 10)
}

func oneOf(name, usage string, at func(*Settings) *string, words ...string) field {
	return field{Field{name, usage}, func(s *Settings, text string, _ time.Time) error {
		if *at(s) = strings.ToLower(text); text != "" && !slices.Contains(words, strings.ToLower(text)) {
			return fmt.Errorf("%q is not known; write %s", text, strings.Join(words, ", "))
		}
		return nil
	}, func(s *Settings) string { return *at(s) }}
}

func truth(name, usage string, at func(*Settings) *bool) field {
	return field{Field{name, usage}, func(s *Settings, text string, _ time.Time) (err error) {
		if *at(s), err = strconv.ParseBool(cmp.Or(text, "false")); err != nil {
			return fmt.Errorf("%q is neither yes nor no; write true or false", text)
		}
		return nil
	}, func(s *Settings) string {
		if *at(s) {
			return "true"
		}
		return ""
	}}
}

func globs(name, usage string, at func(*Settings) *[]string) field {
	return field{Field{name, usage}, func(s *Settings, text string, _ time.Time) error {
		items := list(text)
		for _, item := range items {
			if strings.TrimPrefix(item, "!") == "" || strings.ContainsFunc(item, unicode.IsSpace) {
				return fmt.Errorf("%q is no pattern; write names with * for anything, separated by commas, such as gpt-*,!gpt-4*", item)
			}
		}
		*at(s) = items
		return nil
	}, func(s *Settings) string { return strings.Join(*at(s), ",") }}
}

// list cuts at commas; the empty text is the empty list.
func list(text string) (items []string) {
	for item := range strings.SplitSeq(text, ",") {
		if item = strings.TrimSpace(item); item != "" {
			items = append(items, item)
		}
	}
	return items
}

func joined[T fmt.Stringer](items []T) string {
	var texts []string
	for _, item := range items {
		texts = append(texts, item.String())
	}
	return strings.Join(texts, ",")
}
