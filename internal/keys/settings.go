package keys

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"forward/internal/duration"
)

// Settings are what an administrator decides about a key. Apply sets them from
// texts.
type Settings struct {
	Name    string
	Level   int
	Expires time.Time // zero: never
	Policy  Policy
}

// Field is a setting of a key, as the command line and forward.yaml name it.
type Field struct{ Name, Usage string }

// field is a Field with what it does. An empty text takes the setting away.
type field struct {
	Field
	set func(s *Settings, text string, now time.Time) error
}

func fields() []field {
	return []field{
		{Field{"name", "what lists and logs call the key"}, func(s *Settings, text string, _ time.Time) error {
			s.Name = text
			return checkName(text)
		}},
		{Field{"level", "level, as in LEVEL_MODELS; 0 may use all models"}, func(s *Settings, text string, _ time.Time) (err error) {
			s.Level, err = whole[int](text, 1000)
			return err
		}},
		{Field{"models", "models it may use: globs, ! takes away, as in gpt-*,!gpt-4*"}, globs(func(s *Settings) *[]string { return &s.Policy.Models })},
		{Field{"alias", "names of its own for models, as in fast=gpt-4o-mini"}, setAliases},
		{Field{"routes", "routes it may use, by name or prefix; ! takes away"}, globs(func(s *Settings) *[]string { return &s.Policy.Routes })},
		{Field{"ips", "addresses or networks its requests may come from"}, setIPs},
		{Field{"expires", "when it ends: 90d, 12h, 2026-12-31 (the whole day) or never"}, func(s *Settings, text string, now time.Time) (err error) {
			s.Expires, err = parseExpiry(text, now)
			return err
		}},
		{Field{"rpm", "requests a minute; 0 is no limit"}, func(s *Settings, text string, _ time.Time) (err error) {
			s.Policy.RPM, err = whole[int64](text, 1e9)
			return err
		}},
		{Field{"tpm", "tokens a minute; 0 is no limit"}, func(s *Settings, text string, _ time.Time) (err error) {
			s.Policy.TPM, err = whole[int64](text, 1e12)
			return err
		}},
		{Field{"parallel", "requests at the same time; 0 is no limit"}, func(s *Settings, text string, _ time.Time) (err error) {
			s.Policy.Parallel, err = whole[int](text, 1e6)
			return err
		}},
		{Field{"budget", "what it may spend: 20usd/month, 500ktokens/day, 100usd/total; a list is several"}, setBudgets},
		{Field{"unknown-price", "models without a price under a budget in usd: deny or allow"}, oneOf(func(s *Settings) *string { return &s.Policy.UnknownPrice }, "deny", "allow")},
		{Field{"overrun", "a request that may cost more than is left of a budget: deny or allow"}, oneOf(func(s *Settings) *string { return &s.Policy.Overrun }, "deny", "allow")},
		{Field{"ephemeral", "credentials for clients that dial the provider themselves: deny or allow; a key with a budget or models needs allow"}, oneOf(func(s *Settings) *string { return &s.Policy.Ephemeral }, "deny", "allow")},
		{Field{"objects", "files, responses, batches and the like that it may use: own or all"}, oneOf(func(s *Settings) *string { return &s.Policy.Objects }, "own", "all")},
		{Field{"credentials", "client: its holder's own credential goes upstream, and the key comes in X-Forward-Key"}, oneOf(func(s *Settings) *string { return &s.Policy.Credentials }, "client")},
		{Field{"count-list", "whether budgets in usd count the list price of requests with a credential of the client's own: true or false"}, truth(func(s *Settings) *bool { return &s.Policy.CountList })},
		{Field{"unknown-operations", "requests whose model and cost cannot be read: deny or allow; without it deny under budgets and models"}, oneOf(func(s *Settings) *string { return &s.Policy.UnknownOperations }, "deny", "allow")},
		{Field{"cache", "who shares its cached answers: key or shared"}, oneOf(func(s *Settings) *string { return &s.Policy.CacheScope }, "key", "shared")},
		{Field{"log", "what the chat log keeps: full, meta, redacted or off"}, oneOf(func(s *Settings) *string { return &s.Policy.Log }, "full", "meta", "redacted", "off")},
		{Field{"priority", "from -100 to 100; higher ones leave a queue first"}, func(s *Settings, text string, _ time.Time) (err error) {
			n, err := strconv.Atoi(cmp.Or(text, "0"))
			if s.Policy.Priority = n; err != nil || n < -100 || n > 100 {
				return fmt.Errorf("%q is not a priority; write a whole number from -100 to 100", text)
			}
			return nil
		}},
		{Field{"tags", "words for reports, such as team=search"}, setTags},
		{Field{"set-user", "whether it may name the user it asks for: true or false"}, truth(func(s *Settings) *bool { return &s.Policy.SetUser })},
	}
}

