package keys

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
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

// Texts returns the settings that are not empty as Apply reads them, by the
// names of their fields: applied to the zero Settings, they make the same ones.
func (s *Settings) Texts() map[string]string {
	texts := map[string]string{}
	for _, f := range fields() {
		if text := f.text(s); text != "" {
			texts[f.Name] = text
		}
	}
	return texts
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
