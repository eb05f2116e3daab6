package price

import (
	"errors"
	"fmt"
	"math"
	"math/bits"
	"strconv"
	"strings"
)

// Money is money in nano-dollars: a billionth of a US dollar. A cheap cached token costs tens of them, and 2^63 of them are nine
// billion dollars, so no sum of ours needs a fraction or a float.
type Money int64

// Dollar is a US dollar.
const Dollar Money = 1_000_000_000

// MaxCall is the most that one call may cost. More is a broken usage object, not a bill.
const MaxCall = 1_000_000 * Dollar

// String writes dollars, at least to the cent and otherwise without trailing zeros: "$12.50", "$0.000345", "-$3.00". It is exact.
func (n Money) String() string { return string(n.append(make([]byte, 0, 24))) }

func (n Money) append(b []byte) []byte {
	whole := uint64(n)
	if n < 0 {
		b, whole = append(b, '-'), uint64(-n) // also right for the smallest int64, whose bits are its own negative's
	}
	b = strconv.AppendUint(append(b, '$'), whole/uint64(Dollar), 10)
	point := len(b)
	b = strconv.AppendUint(b, uint64(Dollar)+whole%uint64(Dollar), 10) // the one before it keeps its zeros
	b[point] = '.'
	for len(b) > point+3 && b[len(b)-1] == '0' {
		b = b[:len(b)-1]
	}
	return b
}

// Dollars returns the amount as a float, for showing in JSON beside the exact one.
func (n Money) Dollars() float64 { return float64(n) / float64(Dollar) }

// ParseDollars reads a price as people write it: "20", "0.0375", "2.50", with up to nine decimals, exactly. Signs, exponents and
// anything above nine billion are errors.
func ParseDollars(s string) (Money, error) {
	whole, fraction, point := strings.Cut(strings.TrimPrefix(strings.TrimSpace(s), "$"), ".")
	if whole == "" && fraction == "" || point && fraction == "" || len(whole) > 10 || len(fraction) > 9 {
		return 0, fmt.Errorf("%q is not an amount of dollars: write it like 2.50, with at most nine decimals", s)
	}
	var n uint64
	for _, digit := range whole + fraction + strings.Repeat("0", 9-len(fraction)) {
		if digit < '0' || digit > '9' {
			return 0, fmt.Errorf("%q is not an amount of dollars: write it like 2.50", s)
		}
		n = n*10 + uint64(digit-'0') // at most 19 digits: no overflow of 64 bits
	}
	if n > math.MaxInt64 {
		return 0, fmt.Errorf("%q is more than can be counted: write less than $9,000,000,000", s)
	}
	return Money(n), nil
}

// errTooMuch says that an amount is beyond what one call can cost.
var errTooMuch = errors.New("more than $1,000,000 for one call: the usage that was told cannot be true")

// charge is count × rate ÷ per, rounded half up to a whole nano-dollar.
func charge(count int64, rate Money, per int64) (Money, error) {
	if count < 0 || rate < 0 {
		return 0, errors.New("a negative count or rate")
	}
	high, low := bits.Mul64(uint64(count), uint64(rate))
	low, carry := bits.Add64(low, uint64(per)/2, 0)
	if high += carry; high >= uint64(per) {
		return 0, errTooMuch
	}
	amount, _ := bits.Div64(high, low, uint64(per))
	if amount > uint64(MaxCall) {
		return 0, errTooMuch
	}
	return Money(amount), nil
}

// Add returns a+b, or the largest int64 where the sum is larger.
func Add(a, b int64) int64 {
	if b > 0 && a > math.MaxInt64-b {
		return math.MaxInt64
	}
	return a + b
}
