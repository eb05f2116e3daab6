//go:build e2e

package packaging

import (
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"forward/test/harness"
)

// clone returns a directory with the files of the repository as a clone has
// them, new ones included, and without those that git ignores.
func clone(t *testing.T) string {
	t.Helper()
	root := filepath.Join("..", "..")
	list := exec.Command("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", "--", "go.mod", "go.sum", "cmd", "internal", "docs")
	list.Dir = root
	out, err := list.Output()
	if err != nil {
		harness.Missing(t, "git, or the repository's history")
	}
	dir := t.TempDir()
	for name := range strings.SplitSeq(strings.TrimRight(string(out), "\x00"), "\x00") {
		data, err := os.ReadFile(filepath.Join(root, name))
		if os.IsNotExist(err) {
			continue // it was removed
		}
		if err != nil {
			t.Fatal(err)
		}
		to := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(to, data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// withoutNode is a PATH on which go is, and no program of the front end.
func withoutNode(t *testing.T) string {
	t.Helper()
	compiler, err := exec.LookPath("go")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := os.Symlink(compiler, filepath.Join(dir, "go")); err != nil {
		t.Fatal(err)
	}
	return dir
}

// fetched is the answer to a GET, whose status has to be 200.
func fetched(t *testing.T, url string) (text, contentType string) {
	t.Helper()
	res, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode != http.StatusOK {
		t.Fatalf("%s: %s %v %.200s", url, res.Status, err, body)
	}
	return string(body), res.Header.Get("Content-Type")
}

// TestAClone builds by go alone what a clone has (D01): /_/ is the real page
// with its code, and with the tag no_ui a sentence beside the API.
func TestAClone(t *testing.T) {
	dir, path := clone(t), withoutNode(t)
	serve := func(tags string) string {
		t.Helper()
		binary := filepath.Join(t.TempDir(), "forward")
		build := exec.Command("go", "build", "-trimpath", "-tags", tags, "-o", binary, "./cmd/forward")
		build.Dir = dir
		for _, set := range os.Environ() {
			if !strings.HasPrefix(set, "PATH=") {
				build.Env = append(build.Env, set)
			}
		}
		build.Env = append(build.Env, "PATH="+path, "CGO_ENABLED=0")
		if out, err := build.CombinedOutput(); err != nil {
			t.Fatalf("go build -tags %q: %v\n%s", tags, err, out)
		}
		p := harness.Start(t, t.TempDir(), []string{"PORT=0", "ADMIN_KEY=admin-0123456789abcdef"}, binary, "run")
		return p.Address(p.Stderr, harness.Listens)
	}
	url := serve("nomsgpack")
	page, kind := fetched(t, url+"/_/")
	if !strings.HasPrefix(kind, "text/html") || !strings.Contains(page, `<div id="app">`) {
		t.Errorf("/_/ is %s: %.300s", kind, page)
	}
	assets := regexp.MustCompile(`(?:src|href)="\./([^"]+)"`).FindAllStringSubmatch(page, -1)
	kinds := map[string]int{}
	for _, asset := range assets {
		text, kind := fetched(t, url+"/_/"+asset[1])
		kinds[kind] += len(text)
	}
	// Below these sizes it is a placeholder.
	if kinds["text/javascript; charset=utf-8"] < 20_000 || kinds["text/css; charset=utf-8"] < 5_000 || kinds["image/svg+xml"] == 0 {
		t.Errorf("the page has %v", kinds)
	}
	url = serve("nomsgpack,no_ui")
	if page, _ := fetched(t, url+"/_/"); !strings.Contains(page, "no_ui") || strings.Contains(page, "<script") {
		t.Errorf("with no_ui /_/ is %s", page)
	}
	if text, kind := fetched(t, url+"/_/api/openapi.json"); kind != "application/json" || !strings.Contains(text, `"/_/api/usage"`) {
		t.Errorf("with no_ui the API answers %s %.200s", kind, text)
	}
}
