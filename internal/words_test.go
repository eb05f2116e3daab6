package internal

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode"
)

// root is the folder of the module.
const root = ".."

// unformed lists the files whose form is not checked.
var unformed = []string{
	"internal/ledger/row.go",  // a field for each column of the table
	"internal/ledger/wire.go", // the same as JSON
}

// fixed matches what keeps a replaced word: a term that contains one, the
// answers of the scripted upstream, a comment in queued streams, and a value of
// `forward cache list --key`.
var fixed = regexp.MustCompile(`(?i)in[ -]flight|You said: |The tools say: |: waiting in line|"anyone"|, anyone`)

// TestWords keeps replaced words of docs/glossary.md out of the Go code, folder
// by folder: out of comments, declared names and string literals. In tests, a
// literal counts only as the message or the name of a test, for others are
// prompts and answers.
//
//	go test ./internal -run 'TestWords/internal/cache$' -v
func TestWords(t *testing.T) {
	banned := replacedWords(t)
	byFolder(t, func(t *testing.T, path string) {
		source, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		w := &words{banned: banned, set: token.NewFileSet(), test: strings.HasSuffix(path, "_test.go"), report: reporter(t, path, nil)}
		file, err := parser.ParseFile(w.set, path, source, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		for _, group := range file.Comments {
			w.check(group, string(source[w.set.Position(group.Pos()).Offset:w.set.Position(group.End()).Offset]))
		}
		ast.Inspect(file, w.visit)
	})
}

// TestWordsOfDocuments checks the documents that people read.
func TestWordsOfDocuments(t *testing.T) {
	banned := replacedWords(t)
	paths, err := filepath.Glob(filepath.Join(root, "docs", "*.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"README.md", "CHANGELOG.md", ".env.example", "Makefile", "Dockerfile", ".ci/run", "bench/RESULTS.md"} {
		paths = append(paths, filepath.Join(root, name))
	}
	for _, path := range paths {
		name, _ := filepath.Rel(root, path)
		if name == "docs/glossary.md" {
			continue
		}
		t.Run(name, func(t *testing.T) {
			text, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			report := reporter(t, name, nil)
			for line, word := range find(banned, string(text)) {
				report(line, word)
			}
		})
	}
}

// replacedWords reads the words from the first column of the glossary's table.
func replacedWords(t *testing.T) *regexp.Regexp {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, "docs", "glossary.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, table, found := strings.Cut(string(text), "\n| not | but |\n")
	if !found {
		t.Fatal("docs/glossary.md has no table of replaced words")
	}
	var patterns []string
	for row := range strings.Lines(table) {
		cells := strings.Split(row, "|")
		if len(cells) < 3 {
			break
		}
		for i, word := range strings.Split(cells[1], "`") {
			if i%2 == 1 {
				first, rest := word[:1], strings.ReplaceAll(word[1:], " ", `[\s/]+`)
				patterns = append(patterns, "["+first+strings.ToUpper(first)+"]"+rest)
			}
		}
	}
	if len(patterns) < 50 {
		t.Fatalf("only %d replaced words", len(patterns))
	}
	return regexp.MustCompile(`\b(?:` + strings.Join(patterns, "|") + `)\b`)
}

// find yields the banned words of text with their lines, counted from 1.
func find(banned *regexp.Regexp, text string) func(yield func(line int, word string) bool) {
	text = fixed.ReplaceAllStringFunc(text, func(s string) string { return strings.Repeat("_", len(s)) })
	return func(yield func(int, string) bool) {
		for _, at := range banned.FindAllStringIndex(text, -1) {
			if !yield(1+strings.Count(text[:at[0]], "\n"), text[at[0]:at[1]]) {
				return
			}
		}
	}
}

// words checks one Go file.
type words struct {
	banned *regexp.Regexp
	set    *token.FileSet
	test   bool
	report func(line int, text string)
}

func (w *words) check(node ast.Node, text string) {
	first := w.set.Position(node.Pos()).Line
	for line, word := range find(w.banned, text) {
		w.report(first+line-1, strconv.Quote(word))
	}
}

func (w *words) visit(node ast.Node) bool {
	switch node := node.(type) {
	case *ast.SelectorExpr:
		// The selected name is declared elsewhere, perhaps in another module.
		ast.Inspect(node.X, w.visit)
		return false
	case *ast.Ident:
		w.check(node, split(node.Name))
	case *ast.BasicLit:
		if node.Kind == token.STRING && !w.test {
			w.check(node, node.Value)
		}
	case *ast.CallExpr:
		if w.test && isMessage(node) {
			if lit, ok := node.Args[0].(*ast.BasicLit); ok {
				w.check(lit, lit.Value)
			}
		}
	}
	return true
}

// isMessage reports whether a call is one of testing's that takes a text.
func isMessage(call *ast.CallExpr) bool {
	selector, ok := call.Fun.(*ast.SelectorExpr)
	if !ok || len(call.Args) == 0 {
		return false
	}
	return slices.Contains([]string{"Error", "Errorf", "Fatal", "Fatalf", "Log", "Logf", "Skip", "Skipf", "Run"}, selector.Sel.Name)
}

// split returns the words of an identifier, lower case and with spaces between.
func split(name string) string {
	var b strings.Builder
	for i, r := range name {
		if unicode.IsUpper(r) && i > 0 {
			b.WriteByte(' ')
		}
		b.WriteRune(unicode.ToLower(r))
	}
	return b.String()
}

// byFolder runs check on each Go file outside testdata, in one subtest for each
// folder.
func byFolder(t *testing.T, check func(t *testing.T, path string)) {
	folders := map[string][]string{}
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := entry.Name()
		if entry.IsDir() && path != root && (name == "testdata" || name == "node_modules" || strings.HasPrefix(name, ".")) {
			return filepath.SkipDir
		}
		if !entry.IsDir() && strings.HasSuffix(name, ".go") {
			folder, _ := filepath.Rel(root, filepath.Dir(path))
			folders[folder] = append(folders[folder], path)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(folders) < 15 {
		t.Fatalf("only %d folders", len(folders))
	}
	for folder, paths := range folders {
		t.Run(folder, func(t *testing.T) {
			for _, path := range paths {
				check(t, path)
			}
		})
	}
}

// reporter reports findings in the file at path: as failures, or in the log
// where the file or its folder is among open.
func reporter(t *testing.T, path string, open []string) func(line int, text string) {
	name := strings.TrimPrefix(path, root+"/")
	report := t.Errorf
	if slices.Contains(open, filepath.Dir(name)) || slices.Contains(open, name) {
		report = t.Logf
	}
	return func(line int, text string) {
		t.Helper()
		report("%s:%d: %s", name, line, text)
	}
}