// Fields returns every setting of a key, in the order in which they are shown.
func Fields() (list []Field) {
	for _, f := range fields() {
		list = append(list, f.Field)
	}
	return list
}

// Apply sets fields from their texts; an empty text takes a setting away. All
// mistakes are one error, with a line and what to write for each, and then
// nothing changes. Durations count from now, and dates are those of its time
// zone. Where now is zero, as for a file that is read more than once, durations
// are refused.
func (s *Settings) Apply(texts map[string]string, now time.Time) error {
	next, known := *s, map[string]bool{}
	var wrong []error
	for _, f := range fields() {
		known[f.Name] = true
		if text, ok := texts[f.Name]; ok {
			if err := f.set(&next, strings.TrimSpace(text), now); err != nil {
				wrong = append(wrong, fmt.Errorf("%s: %w", f.Name, err))
			}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(texts)) {
		if !known[name] {
			wrong = append(wrong, fmt.Errorf("%s: a key has no such setting", name))
		}
	}
	if len(wrong) > 0 {
		return errors.Join(wrong...)
	}
	*s = next
	return nil
}

// maxName bounds names, in bytes.
const maxName = 64

func checkName(s string) error {
	switch {
	case s == "":
		return errors.New("a key needs a name; write who uses it, such as alice")
	case len(s) > maxName || !utf8.ValidString(s) || strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsGraphic(r) || r == ',' || r == '"' }):
		return fmt.Errorf("%q cannot be a name; write up to %d bytes without commas, quotes and control characters", s, maxName)
	case strings.HasPrefix(s, keyPrefix) || strings.HasPrefix(s, "-"):
		return fmt.Errorf("%q looks like a key or a flag; write who uses the key, such as alice", Mask(s))
	}
	return nil
}

func whole[T int | int64](text string, most T) (T, error) {
	n, err := strconv.ParseInt(cmp.Or(text, "0"), 10, 64)
	if err != nil || n < 0 || n > int64(most) {
		return 0, fmt.Errorf("%q is not a whole number; write one from 0 to %d", text, most)
	}
	return T(n), nil
}

func oneOf(at func(*Settings) *string, words ...string) func(*Settings, string, time.Time) error {
	return func(s *Settings, text string, _ time.Time) error {
		if *at(s) = strings.ToLower(text); text != "" && !slices.Contains(words, strings.ToLower(text)) {
			return fmt.Errorf("%q is not known; write %s", text, strings.Join(words, ", "))
		}
		return nil
	}
}

