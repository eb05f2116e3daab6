package forward

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"sync/atomic"
	"time"

	"forward/internal/dialect"
	"forward/internal/form"
)

// learn reads the body as far as the gateway needs to know it. All other bodies
// stream to the upstream unread.
//
// The body of an operation that takes JSON is read once, bounded, and scanned.
// Other operations take JSON, forms and files: what a body is, its first bytes
// decide, because servers differ in how far they trust its type. A form is read
// as it passes; see formBody.
func (g *Gateway) learn(a *ask, to target) error {
	if a.session != nil {
		return nil // a message was read before it was judged
	}
	r := a.in.r
	op := a.from.op
	empty := r.ContentLength == 0
	a.judged = g.restricted(&a.who) || g.ownsOnly(&a.who, to)
	switch {
	case empty && (!op.Parsed() || r.Method != http.MethodPost):
		return nil
	case isEncoded(r):
		return g.readPacked(a)
	case op.Parsed() || (g.isCacheRoute(a) && r.Method == http.MethodPost):
		return g.readBody(a)
	}
	scan := form.New(r.Header.Get("Content-Type"))
	if !a.judged && !g.needsModel(a) {
		if scan != nil && op.Generates() {
			g.passForm(a, scan, nil)
			return nil
		}
		wanted := g.sticks(to) || (op.Generates() && r.ContentLength > 0)
		if wanted && isJSONRequest(r) && r.ContentLength <= maxStateRequest {
			return g.readBody(a)
		}
		return nil
	}
	first, err := g.peek(a)
	switch {
	case err != nil:
		return err
	case first == '{' && (op.RunsModel() || r.ContentLength <= g.maxBody(a) || g.ownsOnly(&a.who, to)):
		return g.readBody(a)
	case scan != nil && op.Generates():
		return g.readForm(a, scan)
	}
	return nil
}

// needsModel reports whether rules of the gateway need the model of a request
// before it is sent, beside model rules.
func (g *Gateway) needsModel(a *ask) bool {
	if !a.from.op.Generates() {
		return false
	}
	leads := a.from.mount == "/" && len(g.Models) > 0
	return leads || g.hasAliases(&a.who) || a.who.hasBudgets() || g.isQueued(a) || g.isCounted(&a.who)
}

// peek reads the body up to its first byte that is no white space, and returns
// that byte; 0 if there is none within the first bytes.
func (g *Gateway) peek(a *ask) (byte, error) {
	r := a.in.r
	defer g.timed(a, r.ContentLength)()
	head := make([]byte, 0, 512)
	for {
		n, err := r.Body.Read(head[len(head):cap(head)])
		head = head[:len(head)+n]
		text := bytes.TrimLeft(head, " \t\r\n")
		if len(text) == 0 && err == nil && len(head) < cap(head) {
			continue
		}
		if err != nil && err != io.EOF {
			return 0, g.broken(a, err)
		}
		unread(r, head)
		if len(text) == 0 {
			return 0, nil
		}
		return text[0], nil
	}
}

// unread puts bytes back that were read of a body.
func unread(r *http.Request, head []byte) {
	r.Body = struct {
		io.Reader
		io.Closer
	}{io.MultiReader(bytes.NewReader(head), r.Body), r.Body}
}

// readBody reads and scans the body. It has to be JSON where the operation
// takes nothing else and where a model rule needs it; a file that is uploaded
// may start like JSON.
func (g *Gateway) readBody(a *ask) error {
	raw, err := g.slurp(a)
	if err != nil {
		return err
	}
	a.raw = raw
	return g.scan(a, raw)
}

// scan reads a body that is whole, or its decoded copy: JSON, or a form where
// the operation takes one.
func (g *Gateway) scan(a *ask, raw []byte) error {
	op := a.from.op
	text := bytes.TrimLeft(raw, " \t\r\n")
	fields := form.New(a.in.r.Header.Get("Content-Type"))
	if fields != nil && !op.Parsed() && !bytes.HasPrefix(text, []byte("{")) {
		fields.Write(raw)
		fields.Close()
		return g.passForm(a, fields, nil)
	}
	var err error
	a.body, err = dialect.Scan(raw)
	needed := (op.Parsed() && !a.packed) || (op.RunsModel() && (a.judged || (a.packed && g.needsModel(a))))
	if err != nil && needed {
		if len(text) == 0 {
			return refused(http.StatusBadRequest, "invalid_json",
				"The request has no body. Send a JSON object that names a model.").because(err)
		}
		return err
	}
	if _, twice := errors.AsType[*dialect.DuplicateError](err); twice && (a.judged || op.Parsed()) {
		return err
	}
	return nil
}

