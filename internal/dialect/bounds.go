package dialect

import (
	"cmp"
	"math"
	"strconv"
	"strings"

	"github.com/tidwall/gjson"
)

// MaxBound is the largest number that a request can mean, far above what any
// model generates.
const MaxBound = 1_000_000_000

// Bounds are the fields of a request by which it sets how much is generated.
// Each is a name in the order in which the fields count.
type Bounds struct {
	Tokens  []string // the most tokens of an answer: the first that is set counts
	Answers []string // how many answers are made: the largest counts
}

// Read fills MaxTokens, N and Absurd from the fields that get returns.
//
// Digits in a string count, because protocol buffers' JSON and lenient servers
// read them. A bound of tokens below zero is none: local servers write no bound
// as -1. Absurd are numbers that would make a reservation meaningless: those
// that are not whole or larger than any model answers, and fewer answers than
// none. All else is for the provider to judge.
func (f *Bounds) Read(r *Request, get func(key string) gjson.Result) {
	for _, key := range f.Tokens {
		n, ok := number(get(key))
		if !ok {
			continue
		}
		if n > MaxBound || n != math.Trunc(n) {
			r.Absurd = cmp.Or(r.Absurd, key)
		}
		if r.MaxTokens == 0 {
			r.MaxTokens = whole(n)
		}
	}
	for _, key := range f.Answers {
		n, ok := number(get(key))
		if !ok {
			continue
		}
		if n > MaxBound || n < 0 || n != math.Trunc(n) {
			r.Absurd = cmp.Or(r.Absurd, key)
		}
		r.N = max(r.N, whole(n))
	}
}

// whole returns n rounded up, at least 0 and at most 2^53.
func whole(n float64) int64 { return int64(min(max(math.Ceil(n), 0), 1<<53)) }

// number returns the number in v.
func number(v gjson.Result) (n float64, ok bool) {
	switch v.Type {
	case gjson.Number:
		return v.Num, true
	case gjson.String:
		digits := strings.TrimSpace(v.Str)
		if digits == "" || strings.Trim(digits, "-0123456789") != "" {
			return 0, false // "inf" is a word of the realtime API
		}
		n, err := strconv.ParseFloat(digits, 64)
		return n, err == nil
	}
	return 0, false
}

// Prompts returns how many prompts a field of texts or token ids holds: a text,
// a list of texts, a list of ids or a list of such lists.
func Prompts(v gjson.Result) (n int64) {
	if !v.IsArray() {
		return 1
	}
	v.ForEach(func(_, item gjson.Result) bool {
		if item.Type == gjson.String || item.IsArray() {
			n++
		}
		return true
	})
	return max(n, 1)
}
