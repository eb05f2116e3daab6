package ledger

import (
	"context"
	"log/slog"
	"sync/atomic"
	"time"

	"forward/internal/backlog"
)

// Sink receives every row after it is in the ledger. Send is called by one
// goroutine. Its errors are logged, and the rows are not sent again.
type Sink interface {
	Name() string
	Send(ctx context.Context, rows []Row) error
	Close() error
}

const (
	maxDeliveries   = 256 // batches that wait for a slow sink
	deliverPatience = 30 * time.Second
)

// delivery brings rows to one sink. A sink that is slow or fails loses rows,
// which are counted; it delays nothing else.
type delivery struct {
	sink    Sink
	log     *slog.Logger
	batches *backlog.Queue[[]Row]
	failing bool         // the last batch was not sent; of send alone
	lost    atomic.Int64 // rows
}

func newDelivery(s Sink, log *slog.Logger) *delivery {
	d := &delivery{sink: s, log: log}
	d.batches = backlog.New(backlog.Options[[]Row]{Write: d.send, BatchCount: 1, MaxCount: maxDeliveries})
	return d
}

// deliver gives copies of rows that are in the database to the sinks.
func (l *Ledger) deliver(rows []*Row) {
	if len(l.sinks) == 0 || len(rows) == 0 {
		return
	}
	copies := make([]Row, len(rows))
	for i, r := range rows {
		copies[i] = *r
	}
	for _, d := range l.sinks {
		d.put(copies)
	}
}

// put queues rows without waiting.
func (d *delivery) put(rows []Row) {
	if d.batches.Put(rows) {
		return
	}
	lost := int64(len(rows))
	if d.lost.Add(lost) == lost {
		d.log.Warn("a sink of the ledger is too slow and loses rows", "sink", d.sink.Name())
	}
}

// send sends batches of rows. It never fails, so that the queue goes on.
func (d *delivery) send(ctx context.Context, batches [][]Row) error {
	for _, rows := range batches {
		bounded, cancel := context.WithTimeout(ctx, deliverPatience)
		err := d.sink.Send(bounded, rows)
		cancel()
		switch {
		case err != nil:
			d.lost.Add(int64(len(rows)))
			if !d.failing {
				d.log.Warn("a sink of the ledger does not take rows", "sink", d.sink.Name(), "error", err)
			}
		case d.failing:
			d.log.Info("a sink of the ledger takes rows again", "sink", d.sink.Name(), "lost", d.lost.Load())
		}
		d.failing = err != nil
	}
	return nil
}

// close sends what waits, until ctx ends, and closes the sink.
func (d *delivery) close(ctx context.Context) error {
	if err := d.batches.Close(ctx); err != nil {
		d.batches.Each(func(rows []Row) { d.lost.Add(int64(len(rows))) })
	}
	if n := d.lost.Load(); n > 0 {
		d.log.Warn("a sink of the ledger did not get all rows", "sink", d.sink.Name(), "lost", n)
	}
	return d.sink.Close()
}
