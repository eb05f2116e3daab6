package ledger_test

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"forward/internal/dialect"
	"forward/internal/ledger"
)

// stuckSink takes nothing until it is let go.
type stuckSink struct {
	release chan struct{}
	got     atomic.Int64
	fail    bool
}

func (s *stuckSink) Name() string { return "stuck" }
func (s *stuckSink) Close() error { return nil }
func (s *stuckSink) Send(ctx context.Context, rows []ledger.Row) error {
	select {
	case <-s.release:
	case <-ctx.Done():
		return ctx.Err()
	}
	s.got.Add(int64(len(rows)))
	if s.fail {
		return errors.New("broken")
	}
	return nil
}

// TestSinksHoldNothingUp checks that a sink which takes nothing neither delays
// the ledger nor keeps it from closing.
func TestSinksHoldNothingUp(t *testing.T) {
	stuck, broken := &stuckSink{release: make(chan struct{})}, &stuckSink{release: make(chan struct{}), fail: true}
	close(broken.release)
	l, err := ledger.Open(newDB(t), ledger.Options{Delay: time.Microsecond, Sinks: []ledger.Sink{stuck, broken}})
	if err != nil {
		t.Fatal(err)
	}
	for i := range 400 {
		l.Record(ledger.Row{ID: fmt.Sprint(i), Time: noon, Usage: dialect.Usage{Input: 1}})
		mustFlush(t, l) // a batch each: more than wait for a sink
	}
	waitFor(t, func() bool { return broken.got.Load() == 400 })
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := l.Close(ctx); err != nil {
		t.Error(err)
	}
	if g := mustReport(t, l.Reader, ledger.Query{}); g[0].Requests != 400 {
		t.Errorf("%+v", g)
	}
}
