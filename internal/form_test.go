package internal

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"regexp"
	"strings"
	"testing"
	"unicode/utf8"
)

// What the form test accepts at most. The aim of a function is 4 parameters.
const (
	maxCommentColumns = 80
	maxParameters     = 5
	maxFields         = 20
)

// wide matches a comment line that may be wider: a directive, an address, or
// preformatted text such as a table.
var wide = regexp.MustCompile(`^\s*//(?:[a-z]+:|\t|  )|://`)

// TestForm bounds the width of comment lines, the parameters of functions and
// the fields of structs, folder by folder. Tests are free in the latter two.
//
//	go test ./internal -run 'TestForm/internal/cache$' -v
func TestForm(t *testing.T) {
	byFolder(t, func(t *testing.T, path string) {
		source, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		set := token.NewFileSet()
		file, err := parser.ParseFile(set, path, source, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		report := reporter(t, path, unformed)
		output := false // the expected output of an example
		for i, line := range strings.Split(string(source), "\n") {
			text := strings.TrimLeft(line, "\t")
			output = strings.HasPrefix(text, "// Output:") || (output && strings.HasPrefix(text, "//"))
			if output || !strings.HasPrefix(text, "//") || wide.MatchString(line) {
				continue
			}
			if n := columns(line); n > maxCommentColumns {
				report(i+1, fmt.Sprintf("comment of %d columns", n))
			}
		}
		if strings.HasSuffix(path, "_test.go") {
			return
		}
		ast.Inspect(file, func(node ast.Node) bool {
			switch node := node.(type) {
			case *ast.FuncDecl:
				if n := node.Type.Params.NumFields(); n > maxParameters {
					report(set.Position(node.Pos()).Line, fmt.Sprintf("%s has %d parameters", node.Name.Name, n))
				}
			case *ast.TypeSpec:
				if s, ok := node.Type.(*ast.StructType); ok && s.Fields.NumFields() > maxFields {
					report(set.Position(node.Pos()).Line, fmt.Sprintf("%s has %d fields", node.Name.Name, s.Fields.NumFields()))
				}
			}
			return true
		})
	})
}

// columns is the width of a line with a tab as four columns.
func columns(line string) int {
	return utf8.RuneCountInString(line) + 3*strings.Count(line, "\t")
}
