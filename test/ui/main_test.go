//go:build ui

package ui

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

// startUpstream runs the scripted upstream and returns its address.
func startUpstream(t testing.TB) string {
	t.Helper()
	p := harness.Start(t, t.TempDir(), nil, scriptedBinary)
	return p.Address(p.Stdout, harness.FirstURL)
}
