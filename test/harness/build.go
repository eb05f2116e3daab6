package harness

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"testing"
)

// Listens finds the address of a gateway in what it writes to stderr.
var Listens = regexp.MustCompile(`listens on (https?://\S+)`)

// FirstURL finds the address of the scripted upstream in what it prints.
var FirstURL = regexp.MustCompile(`(?m)^(http://\S+)$`)

// root is the top of the repository, as seen from a package beside this one.
var root = filepath.Join("..", "..")

// Build makes the binary that ships, by the Dockerfile's own line, and further
// programs of the repository: packages by the path at which their binary is to
// be.
func Build(forward string, others map[string]string) error {
	line, err := buildLine(forward)
	if err != nil {
		return err
	}
	commands := []string{line}
	for binary, pkg := range others {
		commands = append(commands, "go build -o "+binary+" "+pkg)
	}
	for _, command := range commands {
		c := exec.Command("sh", "-c", command)
		c.Dir, c.Stdout, c.Stderr = root, os.Stderr, os.Stderr
		c.Env = append(os.Environ(), "VERSION=")
		if err := c.Run(); err != nil {
			return fmt.Errorf("%s: %w", command, err)
		}
	}
	return nil
}

// Run gives the tests of a package a directory for what they build, which use
// does, and removes it after them.
func Run(m *testing.M, use func(dir string) error) int {
	dir, err := os.MkdirTemp("", "forward-test-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	if err := use(dir); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return m.Run()
}

// buildLine is the Dockerfile's own build command, with another place for the
// binary.
func buildLine(binary string) (string, error) {
	text, err := os.ReadFile(filepath.Join(root, "Dockerfile"))
	if err != nil {
		return "", err
	}
	found := regexp.MustCompile(`(?m)^RUN (.*go build .* -o )/out/forward( \./cmd/forward)$`).FindSubmatch(text)
	if found == nil {
		return "", fmt.Errorf("the Dockerfile has no line that builds /out/forward")
	}
	return string(found[1]) + binary + string(found[2]), nil
}
