package config

import (
	"fmt"
	"maps"
	"math"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"forward/internal/duration"
)

// setter is the parser of one row of the table.
type setter = func(l *loader, v value) (string, error)

// keysOf returns the sorted keys of a map.
func keysOf(m map[string]string) []string { return slices.Sorted(maps.Keys(m)) }

// split returns the items of a list however it was written: comma list, JSON
// list or YAML list.
func (n node) split() ([]string, error) {
	var out []string
	switch n.kind {
	case scalar:
		for item := range strings.SplitSeq(n.text, ",") {
			out = append(out, strings.TrimSpace(item))
		}
	case list:
		for _, item := range n.items {
			if item.kind != scalar {
				return nil, bad("a list of plain values was expected", "separate the values with commas")
			}
			out = append(out, strings.TrimSpace(item.text))
		}
	case object:
		return nil, bad("a list was expected", "separate the values with commas")
	}
	return slices.DeleteFunc(out, func(s string) bool { return s == "" }), nil
}

func text(field func(*Config) *string) setter {
	return func(l *loader, v value) (string, error) {
		*field(l.cfg) = v.text
		return "", nil
	}
}

func texts(field func(*loader) *[]string) setter {
	return func(l *loader, v value) (string, error) {
		items, err := v.split()
		*field(l) = items
		return strings.Join(items, ", "), err
	}
}

func boolean(field func(*Config) *bool) setter {
	return func(l *loader, v value) (string, error) {
		b, err := parseBool(v.text)
		*field(l.cfg) = b
		return strconv.FormatBool(b), err
	}
}

// parseBool accepts what people write. openai-forward took everything but
// "true" for false without a word.
func parseBool(s string) (bool, error) {
	switch strings.ToLower(strings.TrimSpace(s)) {
	case "true", "1", "yes", "on":
		return true, nil
	case "false", "0", "no", "off":
		return false, nil
	}
	return false, bad("neither true nor false", "write true or false")
}

func number[T int | int64](low, high T, field func(*Config) *T) setter {
	return func(l *loader, v value) (string, error) {
		n, err := strconv.ParseInt(strings.TrimSpace(v.text), 10, 64)
		if err != nil || n < int64(low) || n > int64(high) {
			return "", bad("not a whole number in range", fmt.Sprintf("write a number from %d to %d", low, high))
		}
		*field(l.cfg) = T(n)
		return "", nil
	}
}

func oneOf(field func(*Config) *string, words ...string) setter {
	return func(l *loader, v value) (string, error) {
		word, err := choose(v.text, words...)
		*field(l.cfg) = word
		return word, err
	}
}

// choose matches one of the words in any case.
func choose(s string, words ...string) (string, error) {
	for _, w := range words {
		if strings.EqualFold(strings.TrimSpace(s), w) {
			return w, nil
		}
	}
	f := &fault{problem: "not one of the values that are understood", fix: "write " + strings.Join(words, ", ")}
	if near := Nearest(strings.TrimSpace(s), words); near != "" {
		f.fix = "did you mean " + near + "? " + f.fix
	}
	return "", f
}

func period(low time.Duration, field func(*Config) *time.Duration) setter {
	return func(l *loader, v value) (string, error) {
		d, err := ParseDuration(v.text)
		if err == nil && d < low {
			err = bad("too short", fmt.Sprintf("write at least %s", low))
		}
		*field(l.cfg) = d
		return "", err
	}
}

// ParseDuration reads a duration as settings write them: 10 (seconds), 500ms,
// 12h, 30 d, 2W.
func ParseDuration(s string) (time.Duration, error) {
	d, err := duration.ParseSeconds(strings.ToLower(strings.ReplaceAll(s, " ", "")))
	if err != nil {
		return 0, bad("not a duration", "write seconds (10), or 500ms, 10s, 5m, 2h, 30d")
	}
	return d, nil
}

func size(low int64, field func(*Config) *int64) setter {
	return func(l *loader, v value) (string, error) {
		n, err := parseSize(v.text)
		if err == nil && n < low {
			err = bad("too small", fmt.Sprintf("write at least %d bytes", low))
		}
		*field(l.cfg) = n
		return "", err
	}
}

// parseSize reads bytes with the units kB, MB, GB, TB (powers of 1000) and KiB,
// MiB, GiB, TiB (powers of 1024); a bare K, M, G or T counts as the latter, as
// in Docker and most servers.
func parseSize(s string) (int64, error) {
	s = strings.ToLower(strings.ReplaceAll(s, " ", ""))
	digits := strings.TrimRight(s, "bikmgt")
	unit := s[len(digits):]
	factors := map[string]float64{"": 1, "b": 1}
	for i, letter := range []string{"k", "m", "g", "t"} {
		factors[letter+"b"] = math.Pow(1000, float64(i+1))
		factors[letter+"ib"] = math.Pow(1024, float64(i+1))
		factors[letter] = math.Pow(1024, float64(i+1))
	}
	factor, ok := factors[unit]
	n, err := strconv.ParseFloat(digits, 64)
	if !ok || err != nil || !(n >= 0) || n*factor >= math.MaxInt64 {
		return 0, bad("not a size", "write bytes, or 64MiB, 1GiB, 500MB")
	}
	return int64(n * factor), nil
}

func prefixes(field func(*Config) *[]netip.Prefix) setter {
	return func(l *loader, v value) (string, error) {
		items, err := v.split()
		if err != nil {
			return "", err
		}
		for _, item := range items {
			p, err := parsePrefix(item)
			if err != nil {
				return "", bad(fmt.Sprintf("%q is neither an address nor a network", shorten(item)), "write addresses or networks such as 203.0.113.7, 10.0.0.0/8, 2001:db8::/32")
			}
			*field(l.cfg) = append(*field(l.cfg), p)
		}
		return strings.Join(items, ", "), nil
	}
}

// parsePrefix reads an address or a CIDR; IPv4 in IPv6 form becomes IPv4, which
// is how peers are compared.
func parsePrefix(s string) (netip.Prefix, error) {
	if strings.Contains(s, "/") {
		p, err := netip.ParsePrefix(s)
		if err == nil && p.Addr().Is4In6() && p.Bits() >= 96 {
			p = netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-96)
		}
		return p.Masked(), err
	}
	a, err := netip.ParseAddr(s)
	if err != nil {
		return netip.Prefix{}, err
	}
	a = a.Unmap().WithZone("")
	return netip.PrefixFrom(a, a.BitLen()), nil
}
