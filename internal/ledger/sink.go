package ledger

import (
	"context"
	"log/slog"
	"sync/atomic"
	"time"
)

// Sink is told of every request after it is in the ledger. Send is called by one goroutine of the sink's own; what it returns as an
// error is logged, and the rows are not brought again.
type Sink interface {
	Name() string
	Send(ctx context.Context, rows []Row) error
	Close() error
}

const (
	fanBatches = 256 // batches that wait for a slow sink
	sendTime   = 30 * time.Second
)

// fan brings rows to one sink. A sink that is slow or broken loses rows, counted; it never holds anything up.
type fan struct {
	sink    Sink
	log     *slog.Logger
	batches chan []Row
	dropped atomic.Int64
	ctx     context.Context // ends when Close is out of patience
	cancel  context.CancelFunc
	done    chan struct{}
}

func newFan(s Sink, log *slog.Logger) *fan {
	f := &fan{sink: s, log: log, batches: make(chan []Row, fanBatches), done: make(chan struct{})}
	f.ctx, f.cancel = context.WithCancel(context.Background()) // a life of its own, until close
	go f.run()
	return f
}

// send hands rows over without waiting.
func (f *fan) send(rows []Row) {
	if len(rows) == 0 {
		return
	}
	select {
	case f.batches <- rows:
	default:
		if f.dropped.Add(int64(len(rows))) == int64(len(rows)) {
			f.log.Warn("a sink of the ledger is too slow and loses rows", "sink", f.sink.Name())
		}
	}
}

func (f *fan) run() {
	defer close(f.done)
	broken := false
	for rows := range f.batches {
		if f.ctx.Err() != nil {
			f.dropped.Add(int64(len(rows)))
			continue
		}
		ctx, cancel := context.WithTimeout(f.ctx, sendTime)
		err := f.sink.Send(ctx, rows)
		cancel()
		switch {
		case err != nil:
			f.dropped.Add(int64(len(rows)))
			if !broken {
				f.log.Warn("a sink of the ledger does not take rows", "sink", f.sink.Name(), "error", err)
			}
		case broken:
			f.log.Info("a sink of the ledger takes rows again", "sink", f.sink.Name(), "lost", f.dropped.Load())
		}
		broken = err != nil
	}
}

// close brings what waits, as long as ctx lasts. Nothing is sent after it.
func (f *fan) close(ctx context.Context) error {
	close(f.batches)
	select {
	case <-f.done:
	case <-ctx.Done():
		f.cancel()
		<-f.done
	}
	f.cancel()
	if n := f.dropped.Load(); n > 0 {
		f.log.Warn("a sink of the ledger did not get all rows", "sink", f.sink.Name(), "lost", n)
	}
	return f.sink.Close()
}
