package limits

import "time"

// Patient returns options of a gate that waits longer for Redis than requests do, on machines that are busy with other
// tests.
func Patient(o Options) Options {
	o.patience = 10 * time.Second
	return Eager(o)
}

// Eager returns options of a gate that looks soon whether Redis is back.
func Eager(o Options) Options {
	o.retry = 10 * time.Millisecond
	return o
}
