// Package packaging reads the files around the code and holds them to what the
// README promises. No container engine is needed: .ci/run builds the image
// where one answers, and test/e2e builds the binary by the Dockerfile's own
// line.
package packaging

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
)

func read(t *testing.T, name string) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("..", "..", name))
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// instruction is one line of a Dockerfile, such as COPY and its arguments.
type instruction struct{ name, args string }

// stages cuts a Dockerfile into its stages; each starts with its FROM.
func stages(text string) [][]instruction {
	var out [][]instruction
	for line := range strings.Lines(strings.ReplaceAll(text, "\\\n", " ")) {
		name, args, _ := strings.Cut(strings.TrimSpace(line), " ")
		if name == "" || strings.HasPrefix(name, "#") {
			continue
		}
		if name == "FROM" {
			out = append(out, nil)
		}
		out[len(out)-1] = append(out[len(out)-1], instruction{name, args})
	}
	return out
}

// all returns the arguments of every instruction of that name.
func all(stage []instruction, name string) []string {
	var out []string
	for _, i := range stage {
		if i.name == name {
			out = append(out, i.args)
		}
	}
	return out
}

func TestDockerfile(t *testing.T) {
	s := stages(read(t, "Dockerfile"))
	if len(s) != 2 {
		t.Fatalf("%d stages, want a build stage and a final one", len(s))
	}
	build, final := s[0], s[1]

	if from := all(build, "FROM"); !strings.HasPrefix(from[0], "golang:1.26") {
		t.Errorf("built with %q", from[0])
	}
	line := strings.Join(all(build, "RUN"), "\n")
	for _, want := range []string{"CGO_ENABLED=0 go build", "-tags nomsgpack", "-trimpath", "-o /out/forward ./cmd/forward"} {
		if !strings.Contains(line, want) {
			t.Errorf("the build stage lacks %q", want)
		}
	}

	if from := all(final, "FROM"); from[0] != "scratch" {
		t.Errorf("the final stage is %q", from[0])
	}
	if runs := all(final, "RUN"); len(runs) > 0 {
		t.Errorf("the final stage has no shell and cannot run %q", runs)
	}
	for _, copied := range all(final, "COPY") {
		if !strings.Contains(copied, "--from=build") {
			t.Errorf("the final stage copies %q from outside of the build stage", copied)
		}
	}
	for name, want := range map[string]string{
		"COPY": "/etc/ssl/certs/ca-certificates.crt", "USER": "65532:65532", "WORKDIR": "/app", "EXPOSE": "8000",
		"HEALTHCHECK": `CMD ["/forward", "healthcheck"]`, "ENTRYPOINT": `["/forward"]`, "VOLUME": `["/app/data", "/app/Log"]`,
		"ENV": "HOST=:: PORT=8000 DATA_DIR=/app/data LOG_DIR=/app/Log",
	} {
		if !strings.Contains(strings.Join(all(final, name), "\n"), want) {
			t.Errorf("%s does not hold %s", name, want)
		}
	}
	if !strings.Contains(strings.Join(all(final, "COPY"), "\n"), "/usr/share/zoneinfo") {
		t.Error("no time zones are copied")
	}
	if !strings.Contains(strings.Join(all(final, "COPY"), "\n"), "--chown=65532:65532 /out/app /app") {
		t.Error("the volumes' directories do not belong to the user of the image")
	}
}

// TestDockerignore: what the build reads is named, so that no .env and no log
// can enter a layer.
func TestDockerignore(t *testing.T) {
	rules := strings.Fields(regexp.MustCompile(`(?m)^#.*$`).ReplaceAllString(read(t, ".dockerignore"), ""))
	if rules[0] != "*" {
		t.Errorf("the first rule is %q: everything should be left out first", rules[0])
	}
	for _, needed := range []string{"!go.mod", "!go.sum", "!cmd", "!internal", "!docs/docs.go", "!docs/clients.md"} {
		if !slices.Contains(rules, needed) {
			t.Errorf("the build needs %s", needed)
		}
	}
	// Files that a rule leaves out must not be embedded in the binary.
	out, err := exec.Command("go", "list", "-f", `{{range .EmbedFiles}}{{$.Dir}}/{{.}}{{"\n"}}{{end}}`, "forward/cmd/...", "forward/internal/...").Output()
	if err != nil {
		t.Fatal(err)
	}
	for file := range strings.FieldsSeq(string(out)) {
		if strings.Contains(file, "/testdata/") {
			t.Errorf("%s is embedded, and .dockerignore leaves it out", file)
		}
	}
}

