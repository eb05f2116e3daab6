package limits

import (
	"context"
	"time"
)

// Paces are the rates at which the events of streams may come.
type Paces struct{ rules rules }

// NewPaces returns the paces of rules. Only the first rate of a rule counts.
func NewPaces(rules []Rule) *Paces { return &Paces{newRules(rules)} }

// Interval returns the time between two events of a stream on a path, 0 when it
// has no pace. See Gate.Admit for paths.
func (p *Paces) Interval(paths []string, level int) time.Duration {
	r := p.rules.match(paths, level)
	if r == nil || len(r.Rates) == 0 || r.Rates[0].Limit <= 0 {
		return 0
	}
	return r.Rates[0].Period / time.Duration(r.Rates[0].Limit)
}

// Pacer spaces the events of one stream evenly. The first passes at once. Time
// without an event is not made up for by a burst. A Pacer is used by one
// goroutine.
type Pacer struct {
	interval time.Duration
	next     time.Time
}

// NewPacer returns a pacer. For no interval it is nil, which lets all events
// pass.
func NewPacer(interval time.Duration) *Pacer {
	if interval <= 0 {
		return nil
	}
	return &Pacer{interval: interval}
}

// Wait returns when the next event may pass, or with the error of ctx.
func (p *Pacer) Wait(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if p == nil {
		return nil
	}
	now := time.Now()
	if wait := p.next.Sub(now); wait > 0 {
		timer := time.NewTimer(wait)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-ctx.Done():
			return ctx.Err()
		}
		// Counted from when it was due and not from when the timer fired, whose
		// delay would add up, to 5 % at 1000/second.
		now = p.next
		if time.Since(now) > p.interval {
			now = time.Now()
		}
	}
	p.next = now.Add(p.interval)
	return nil
}
