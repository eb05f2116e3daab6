package forward

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"

	"golang.org/x/net/http/httpguts"

	"forward/internal/upstream"
)

// upgradeOf is the protocol that a request or an answer wants to change to,
// such as websocket (RFC 9110, section 7.8).
func upgradeOf(h http.Header) string {
	if !httpguts.HeaderValuesContainsToken(h["Connection"], "Upgrade") {
		return ""
	}
	return h.Get("Upgrade")
}

// switchProtocol passes an answer on that changes the protocol, and then
// whatever both sides send, until one of them has ended for good.
func (g *Gateway) switchProtocol(rec *record) error {
	res := rec.answer.res
	back, ok := res.Body.(io.ReadWriteCloser)
	if !ok {
		return &upstream.Error{Cause: upstream.BadResponse, Err: errors.New("the connection cannot be written to"), Route: rec.answer.route.Name}
	}
	defer back.Close()
	stop := context.AfterFunc(rec.in, func() { back.Close() })
	defer stop()
	conn, buffered, err := http.NewResponseController(rec.in.w).Hijack()
	if err != nil {
		return fmt.Errorf("taking over the client's connection: %w", err)
	}
	defer conn.Close()
	h := rec.in.w.Header()
	addHeader(h, res.Header)
	head := http.Response{StatusCode: res.StatusCode, Status: res.Status, Proto: res.Proto, ProtoMajor: 1, ProtoMinor: 1, Header: h}
	err = head.Write(buffered)
	if err == nil {
		err = buffered.Flush()
	}
	if err != nil {
		rec.cause = clientGone
		return nil
	}
	// A client may send before it has the head; net/http has read that already.
	// Its reader is not used any more: at the end of the client's half it ends
	// the context of the request.
	early, _ := buffered.Peek(buffered.Reader.Buffered())
	if rec.ask.from.socket != nil {
		g.converse(rec, conn, bytes.Clone(early), back)
		return nil
	}
	fromClient := io.MultiReader(bytes.NewReader(early), conn)
	ended := make(chan error, 2)
	go func() { ended <- passOn(back, fromClient) }()
	go func() { ended <- passOn(conn, back) }()
	// One side may close its half and still be sent to, unless it failed.
	err = <-ended
	if err == nil {
		<-ended
		return nil
	}
	conn.Close()
	back.Close()
	<-ended
	return nil
}

// errHalfClose reports that a connection cannot close one of its halves.
var errHalfClose = errors.New("the connection has no halves")

// passOn copies from one connection to the other, and passes the end on.
func passOn(to io.Writer, from io.Reader) error {
	_, err := io.Copy(to, from)
	if err != nil {
		return err
	}
	half, ok := to.(interface{ CloseWrite() error })
	if !ok {
		return errHalfClose
	}
	return half.CloseWrite()
}
