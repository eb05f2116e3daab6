package forward

import (
	"errors"
	"io"
	"net/http"
	"time"
)

// errCrowded is inside the error of a request whose body finds no room in memory.
var errCrowded = errors.New("the request bodies of all clients together take all the memory that they may")

// held reads a body and counts it among all that the gateway holds, until the exchange is settled. What has come is counted, not
// what was announced, so that nobody can take room by announcing. A body that is alone always has room.
type held struct {
	io.Reader
	x *exchange
}

func (h held) Read(p []byte) (int, error) {
	n, err := h.Reader.Read(p)
	h.x.held += int64(n)
	if all := h.x.bodies.Add(int64(n)); h.x.MaxBodies > 0 && all > h.x.MaxBodies && all > h.x.held {
		return n, errCrowded
	}
	return n, err
}

// crowded reports whether there is no room for a body of a length now, before any of it is read.
func (x *exchange) crowded(length int64) bool {
	all := x.bodies.Load()
	return x.MaxBodies > 0 && all > 0 && all+max(length, 0) > x.MaxBodies
}

func overloaded() error {
	return &refusal{status: http.StatusServiceUnavailable, code: "gateway_overloaded", retryAfter: time.Second, err: errCrowded,
		message: "The gateway has no memory for the request now. Try again shortly, or give the gateway more memory if it stays so."}
}
