package main

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
)

// report is RESULTS.md.
func (b *bench) report(brief bool) string {
	var s strings.Builder
	command := "go run ./bench"
	if brief {
		command += " -short"
	}
	fmt.Fprintf(&s, "# forward beside what people would use in its place\n\nWritten by `%s`; see [main.go](main.go) for how it measures. Medians over interleaved rounds, with the "+
		"quartiles in parentheses; ratios are made round by round. `–` was not measured.\n\n", command)
	s.WriteString(b.machine())
	if goals := b.goals(); len(goals.rows) > 0 {
		s.WriteString("\n" + goals.markdown())
	}
	for _, t := range b.tables {
		s.WriteString("\n" + t.markdown())
	}
	return s.String()
}

// machine describes what was measured, and on what.
func (b *bench) machine() string {
	var s strings.Builder
	fmt.Fprintf(&s, "Machine: %d cores of %s, %s, %s; client, upstream and gateway share them. %s descriptors a process.\n\n",
		runtime.NumCPU(), cpuModel(), kernel(), runtime.Version(), thousands(b.lab.descriptors))
	for _, g := range gateways() {
		if g.slow && !b.plan.all {
			continue
		}
		version := b.versions[g.name]
		if b.missing[g.name] != "" {
			version = "missing: " + b.missing[g.name]
		}
		if version != "" {
			version = " " + version
		}
		fmt.Fprintf(&s, "- **%s**%s: %s\n", g.name, version, g.note)
	}
	return s.String()
}

// cpuModel is the processor's name.
func cpuModel() string {
	text, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return runtime.GOARCH
	}
	for line := range strings.Lines(string(text)) {
		if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return runtime.GOARCH
}

// kernel is its release, without what its builder calls it.
func kernel() string {
	text, err := os.ReadFile("/proc/sys/kernel/osrelease")
	if err != nil {
		return runtime.GOOS
	}
	release, _, _ := strings.Cut(strings.TrimSpace(string(text)), "-")
	return "Linux " + release
}

// commitOf names the commit of a working tree.
func commitOf(root string) string {
	git := func(args ...string) string {
		c := exec.Command("git", args...)
		c.Dir = root
		out, err := c.Output()
		if err != nil {
			return ""
		}
		return strings.TrimSpace(string(out))
	}
	commit := git("rev-parse", "--short=10", "HEAD")
	if commit == "" {
		return "of no known commit"
	}
	if git("status", "--porcelain", "--", "cmd", "internal", "go.mod") != "" {
		commit += " with changes"
	}
	return commit
}

// image returns the size of forward's image, if there is an engine to ask.
func (b *bench) image() string {
	if err := exec.Command("docker", "info").Run(); err != nil {
		return "The size of forward's image is missing: no Docker engine answers."
	}
	build := exec.Command("docker", "build", "-q", ".")
	build.Dir = b.lab.root
	id, err := build.Output()
	if err != nil {
		return "The size of forward's image is missing: docker build failed."
	}
	size, err := exec.Command("docker", "image", "inspect", "-f", "{{.Size}}", strings.TrimSpace(string(id))).Output()
	if err != nil {
		return "The size of forward's image is missing: docker image inspect failed."
	}
	var bytes float64
	if _, err := fmt.Sscan(string(size), &bytes); err != nil {
		return "The size of forward's image is missing: " + err.Error()
	}
	return fmt.Sprintf("Forward's image has %s MB.", figure(bytes/1e6))
}
