//go:build race

package tokens_test

// raceEnabled is true where sync.Pool drops entries at random and everything
// takes ten times as long.
const raceEnabled = true
