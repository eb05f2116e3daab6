// Package sample is what the tests measure.
package sample

import "os"

// Documented has three fields.
type Documented struct {
	A, B int
	C    string
}

type Bare struct{}

func (Bare) Method(a, b, c, d, e int) {}

// Find returns a number
// that depends on much.
func Find(m map[string]int, a, b, c bool) (n int, err error) {
	if a && b || c {
		n++ // Not a comment line.
	}
	if n = len(m); n > 3 {
		return n, nil
	}
	if n := len(m); n > 2 {
		return n, nil
	}
	if v, ok := m["x"]; ok {
		return v, nil
	}
	if err := os.Remove("a name that makes this line as wide as no line of this project should ever"); err != nil {
		return 0, err
	}
	x, y, z := 1, 2, 3
	switch {
	case x > y:
	case a && (b || c):
	default:
		z++
	}
	return x + y + z, nil
}
