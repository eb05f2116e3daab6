package main

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
func MustControl(t *testing.T, dir string) *control {
	t.Helper()
	c, err := listenControl(dir, hello)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// says asks the gateway on dir.
func says(t *testing.T, dir string) string {
	t.Helper()
	transport := controlTransport(dir)
	defer transport.CloseIdleConnections()
	res, err := (&http.Client{Transport: transport}).Get("http://forward/")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestControlSocketIsOurs(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	c := MustControl(t, dir)
	if got := says(t, dir); got != "hello" {
		t.Errorf("%q", got)
	}
	info, err := os.Stat(filepath.Join(dir, controlName))
	if err != nil || info.Mode() != os.ModeSocket|0o600 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	if answered, err := controlled(t.Context(), dir); !answered || err != nil {
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
	if answered, err := controlled(t.Context(), dir); answered || err != nil {
		t.Error(answered, err)
	}
}

func TestControlSocketOfADeadGatewayIsReplaced(t *testing.T) {
	dir := t.TempDir()
	dead, err := net.ListenUnix("unix", &net.UnixAddr{Name: filepath.Join(dir, controlName), Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	dead.SetUnlinkOnClose(false)
	dead.Close() // as the kernel closes it when a process is killed
	if answered, err := controlled(t.Context(), dir); answered || err != nil {
		t.Fatal(answered, err)
	}
	MustControl(t, dir)
	if got := says(t, dir); got != "hello" {
		t.Errorf("%q", got)
	}
}

func TestControlSocketOfALivingGatewayStays(t *testing.T) {
	dir := t.TempDir()
	MustControl(t, dir)
	if _, err := listenControl(dir, http.NotFoundHandler()); !errors.Is(err, errControlled) {
		t.Error(err)
	}
	if got := says(t, dir); got != "hello" {
		t.Errorf("%q", got)
	}
}

// TestControlSocketInADeepDirectory: a unix socket's path has at most 108 bytes, a directory's has no such bound.
func TestControlSocketInADeepDirectory(t *testing.T) {
	dir := filepath.Join(t.TempDir(), strings.Repeat("a-long-name/", 20))
	t.Chdir(t.TempDir()) // so that no relative path is short by chance
	c := MustControl(t, dir)
	if got := says(t, dir); got != "hello" {
		t.Errorf("%q", got)
	}
	if _, err := listenControl(dir, hello); !errors.Is(err, errControlled) {
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
	if _, err := listenControl(file, hello); err == nil {
		t.Error("a socket in a file")
	}
	if answered, err := controlled(t.Context(), file); answered || err != nil {
		t.Error(answered, err)
	}
}
