package dashboard_test

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// The most that the pages may weigh, in bytes as gzip -9 makes them.
const (
	maxFirst = 60 << 10  // of what the first page needs: markup, entry, styles and one language
	maxChunk = 40 << 10  // of a chunk that is loaded when a page wants it
	maxAll   = 160 << 10 // of all files
	maxRaw   = 600 << 10 // of all files as they are embedded
)

// built returns the built files by their paths.
func built(t *testing.T) map[string][]byte {
	t.Helper()
	files := map[string][]byte{}
	dist := os.DirFS("dist")
	err := fs.WalkDir(dist, ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		files[name], err = fs.ReadFile(dist, name)
		return err
	})
	if err != nil {
		t.Fatalf("reading the built pages: %v; run make ui", err)
	}
	return files
}

// packed returns the size of a file as the gateway sends it.
func packed(t *testing.T, text []byte) int {
	t.Helper()
	var out bytes.Buffer
	w, err := gzip.NewWriterLevel(&out, gzip.BestCompression)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(text); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Len()
}

var (
	// linked matches the files that the page names: <script src>, <link href>.
	linked = regexp.MustCompile(`(?:src|href)="\./([^"]+)"`)
	// imported matches the static imports of a built module.
	imported = regexp.MustCompile(`(?:^|[;\s}])(?:import|export)(?:[^"';()]*from)?["']\./([^"']+\.js)["']`)
)

// first returns the files that a browser loads before it shows a page: those
// that index.html names, what they import, and the larger language.
func first(files map[string][]byte) []string {
	seen := []string{"index.html"}
	for i := 0; i < len(seen); i++ {
		pattern, base := imported, path.Dir(seen[i])
		if seen[i] == "index.html" {
			pattern, base = linked, ""
		}
		for _, m := range pattern.FindAllSubmatch(files[seen[i]], -1) {
			if name := path.Join(base, string(m[1])); !slices.Contains(seen, name) {
				seen = append(seen, name)
			}
		}
	}
	language := ""
	for name := range files {
		if regexp.MustCompile(`^assets/(en|zh)-[^/]*\.js$`).MatchString(name) && len(files[name]) > len(files[language]) {
			language = name
		}
	}
	return append(seen, language)
}

// TestSize holds the pages to a budget: small pages open fast, and the binary
// carries them.
func TestSize(t *testing.T) {
	files := built(t)
	initial := first(files)
	if len(initial) < 4 {
		t.Fatalf("the first page is of %v, which lacks something", initial)
	}
	raw, all, sum := 0, 0, 0
	for name, text := range files {
		size := packed(t, text)
		raw, all = raw+len(text), all+size
		if slices.Contains(initial, name) {
			sum += size
		} else if size > maxChunk {
			t.Errorf("%s has %d bytes packed, want at most %d", name, size, maxChunk)
		}
	}
	t.Logf("first page %d bytes packed, all files %d, %d as they are", sum, all, raw)
	for _, test := range []struct {
		name      string
		size, max int
	}{{"the first page", sum, maxFirst}, {"all files together, packed", all, maxAll}, {"all files together", raw, maxRaw}} {
		if test.size > test.max {
			t.Errorf("%s: %d bytes, want at most %d", test.name, test.size, test.max)
		}
	}
}

// TestContent: the pages are the real ones, ask no other host, and pass the
// content security policy, which allows no script or style in the markup.
func TestContent(t *testing.T) {
	files := built(t)
	index := string(files["index.html"])
	for _, want := range []string{`id="app"`, `<script type="module"`, `rel="stylesheet"`} {
		if !strings.Contains(index, want) {
			t.Errorf("index.html has no %s", want)
		}
	}
	if regexp.MustCompile(`(?i)<style|\sstyle=|\son[a-z]+=|<script[^>]*>[^<]`).MatchString(index) {
		t.Error("index.html has a script or a style in the markup")
	}
	// Names of namespaces are no addresses that a browser asks, and an error of
	// marked has that of its repository in its text.
	named := map[string]bool{"https://github.com/markedjs/marked.": true}
	origin := regexp.MustCompile(`(?:https?:)?//[a-z0-9-]+(?:\.[a-z0-9-]+)+[^\s"'` + "`" + `)]*`)
	for name, text := range files {
		if strings.HasSuffix(name, ".map") || bytes.Contains(text, []byte("sourceMappingURL")) {
			t.Errorf("%s has a source map", name)
		}
		for _, address := range origin.FindAllString(string(text), -1) {
			if !strings.HasPrefix(address, "http://www.w3.org/") && !named[address] {
				t.Errorf("%s names %s", name, address)
			}
		}
	}
}

// TestSource keeps out of the source what makes markup or code of a string, and
// keeps the packages few and at exact versions.
func TestSource(t *testing.T) {
	forbidden := regexp.MustCompile(`innerHTML|outerHTML|dangerouslySetInnerHTML|insertAdjacentHTML|document\.write|\beval\b|new Function|srcdoc|createContextualFragment|DOMParser`)
	source := os.DirFS("ui/src")
	err := fs.WalkDir(source, ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		text, err := fs.ReadFile(source, name)
		if word := forbidden.Find(text); word != nil {
			t.Errorf("ui/src/%s has %s", name, word)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile("ui/package.json")
	if err != nil {
		t.Fatal(err)
	}
	var project struct {
		Dependencies    map[string]string `json:"dependencies"`
		DevDependencies map[string]string `json:"devDependencies"`
	}
	if err := json.Unmarshal(text, &project); err != nil {
		t.Fatal(err)
	}
	if n := len(project.Dependencies); n > 4 {
		t.Errorf("the pages are made with %d packages, want at most 4", n)
	}
	for _, list := range []map[string]string{project.Dependencies, project.DevDependencies} {
		for name, version := range list {
			if !regexp.MustCompile(`^\d+\.\d+\.\d+$`).MatchString(version) {
				t.Errorf("%s is of version %q, want an exact one", name, version)
			}
		}
	}
}

// TestClasses: all styles are one file, so a class has its rules in one file of
// a page alone; those of src/styles are shared.
func TestClasses(t *testing.T) {
	files, err := filepath.Glob("ui/src/pages/*/*.css")
	if err != nil || len(files) == 0 {
		t.Fatalf("%d styles of pages: %v", len(files), err)
	}
	rule := regexp.MustCompile(`(?m)^\s*\.([a-z][a-z0-9-]*)[^{},]*\{`)
	owner := map[string]string{}
	for _, name := range files {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range rule.FindAllSubmatch(text, -1) {
			class := string(m[1])
			if slices.Contains(sharedClasses, class) {
				continue
			}
			if owner[class] == "" {
				owner[class] = name
			}
			if owner[class] != name {
				t.Errorf(".%s has rules in %s and %s; rename one, or move it to src/styles", class, owner[class], name)
			}
		}
	}
}

// sharedClasses are those of src/styles that pages adjust inside their own
// elements.
var sharedClasses = []string{"page-head", "card", "virtual-row", "tabs", "button", "table"}
