//go:build e2e

package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"forward/test/harness"
)

// block is a code block of a Markdown file.
type block struct {
	file string
	line int
	info string // its info string
	text string
}

var fenced = regexp.MustCompile("(?ms)^```(\\w*)\n(.*?)^```$")

// blocks returns the code blocks of the README and of docs.
func blocks(t *testing.T) (list []block) {
	t.Helper()
	files, err := filepath.Glob("../../docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	// What is in clients.md is for other programs; TestClients runs it.
	files = slices.DeleteFunc(files, func(file string) bool { return filepath.Base(file) == "clients.md" })
	for _, file := range append(files, "../../README.md") {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, at := range fenced.FindAllSubmatchIndex(text, -1) {
			list = append(list, block{
				file: filepath.Base(file), line: strings.Count(string(text[:at[0]]), "\n") + 1,
				info: string(text[at[2]:at[3]]), text: string(text[at[4]:at[5]]),
			})
		}
	}
	return list
}

// TestBlocksOfTheDocumentation runs every code block as a reader would paste
// it: settings start a gateway, commands run in a shell, programs are parsed by
// their own language. What cannot run here is listed.
func TestBlocksOfTheDocumentation(t *testing.T) {
	list := blocks(t)
	if len(list) < 10 {
		t.Fatalf("only %d blocks were found", len(list))
	}
	for _, b := range list {
		t.Run(fmt.Sprintf("%s:%d %s", b.file, b.line, b.info), func(t *testing.T) {
			switch b.info {
			case "dotenv":
				b.starts(t, ".env")
			case "yaml":
				b.starts(t, "forward.yaml")
			case "json":
				if !json.Valid([]byte(b.text)) {
					t.Error("it is not JSON")
				}
			case "sh":
				b.runs(t)
			case "python":
				b.parses(t, "python3", "-c", "import ast, sys; ast.parse(open(sys.argv[1]).read())")
			case "js":
				b.parses(t, "node", "--check")
			case "promql":
				b.namesMetrics(t)
			case "text": // nothing can read it
			default:
				t.Errorf("info string %q: write dotenv, yaml, json, sh, python, js, promql or text, or teach this test another", b.info)
			}
		})
	}
}

var referred = regexp.MustCompile(`\$\{([A-Z_]+)\}`)

// starts runs a gateway by the block as one of its files.
func (b block) starts(t *testing.T, name string) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, name), []byte(b.text), 0o600); err != nil {
		t.Fatal(err)
	}
	var env []string
	for _, m := range referred.FindAllStringSubmatch(b.text, -1) {
		env = append(env, m[1]+"=sk-"+strings.ToLower(m[1]))
	}
	if _, errs, status := command(t, dir, env, "check"); status != 0 {
		t.Errorf("forward check: %s", errs)
	}
	g := startForward(t, dir, env...)
	if strings.Contains(g.Stderr.String(), "goes to two hosts") {
		t.Errorf("one API key goes to two hosts:\n%s", g.Stderr.String())
	}
}

// missing are commands that need more than this machine has: they are looked
// at only.
var missing = regexp.MustCompile(`^(docker|go (run|test)) `)

// runs runs the commands of the block, forward by the binary and curl against a
// gateway with a canned upstream.
func (b block) runs(t *testing.T) {
	dir := t.TempDir()
	if err := os.Symlink(forwardBinary, filepath.Join(dir, "forward")); err != nil {
		t.Fatal(err)
	}
	text := strings.ReplaceAll(b.text, "\\\n", " ")
	if strings.Contains(text, "http://127.0.0.1:8000") {
		up := startUpstream(t)
		g := startForward(t, dir, "OPENAI_API_KEY=sk-1", "FORWARD_KEY=fk-alice", "OPENAI_BASE_URL="+up.URL)
		text = strings.ReplaceAll(text, "http://127.0.0.1:8000", g.URL)
	}
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		program, _, _ := strings.Cut(line, " ")
		switch {
		case line == "" || line[0] == '#':
		case missing.MatchString(line):
			t.Logf("NOT RUN: %s", line)
			if out, err := exec.Command("sh", "-n", "-c", line).CombinedOutput(); err != nil {
				t.Errorf("%s: %v %s", line, err, out)
			}
		case program == "curl" && !hasProgram("curl"):
			t.Logf("NOT RUN: %s", line)
		default:
			c := exec.Command("sh", "-c", strings.Replace(line, "curl ", "curl -sS --fail-with-body ", 1))
			c.Dir = dir
			c.Env = []string{"PATH=" + dir + ":" + os.Getenv("PATH"), "HOME=" + dir}
			out, err := c.CombinedOutput()
			if err != nil && !nothingThere.Match(out) {
				t.Errorf("%s: %v\n%s", line, err, out)
			}
		}
	}
}

// nothingThere is what forward answers where the ledger is empty: the command
// itself is right.
var nothingThere = regexp.MustCompile(`(?i)no (such )?(request|row|ledger|record)|knows no|not in the ledger|nothing`)

func hasProgram(name string) bool {
	_, err := exec.LookPath(name)
	return err == nil
}

// parses gives the block to a program as a file.
func (b block) parses(t *testing.T, program string, args ...string) {
	if !hasProgram(program) {
		harness.Missing(t, program)
	}
	file := filepath.Join(t.TempDir(), "block."+map[string]string{"python3": "py", "node": "mjs"}[program])
	if err := os.WriteFile(file, []byte(b.text), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command(program, append(args, file)...).CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

var metricName = regexp.MustCompile(`\bforward_[a-z_]+`)

// namesMetrics looks the metrics of a query up in the code.
func (b block) namesMetrics(t *testing.T) {
	code := ""
	files, err := filepath.Glob("../../internal/metrics/*.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		code += string(text)
	}
	for _, name := range metricName.FindAllString(b.text, -1) {
		name = strings.TrimSuffix(strings.TrimPrefix(name, "forward_"), "_bucket")
		if !strings.Contains(code, name) {
			t.Errorf("there is no metric %s", name)
		}
	}
}

// inline finds settings in running text, such as `OPENAI_BASE_URL=…`.
var inline = regexp.MustCompile("`([A-Z][A-Z_]+=[^`]*)`")

// TestSettingsInTheText checks the settings that sentences of the README show.
func TestSettingsInTheText(t *testing.T) {
	text, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, m := range inline.FindAllStringSubmatch(string(text), -1) {
		setting := m[1]
		if strings.ContainsAny(setting, "…") || strings.Contains(setting, "${") || strings.HasSuffix(setting, "=") {
			continue
		}
		n++
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, ".env"), []byte(setting+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, errs, status := command(t, dir, nil, "check"); status != 0 {
			t.Errorf("%s: %s", setting, errs)
		}
	}
	if n == 0 {
		t.Error("no setting was found")
	}
}
