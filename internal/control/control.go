// Package control is how commands reach the running gateway: HTTP on a unix
// socket in DATA_DIR.
//
// Some operations need the process that runs: only it can apply new settings,
// and Badger lets one process open the cache's directory. So Listen serves a
// Handler beside the public port, and a Client sends the commands' requests to
// it. A socket of the file system and not a port, because its permissions
// decide who may connect: processes of the gateway's own user and of root,
// which could read the keys in DATA_DIR anyway. No key is needed beyond that.
//
// The same Client works on a cache that a command has opened itself, see Local:
// the handler answers in the process of the command, so each operation has one
// implementation and one set of errors.
package control

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"time"
)

// Server answers on the control socket of one gateway. Listen makes one; its
// user closes it.
type Server struct {
	server   *http.Server
	path     string
	made     string // the directory, if it was made for the socket
	finished chan struct{}
}

// ErrRunning is returned by Listen when another gateway answers on the socket.
var ErrRunning = errors.New("another forward answers on the control socket")

// Listen serves handler on the control socket of dir, which it creates if
// necessary. The socket of a gateway that was killed is replaced.
func Listen(dir string, handler http.Handler) (*Server, error) {
	s := &Server{path: Path(dir), finished: make(chan struct{})}
	if _, err := os.Stat(dir); errors.Is(err, fs.ErrNotExist) {
		s.made = dir
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("making the control socket: %w", err)
	}
	if conn, err := dial(context.Background(), dir); err == nil {
		conn.Close()
		return nil, fmt.Errorf("%w %s", ErrRunning, s.path)
	}
	listener, err := bind(dir, s.path)
	if err != nil {
		return nil, fmt.Errorf("making the control socket: %w", err)
	}
	s.server = &http.Server{Handler: handler, ReadHeaderTimeout: 10 * time.Second}
	go func() {
		defer close(s.finished)
		s.server.Serve(listener) // ends with Close
	}()
	return s, nil
}

// Close stops answering and removes the socket.
func (s *Server) Close() error {
	err := s.server.Close()
	<-s.finished
	if removed := os.Remove(s.path); !errors.Is(removed, fs.ErrNotExist) {
		err = errors.Join(err, removed)
	}
	if s.made != "" {
		os.Remove(s.made) // fails if something else lies there by now, as it should
	}
	return err
}

// Path returns the path of the control socket of the gateway that runs on dir.
func Path(dir string) string { return filepath.Join(dir, "control.sock") }
