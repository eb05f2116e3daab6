//go:build race

package forward_test

// raceEnabled is true under the race detector, which makes everything ten times
// as slow: tests that try much try a part of it then.
const raceEnabled = true
