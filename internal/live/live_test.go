package live_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"forward/internal/live"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// everything lets a viewer see all requests.
func everything(*live.About) bool { return true }

// of lets a viewer see the requests of a key.
func of(key string) func(*live.About) bool {
	return func(a *live.About) bool { return a.Key == key }
}

// started is a request that has come and is described.
func started(s *live.Requests, id, key string) (*live.Request, *error) {
	r := &live.Request{}
	ended := new(error)
	s.Enter(r, id, time.Now(), func(cause error) { *ended = cause })
	r.Describe(live.About{Key: key, Route: "openai", Operation: "chat", Model: "gpt-4o", Stream: true})
	return r, ended
}

// next returns the events that a viewer has not read.
func next(t *testing.T, v *live.Viewer) ([]live.Event, int64) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	events, lost, err := v.Next(ctx)
	if err != nil {
		t.Fatal(err)
	}
	return events, lost
}

func TestRequestsUnderWayAreListed(t *testing.T) {
	var s live.Requests
	alice, _ := started(&s, "req_1", "alice")
	bob, _ := started(&s, "req_2", "bob")
	s.Enter(&live.Request{}, "req_3", time.Now(), func(error) {}) // not described yet
	alice.Enter(live.Queue)
	bob.Enter(live.Waiting)
	bob.Pass(500, 41, time.Second)

	list, count := s.List(everything, 10)
	if count != 2 || len(list) != 2 || list[0].ID != "req_1" || list[1].ID != "req_2" {
		t.Fatalf("%d requests are listed: %+v", count, list)
	}
	if list[0].Phase != live.Queue || list[1].Phase != live.Streaming || list[1].Bytes != 500 || list[1].Tokens != 11 {
		t.Errorf("they are listed as %+v and %+v", list[0].Progress, list[1].Progress)
	}
	if since := list[1].Since.Sub(list[1].Started); since != time.Second {
		t.Errorf("the answer streams since %v after the start", since)
	}
	if list, count := s.List(of("bob"), 10); count != 1 || list[0].ID != "req_2" {
		t.Errorf("a holder sees %+v", list)
	}
	if list, count := s.List(everything, 1); count != 2 || len(list) != 1 {
		t.Errorf("%d of %d are listed", len(list), count)
	}
	s.Leave(alice)
	s.Leave(alice)
	if list, _ := s.List(everything, 10); len(list) != 1 || list[0].ID != "req_2" {
		t.Errorf("one left, and there are %+v", list)
	}
	alice.Enter(live.Streaming) // late
	s.Leave(bob)
	if list, _ := s.List(everything, 10); len(list) != 0 {
		t.Errorf("all left, and there are %+v", list)
	}
}

func TestARequestIsDescribedAgain(t *testing.T) {
	var s live.Requests
	r, _ := started(&s, "req_1", "alice")
	r.Describe(live.About{Key: "alice", Model: "gpt-4o-mini"})
	if list, _ := s.List(everything, 10); len(list) != 1 || list[0].Model != "gpt-4o-mini" {
		t.Errorf("another model was asked, and the list has %+v", list)
	}
}

func TestStop(t *testing.T) {
	var s live.Requests
	_, ended := started(&s, "req_1", "alice")
	cause := &live.StoppedError{Holder: true}
	if _, err := s.Stop("req_1", of("bob"), cause); err != live.ErrUnknown || *ended != nil {
		t.Errorf("a request of another key: %v, and it ended with %v", err, *ended)
	}
	if _, err := s.Stop("req_9", everything, cause); err != live.ErrUnknown {
		t.Errorf("a request that is not there: %v", err)
	}
	was, err := s.Stop("req_1", of("alice"), cause)
	if err != nil || was.Key != "alice" || was.ID != "req_1" || *ended != error(cause) {
		t.Errorf("%v: %+v ended with %v", err, was, *ended)
	}
	if !errors.Is(cause, context.Canceled) {
		t.Error("a stop counts as a failure of the upstream")
	}

	shared, ended := started(&s, "req_2", "alice")
	shared.OnStop(func(*live.StoppedError) error { return live.ErrShared })
	if _, err := s.Stop("req_2", everything, cause); err != live.ErrShared || *ended != nil {
		t.Errorf("what is called instead: %v, %v", err, *ended)
	}
}

