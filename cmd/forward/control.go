package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

// The running gateway answers the commands that concern what only it can open or change: on a unix socket in DATA_DIR, by
// HTTP, to processes of its own user and of root. Nothing else can connect, so no key is asked.
const controlName = "control.sock"

// control is the listening side.
type control struct {
	server   *http.Server
	path     string
	made     string // the directory, if it was made for the socket
	finished chan struct{}
}

// errControlled is returned by listenControl when another gateway answers on the socket.
var errControlled = errors.New("another forward answers on the control socket")

// listenControl serves handler on the control socket of dir, which it makes if it has to. What a gateway left that was
// killed is replaced.
func listenControl(dir string, handler http.Handler) (*control, error) {
	c := &control{path: filepath.Join(dir, controlName), finished: make(chan struct{})}
	if _, err := os.Stat(dir); errors.Is(err, fs.ErrNotExist) {
		c.made = dir
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("making the control socket: %w", err)
	}
	if conn, err := dialControl(context.Background(), dir); err == nil {
		conn.Close()
		return nil, fmt.Errorf("%w %s", errControlled, c.path)
	}
	listener, err := bindControl(dir, c.path)
	if err != nil {
		return nil, fmt.Errorf("making the control socket: %w", err)
	}
	c.server = &http.Server{Handler: handler, ReadHeaderTimeout: 10 * time.Second}
	go func() {
		defer close(c.finished)
		c.server.Serve(listener) // ends with Close
	}()
	return c, nil
}

// bindControl makes the socket in a directory that nobody else can enter, and moves it to its place once nobody else can
// connect to it: a socket is born with the rights that the umask leaves it.
func bindControl(dir, path string) (net.Listener, error) {
	private, err := os.MkdirTemp(dir, ".control-*")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(private)
	born := filepath.Join(private, "s")
	var listener *net.UnixListener
	err = withShortPath(born, func(short string) (err error) {
		listener, err = net.ListenUnix("unix", &net.UnixAddr{Name: short, Net: "unix"})
		return err
	})
	if err != nil {
		return nil, err
	}
	listener.SetUnlinkOnClose(false) // by then it has another name
	if err := errors.Join(os.Chmod(born, 0o600), os.Rename(born, path)); err != nil {
		listener.Close()
		return nil, err
	}
	return listener, nil
}

// Close stops answering and takes the socket away.
func (c *control) Close() error {
	err := c.server.Close()
	<-c.finished
	if removed := os.Remove(c.path); !errors.Is(removed, fs.ErrNotExist) {
		err = errors.Join(err, removed)
	}
	if c.made != "" {
		os.Remove(c.made) // fails if something else lies there by now, as it should
	}
	return err
}

// dialControl connects to the gateway that runs on dir.
func dialControl(ctx context.Context, dir string) (conn net.Conn, err error) {
	err = withShortPath(filepath.Join(dir, controlName), func(short string) error {
		var d net.Dialer
		conn, err = d.DialContext(ctx, "unix", short)
		return err
	})
	return conn, err
}

// controlTransport sends requests to the gateway that runs on dir, whatever host they name.
func controlTransport(dir string) *http.Transport {
	return &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) { return dialControl(ctx, dir) }}
}

// controlled reports whether a gateway answers on dir. An error is one that its user has to see to.
func controlled(ctx context.Context, dir string) (bool, error) {
	conn, err := dialControl(ctx, dir)
	switch {
	case err == nil:
		return true, conn.Close()
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ECONNREFUSED), errors.Is(err, syscall.ENOTDIR):
		return false, nil
	case errors.Is(err, fs.ErrPermission):
		return false, fmt.Errorf("%s belongs to another user; run the command as the user that runs the gateway: %w", filepath.Join(dir, controlName), err)
	}
	return false, fmt.Errorf("connecting to the running gateway: %w", err)
}

// socketPath is the longest path that every system takes for a unix socket: macOS 104 bytes with the NUL, Linux 108.
const socketPath = 103

// withShortPath calls use with a path to the same file that a unix socket can have. If the path itself is too long, that
// is one through a symbolic link to its directory, which is there only meanwhile.
func withShortPath(path string, use func(short string) error) error {
	if len(path) <= socketPath {
		return use(path)
	}
	dir, err := filepath.Abs(filepath.Dir(path))
	if err != nil {
		return err
	}
	if _, err := os.Stat(dir); err != nil {
		return err
	}
	temp, err := os.MkdirTemp("", "forward-")
	if err != nil {
		return err
	}
	defer func() { os.RemoveAll(temp) }()
	link := filepath.Join(temp, "d")
	if err := os.Symlink(dir, link); err != nil {
		return err
	}
	short := filepath.Join(link, filepath.Base(path))
	if len(short) > socketPath {
		return fmt.Errorf("%q is too long for a unix socket, and so is TMPDIR (%q): set TMPDIR=/tmp", path, os.TempDir())
	}
	return use(short)
}
