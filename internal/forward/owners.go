package forward

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"time"

	"github.com/tidwall/gjson"

	"forward/internal/dialect"
	"forward/internal/keys"
)

// All forward keys share the provider's account, so each could use what the
// others left there, and have credentials made with which a client needs no
// forward key any more. Where that is not to be, the gateway remembers which
// key made what, before the client can know of it, and judges by that.

const (
	// maxListed bounds a list that is read to leave the objects of others out,
	// in bytes.
	maxListed = 32 << 20
	// maxHandedOut bounds an answer that hands out a credential, in bytes.
	maxHandedOut = 1 << 20
	// ownersTimeout bounds how long the database may keep a request waiting.
	ownersTimeout = 2 * time.Second
)

// ownsOnly reports whether a caller may use only what its key has made.
func (g *Gateway) ownsOnly(who *caller, to target) bool {
	return who.known && (to.swap || who.ephemeral) && cmp.Or(who.policy.Objects, g.Objects) == "own"
}

// checkEphemeral refuses to have credentials made for a key whose rules would
// not hold where they are used.
func (g *Gateway) checkEphemeral(a *ask, to target) error {
	who := &a.who
	if !to.swap || !who.known || !dialect.HandsOutSecrets(a.in.r.Method, a.from.plain) || who.policy.AllowsEphemeral(g.Levels.Restricted(who.level) || who.hasBudgets()) {
		return nil
	}
	return refused(http.StatusForbidden, "operation_not_allowed",
		"Key '"+who.name+"' may not have credentials made that the provider accepts by itself: its budgets and models would not hold there. Its administrator can allow it: forward keys set --ephemeral allow.")
}

// checkObjects refuses a request that names an object which another key made,
// as the provider does for one that there is not. What the gateway does not
// know counts as another key's.
func (g *Gateway) checkObjects(a *ask, to target) error {
	if !g.ownsOnly(&a.who, to) {
		return nil
	}
	r := a.in.r
	if a.body == nil && r.ContentLength != 0 && isEncoded(r) {
		return refused(http.StatusUnsupportedMediaType, "unsupported_encoding",
			"Your key may use only what it made, so the request body must not be compressed.")
	}
	ids, whole, complete := a.from.dialect.Names(a.from.op, a.from.plain, a.body)
	if !complete {
		return refused(http.StatusBadRequest, "too_many_objects", "The request names more objects of the provider's than the gateway checks.")
	}
	ids = append(ids, uploads(r.URL.RawQuery)...)
	if call := firstParameter(r.URL.RawQuery, "call_id"); call != "" {
		ids = append(ids, call)
	}
	for i, id := range append(ids, whole...) {
		owner, err := g.ownerOf(a, to.route.Name, id)
		switch {
		case err != nil:
			return refused(http.StatusServiceUnavailable, "owners_unavailable", "The gateway cannot look up which key made this.").because(err)
		case owner == a.who.id, owner == "" && i >= len(ids):
		default:
			return &refusal{status: http.StatusNotFound, code: "not_found", param: "id", message: fmt.Sprintf("No such object: %q.", id)}
		}
	}
	return nil
}

func (g *Gateway) ownerOf(a *ask, route, id string) (string, error) {
	ctx, cancel := context.WithTimeout(a.in, ownersTimeout)
	defer cancel()
	return g.Owners.Of(ctx, route, id)
}

// owner returns the key for which the objects of an answer are noted, "" for
// none. What is only shown belongs to the caller where the path names an object
// of its own.
func (g *Gateway) owner(rec *record) string {
	who := &rec.ask.who
	if g.Owners == nil || !who.known || !(rec.to.swap || who.ephemeral) || !(g.Objects == "own" || g.Ring.Separates()) {
		return ""
	}
	switch rec.in.r.Method {
	case http.MethodHead, http.MethodDelete:
		return ""
	case http.MethodGet:
		within, list := rec.ask.from.dialect.Within(rec.ask.from.plain)
		if !within || list || !g.ownsOnly(who, rec.to) {
			return ""
		}
	}
	return who.id
}

// noteOwned notes that a key made objects. It returns when a restart does not
// forget them.
func (g *Gateway) noteOwned(a *ask, route string, objects []string, key string) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(a.in), ownersTimeout)
	defer cancel()
	err := g.Owners.Note(ctx, route, objects, key)
	if err != nil {
		g.Log.LogAttrs(a.in, slog.LevelWarn, "noting which key made a provider's object", slog.String("id", a.in.id), slog.Any("error", err))
	}
}

