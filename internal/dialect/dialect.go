// Package dialect holds the few facts of each provider's protocol that the
// gateway reads or writes: where the credential is, which path is which
// operation, what a request asks for, what an answer contains, and how an error
// is written before and inside a stream.
//
// A [Dialect] is a struct of data and function fields rather than an interface:
// it has no state, and a reader sees at once in what two of them differ. Each
// is a folder below this package, and package dialects lists them. No other
// package switches on a provider's name; what differs per route is data of the
// route.
//
// Nothing here rewrites a byte that a client or an upstream sent. JSON is
// scanned, not decoded: encoding/json matches keys case-insensitively and takes
// the last duplicate, so {"model":"o1-pro","Model":"cheap"} would slip past a
// rule about models; [Scan] refuses it. Answers are read on the side into an
// [Answer], which is bounded whatever an upstream sends. Only the cache makes
// new bytes, when it turns a stream into a body (Fold) or a body into a stream
// (Cut); both copy JSON text as it is spelled, so that numbers and escapes
// survive.
package dialect

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"forward/internal/framing"
	"forward/internal/glob"
	"forward/internal/jsonscan"
)

// Request is what a request asks for. Absent and unusable values are zero.
type Request struct {
	Model                string
	Stream, IncludeUsage bool
	Caching              *bool  // the gateway's own field; nil when absent
	MaxTokens            int64  // output tokens per answer
	N                    int64  // answers made for all prompts together, also those that only compete to be given
	Absurd               string // the field whose number no request can mean; see Bounds
	User                 string
	Array                bool  // the stream is to come as one JSON array and not as events; see framing.JSONArray
	Store                bool  // the provider keeps the answer, which can be fetched later by its id
	Media                Media // what is billed by the piece, as far as the request decides it
	Terms                Terms // Speed and Geo that it asks for
}

// Problem is an error of the gateway's own, before a dialect has put it into
// words. Code is one of the codes of the README; RetryAfter is written where
// the dialect's body has a place for it.
type Problem struct {
	Status               int
	Code, Message, Param string
	RequestID            string
	RetryAfter           time.Duration
	Type                 string // overrides OpenAI's error type ("requests", "tokens"); the other dialects derive theirs
}

// StatusOverloaded is the status of an overloaded model, which Anthropic uses
// beside 503.
const StatusOverloaded = 529

// Dialect is one provider's protocol. Its functions are safe for concurrent use
// and never nil, except where the field allows it.
type Dialect struct {
	Name            string
	RequestIDHeader string // the response header in which SDKs look for the request id

	// SetCredential puts an API key where the provider's own paths want it. See
	// also SetCredentialFor.
	SetCredential func(h http.Header, key string)

	// VersionHeaders are the request headers that change what a request means.
	VersionHeaders []string

	// TransportFields are the fields of a request body that do not change what
	// is answered, only how it travels or which user it is attributed to. Two
	// requests that differ in nothing else may share a cached answer.
	TransportFields []string

	// Paths are the operations of the protocol's own. Package dialects asks
	// those of all dialects, because many hosts speak several protocols.
	Paths *Paths

	// Request reads what is asked for. b may be nil: then the model is the one
	// that the path names. Of a form it is what FormBody makes of its fields.
	Request func(op Operation, path, rawQuery string, b *Body) Request

	// PlainForm returns the path and query by which a request would be asked
	// for without a stream, where the two forms differ there and not in the
	// body. So both can share a cached answer.
	PlainForm func(op Operation, path, rawQuery string) (plain, query string)

	// Framings are those of streamed answers; nil is server-sent events.
	Framings []framing.Framing

	// Event reads one event of a streamed answer. It ignores what it does not
	// understand. Padding are the members of an event that it never reads and
	// that differ from event to event; see ReadEvent.
	Event   func(op Operation, a *Answer, ev framing.Event)
	Padding []Padding

	// Body reads a whole answer that is not streamed. An error means that body
	// is not what the operation answers.
	Body func(op Operation, a *Answer, body []byte) error

	// Fold turns a complete stream of raw events into the valid body of the
	// same answer. ok is false for streams that are not complete, carry an
	// error or cannot be joined without inventing something.
	Fold func(op Operation, events []byte) (body []byte, ok bool)

	// Cut turns a body into a valid stream that folds back to it.
	Cut func(op Operation, body []byte, includeUsage bool) (events []byte, ok bool)

	// WithUsage takes the usage-only chunk out of a stream when include is
	// false. It adds nothing: without a chunk of this kind, and when include is
	// true, it returns events itself.
	WithUsage func(op Operation, events []byte, include bool) []byte

	Errors     Errors
	Objects    *Objects    // what the provider keeps for the account of an API key
	Results    *Results    // how the results of batches are read; nil: it has no batches
	Compatible *Compatible // the provider's OpenAI-compatible paths; nil in the dialect of OpenAI itself
	Provider   Provider
}