func truth(at func(*Settings) *bool) func(*Settings, string, time.Time) error {
	return func(s *Settings, text string, _ time.Time) (err error) {
		if *at(s), err = strconv.ParseBool(cmp.Or(text, "false")); err != nil {
			return fmt.Errorf("%q is neither yes nor no; write true or false", text)
		}
		return nil
	}
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

func globs(at func(*Settings) *[]string) func(*Settings, string, time.Time) error {
	return func(s *Settings, text string, _ time.Time) error {
		items := list(text)
		for _, item := range items {
			if strings.TrimPrefix(item, "!") == "" || strings.ContainsFunc(item, unicode.IsSpace) {
				return fmt.Errorf("%q is no pattern; write names with * for anything, separated by commas, such as gpt-*,!gpt-4*", item)
			}
		}
		*at(s) = items
		return nil
	}
}

func setIPs(s *Settings, text string, _ time.Time) error {
	s.Policy.IPs = nil
	for _, item := range list(text) {
		prefix, err := netip.ParsePrefix(item)
		if err != nil {
			ip, wrong := netip.ParseAddr(item)
			if wrong != nil || ip.Zone() != "" {
				return fmt.Errorf("%q is neither an address nor a network; write 10.1.2.3 or 10.0.0.0/8", item)
			}
			ip = ip.Unmap()
			prefix = netip.PrefixFrom(ip, ip.BitLen())
		}
		if prefix.Addr().Is4In6() {
			return fmt.Errorf("%q is an IPv4 network written as IPv6; write it as IPv4, such as 10.0.0.0/8", item)
		}
		s.Policy.IPs = append(s.Policy.IPs, prefix.Masked())
	}
	return nil
}

func setBudgets(s *Settings, text string, _ time.Time) error {
	s.Policy.Budgets = nil
	var wrong []error
	for _, item := range list(text) {
		b, err := ParseBudget(item)
		same := func(o Budget) bool { return o.Unit == b.Unit && o.Period == b.Period && o.Zone == b.Zone }
		switch {
		case err != nil:
			wrong = append(wrong, err)
		case slices.ContainsFunc(s.Policy.Budgets, same):
			wrong = append(wrong, fmt.Errorf("two budgets of %s/%s; keep one of them", b.Unit, b.Period))
		default:
			s.Policy.Budgets = append(s.Policy.Budgets, b)
		}
	}
	return errors.Join(wrong...)
}

func setTags(s *Settings, text string, _ time.Time) error {
	items := list(text)
	for _, item := range items {
		if err := CheckTag(item); err != nil {
			return err
		}
	}
	if len(items) > MaxTags {
		return fmt.Errorf("%d tags; write %d at most", len(items), MaxTags)
	}
	s.Policy.Tags = nil
	for _, item := range items {
		if !slices.Contains(s.Policy.Tags, item) {
			s.Policy.Tags = append(s.Policy.Tags, item)
		}
	}
	return nil
}

const (
	// MaxTags bounds the tags of a key, and those that one request brings.
	MaxTags = 16
	maxTag  = 64 // bytes
)

// CheckTag returns what is wrong with a tag.
func CheckTag(tag string) error {
	wrong := func(r rune) bool { return !unicode.IsGraphic(r) || r == '"' || r == ',' }
	if tag == "" || len(tag) > maxTag || !utf8.ValidString(tag) || strings.ContainsFunc(tag, wrong) {
		return fmt.Errorf("%.80q cannot be a tag; write up to %d bytes without commas, quotes and control characters", tag, maxTag)
	}
	return nil
}

// parseExpiry reads 90d, 12h, 2026-12-31 (to the end of that day), an RFC 3339
// time or never.
func parseExpiry(text string, now time.Time) (time.Time, error) {
	if text == "" || strings.EqualFold(text, "never") {
		return time.Time{}, nil
	}
	if t, err := time.ParseInLocation(time.DateOnly, text, now.Location()); err == nil {
		return t.AddDate(0, 0, 1), nil
	}
	if t, err := time.Parse(time.RFC3339, text); err == nil {
		return t, nil
	}
	if now.IsZero() {
		return time.Time{}, fmt.Errorf("%q is not a date; write 2026-12-31, 2026-12-31T18:00:00Z or never", text)
	}
	d, err := duration.Parse(text)
	if err != nil || d == 0 {
		return time.Time{}, fmt.Errorf("%q is not a time from now and not a date; write 90d, 12h, 2026-12-31 or never", text)
	}
	return now.Add(d), nil
}

func (p Policy) encode() (string, error) {
	b, err := json.Marshal(p)
	return string(b), err
}
