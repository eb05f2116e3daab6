package price_test

import (
	"math"
	"testing"

	"forward/internal/price"
)

func TestDollars(t *testing.T) {
	for _, c := range []struct {
		text string
		want price.Money
		show string
	}{
		{"20", 20 * price.Dollar, "$20.00"}, {"0.0375", 37_500_000, "$0.0375"}, {"$2.50", 2_500_000_000, "$2.50"}, {" 0.000000001 ", 1, "$0.000000001"},
		{".5", 500_000_000, "$0.50"}, {"0", 0, "$0.00"}, {"9223372036.854775807", math.MaxInt64, "$9223372036.854775807"},
	} {
		got, err := price.ParseDollars(c.text)
		if err != nil || got != c.want || got.String() != c.show {
			t.Errorf("%q is %d, shown %q (%v); want %d, %q", c.text, got, got, err, c.want, c.show)
		}
	}
	for _, bad := range []string{"", ".", "1.", "-1", "1e3", "1,5", "0.0000000001", "9223372036.854775808", "99999999999", "½", "0x1"} {
		if got, err := price.ParseDollars(bad); err == nil {
			t.Errorf("%q was read as %d", bad, got)
		}
	}
	if got := price.Money(math.MinInt64).String(); got != "-$9223372036.854775808" {
		t.Error(got)
	}
}

func FuzzParseDollars(f *testing.F) {
	for _, s := range []string{"0", "1.5", "$3", "9223372036.854775807"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		n, err := price.ParseDollars(s)
		if err != nil {
			return
		}
		if again, err := price.ParseDollars(n.String()); n < 0 || err != nil || again != n {
			t.Errorf("%q is %d, which is shown as %q and read as %d (%v)", s, n, n, again, err)
		}
	})
}
