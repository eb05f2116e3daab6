package internal

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// A test names the cases of testdata/cases.txt that it holds at the start of
// its name.
var (
	caseNumbers = regexp.MustCompile(`^([ABFMNR]\d{1,2}\b[ ,:;]*)+`)
	caseNumber  = regexp.MustCompile(`[ABFMNR]\d{1,2}`)
)

// TestCases looks for a test of each case of testdata/cases.txt, which are
// faults that were met from outside: the numbers stand in names of sub-tests,
// or the line ends with the name of the test.
func TestCases(t *testing.T) {
	text, err := os.ReadFile("testdata/cases.txt")
	if err != nil {
		t.Fatal(err)
	}
	named := namedCases(t)
	for line := range strings.Lines(string(text)) {
		number, what, _ := strings.Cut(strings.TrimSpace(line), " ")
		_, test, _ := strings.Cut(strings.TrimSuffix(what, ")"), "(Test")
		if !named[number] && !named["Test"+test] {
			t.Errorf("no test names %s: %s", number, what)
		}
	}
}

// namedCases are the numbers in the string literals of all tests.
func namedCases(t *testing.T) map[string]bool {
	named := map[string]bool{}
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, "_test.go") {
			return err
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		ast.Inspect(file, func(n ast.Node) bool {
			if f, ok := n.(*ast.FuncDecl); ok && f.Name.Name != "Test" {
				named[f.Name.Name] = true
			}
			if lit, ok := n.(*ast.BasicLit); ok && lit.Kind == token.STRING {
				text, _ := strconv.Unquote(lit.Value)
				for _, number := range caseNumber.FindAllString(caseNumbers.FindString(text), -1) {
					named[number] = true
				}
			}
			return true
		})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return named
}