// Errors writes errors as the SDKs of a dialect read them.
type Errors struct {
	// Body writes a whole error body, application/json.
	Body func(p Problem) []byte

	// Event writes the error as an event of a started stream, with its end.
	Event func(p Problem) []byte

	// Header sets the headers by which SDKs read an error: the request id,
	// whether to try again.
	Header func(h http.Header, p Problem)

	// Status is the HTTP status that the provider itself would use for p, where
	// it differs from p.Status; nil: it does not.
	Status func(p Problem) int
}

// Marks are what shows that a client speaks a dialect where its path does not:
// several protocols have /v1/models and /v1/files.
type Marks struct {
	Segments []string // patterns of package glob; a segment near the start of the path matches one
	Header   string   // that its clients send with every request, in canonical form; "": there is none
	Slot     string   // the header of its clients' credentials, which those of others may use too
}

// markedSegments are how many segments of a path are looked at for a mark.
const markedSegments = 3

// InPath reports whether a judged path has a mark.
func (m Marks) InPath(path string) bool {
	if len(m.Segments) == 0 {
		return false
	}
	rest := strings.TrimPrefix(FoldPath(path), "/")
	for range markedSegments {
		segment, after, more := strings.Cut(rest, "/")
		for _, pattern := range m.Segments {
			if glob.Match(pattern, segment) {
				return true
			}
		}
		if !more {
			break
		}
		rest = after
	}
	return false
}

// Compatible is the part of a provider's API that is OpenAI's.
type Compatible struct {
	Dialect    *Dialect    // OpenAI's
	Base       string      // where it is on the provider's host, instead of /v1
	Below      string      // the segment below which everything is OpenAI's; "": there is none
	Operations []Operation // that run a model and are served on the provider's own hosts; nil: all
}

// Serves reports whether an operation is served on the provider's own hosts.
func (c *Compatible) Serves(op Operation) bool {
	return c.Operations == nil || !op.RunsModel() || slices.Contains(c.Operations, op)
}

// Provider is what the settings and the model table know of the provider that
// has made the protocol. All of it may be empty.
type Provider struct {
	BaseURL   string   // of the route that is there without a setting
	Hosts     []string // suffixes of host names at which the dialect is spoken
	Words     []string // words of a route prefix that suggest the dialect
	Models    string   // a glob of the model names that only this provider has
	Marks     Marks
	Lists     *Lists // how it lists its models
	Beside    bool   // local servers and resellers serve the protocol beside OpenAI's
	MaxBody   int64  // bytes of a request that the provider takes, or more than its models read; 0: unknown
	PriceName string // the provider's name in price tables, if it is not that of the dialect

	// AccountHeaders are the request headers that name the account of the
	// client's own credential, in canonical form. They go with it when it is
	// replaced.
	AccountHeaders []string

	// Addresses are the members of answers to free operations that hold an
	// address of the provider's which clients go to next, as gjson paths.
	Addresses []string
}

