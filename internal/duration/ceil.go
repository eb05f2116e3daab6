package duration

import "time"

// Ceil writes d in whole milliseconds, rounded up: a client that waits exactly
// as long as it reads is never too early.
func Ceil(d time.Duration) string {
	return ((d + time.Millisecond - 1) / time.Millisecond * time.Millisecond).String()
}