// holdAnswer reads an answer whole that must not pass as it comes: a list with
// objects of others, and a credential that is to be known before the client has
// it.
func (g *Gateway) holdAnswer(rec *record) error {
	res := rec.answer.res
	a := rec.ask
	if res.StatusCode/100 != 2 || rec.answer.attempts.Count == 0 {
		return nil
	}
	switch {
	case rec.to.swap && g.Owners != nil && dialect.HandsOutSecrets(a.in.r.Method, a.from.plain):
		body, err := g.readAnswer(rec, maxHandedOut)
		if err != nil {
			return err
		}
		return g.noteSecret(rec, body)
	case a.in.r.Method == http.MethodGet && g.ownsOnly(&a.who, rec.to):
		_, list := a.from.dialect.Within(a.from.plain)
		if !list {
			return nil
		}
		body, err := g.readAnswer(rec, maxListed)
		if err != nil {
			return err
		}
		return g.keepOwn(rec, body)
	}
	return nil
}

// noteSecret notes the credential that an answer hands out, and passes the
// answer on.
func (g *Gateway) noteSecret(rec *record, body []byte) error {
	who := &rec.ask.who
	secret, ends := dialect.EphemeralSecret(body)
	owner := ""
	if who.known {
		owner = who.id
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(rec.in), ownersTimeout)
	defer cancel()
	err := g.Owners.NoteSecret(ctx, rec.to.route.Name, keys.NewSecret(secret), owner, ends)
	if err != nil { // it is known until a restart
		g.Log.LogAttrs(rec.in, slog.LevelWarn, "noting an ephemeral credential", slog.String("id", rec.in.id), slog.Any("error", err))
	}
	rec.answer.res.Body = io.NopCloser(bytes.NewReader(body))
	return nil
}

// keepOwn leaves only the caller's objects in a list.
func (g *Gateway) keepOwn(rec *record, body []byte) error {
	a := rec.ask
	route := rec.to.route
	d := a.from.dialect
	var failed error
	list, ok := d.OnlyListed(body, func(object gjson.Result) bool {
		ids := d.Owned(object)
		if len(ids) == 0 || failed != nil {
			return false
		}
		owner, err := g.ownerOf(a, route.Name, ids[0])
		failed = err
		if err != nil || owner != a.who.id {
			return false
		}
		g.noteOwned(a, route.Name, ids[1:], owner)
		return true
	})
	if failed != nil {
		return refused(http.StatusServiceUnavailable, "owners_unavailable", "The gateway cannot look up which key made this.").because(failed)
	}
	if !ok {
		return unlistable()
	}
	res := rec.answer.res
	res.Header.Del("Content-Length")
	res.ContentLength = int64(len(list))
	res.Body = io.NopCloser(bytes.NewReader(list))
	return nil
}

// unlistable refuses a list that may show what others made.
func unlistable() *refusal {
	return refused(http.StatusForbidden, "operation_not_allowed",
		"Your key may see only what it made, and the gateway cannot leave the rest out of this answer. Fetch objects by their ids.")
}

// errTooLong reports an answer that is longer than the gateway reads.
var errTooLong = errors.New("the answer is too long to be read")

// readAnswer reads the body of an answer, unpacked, and closes it.
func (g *Gateway) readAnswer(rec *record, most int64) ([]byte, error) {
	res := rec.answer.res
	work := rec.memory.work(rec.in)
	body := res.Body
	if g.StreamIdleTimeout > 0 {
		body = newWatchedBody(body, g.StreamIdleTimeout, work)
	}
	encoding := encodingOf(res.Header)
	if encoding != "" {
		if !unpacks(encoding) {
			body.Close()
			return nil, unlistable()
		}
		body = &unpacking{ReadCloser: body, encoding: encoding}
		res.Header.Del("Content-Encoding")
		res.Header.Del("Content-Length")
		res.ContentLength = -1
	}
	defer body.Close()
	read, err := io.ReadAll(io.LimitReader(body, most+1))
	if err != nil {
		return nil, cutShort(work, rec.answer.route, err)
	}
	if int64(len(read)) > most {
		return nil, unlistable().because(errTooLong)
	}
	return read, nil
}
