package main

import "testing"

func TestReadsProc(t *testing.T) {
	if pid, parent, err := parentOf([]byte("42 (a) name (x) S 7 42 42 0 -1")); err != nil || pid != 42 || parent != 7 {
		t.Errorf("%d, %d, %v", pid, parent, err)
	}
	for _, text := range []string{"", "42", "42 (name)", "x (name) S 7", "42 (name) S y"} {
		if _, _, err := parentOf([]byte(text)); err == nil {
			t.Errorf("%q is no error", text)
		}
	}
	if n, err := pss("00400000-7fff r--p\nRss:  900 kB\nPss:   12 kB\nPss_Dirty:  3 kB\n"); err != nil || n != 12<<10 {
		t.Errorf("%d, %v", n, err)
	}
	if _, err := pss("Rss: 9 kB\n"); err == nil {
		t.Error("no Pss is no error")
	}
}

func TestHeldAtMost(t *testing.T) {
	for descriptors, want := range map[int]int{1024: 300, 20000: 9800, 1 << 20: 10000} {
		if got := (&lab{descriptors: descriptors}).heldAtMost(10000); got != want {
			t.Errorf("%d descriptors: %d streams, not %d", descriptors, got, want)
		}
	}
}
