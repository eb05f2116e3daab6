package forward

import (
	"errors"
	"io"
	"net/http"
	"sync"

	"forward/internal/dialect"
	"forward/internal/form"
)

// maxFormAhead bounds what of a form is read before it goes upstream, in bytes.
// A longer one streams while it is read.
const maxFormAhead = 32 << 20

// readForm reads a form ahead up to its model, and to its end where a budget
// has to know what else multiplies the price. A form that was read whole can be
// sent again, to another API key; the rest of a longer one streams.
func (g *Gateway) readForm(a *ask, scan *form.Scanner) error {
	length := a.in.r.ContentLength
	if length < 0 {
		length = maxFormAhead
	}
	defer g.timed(a, length)()
	whole := a.who.hasBudgets()
	from := &countedBody{Reader: a.in.r.Body, all: &g.bodies, limit: g.MaxBodies, own: &a.counted}
	var ahead []byte
	for scan.Err() == nil && len(ahead) < maxFormAhead && (whole || !namesModel(scan)) {
		if cap(ahead)-len(ahead) < 4<<10 && cap(ahead) < maxFormAhead {
			ahead = append(make([]byte, 0, min(2*cap(ahead)+32<<10, maxFormAhead)), ahead...)
		}
		n, err := from.Read(ahead[len(ahead):cap(ahead)])
		scan.Write(ahead[len(ahead) : len(ahead)+n])
		ahead = ahead[:len(ahead)+n]
		if err == io.EOF {
			scan.Close()
			a.raw = ahead
			break
		}
		if errors.Is(err, errCrowded) {
			break // the rest streams
		}
		if err != nil {
			return g.broken(a, err)
		}
	}
	return g.passForm(a, scan, ahead)
}

// namesModel reports whether a form has named its model.
func namesModel(scan *form.Scanner) bool {
	for _, f := range scan.Fields() {
		if form.Names(f.Name, "model") {
			return true
		}
	}
	return false
}

// passForm makes what was read of a form known, and has the rest read as it
// passes.
func (g *Gateway) passForm(a *ask, scan *form.Scanner, ahead []byte) error {
	restricted := g.restricted(&a.who)
	fields, err := fieldsOf(scan)
	if err != nil && restricted {
		return err
	}
	a.fields = fields
	r := a.in.r
	switch {
	case a.raw != nil:
		return g.checkForm(a, scan)
	case a.who.hasBudgets() && len(ahead) > 0 && !namesModel(scan):
		return refused(http.StatusRequestEntityTooLarge, "request_too_large",
			"Your key, or a tag of your request, has a budget, and the form names no model in its first part. Send the field model before the files.")
	}
	f := &formBody{Closer: r.Body, ahead: ahead, rest: r.Body, scan: scan, left: r.ContentLength - int64(len(ahead))}
	if r.ContentLength < 0 {
		f.left = -1
	}
	a.form = f
	r.Body = f
	if restricted {
		f.judge = g.formJudge(a, scan)
	}
	return g.checkForm(a, scan)
}

// fieldsOf returns the fields of a form as the JSON that asks for the same.
func fieldsOf(scan *form.Scanner) (*dialect.Body, error) {
	for _, f := range scan.Fields() {
		if !f.Kept && form.Names(f.Name, "model") {
			return nil, unclearForm(form.ErrUnclear)
		}
	}
	return dialect.FormBody(scan.Fields())
}

// checkForm refuses a form that servers may read in different ways.
func (g *Gateway) checkForm(a *ask, scan *form.Scanner) error {
	if scan.Err() != nil && g.restricted(&a.who) {
		return unclearForm(scan.Err())
	}
	return nil
}

func unclearForm(err error) error {
	return refused(http.StatusBadRequest, "invalid_body",
		"Your key is limited to some models, and the model of this form cannot be determined: "+err.Error()+".").because(err)
}

// formBody is the body of a form that streams. It passes on what it reads, and
// lets the fields be read. Bytes that come behind a model that the caller may
// not use, or the end of a form without a model, are not passed on: the
// upstream never has the whole form.
type formBody struct {
	io.Closer
	ahead []byte // was read, and is known
	rest  io.Reader
	judge func() error // of what was read; nil: the form is only watched
	left  int64        // bytes of rest; -1: unknown

	mu   sync.Mutex // guards scan: the transport reads the body while the answer is relayed
	scan *form.Scanner
}

// Read implements io.Reader.
func (f *formBody) Read(p []byte) (int, error) {
	if len(f.ahead) > 0 {
		n := copy(p, f.ahead)
		f.ahead = f.ahead[n:]
		return n, nil
	}
	n, err := f.rest.Read(p)
	f.mu.Lock()
	defer f.mu.Unlock()
	f.scan.Write(p[:n])
	f.left -= int64(n)
	if err == io.EOF || f.left == 0 {
		f.scan.Close()
	}
	if f.judge != nil {
		bad := f.judge()
		if bad != nil {
			return 0, bad
		}
	}
	return n, err
}

// fields returns what was read of the form so far; nil if it is no valid one.
func (f *formBody) fields() *dialect.Body {
	f.mu.Lock()
	defer f.mu.Unlock()
	fields, _ := fieldsOf(f.scan)
	return fields
}

// formJudge returns what judges a form as it passes, each time that more of it
// is known.
func (g *Gateway) formJudge(a *ask, scan *form.Scanner) func() error {
	seen := *a // its own, for the transport calls it beside the request
	seen.form = nil
	known := len(scan.Fields())
	return func() error {
		if len(scan.Fields()) == known && !scan.Ended() && scan.Err() == nil {
			return nil
		}
		known = len(scan.Fields())
		err := g.checkForm(&seen, scan)
		if err != nil {
			return err
		}
		seen.fields, err = fieldsOf(scan)
		if err != nil {
			return err
		}
		seen.read()
		return g.judgeModels(&seen, scan.Ended())
	}
}

// learnForm takes what a form that streamed has named by now.
func (rec *record) learnForm() {
	a := rec.ask
	if a.form == nil || a.req.Model != "" {
		return
	}
	a.fields = a.form.fields()
	a.read()
	if rec.to.model == "" {
		rec.to.model = a.req.Model
	}
}
