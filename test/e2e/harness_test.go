//go:build e2e

package e2e

import (
	"os"
	"path/filepath"
	"testing"

	"forward/test/harness"
)

// Where TestMain puts what it built. Nothing changes them later.
var forwardBinary, scriptedBinary string

func TestMain(m *testing.M) {
	os.Exit(harness.Run(m, func(dir string) error {
		forwardBinary, scriptedBinary = filepath.Join(dir, "forward"), filepath.Join(dir, "scripted")
		return harness.Build(forwardBinary, map[string]string{scriptedBinary: "./internal/upstreamtest/cmd/scripted"})
	}))
}

// gateway is a running forward.
type gateway struct {
	*harness.Process
	URL string
	dir string
}

// startForward runs forward on a free port in dir with these settings in its
// environment.
func startForward(t testing.TB, dir string, env ...string) *gateway {
	t.Helper()
	p := harness.Start(t, dir, append([]string{"PORT=0"}, env...), forwardBinary, "run")
	return &gateway{Process: p, URL: p.Address(p.Stderr, harness.Listens), dir: dir}
}

// startUpstream runs the scripted upstream as a process.
func startUpstream(t testing.TB) *upstream {
	t.Helper()
	p := harness.Start(t, t.TempDir(), nil, scriptedBinary)
	return &upstream{Process: p, URL: p.Address(p.Stdout, harness.FirstURL), t: t}
}
