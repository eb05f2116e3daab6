package ledger

import (
	"hash/fnv"
	"strconv"
	"strings"
	"time"
)

// A row's number is its key in usage_calls: the millisecond in which the
// request started, and below it numberBits of its id. Rows are therefore in the
// order of time without an index, a page of requests continues at the number of
// its last row, the rows of several gateways differ, and an id leads to the
// millisecond that its row is in.
//
// 63 bits hold milliseconds until the year 2109 and 21 bits of the id. Two rows
// of one millisecond that agree in these get numbers beside each other, so a
// number is found by an id only together with the id itself.
const (
	numberBits = 21
	numberMask = 1<<numberBits - 1
	maxMilli   = 1<<(63-numberBits) - 1
)

// clockSlack is how much the time in an id and the time at which its request
// started may differ: the clock is read for each, and may be set in between.
const clockSlack = time.Minute

// An id of the gateway is a prefix, 12 hexadecimal digits of time in
// milliseconds and 20 random ones.
const (
	idPrefix = "req_"
	idLength = len(idPrefix) + 32
	idTime   = len(idPrefix) + 12
)

// parseID returns the lowest number of the millisecond in an id of the gateway,
// and what the id adds to it.
func parseID(id string) (milli, rest int64, ok bool) {
	if len(id) != idLength || !strings.HasPrefix(id, idPrefix) {
		return 0, 0, false
	}
	ms, err := strconv.ParseUint(id[len(idPrefix):idTime], 16, 64)
	if err != nil || ms > maxMilli {
		return 0, 0, false
	}
	random, err := strconv.ParseUint(id[idTime:idTime+6], 16, 64)
	return int64(ms) << numberBits, int64(random) & numberMask, err == nil
}

// IsID reports whether a text is an id of a request of the gateway, by which
// its row is found at once.
func IsID(text string) bool {
	_, _, ok := parseID(text)
	return ok
}

// numberOf returns the number of a row with an id that started at t. Ids of
// another form, those of rows that settle batches, have no time in them.
func numberOf(id string, t time.Time) int64 {
	if milli, rest, ok := parseID(id); ok {
		return milli | rest
	}
	h := fnv.New32a()
	h.Write([]byte(id))
	return numberAt(t) | int64(h.Sum32())&numberMask
}

// numberAt returns the lowest number of the millisecond of a time.
func numberAt(t time.Time) int64 { return min(max(t.UnixMilli(), 0), maxMilli) << numberBits }

// nextNumber returns the number to try after one that another row has. It stays
// in the millisecond.
func nextNumber(n int64) int64 { return n&^numberMask | (n+1)&numberMask }
