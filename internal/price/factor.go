package price

import (
	"fmt"
	"strings"

	"forward/internal/dialect"
)

// Factor multiplies rates, in thousandths. The zero value is 1.
type Factor int64

// String returns the factor as people write it: "1.1".
func (f Factor) String() string {
	text := fmt.Sprintf("%d.%03d", f/1000, f%1000)
	return strings.TrimSuffix(strings.TrimRight(text, "0"), ".")
}

// MarshalJSON writes the factor as a number.
func (f Factor) MarshalJSON() ([]byte, error) { return []byte(f.String()), nil }

// UnmarshalJSON reads a number.
func (f *Factor) UnmarshalJSON(text []byte) (err error) {
	*f, err = ParseFactor(string(text))
	return err
}

// maxFactor is the highest factor that is taken.
const maxFactor Factor = 1_000_000

// ParseFactor reads a factor such as "1.1", with at most three decimals.
func ParseFactor(s string) (Factor, error) {
	n, err := ParseDollars(s)
	f := Factor(n / 1_000_000)
	if err != nil || n%1_000_000 != 0 || f <= 0 || f > maxFactor {
		return 0, fmt.Errorf("%q is not a factor: write it like 1.1, with at most three decimals", s)
	}
	return f, nil
}

// of multiplies a rate.
func (f Factor) of(rate Money) Money {
	if f == 0 {
		return rate
	}
	return rate/1000*Money(f) + (rate%1000*Money(f)+500)/1000
}

// times returns the factor of all that an answer reports of how and where it
// was served. The ordinary words have none. Source: Anthropic, "Fast mode" and
// "Data residency".
func (l *List) times(terms dialect.Terms) (Factor, error) {
	if terms.Speed == "" && terms.Geo == "" {
		return 0, nil
	}
	all := Factor(1000)
	for _, name := range factorsOf(terms) {
		one, ok := l.Times[name]
		if !ok {
			return 0, &NoRateError{Model: l.Model, Quantity: Quantity(name)}
		}
		all = (all*one + 500) / 1000
	}
	return all, nil
}

// factorsOf returns the names of the factors that apply.
func factorsOf(terms dialect.Terms) (names []string) {
	speed := strings.ToLower(terms.Speed)
	if speed != "" && speed != "standard" {
		names = append(names, "speed/"+speed)
	}
	geo := strings.ToLower(terms.Geo)
	if geo != "" && geo != "global" && geo != "not_available" {
		names = append(names, "inference_geo/"+geo)
	}
	return names
}

// FactorNames returns the names of the factors of an answer, for people: "speed
// fast, inference_geo us"; "" if there is none.
func FactorNames(terms dialect.Terms) string {
	return strings.ReplaceAll(strings.Join(factorsOf(terms), ", "), "/", " ")
}

// IsFactor reports whether a name is of the form of List.Times.
func IsFactor(name string) bool {
	of, value, _ := strings.Cut(name, "/")
	return (of == "speed" || of == "inference_geo") && value != ""
}
