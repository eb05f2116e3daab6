package control

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"syscall"
)

// bind creates the socket in a directory that only its owner can enter, and
// moves it to its place once its permissions are set: a socket is created with
// the permissions that the umask leaves it.
func bind(dir, path string) (net.Listener, error) {
	private, err := os.MkdirTemp(dir, ".control-*")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(private)
	created := filepath.Join(private, "s")
	var listener *net.UnixListener
	err = withShortPath(created, func(short string) (err error) {
		listener, err = net.ListenUnix("unix", &net.UnixAddr{Name: short, Net: "unix"})
		return err
	})
	if err != nil {
		return nil, err
	}
	listener.SetUnlinkOnClose(false) // by then it has another name
	if err := errors.Join(os.Chmod(created, 0o600), os.Rename(created, path)); err != nil {
		listener.Close()
		return nil, err
	}
	return listener, nil
}

// dial connects to the gateway that runs on dir.
func dial(ctx context.Context, dir string) (conn net.Conn, err error) {
	err = withShortPath(Path(dir), func(short string) error {
		var d net.Dialer
		conn, err = d.DialContext(ctx, "unix", short)
		return err
	})
	return conn, err
}

// Running reports whether a gateway answers on dir. An error is one that the
// user of the command has to correct.
func Running(ctx context.Context, dir string) (bool, error) {
	conn, err := dial(ctx, dir)
	switch {
	case err == nil:
		return true, conn.Close()
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ECONNREFUSED), errors.Is(err, syscall.ENOTDIR):
		return false, nil
	case errors.Is(err, fs.ErrPermission):
		return false, fmt.Errorf("%s belongs to another user; run the command as the user that runs the gateway: %w", Path(dir), err)
	}
	return false, fmt.Errorf("connecting to the running gateway: %w", err)
}

// maxSocketPath is the longest path that every system accepts for a unix
// socket: macOS has 104 bytes with the NUL, Linux 108.
const maxSocketPath = 103

// withShortPath calls use with a path to the same file that is short enough for
// a unix socket. If the path itself is too long, use gets one through a
// symbolic link to its directory, which exists during the call only.
func withShortPath(path string, use func(short string) error) error {
	if len(path) <= maxSocketPath {
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
	if len(short) > maxSocketPath {
		return fmt.Errorf("%q is too long for a unix socket, and so is TMPDIR (%q): set TMPDIR=/tmp", path, os.TempDir())
	}
	return use(short)
}
