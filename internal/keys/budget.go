package keys

import (
	"fmt"
	"math/big"
	"strconv"
	"strings"
	"time"
)

// Budget is what a key may use in a period of the calendar.
type Budget struct {
	Unit   string // "usd" or "tokens"
	Amount int64  // nano-dollars, or tokens
	Period string // "day", "week", "month" or "total"; a week starts on Monday
	Zone   string // the IANA name of the time zone whose calendar it is; "": the gateway's
}

const (
	nanos         = 1_000_000_000
	budgetExample = "write an amount and a period, such as 20usd/month, 500ktokens/day or 100usd/total; a time zone may follow: 20usd/month@Europe/Berlin"
)

// ParseBudget reads 20usd/month, $5/day, 500ktokens/week or
// 2mtokens/total@Europe/Berlin. Without a period it is a total.
func ParseBudget(s string) (Budget, error) {
	wrong := func(what string) (Budget, error) {
		return Budget{}, fmt.Errorf("%q is no budget: %s; %s", s, what, budgetExample)
	}
	text, zone, zoned := strings.Cut(strings.TrimSpace(s), "@")
	amount, period, dated := strings.Cut(strings.ToLower(strings.ReplaceAll(text, " ", "")), "/")
	b := Budget{Period: "total"}
	if dated {
		b.Period = period
	}
	switch b.Period {
	case "day", "week", "month", "total":
	default:
		return wrong("a period is day, week, month or total")
	}
	if zoned {
		if _, err := time.LoadLocation(zone); err != nil || zone == "" || zone == "Local" {
			return wrong(fmt.Sprintf("%q is no time zone", zone))
		}
		b.Zone = zone
	}
	scale := int64(1)
	if number, ok := strings.CutPrefix(amount, "$"); ok {
		b.Unit, amount, scale = "usd", number, nanos
	} else if number, ok := strings.CutSuffix(amount, "usd"); ok {
		b.Unit, amount, scale = "usd", number, nanos
	} else if number, ok := strings.CutSuffix(strings.TrimSuffix(amount, "s"), "token"); ok {
		b.Unit, amount = "tokens", number
		for suffix, times := range map[string]int64{"k": 1e3, "m": 1e6, "g": 1e9} {
			if number, ok := strings.CutSuffix(number, suffix); ok {
				amount, scale = number, times
			}
		}
	} else {
		return wrong("the unit is usd or tokens")
	}
	n, ok := decimal(amount, scale)
	if !ok || n <= 0 {
		return wrong("the amount is not a number above 0 that can be counted exactly")
	}
	b.Amount = n
	return b, nil
}

// decimal reads digits with at most one point, times scale, if that is a whole
// number.
func decimal(s string, scale int64) (int64, bool) {
	if s == "" || len(s) > 30 || strings.Trim(s, "0123456789.") != "" {
		return 0, false
	}
	r, ok := new(big.Rat).SetString(s)
	if !ok {
		return 0, false
	}
	r.Mul(r, big.NewRat(scale, 1))
	return r.Num().Int64(), r.IsInt() && r.Num().IsInt64()
}

// String writes the budget as ParseBudget reads it.
func (b Budget) String() string {
	text := strconv.FormatInt(b.Amount, 10) + "tokens"
	switch {
	case b.Unit == "usd":
		text = strings.TrimRight(strings.TrimRight(fmt.Sprintf("%d.%09d", b.Amount/nanos, b.Amount%nanos), "0"), ".") + "usd"
	case b.Amount%1e6 == 0:
		text = strconv.FormatInt(b.Amount/1e6, 10) + "mtokens"
	case b.Amount%1e3 == 0:
		text = strconv.FormatInt(b.Amount/1e3, 10) + "ktokens"
	}
	text += "/" + b.Period
	if b.Zone != "" {
		text += "@" + b.Zone
	}
	return text
}

// MarshalText implements encoding.TextMarshaler with String.
func (b Budget) MarshalText() ([]byte, error) { return []byte(b.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler with ParseBudget.
func (b *Budget) UnmarshalText(text []byte) (err error) {
	*b, err = ParseBudget(string(text))
	return err
}
