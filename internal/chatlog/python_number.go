package chatlog

import (
	"math/big"
	"strings"
)

// number appends a Python number with its sign.
func (p *literal) number() error {
	start := p.at
	out := p.dst
	if c := p.peek(); c == '+' || c == '-' {
		p.at++
		if c == '-' {
			out = append(out, '-')
		}
		p.space()
		if next := p.peek(); next == 'i' || next == 'n' { // -inf, -nan
			return p.name()
		}
	}
	out, ok := appendNumber(out, p.unsigned())
	if !ok {
		p.at = start
		return p.fail("malformed number")
	}
	p.dst = out
	return nil
}

// unsigned reads the characters of a number without its sign.
func (p *literal) unsigned() string {
	from := p.at
	for ; p.at < len(p.src); p.at++ {
		c := p.src[p.at]
		if c == '.' || c == '_' || alphanumeric(c) {
			continue
		}
		afterE := p.at > from && p.src[p.at-1]|0x20 == 'e' && !isRadix(p.src[from:p.at])
		if !afterE || (c != '+' && c != '-') {
			break
		}
	}
	return string(p.src[from:p.at])
}

func alphanumeric(c byte) bool {
	return ('0' <= c && c <= '9') || ('a' <= c && c <= 'z') || ('A' <= c && c <= 'Z')
}

// isRadix reports whether a number starts with 0x, 0o or 0b.
func isRadix(text []byte) bool {
	return len(text) > 1 && text[0] == '0' && strings.IndexByte("xXoObB", text[1]) >= 0
}

// appendNumber appends an unsigned Python number as JSON. The digits of decimal
// numbers stay as they are.
func appendNumber(dst []byte, text string) ([]byte, bool) {
	if !wellGrouped(text) {
		return dst, false
	}
	if isRadix([]byte(text)) {
		return appendRadix(dst, text)
	}
	text = strings.ToLower(strings.ReplaceAll(text, "_", ""))
	mantissa, exponent, hasExponent := strings.Cut(text, "e")
	if hasExponent && !isExponent(exponent) {
		return dst, false
	}
	whole, fraction, hasPoint := strings.Cut(mantissa, ".")
	if !digits(whole) || !digits(fraction) || whole+fraction == "" {
		return dst, false
	}
	significant := strings.TrimLeft(whole, "0")
	switch {
	case significant == "":
		dst = append(dst, '0')
	case whole[0] == '0' && !hasPoint && !hasExponent:
		return dst, false // 007 is no number in Python
	default:
		dst = append(dst, significant...)
	}
	if hasPoint {
		dst = append(append(dst, '.'), fraction...)
		if fraction == "" {
			dst = append(dst, '0')
		}
	}
	if hasExponent {
		dst = append(append(dst, 'e'), exponent...)
	}
	return dst, true
}

// wellGrouped reports whether each underscore of a number is between digits.
func wellGrouped(text string) bool {
	for _, wrong := range []string{"__", "_.", "._"} {
		if strings.Contains(text, wrong) {
			return false
		}
	}
	return !strings.HasPrefix(text, "_") && !strings.HasSuffix(text, "_")
}

// appendRadix appends a number with a prefix for its base as a decimal one.
func appendRadix(dst []byte, text string) ([]byte, bool) {
	if len(text) > 1<<10 { // the conversion takes quadratic time
		return dst, false
	}
	n, ok := new(big.Int).SetString(text, 0)
	if !ok {
		return dst, false
	}
	return n.Append(dst, 10), true
}

// isExponent reports whether s is a decimal number with at most one sign.
func isExponent(s string) bool {
	unsigned := strings.TrimPrefix(strings.TrimPrefix(s, "+"), "-")
	return unsigned != "" && len(s)-len(unsigned) <= 1 && digits(unsigned)
}

func digits(s string) bool {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return true
}
