package main

import "testing"

func TestCollectAt(t *testing.T) {
	for live, want := range map[uint64]int{0: 500, 32 << 20: 500, 80 << 20: 200, 160 << 20: 100, 1 << 40: 100} {
		if got := collectAt(live); got != want {
			t.Errorf("%d bytes in use: %d %%, want %d", live, got, want)
		}
	}
}
