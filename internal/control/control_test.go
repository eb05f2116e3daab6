package control

import (
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

var hello = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "hello") })

// MustControl serves hello on the control socket of dir.
func MustControl(t *testing.T, dir string) *Server {
	t.Helper()
	c, err := Listen(dir, hello)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// answerOf asks the gateway on dir.
func answerOf(t *testing.T, dir string) string {
	t.Helper()
	client := NewClient(dir)
	defer client.Close()
	body, err := client.send(t.Context(), request{method: "GET", path: "/"})
	if err != nil {
		t.Fatal(err)
	}
	defer body.Close()
	text, err := io.ReadAll(body)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestControlSocketIsOurs(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	c := MustControl(t, dir)
	if got := answerOf(t, dir); got != "hello" {
		t.Errorf("%q", got)
	}
	info, err := os.Stat(Path(dir))
	if err != nil || info.Mode() != os.ModeSocket|0o600 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	if answered, err := Running(t.Context(), dir); !answered || err != nil {
		t.Error(answered, err)
	}
	if entries, _ := os.ReadDir(dir); len(entries) != 1 {
		t.Errorf("beside it lie %v", entries)
	}
	if err := c.Close(); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
		t.Error("a directory that was made for the socket stays")
	}
	if answered, err := Running(t.Context(), dir); answered || err != nil {
		t.Error(answered, err)
	}
}

func TestControlSocketOfADeadGatewayIsReplaced(t *testing.T) {
	dir := t.TempDir()
	dead, err := net.ListenUnix("unix", &net.UnixAddr{Name: Path(dir), Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	dead.SetUnlinkOnClose(false)
	dead.Close() // as the kernel closes it when a process is killed
	if answered, err := Running(t.Context(), dir); answered || err != nil {
		t.Fatal(answered, err)
	}
	MustControl(t, dir)
	if got := answerOf(t, dir); got != "hello" {
		t.Errorf("%q", got)
	}
}

func TestControlSocketOfALivingGatewayStays(t *testing.T) {
	dir := t.TempDir()
	MustControl(t, dir)
	if _, err := Listen(dir, http.NotFoundHandler()); !errors.Is(err, ErrRunning) {
		t.Error(err)
	}
	if got := answerOf(t, dir); got != "hello" {
		t.Errorf("%q", got)
	}
}

// TestControlSocketInADeepDirectory: a unix socket's path has at most 108
// bytes, a directory's has no such bound.
func TestControlSocketInADeepDirectory(t *testing.T) {
	dir := filepath.Join(t.TempDir(), strings.Repeat("a-long-name/", 20))
	t.Chdir(t.TempDir()) // so that no relative path is short by chance
	c := MustControl(t, dir)
	if got := answerOf(t, dir); got != "hello" {
		t.Errorf("%q", got)
	}
	if _, err := Listen(dir, hello); !errors.Is(err, ErrRunning) {
		t.Error(err)
	}
	if err := c.Close(); err != nil {
		t.Error(err)
	}
	if left, _ := filepath.Glob(filepath.Join(os.TempDir(), "forward-*", "d")); len(left) != 0 {
		t.Errorf("links are left: %q", left)
	}
}

func TestNoControlSocketIsNoFailure(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Listen(file, hello); err == nil {
		t.Error("a socket in a file")
	}
	if answered, err := Running(t.Context(), file); answered || err != nil {
		t.Error(answered, err)
	}
}
