package price

import (
	"errors"
	"fmt"
	"math"
	"math/bits"
	"strconv"
	"strings"
)

// Money is an amount in nano-dollars, billionths of a US dollar. A cheap cached
// token costs tens of them, and an int64 holds nine billion dollars, so no sum
// needs a fraction or a float.
type Money int64

// Dollar is one US dollar.
const Dollar Money = 1_000_000_000

// MaxCall is the most that one call may cost. A higher amount is a broken usage
// object and not a bill.
const MaxCall = 1_000_000 * Dollar

// errTooMuch is the error of an amount above MaxCall.
var errTooMuch = errors.New("more than $1,000,000 for one call: the reported usage cannot be true")

// String returns the amount in dollars, exactly, with two decimals at least and
// otherwise without trailing zeros: "$12.50", "$0.000345", "-$3.00".
func (m Money) String() string { return string(m.append(make([]byte, 0, 24))) }

func (m Money) append(b []byte) []byte {
	nanos := uint64(m)
	if m < 0 {
		b = append(b, '-')
		nanos = uint64(-m) // right for the smallest int64, too: it is its own negative, bit for bit
	}
	b = append(b, '$')
	b = strconv.AppendUint(b, nanos/uint64(Dollar), 10)
	// Dollar is added so that the fraction keeps its leading zeros. The digit
	// that this puts in front becomes the point.
	point := len(b)
	b = strconv.AppendUint(b, uint64(Dollar)+nanos%uint64(Dollar), 10)
	b[point] = '.'
	for len(b) > point+3 && b[len(b)-1] == '0' {
		b = b[:len(b)-1]
	}
	return b
}

// Dollars returns the amount as a float, for JSON that shows it beside the
// exact one.
func (m Money) Dollars() float64 { return float64(m) / float64(Dollar) }

// ParseDollars reads an amount of dollars exactly, as people write it: "20",
// "0.0375", "$2.50", with at most nine decimals. Signs, exponents and amounts
// above nine billion are errors.
func ParseDollars(s string) (Money, error) {
	whole, fraction, point := strings.Cut(strings.TrimPrefix(strings.TrimSpace(s), "$"), ".")
	empty := (whole == "" && fraction == "") || (point && fraction == "")
	if empty || len(whole) > 10 || len(fraction) > 9 {
		return 0, fmt.Errorf("%q is not an amount of dollars: write it like 2.50, with at most nine decimals", s)
	}
	var n uint64 // of at most 19 digits, so it cannot overflow
	for _, digit := range whole + fraction + strings.Repeat("0", 9-len(fraction)) {
		if digit < '0' || digit > '9' {
			return 0, fmt.Errorf("%q is not an amount of dollars: write it like 2.50", s)
		}
		n = n*10 + uint64(digit-'0')
	}
	if n > math.MaxInt64 {
		return 0, fmt.Errorf("%q is more than can be counted: write less than $9,000,000,000", s)
	}
	return Money(n), nil
}

// charge returns count × rate ÷ per, rounded half up to a whole nano-dollar.
func charge(count int64, rate Money, per int64) (Money, error) {
	if count < 0 || rate < 0 {
		return 0, errors.New("a negative count or rate")
	}
	high, low := bits.Mul64(uint64(count), uint64(rate))
	low, carry := bits.Add64(low, uint64(per)/2, 0)
	high += carry
	if high >= uint64(per) {
		return 0, errTooMuch
	}
	amount, _ := bits.Div64(high, low, uint64(per))
	if amount > uint64(MaxCall) {
		return 0, errTooMuch
	}
	return Money(amount), nil
}

// Add returns a+b, or the largest int64 where the sum would overflow. Sums of
// budgets use it: one that large is spent in any case.
func Add(a, b int64) int64 {
	if b > 0 && a > math.MaxInt64-b {
		return math.MaxInt64
	}
	return a + b
}
