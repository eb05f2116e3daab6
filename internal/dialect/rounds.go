package dialect

import "github.com/tidwall/gjson"

// rounds adds up the usage of an answer that calls tools in its middle: each
// round of generation reports its own, perhaps several times.
type rounds struct {
	earlier Usage // of the rounds that have ended
	called  bool  // the round has called a tool
	metered bool  // its usage was reported
}

// Goes notes that more of an answer came: calls of tools, or anything else that
// was generated. What follows calls, or calls whose usage was reported, is a
// round of its own.
func (d *Draft) Goes(calls bool) {
	r := &d.rounds
	a := d.answer
	if r.called && (!calls || r.metered) {
		if r.metered && a.Usage != nil {
			r.earlier = *a.Usage
		}
		r.called = false
		r.metered = false
	}
	r.called = r.called || calls
}

// TakeRound takes the usage of the current round.
func (d *Draft) TakeRound(v gjson.Result) {
	a := d.answer
	before := a.Usage
	a.TakeUsage(v)
	if a.Usage == before {
		return
	}
	d.rounds.metered = true
	u := a.Usage
	e := &d.rounds.earlier
	u.Input += e.Input
	u.Output += e.Output
	u.Total += e.Total
	u.CachedRead += e.CachedRead
	u.CachedWrite += e.CachedWrite
	u.Reasoning += e.Reasoning
	u.Audio += e.Audio
	u.AudioOutput += e.AudioOutput
}