func TestEnd(t *testing.T) {
	var s live.Requests
	_, before := started(&s, "req_1", "alice")
	v, err := s.Watch(0, false)
	if err != nil {
		t.Fatal(err)
	}
	defer v.Close()
	cause := errors.New("stopping")
	s.End(cause)
	_, after := started(&s, "req_2", "alice")
	if *before != cause || *after != cause {
		t.Errorf("requests ended with %v and %v", *before, *after)
	}
	if _, _, err := v.Next(t.Context()); err != live.ErrEnded {
		t.Errorf("a viewer gets %v", err)
	}
	if _, err := s.Watch(0, false); err != live.ErrEnded {
		t.Errorf("a new viewer gets %v", err)
	}
}

func TestEventsOfARequest(t *testing.T) {
	var s live.Requests
	v, err := s.Watch(0, false)
	if err != nil {
		t.Fatal(err)
	}
	defer v.Close()
	r, _ := started(&s, "req_1", "alice")
	r.Enter(live.Upstream)
	r.Pass(10, 4, time.Second)
	r.Pass(20, 8, time.Second) // not an event each
	s.Leave(r)
	s.Close(r, "alice", "row")
	events, lost := next(t, v)
	if len(events) != 4 || lost != 0 {
		t.Fatalf("%d events, %d lost", len(events), lost)
	}
	for i, e := range events {
		if e.ID != "req_1" || e.Key != "alice" || e.Number != events[0].Number+uint64(i) {
			t.Errorf("event %d is %+v", i, e)
		}
	}
	if e := events[0]; e.Kind != live.Opened || e.Open.Model != "gpt-4o" {
		t.Errorf("the first event is %+v", e)
	}
	if e := events[1]; e.Kind != live.Moved || e.Phase != live.Upstream {
		t.Errorf("the second event is %+v", e)
	}
	if e := events[2]; e.Kind != live.Moved || e.Phase != live.Streaming || e.Bytes != 10 || e.Tokens != 1 {
		t.Errorf("the third event is %+v", e)
	}
	if e := events[3]; e.Kind != live.Closed || e.Result != "row" {
		t.Errorf("the last event is %+v", e)
	}
	if v.Last() != events[3].Number {
		t.Errorf("the last number is %d", v.Last())
	}
}

// TestASlowViewerLosesEvents: a viewer that does not read is sent how many
// events it lost, exactly, and one that reads loses none.
func TestASlowViewerLosesEvents(t *testing.T) {
	var s live.Requests
	slow, err := s.Watch(0, false)
	if err != nil {
		t.Fatal(err)
	}
	defer slow.Close()
	fast, err := s.Watch(0, false)
	if err != nil {
		t.Fatal(err)
	}
	defer fast.Close()
	r, _ := started(&s, "req_1", "alice")
	read := 0
	for i := range 5000 {
		r.Enter(live.Upstream)
		if i%500 == 0 {
			events, lost := next(t, fast)
			read += len(events)
			if lost != 0 {
				t.Fatalf("a viewer that reads lost %d events", lost)
			}
		}
	}
	events, _ := next(t, fast)
	read += len(events)
	if read != 5001 {
		t.Errorf("a viewer that reads got %d of 5001 events", read)
	}
	events, lost := next(t, slow)
	if len(events) != 1000 || lost != 4001 {
		t.Errorf("a slow viewer got %d events and lost %d", len(events), lost)
	}
}

func TestGoingOnAfterAnEvent(t *testing.T) {
	var s live.Requests
	first, err := s.Watch(0, false)
	if err != nil {
		t.Fatal(err)
	}
	defer first.Close()
	r, _ := started(&s, "req_1", "alice")
	for range 5 {
		r.Enter(live.Waiting)
	}
	events, _ := next(t, first)
	after := events[2].Number
	again, err := s.Watch(after, false)
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	if events, lost := next(t, again); len(events) != 3 || lost != 0 || events[0].Number != after+1 {
		t.Errorf("%d events after the third of six, %d lost", len(events), lost)
	}
	for name, number := range map[string]uint64{"long ago": 7, "in future": after + 1e6} {
		v, err := s.Watch(number, false)
		if err != nil {
			t.Fatal(err)
		}
		if events, lost := next(t, v); len(events) != 0 || lost != -1 {
			t.Errorf("after an event %s: %d events, %d lost", name, len(events), lost)
		}
		v.Close()
	}
	last := again.Last()
	again.Close()
	first.Close()
	r.Enter(live.Streaming) // no viewer looks
	v, err := s.Watch(last, false)
	if err != nil {
		t.Fatal(err)
	}
	defer v.Close()
	if events, lost := next(t, v); len(events) != 0 || lost != -1 {
		t.Errorf("after a time without viewers: %d events, %d lost", len(events), lost)
	}
}

