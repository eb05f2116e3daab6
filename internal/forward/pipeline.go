package forward

import (
	"context"
	"net/http"
	"net/netip"
	"time"

	"forward/internal/dialect"
	"forward/internal/dialects"
	"forward/internal/keys"
	"forward/internal/ledger"
	"forward/internal/limits"
	"forward/internal/queue"
	"forward/internal/upstream"
)

// exchange is one request on its way through the gateway. Fields are grouped by the step that sets them.
type exchange struct {
	*Gateway
	w     http.ResponseWriter
	r     *http.Request
	ctx   context.Context // ends when the client leaves, the gateway stops or the upstream falls silent
	stop  context.CancelCauseFunc
	id    string
	begun time.Time

	// identify
	ip          netip.Addr
	route       *upstream.Route
	matched     *upstream.Route // by its path; route is another one when the model leads there
	mount       string          // the prefix on which it came
	matchedRest string
	rest, plain string   // the path after the route's prefix: as it came, and readable
	user        string   // whom the caller asks for
	paths       []string // the request's path as it reads on each mount of the route; limits go by these
	dialect     *dialect.Dialect
	caller      caller
	policy      *keys.Policy // of the key; never nil
	limits      string       // the route whose limits count: the one that was matched, also when the model leads to another
	slot        keys.Slot    // where the credential came
	known       bool         // the credential is a forward key of ours
	ours        bool         // it is one, perhaps disabled or expired
	swap, strip bool         // set one of the route's API keys; remove the client's credential

	// open
	op      dialect.Operation
	ask     dialect.Request
	body    *dialect.Body // nil when the body is not parsed
	held    int64         // bytes of the body that were read into memory
	payload []byte        // what goes upstream of a body that was read; nil when the body streams

	// admit
	entered bool // counts as one of the caller's parallel requests
	limited bool // the answer carries our limit headers, not the upstream's

	// recall
	memory memory
	whole  []byte          // the body of a remembered answer, which needs no recording to be read
	gaps   []time.Duration // between the events of a remembered stream, as it is to be replayed

	// share
	calling           bool // this is the call of a flight, for several callers, and not the exchange of one
	shares, collapsed bool // the answer comes out of such a call; which another one began
	unscheduled       bool // such a call was refused by what holds for the caller who began it

	// schedule
	demand   *demand             // what the request may cost; nil until somebody asks
	grant    *queue.Grant        // nil: its model has no line
	queued   time.Duration       // waited in line
	bill     *ledger.Call        // under way in the ledger
	reserved *limits.Reservation // nil: no quota holds
	beating  bool                // comments were sent while the request waited, so its answer has begun
	unsent   bool                // the attempt is known to have sent nothing

	// send and relay
	attempts     upstream.Attempts
	place        upstream.Place // the only API key and base URL that will do; see stick
	tries        int            // attempts before the current send
	modified     []string       // what of the body is not the client's
	addedUsage   bool           // the gateway asked for usage that the client did not ask for
	withoutUsage bool           // it must not ask
	instead      string         // the model that is asked instead of the client's
	fallback     int            // how many of the configured ones were chosen
	secret       keys.Secret    // the API key that was used: it must not come back

	// batches
	batches    dialect.BatchUse   // what of batches the answer is about
	results    *ledger.Settlement // of the batch whose results it is
	aboutBatch string             // what became of it

	tap       *tap
	streaming bool   // counted as a stream under way
	logged    bool   // the request's line is in the chat log
	status    int    // what the client got; 499 when it left first
	cause     string // why the exchange did not go well, in the words of the error codes
}

// serve is the life of one request. Reading it top to bottom is reading the product; nothing else decides order.
func (g *Gateway) serve(w http.ResponseWriter, r *http.Request) {
	g.flights.Add(1)
	defer g.flights.Done()
	x := g.begin(w, r)
	// Settled when the handler is done, also when it is aborted: a panic cuts the connection, and
	// nothing after deliver would run.
	defer x.settle()

	// Who asks, and which route? From the request line and the headers alone: a caller that is refused
	// here has not had a byte of his body read.
	if err := x.identify(); err != nil {
		x.refuse(err)
		return
	}
	// What is asked? Bodies the dialect knows are read once, bounded, and scanned; all others stream.
	if err := x.open(); err != nil {
		x.refuse(err)
		return
	}
	// May he ask now? Request limits count every admitted request, also one the cache answers.
	if err := x.admit(); err != nil {
		x.refuse(err)
		return
	}
	// What models are there? Of several providers behind one address only the gateway knows.
	if x.listsModels() {
		if err := x.listModels(); err != nil {
			x.refuse(err)
		}
		return
	}
	// Has it been answered before? Only after identity, model rules and limits, so that a revoked key gets
	// nothing out of the cache.
	if entry, err := x.recall(); err != nil {
		x.refuse(err)
		return
	} else if entry != nil {
		x.replay(entry)
		return
	}
	// Does somebody ask the same right now? Then one call answers all (share.go).
	if x.memory.shared {
		x.share()
		return
	}
	// Is there room for it in budgets and quotas, and in its model's rpm and tpm? For the last it waits in line.
	if err := x.schedule(); err != nil {
		x.refuse(err)
		return
	}
	// Ask the upstream and relay what it says (relay.go). Failures before the first byte end in refuse.
	x.send()
}

// begin names the request and ties its context to the client, the gateway's life and the upstream's silence.
func (g *Gateway) begin(w http.ResponseWriter, r *http.Request) *exchange {
	x := &exchange{Gateway: g, w: w, r: r, begun: time.Now(), id: newID(), dialect: dialects.Default, policy: &everything}
	x.ctx, x.stop = context.WithCancelCause(r.Context())
	g.Metrics.Begin()
	g.underway.enter(x)
	w.Header().Set("X-Forward-Request-Id", x.id)
	return x
}
