package duration_test

import (
	"testing"
	"time"

	"forward/internal/duration"
)

func TestCeil(t *testing.T) {
	for d, want := range map[time.Duration]string{0: "0s", 1: "1ms", time.Millisecond: "1ms", time.Second + 1: "1.001s"} {
		if got := duration.Ceil(d); got != want {
			t.Errorf("%d is %s, want %s", d, got, want)
		}
	}
}