func TestViewersAreBounded(t *testing.T) {
	var s live.Requests
	var all []*live.Viewer
	watch := func(holder bool) error {
		v, err := s.Watch(0, holder)
		if err == nil {
			all = append(all, v)
		}
		return err
	}
	for range live.MaxHolders {
		if err := watch(true); err != nil {
			t.Fatal(err)
		}
	}
	if err := watch(true); err != live.ErrFull {
		t.Errorf("one more holder: %v", err)
	}
	for range live.MaxViewers - live.MaxHolders {
		if err := watch(false); err != nil {
			t.Fatal(err)
		}
	}
	if err := watch(false); err != live.ErrFull {
		t.Errorf("one more administrator: %v", err)
	}
	if !s.Watched() {
		t.Error("with viewers nothing is watched")
	}
	for _, v := range all {
		v.Close()
	}
	if s.Watched() {
		t.Error("without viewers all is watched")
	}
	if err := watch(true); err != nil {
		t.Errorf("after all have left: %v", err)
	}
	all[len(all)-1].Close()
}

// TestNothingIsBuiltWithoutViewers counts what a request costs that no viewer
// sees.
func TestNothingIsBuiltWithoutViewers(t *testing.T) {
	var s live.Requests
	end := func(error) {}
	about := live.About{Key: "alice", Model: "gpt-4o"}
	requests := make([]live.Request, 1100)
	at := 0
	allocs := testing.AllocsPerRun(1000, func() {
		r := &requests[at]
		at++
		s.Enter(r, "req_1", time.Time{}, end)
		r.Describe(about)
		for _, p := range []live.Phase{live.Queue, live.Upstream, live.Waiting} {
			r.Enter(p)
		}
		r.Pass(100, 10, time.Second)
		s.Leave(r)
		s.Close(r, "alice", nil)
	})
	if allocs != 0 {
		t.Errorf("a request without viewers allocates %v times", allocs)
	}
}

// TestManyAtOnce is for the race detector: requests come and go while viewers
// come, read and go.
func TestManyAtOnce(t *testing.T) {
	var s live.Requests
	var requests, viewers sync.WaitGroup
	ctx, cancel := context.WithCancel(t.Context())
	for i := range 4 {
		requests.Go(func() {
			for n := range 500 {
				r, _ := started(&s, fmt.Sprintf("req_%d_%d", i, n), "alice")
				r.Enter(live.Upstream)
				r.Pass(10, 1, time.Millisecond)
				r.Describe(live.About{Key: "alice", Model: "other"})
				s.Stop(fmt.Sprintf("req_%d_%d", i, n), everything, &live.StoppedError{})
				s.Leave(r)
				s.Close(r, "alice", n)
			}
		})
		viewers.Go(func() {
			for ctx.Err() == nil {
				v, err := s.Watch(0, i%2 == 0)
				if err != nil {
					t.Error(err)
					return
				}
				for range 10 {
					if _, _, err := v.Next(ctx); err != nil {
						break
					}
					s.List(everything, 100)
				}
				v.Close()
			}
		})
	}
	requests.Wait()
	cancel()
	viewers.Wait()
}

func BenchmarkRequest(b *testing.B) {
	for _, watched := range []bool{false, true} {
		b.Run(fmt.Sprintf("watched=%v", watched), func(b *testing.B) {
			var s live.Requests
			if watched {
				v, err := s.Watch(0, false)
				if err != nil {
					b.Fatal(err)
				}
				defer v.Close()
			}
			b.ReportAllocs()
			for b.Loop() {
				r := &live.Request{}
				s.Enter(r, "req_1", time.Now(), func(error) {})
				r.Describe(live.About{Key: "alice", Model: "gpt-4o"})
				r.Enter(live.Upstream)
				r.Enter(live.Waiting)
				r.Pass(100, 10, time.Second)
				s.Leave(r)
				s.Close(r, "alice", nil)
			}
		})
	}
}

func ExampleRequests() {
	var s live.Requests
	viewer, err := s.Watch(0, false)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer viewer.Close()

	var request live.Request
	s.Enter(&request, "req_1", time.Now(), func(error) {})
	request.Describe(live.About{Key: "alice", Model: "gpt-4o"})
	request.Enter(live.Waiting)
	s.Leave(&request)
	s.Close(&request, "alice", nil)

	events, _, _ := viewer.Next(context.Background())
	for _, e := range events {
		fmt.Println(e.ID, e.Kind, e.Phase)
	}
	// Output:
	// req_1 opened start
	// req_1 moved waiting
	// req_1 closed start
}