// Unversioned returns the end of the path by which an operation is asked for,
// if no version stands before it; "": one does, or nothing is asked.
func (d *Dialect) Unversioned(method, path string) (end string) {
	if strings.HasPrefix(path, "/v1/") || method != http.MethodPost {
		return ""
	}
	folded := Fold(path)
	found := d.Paths.Find(method, &folded)
	if found.Operation == Unknown {
		return ""
	}
	at := 0
	for _, segment := range folded.segments[:found.base] {
		if isVersion(segment) {
			return ""
		}
		at += 1 + len(segment)
	}
	return path[at:]
}

// At returns the dialect that is spoken below a path, whatever is asked there.
func (d *Dialect) At(path string) *Dialect {
	if c := d.Compatible; c != nil && c.Below != "" {
		if _, below := Between(path, c.Below); below {
			return c.Dialect
		}
	}
	return d
}

// OpenAIPath returns where the provider serves a path of OpenAI's API.
func (d *Dialect) OpenAIPath(path string) string {
	if d.Compatible == nil || d.Compatible.Base == "" {
		return path
	}
	if strings.HasPrefix(FoldPath(path), d.Compatible.Base+"/") {
		return path
	}
	if FoldPath(path[:min(len(path), len("/v1"))]) == "/v1" {
		path = path[len("/v1"):]
	}
	return d.Compatible.Base + path
}

// SetCredentialFor puts an API key where the upstream path wants it:
// OpenAI-compatible paths of any provider take a bearer token. (Google refuses
// an API key in Authorization on its own paths, and documents nothing else on
// these.)
func (d *Dialect) SetCredentialFor(path string, h http.Header, key string) {
	if d.Compatible != nil {
		path = JudgedPath(path)
		_, last := CutLast(path)
		method := strings.Contains(last, ":") // …/models/M:rawPredict is the provider's, whatever its body is
		d = d.At(path)
		if d.Compatible != nil && !method {
			op := d.Compatible.Dialect.Operation(http.MethodPost, path)
			if op.Generates() && op != Unknown {
				d = d.Compatible.Dialect
			}
		}
	}
	d.SetCredential(h, key)
}

// SetBearer is the SetCredential of dialects that take a bearer token.
func SetBearer(h http.Header, key string) { h.Set("Authorization", "Bearer "+key) }

// Framing returns the framing of an answer with header h. ok is false if the
// answer is not a stream of the dialect.
func (d *Dialect) Framing(h http.Header) (f framing.Framing, ok bool) {
	f, ok = framing.Of(h.Get("Content-Type"))
	if d.Framings == nil {
		return f, ok && f == framing.SSE
	}
	return f, ok && slices.Contains(d.Framings, f)
}

// ReadBody reads a whole answer that is not streamed, as Body does, and takes
// usage also where the dialect has none.
func (d *Dialect) ReadBody(op Operation, a *Answer, body []byte) error {
	if op == Unknown {
		if !jsonscan.Valid(body) {
			return fmt.Errorf("reading an answer: %w", ErrNotAnAnswer)
		}
		a.describe(jsonscan.View(body))
		return nil
	}
	err := d.Body(op, a, body)
	if a.Usage == nil && mayCount(body) && jsonscan.Valid(body) {
		a.SearchUsage(jsonscan.View(body))
	}
	return err
}

// Error writes a whole error body, application/json.
func (d *Dialect) Error(p Problem) []byte { return d.Errors.Body(p) }

// ErrorEvent writes the error as an event of a started stream, with its end.
func (d *Dialect) ErrorEvent(p Problem) []byte { return d.Errors.Event(p) }

// ErrorHeader sets the headers by which the dialect's SDKs read an error.
func (d *Dialect) ErrorHeader(h http.Header, p Problem) { d.Errors.Header(h, p) }

// Status is the HTTP status of p in this dialect.
func (d *Dialect) Status(p Problem) int {
	if d.Errors.Status == nil {
		return p.Status
	}
	return d.Errors.Status(p)
}

// PriceName is the provider's name in price tables.
func (d *Dialect) PriceName() string {
	if d.Provider.PriceName != "" {
		return d.Provider.PriceName
	}
	return d.Name
}

// SamePath is the PlainForm of dialects whose requests ask for streams in their
// bodies.
func SamePath(_ Operation, path, rawQuery string) (plain, query string) { return path, rawQuery }
