package queue

// maxPriority is the highest priority that counts, and its negative the lowest.
// Weights are powers of two, and 1<<maxPriority is the weight of priority 0.
const maxPriority = 4

// order is the fair order of the requests that wait for a model.
//
// It is start-time fair queueing (Goyal, Vin and Cheng 1996). The virtual time
// is the start tag of the last request that started in its turn. A caller that
// starts to wait gets it as the start tag of its first request, unless its last
// service ends later. Each further request starts where the one before it ends.
// Only the first request of each caller has tags, so a request that leaves
// changes nothing for others, and each step takes O(log n) of the callers.
type order struct {
	flows    map[string]*flow // of callers that wait, or had more than their share
	virtual  int64
	waiting  int
	cost     int64 // of all that wait
	arrivals int64
	backlog  backlog

	byStart  indexedHeap[flow] // of those that wait: the one whose turn it is first
	byFinish indexedHeap[flow] // the same: the one with the least demand first
	byLength indexedHeap[flow] // the same: the one with the most requests first
	served   indexedHeap[flow] // of the others: the one that is forgotten next first
}

// flow is the queue of one caller.
type flow struct {
	caller        string
	weight        int64
	head, tail    *waiter
	length        int
	cost, tokens  int64 // of all of them
	start, finish int64 // tags of the head
	served        int64 // tag at which the service of the caller ends
	place         flowPlace
}

// flowPlace holds the places of a flow in the heaps of an order.
type flowPlace struct{ start, finish, length, served int }

func newOrder() order {
	return order{
		flows: make(map[string]*flow),
		byStart: indexedHeap[flow]{
			place: func(f *flow) *int { return &f.place.start },
			less: func(a, b *flow) bool {
				switch {
				case a.start != b.start:
					return a.start < b.start
				case a.weight != b.weight:
					return a.weight > b.weight
				}
				return a.head.number < b.head.number
			},
		},
		byFinish: indexedHeap[flow]{
			place: func(f *flow) *int { return &f.place.finish },
			less: func(a, b *flow) bool {
				return a.finish < b.finish || (a.finish == b.finish && a.head.number < b.head.number)
			},
		},
		byLength: indexedHeap[flow]{
			place: func(f *flow) *int { return &f.place.length },
			less: func(a, b *flow) bool {
				return a.length > b.length || (a.length == b.length && a.tail.number > b.tail.number)
			},
		},
		served: indexedHeap[flow]{
			place: func(f *flow) *int { return &f.place.served },
			less:  func(a, b *flow) bool { return a.served < b.served },
		},
	}
}

// append puts a request at the end of its caller's flow.
func (o *order) append(w *waiter) {
	f := o.flow(w)
	o.backlog.count(f, -1)
	w.before = f.tail
	if f.tail == nil {
		f.head = w
		f.start = max(o.virtual, f.served)
	} else {
		f.tail.after = w
	}
	f.tail = w
	o.join(f, w)
}

// prepend puts a request back that has started in vain: at the head of its
// caller's flow, which gets its service back.
func (o *order) prepend(w *waiter) {
	remembered := o.flows[w.caller] != nil
	f := o.flow(w)
	o.backlog.count(f, -1)
	if f.length == 0 {
		f.start = f.served
	}
	if remembered { // otherwise its service is forgotten already
		f.start -= f.share(w.cost)
		f.served -= f.share(w.cost)
	}
	w.after = f.head
	if f.head != nil {
		f.head.before = w
	} else {
		f.tail = w
	}
	f.head = w
	o.join(f, w)
}

// flow returns the flow of a request's caller, which is no longer among served.
func (o *order) flow(w *waiter) *flow {
	f := o.flows[w.caller]
	if f == nil {
		f = &flow{caller: w.caller, weight: w.weight, served: o.virtual, place: flowPlace{-1, -1, -1, -1}}
		o.flows[w.caller] = f
	}
	o.served.remove(f)
	return f
}

// join counts a request that was linked into its flow.
func (o *order) join(f *flow, w *waiter) {
	w.flow = f
	o.arrivals = max(o.arrivals, w.number) // a prepended request may be older than clear
	f.length++
	f.cost += w.cost
	f.tokens += w.tokens
	o.backlog.count(f, 1)
	o.waiting++
	o.cost += w.cost
	f.finish = f.start + f.share(f.head.cost)
	if f.length == 1 {
		o.byStart.push(f)
		o.byFinish.push(f)
		o.byLength.push(f)
		return
	}
	if f.head == w {
		o.byStart.fix(f)
		o.byFinish.fix(f)
	}
	o.byLength.fix(f)
}

// dequeue takes out a request that starts. It is the head of its flow.
func (o *order) dequeue(w *waiter) {
	f := w.flow
	if turn := o.byStart.first(); turn == f {
		o.virtual = max(o.virtual, f.start)
	} else {
		turn.head.passed += w.cost
	}
	f.served = f.start + f.share(w.cost)
	f.start = f.served
	o.remove(w)
	for f := o.served.first(); f != nil && f.served <= o.virtual; f = o.served.first() {
		o.served.remove(f)
		delete(o.flows, f.caller)
	}
}

// remove takes a request out.
func (o *order) remove(w *waiter) {
	f := w.flow
	wasHead := f.head == w
	o.backlog.count(f, -1)
	f.unlink(w)
	f.length--
	f.cost -= w.cost
	f.tokens -= w.tokens
	o.waiting--
	o.cost -= w.cost
	switch {
	case o.waiting == 0:
		o.clear()
	case f.length == 0:
		o.byStart.remove(f)
		o.byFinish.remove(f)
		o.byLength.remove(f)
		if f.served > o.virtual {
			o.served.push(f)
		} else {
			delete(o.flows, f.caller)
		}
	default:
		o.backlog.count(f, 1)
		if wasHead { // only the head has tags, and the next request gets its start
			f.finish = f.start + f.share(f.head.cost)
			o.byStart.fix(f)
			o.byFinish.fix(f)
		}
		o.byLength.fix(f)
	}
}

// unlink takes a request out of the list of its flow.
func (f *flow) unlink(w *waiter) {
	if w.before != nil {
		w.before.after = w.after
	} else {
		f.head = w.after
	}
	if w.after != nil {
		w.after.before = w.before
	} else {
		f.tail = w.before
	}
	w.before = nil
	w.after = nil
	w.flow = nil
}

// clear forgets all callers once no request waits: service counts only among
// callers that wait at the same time.
func (o *order) clear() {
	o.virtual = 0
	o.arrivals = 0
	o.backlog = backlog{}
	o.byStart.clear()
	o.byFinish.clear()
	o.byLength.clear()
	o.served.clear()
	if len(o.flows) > keptCapacity {
		o.flows = make(map[string]*flow)
	} else {
		clear(o.flows)
	}
}

// share returns by how much a cost moves the tags of the caller.
func (f *flow) share(cost int64) int64 { return (cost << maxPriority) / f.weight }

// weightOf returns the weight of a priority.
func weightOf(priority int) int64 {
	return 1 << (maxPriority + min(max(priority, -maxPriority), maxPriority))
}
