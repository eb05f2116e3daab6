//go:build agents

package agents

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"forward/test/harness"
)

// binaryVariable names the binary under test for the process inside of the
// namespace.
const binaryVariable = "FORWARD_AGENTS_BINARY"

// forwardBinary is what TestMain built.
var forwardBinary string

// isolated is why the tests can reach more than loopback; "" if they cannot.
var isolated string

// TestMain builds the binary and runs the tests in a process of its own, in a
// network namespace that has loopback only.
func TestMain(m *testing.M) {
	if forwardBinary = os.Getenv(binaryVariable); forwardBinary != "" {
		os.Unsetenv(binaryVariable)
		if err := loopbackUp(); err != nil {
			isolated = err.Error()
		}
		os.Exit(m.Run())
	}
	dir, err := os.MkdirTemp("", "forward-agents-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	code := 1
	forwardBinary = filepath.Join(dir, "forward")
	if err := harness.Build(forwardBinary, nil); err != nil {
		fmt.Fprintln(os.Stderr, err)
	} else if code, err = inside(forwardBinary); err != nil {
		isolated = err.Error()
		code = m.Run()
	}
	os.RemoveAll(dir)
	os.Exit(code)
}

// inside runs this test binary again in a namespace, and returns its exit
// status. A user without root's rights gets the namespace inside of a user
// namespace, where the system allows that.
func inside(binary string) (int, error) {
	self, err := os.Executable()
	if err != nil {
		return 0, err
	}
	c := exec.Command(self, os.Args[1:]...)
	c.Stdin, c.Stdout, c.Stderr = os.Stdin, os.Stdout, os.Stderr
	c.Env = append(os.Environ(), binaryVariable+"="+binary)
	c.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET, Pdeathsig: syscall.SIGKILL}
	if os.Getuid() != 0 {
		c.SysProcAttr.Cloneflags |= syscall.CLONE_NEWUSER
		c.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{ContainerID: os.Getuid(), HostID: os.Getuid(), Size: 1}}
		c.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{ContainerID: os.Getgid(), HostID: os.Getgid(), Size: 1}}
	}
	if err := c.Start(); err != nil {
		return 0, fmt.Errorf("making a network namespace: %w", err)
	}
	// How it ended is read from ProcessState.
	_ = c.Wait()
	return max(c.ProcessState.ExitCode(), -1) & 0xff, nil
}

// loopbackUp switches the loopback interface of this namespace on.
func loopbackUp() error {
	s, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(s)
	lo, err := unix.NewIfreq("lo")
	if err != nil {
		return err
	}
	lo.SetUint16(unix.IFF_UP | unix.IFF_RUNNING)
	if err := unix.IoctlIfreq(s, unix.SIOCSIFFLAGS, lo); err != nil {
		return fmt.Errorf("switching loopback on: %w", err)
	}
	return nil
}