// slurp reads the whole body. Bytes and time are bounded: 30 s and at least 8
// KB/s, so that a slow sender cannot hold a connection.
func (g *Gateway) slurp(a *ask) ([]byte, error) {
	r := a.in.r
	most := g.maxBody(a)
	if r.ContentLength > most {
		return nil, tooLarge(most)
	}
	if g.crowded(r.ContentLength) {
		return nil, overloaded()
	}
	defer g.timed(a, r.ContentLength)()
	from := &countedBody{Reader: http.MaxBytesReader(a.in.w, r.Body, most), all: &g.bodies, limit: g.MaxBodies, own: &a.counted}
	// The announced length is a hint for bodies of the usual size only:
	// announcing costs a client nothing.
	raw := make([]byte, 0, min(max(r.ContentLength, 0), 256<<10)+bytes.MinRead)
	for {
		n, err := from.Read(raw[len(raw):cap(raw)])
		raw = raw[:len(raw)+n]
		if err == io.EOF {
			return raw, nil
		}
		if err != nil {
			return nil, g.broken(a, err)
		}
		if len(raw) == cap(raw) {
			raw = grow(raw, r.ContentLength)
		}
	}
}

// grow returns raw with twice its capacity, or with as much as the announced
// length needs if that is less: of a long body no half is spare.
func grow(raw []byte, announced int64) []byte {
	most := 2 * cap(raw)
	if announced > int64(len(raw)) {
		most = min(most, int(announced)+bytes.MinRead)
	}
	return append(make([]byte, 0, most), raw...)
}

// maxBody bounds a body that is read, in bytes: as the settings have it, or
// else by what the provider takes. Without a setting a single body does not
// take more than a quarter of the memory.
func (g *Gateway) maxBody(a *ask) int64 {
	if g.MaxBody > 0 {
		return g.MaxBody
	}
	most := cmp.Or(a.from.dialect.Provider.MaxBody, defaultMaxBody)
	if g.MaxBodies > 0 {
		most = min(most, max(2*g.MaxBodies, defaultMaxBody))
	}
	return most
}

// defaultMaxBody is the bound of protocols that have none of their own.
const defaultMaxBody = 32 << 20

// timed bounds the time in which so many bytes of the body have to come, until
// its result is called.
func (g *Gateway) timed(a *ask, length int64) (end func()) {
	if a.in.r.ContentLength == 0 {
		return func() {}
	}
	rc := http.NewResponseController(a.in.w)
	rc.SetReadDeadline(time.Now().Add(30*time.Second + time.Duration(max(length, 0)/8192)*time.Second))
	return func() { rc.SetReadDeadline(time.Time{}) }
}

// broken returns why the body could not be read.
func (g *Gateway) broken(a *ask, err error) error {
	r := a.in.r
	var tooBig *http.MaxBytesError
	switch {
	case errors.As(err, &tooBig):
		return tooLarge(g.maxBody(a))
	case errors.Is(err, errCrowded):
		return overloaded()
	case errors.Is(err, os.ErrDeadlineExceeded):
		return refused(http.StatusRequestTimeout, "request_timeout",
			"The request body came too slowly.").because(err)
	case r.Context().Err() != nil && !errors.Is(err, io.ErrUnexpectedEOF):
		// An unexpected EOF ends the context too, but the client may have
		// closed only its half of the connection.
		return r.Context().Err()
	default: // the client's framing is broken: the upstream is not to blame
		return refused(http.StatusBadRequest, "invalid_body",
			"The request body could not be read: it is cut or badly framed.").because(err)
	}
}

func tooLarge(limit int64) error {
	return refused(http.StatusRequestEntityTooLarge, "request_too_large",
		fmt.Sprintf("The request body is larger than %d bytes. Send less, or ask for a higher MAX_BODY_BYTES.", limit))
}

// errCrowded is inside the error of a request whose body does not fit.
var errCrowded = errors.New("the request bodies of all clients together take all the memory that they may")

// countedBody counts a body among all that the gateway holds, until the request
// is settled. It counts bytes that came, not those announced, so that
// announcing reserves nothing. A body that is alone always fits.
type countedBody struct {
	io.Reader
	all   *atomic.Int64
	limit int64 // of all bodies together; 0: none
	own   *int64
}

func (b *countedBody) Read(p []byte) (int, error) {
	n, err := b.Reader.Read(p)
	*b.own += int64(n)
	all := b.all.Add(int64(n))
	if b.limit > 0 && all > b.limit && all > *b.own {
		return n, errCrowded
	}
	return n, err
}

// crowded reports whether a body of a length would not fit now, before any of
// it is read.
func (g *Gateway) crowded(length int64) bool {
	all := g.bodies.Load()
	return g.MaxBodies > 0 && all > 0 && all+max(length, 0) > g.MaxBodies
}

func overloaded() error {
	return &refusal{status: http.StatusServiceUnavailable, code: "gateway_overloaded", retryAfter: time.Second, err: errCrowded,
		message: "The gateway has no memory for the request now. Try again shortly, or give the gateway more memory if it stays so."}
}
