package ledger

import "forward/internal/price"

// Sums are what a group of requests adds up to.
type Sums struct {
	Requests      int64
	Errors        int64 // with a status of 400 and above, or without one
	Estimated     int64 // whose tokens the gateway counted
	Unpriced      int64 // whose cost is not known; it is not in Cost
	Input         int64 // tokens, with cached ones
	CachedRead    int64
	CachedWrite   int64
	Output        int64 // tokens, with reasoning
	Reasoning     int64
	Audio         int64
	Cost          price.Money
	EstimatedCost price.Money // the part of Cost that is estimated
	Saved         price.Money // by cache hits
	BytesIn       int64
	BytesOut      int64

	Unmetered       int64 // that were sent, and nothing is known of what they used
	CachedWriteHour int64 // the part of CachedWrite that is kept for an hour

	List price.Money // what callers' own credentials paid, by the price list; it is not in Cost
}

// sumNames are the columns of the sums, in the order of their fields.
var sumNames = []string{
	"requests", "errors", "estimated", "unpriced", "input", "cached_read", "cached_write", "output", "reasoning", "audio",
	"cost", "estimated_cost", "saved", "bytes_in", "bytes_out", "unmetered", "cached_write_hour", "list",
}

// fields returns pointers to the sums in the order of their columns.
func (s *Sums) fields() []*int64 {
	return []*int64{
		&s.Requests, &s.Errors, &s.Estimated, &s.Unpriced, &s.Input, &s.CachedRead, &s.CachedWrite, &s.Output, &s.Reasoning, &s.Audio,
		(*int64)(&s.Cost), (*int64)(&s.EstimatedCost), (*int64)(&s.Saved), &s.BytesIn, &s.BytesOut,
		&s.Unmetered, &s.CachedWriteHour, (*int64)(&s.List),
	}
}

// targets returns the fields as arguments of Scan.
func (s *Sums) targets() []any {
	fields := s.fields()
	out := make([]any, len(fields))
	for i, f := range fields {
		out[i] = f
	}
	return out
}

// values returns the sums as arguments of a statement.
func (s *Sums) values() []any {
	fields := s.fields()
	out := make([]any, len(fields))
	for i, f := range fields {
		out[i] = *f
	}
	return out
}

// merge adds the sums of another group.
func (s *Sums) merge(o *Sums) {
	from := o.fields()
	for i, f := range s.fields() {
		*f += *from[i]
	}
}

// subtract takes the sums of another group away.
func (s *Sums) subtract(o *Sums) {
	from := o.fields()
	for i, f := range s.fields() {
		*f -= *from[i]
	}
}

// add counts a request in.
func (s *Sums) add(r *Row) {
	s.Requests++
	if r.Status >= 400 || r.Status == 0 {
		s.Errors++
	}
	if r.Estimated {
		s.Estimated++
	}
	if !r.Priced {
		s.Unpriced++
	}
	if r.Unmetered {
		s.Unmetered++
	}
	s.Input += r.Usage.Input
	s.CachedRead += r.Usage.CachedRead
	s.CachedWrite += r.Usage.CachedWrite
	s.CachedWriteHour += r.Usage.CachedWriteHour
	s.Output += r.Usage.Output
	s.Reasoning += r.Usage.Reasoning
	s.Audio += r.Usage.Audio
	if r.Priced {
		s.Cost += r.Cost
		if r.Estimated {
			s.EstimatedCost += r.Cost
		}
	}
	s.Saved += r.Saved
	s.List += r.List
	s.BytesIn += r.BytesIn
	s.BytesOut += r.BytesOut
}
