package chatlog

import "testing"

func TestQueue(t *testing.T) {
	q := newQueue(10)
	put := func(n int, want bool) {
		t.Helper()
		if got := q.put(line{text: make([]byte, n)}); got != want {
			t.Errorf("put of %d is %v", n, got)
		}
	}
	put(100, true) // one always fits
	put(1, false)
	batch, open := q.take(nil)
	if len(batch) != 1 || !open {
		t.Fatalf("took %d, %v", len(batch), open)
	}
	put(1, false) // it is still held by the one who took it
	if batch, _ = q.take(batch); len(batch) != 0 {
		t.Fatalf("took %d", len(batch))
	}
	put(4, true)
	put(6, true)
	put(1, false)
	if !q.close() || q.close() {
		t.Error("close")
	}
	if batch, open = q.take(batch); len(batch) != 2 || open {
		t.Errorf("took %d, %v", len(batch), open)
	}
	q.take(batch)
	put(1, false) // closed
}
