package load

import (
	"bytes"
	"fmt"
)

// Plain is the check of an answer that is no stream: its status, its size (at
// least), and where it came from, if that is asked.
func Plain(size int, cache string) func(*Answer) error {
	return func(a *Answer) error {
		switch {
		case a.Status != 200:
			return fmt.Errorf("status %d: %s", a.Status, a.Last)
		case a.Size < size:
			return fmt.Errorf("%d bytes in place of %d", a.Size, size)
		case cache != "" && a.Cache != cache:
			return fmt.Errorf("X-Cache is %q, not %q", a.Cache, cache)
		}
		return nil
	}
}

// Whole is the check of a stream: its status, all of its events, and its end.
func Whole(events int) func(*Answer) error {
	return func(a *Answer) error {
		switch {
		case a.Status != 200:
			return fmt.Errorf("status %d: %s", a.Status, a.Last)
		case a.Events != events:
			return fmt.Errorf("%d events in place of %d", a.Events, events)
		case !bytes.HasSuffix(bytes.TrimRight(a.Last, "\n"), []byte("[DONE]")):
			return fmt.Errorf("the stream ends in %q", a.Last)
		}
		return nil
	}
}
