// Package jsonscan checks, walks and writes JSON without decoding it.
//
// The gateway reads a few members of every request and answer and passes the
// bytes on as they came. encoding/json serves that badly: it matches keys
// case-insensitively, takes the last of duplicate keys, and allocates for all
// that it passes over. So text is checked once ([Valid]) and then read where it
// is: by gjson for single paths ([View]), by a [Walker] where every member is
// looked at.
//
// Functions that take text already checked neither panic nor loop on other
// text; what they return for it is unspecified. Strings and values alias the
// text they were read from, which must not change while they are in use.
package jsonscan

import (
	"unsafe"

	"github.com/tidwall/gjson"
)

// MaxDepth is how deep JSON may nest. gjson and encoding/json recurse, and a
// goroutine whose stack exceeds 1 GB kills the process, which a body of some
// megabytes of "[" would reach. The decoders of the usual upstreams stop at or
// below this depth.
const MaxDepth = 1000

// maxCount is the largest number that [Count] and [Seconds] return: sums of
// such numbers cannot overflow an int64, and a float64 holds them exactly.
const maxCount = 1 << 53

// View returns valid JSON as a gjson value that aliases data.
func View(data []byte) gjson.Result { return gjson.Parse(UnsafeString(data)) }

// UnsafeString returns data as a string without a copy. data must not change
// while the string is in use.
func UnsafeString(data []byte) string { return unsafe.String(unsafe.SliceData(data), len(data)) }

// String returns the text of a JSON string, and "" for a value of any other
// type.
func String(v gjson.Result) string {
	if v.Type != gjson.String {
		return ""
	}
	return v.Str
}

// Count returns v as a number of things. It returns 0 for values that are not
// positive numbers, which some upstreams send, and caps the rest at 1<<53.
func Count(v gjson.Result) int64 { return int64(Seconds(v)) }

// Seconds returns v as a length of time in seconds, bounded as by [Count].
func Seconds(v gjson.Result) float64 {
	if v.Type != gjson.Number || !(v.Num > 0) { // the negation also catches NaN
		return 0
	}
	return min(v.Num, maxCount)
}