func TestCompose(t *testing.T) {
	var compose struct {
		Services map[string]struct {
			EnvFile  string   `yaml:"env_file"`
			Ports    []string `yaml:"ports"`
			Volumes  []string `yaml:"volumes"`
			ReadOnly bool     `yaml:"read_only"`
			Tmpfs    []string `yaml:"tmpfs"`
		} `yaml:"services"`
		Volumes map[string]any `yaml:"volumes"`
	}
	if err := yaml.Unmarshal([]byte(read(t, "compose.yaml")), &compose); err != nil {
		t.Fatal(err)
	}
	s := compose.Services["forward"]
	if s.EnvFile != ".env" || !s.ReadOnly || len(s.Tmpfs) == 0 || !slices.Contains(s.Ports, "8000:8000") {
		t.Errorf("the service is %+v", s)
	}
	mounted := strings.Join(s.Volumes, " ")
	for _, place := range all(stages(read(t, "Dockerfile"))[1], "VOLUME") {
		for _, dir := range regexp.MustCompile(`"([^"]+)"`).FindAllStringSubmatch(place, -1) {
			if !strings.Contains(mounted, ":"+dir[1]) {
				t.Errorf("the image's volume %s is not mounted", dir[1])
			}
		}
	}
	for _, v := range s.Volumes {
		if name, _, _ := strings.Cut(v, ":"); !strings.HasPrefix(name, ".") {
			if _, ok := compose.Volumes[name]; !ok {
				t.Errorf("the volume %s is not declared", name)
			}
		}
	}
}

func TestMakefile(t *testing.T) {
	text := read(t, "Makefile")
	targets := regexp.MustCompile(`(?m)^([a-z0-9-]+):`).FindAllStringSubmatch(text, -1)
	if len(targets) == 0 || len(targets) > 10 {
		t.Errorf("%d targets, want 1 to 10", len(targets))
	}
	flags := regexp.MustCompile(`go build -tags nomsgpack -trimpath`)
	if !flags.MatchString(text) || !flags.MatchString(read(t, "Dockerfile")) {
		t.Error("make build and the image build differently")
	}
}

// TestREADMECommandsExist: every make target, file link and test command of the
// README is there.
func TestREADMECommandsExist(t *testing.T) {
	readme, makefile := read(t, "README.md"), read(t, "Makefile")
	for _, m := range regexp.MustCompile("`make ([a-z0-9]+)`").FindAllStringSubmatch(readme, -1) {
		if !strings.Contains(makefile, "\n"+m[1]+":") {
			t.Errorf("the README mentions make %s, which is no target", m[1])
		}
	}
	for _, m := range regexp.MustCompile(`\]\(([^)#:]+)\)`).FindAllStringSubmatch(readme, -1) {
		if _, err := os.Stat(filepath.Join("..", "..", m[1])); err != nil {
			t.Errorf("the README links to %s: %v", m[1], err)
		}
	}
	if command := "go test ./..."; !strings.Contains(readme, command) || !strings.Contains(read(t, ".ci/run"), command) {
		t.Errorf("%q should be in the README and in .ci/run", command)
	}
}

// TestChangelog: Keep-a-Changelog form, newest first, with a section for
// unreleased changes.
func TestChangelog(t *testing.T) {
	text := read(t, "CHANGELOG.md")
	sections := regexp.MustCompile(`(?m)^## (.*)$`).FindAllStringSubmatch(text, -1)
	if len(sections) == 0 || sections[0][1] != "[Unreleased]" {
		t.Errorf("the first section is not [Unreleased]: %v", sections)
	}
	for _, s := range sections[1:] {
		if !regexp.MustCompile(`^\[\d+\.\d+\.\d+\] - \d{4}-\d{2}-\d{2}$`).MatchString(s[1]) {
			t.Errorf("a release is headed %q", s[1])
		}
	}
	for _, m := range regexp.MustCompile(`(?m)^### (.*)$`).FindAllStringSubmatch(text, -1) {
		if !slices.Contains([]string{"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}, m[1]) {
			t.Errorf("%q is no kind of change", m[1])
		}
	}
}

// TestEveryTextFileIsWhole: no conflict markers, and a newline at the end, in
// files other than Go.
func TestEveryTextFileIsWhole(t *testing.T) {
	for _, name := range []string{"Dockerfile", ".dockerignore", "compose.yaml", "Makefile", "CHANGELOG.md", "LICENSE", "README.md", ".env.example", ".ci/run"} {
		text := read(t, name)
		if !strings.HasSuffix(text, "\n") || strings.Contains(text, "\n<<<<<<< ") {
			t.Errorf("%s is torn", name)
		}
	}
	if info, err := os.Stat(filepath.Join("..", "..", ".ci", "run")); err != nil || info.Mode()&0o111 == 0 {
		t.Errorf(".ci/run cannot be executed: %v", err)
	}
	if out, err := exec.Command("bash", "-n", filepath.Join("..", "..", ".ci", "run")).CombinedOutput(); err != nil {
		t.Errorf("bash -n .ci/run: %v\n%s", err, out)
	}
}
