package dialect

import (
	"net/http"
	"strings"

	"github.com/tidwall/gjson"

	"forward/internal/jsonscan"
)

// A Socket is a protocol of messages over a WebSocket: one connection carries
// many responses, and each is asked for, counted and refused by itself.
// Its functions are never nil, except where the field allows it.
type Socket struct {
	Operation Operation // of its responses

	// Asks reads what a message of the client's is for. Members are taken in
	// whatever spelling a decoder could take for the right one.
	Asks func(b *Body) Asked

	// Reports reads what a message of the server's is about. Of a long one root
	// has what a Skim keeps.
	Reports func(root gjson.Result) Reported

	// Refusal writes the error of an answer as a message; nil: the protocol has
	// no errors, and a refusal closes the connection.
	Refusal func(r Refusal) []byte

	// Turns reports whether what is asked while a response is made belongs to
	// it.
	Turns bool
}

// AskedKind is what a message of a client's is for.
type AskedKind int

// The kinds.
const (
	AsksNothing  AskedKind = iota // sound, and other input that starts nothing by itself
	AsksSettings                  // what it names counts for responses that follow: models, objects
	AsksResponse                  // the server answers it with a response
	AsksCancel                    // the response is to end
)

// Asked is what a message of a client's is for.
type Asked struct {
	Kind  AskedKind
	Model string // that the session uses from here on; "": as before
	Event string // by which the server's errors refer to the message
	Twice string // the member that occurs twice, so that the message may be read in two ways
}

// ReportedKind is what a message of a server's is about.
type ReportedKind int

// The kinds.
const (
	ReportsNothing ReportedKind = iota
	ReportsSession              // the settings, with the models that are used
	ReportsStart                // a response has started, perhaps by itself
	ReportsPart                 // some of a response
	ReportsEnd                  // the end of one
	ReportsError                // a message of the client's has failed
	ReportsInput                // what was used to read sound, beside any response
)

// Reported is what a message of a server's is about.
type Reported struct {
	Kind        ReportedKind
	Response    string // which it is about; "" if it names none
	Event       string // the message of the client's that has failed
	Status      int    // of an error
	Model       string // that the session uses from here on; "": as before
	Transcriber string // that reads its sound; "": as before
}

// A Refusal is an error as the answer to a message.
type Refusal struct {
	Status int
	Header http.Header // of the answer over HTTP
	Body   []byte      // what Errors.Body has written
	ID     string      // of the request
	Event  string      // of the client's message
}

// Sockets are the protocols of a dialect by their operation, with their paths
// in a table of GET requests.
type Sockets struct {
	Paths       *Paths
	ByOperation map[Operation]*Socket
}

// WithSockets adds the protocols that are spoken over a WebSocket to a table.
func (p *Paths) WithSockets(s *Sockets) *Paths {
	p.sockets = s
	return p
}

// Socket returns the protocol that a dialect speaks over a WebSocket at a path,
// nil if it is none of its own, and how many letters of the path name it.
func (d *Dialect) Socket(path *Folded) (*Socket, int) {
	s := d.Paths.sockets
	if s == nil {
		return nil, 0
	}
	found := s.Paths.Find(http.MethodGet, path)
	return s.ByOperation[found.Operation], found.Weight
}

// Spellings counts the members at the top that a decoder could take for a key,
// and returns the value of the last one of them.
func (b *Body) Spellings(key string) (n int, last gjson.Result) {
	for i := range b.fields {
		if strings.EqualFold(b.fields[i].key, key) {
			n++
			last = jsonscan.View(b.raw[b.fields[i].value:b.fields[i].end])
		}
	}
	return n, last
}

// NewMessageSkim returns a skim of one message that is too long to be read
// whole. each is given what was kept of it.
func NewMessageSkim(each func(data []byte)) *Skim { return newSkim(each) }

// ReadSkimmed reads what a skim has kept of a message into an answer.
func (d *Dialect) ReadSkimmed(op Operation, a *Answer, data []byte) { d.readSkimmed(op, a, data, true) }
