package dashboard

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// codesOf returns the codes of errors that the sources of a package write: the
// member code of a problem, and those of two tables.
func codesOf(t *testing.T, dir string) (codes []string) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil {
		t.Fatal(err)
	}
	add := func(prefix string, value ast.Expr) {
		text, ok := value.(*ast.BasicLit)
		if !ok {
			return
		}
		code, err := strconv.Unquote(text.Value)
		if err != nil {
			t.Fatal(err)
		}
		codes = append(codes, prefix+code)
	}
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(parsed, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.KeyValueExpr:
				if name, ok := n.Key.(*ast.Ident); ok && name.Name == "code" {
					add("", n.Value)
				}
			case *ast.ValueSpec:
				if len(n.Values) != 1 {
					break
				}
				table, _ := n.Values[0].(*ast.CompositeLit)
				switch n.Names[0].Name {
				case "withoutContent": // by the state
					for _, e := range table.Elts {
						add("content_", e.(*ast.KeyValueExpr).Key)
					}
				case "refusals": // of changes of keys: error, status, code
					for _, e := range table.Elts {
						add("", e.(*ast.CompositeLit).Elts[2])
					}
				}
			}
			return true
		})
	}
	slices.Sort(codes)
	return slices.Compact(codes)
}

// D24: every error that the API answers has a sentence of the page's in both
// languages. A code without one would be shown as a sentence for its status.
func TestErrorsHaveSentences(t *testing.T) {
	codes := codesOf(t, filepath.Join("..", "admin"))
	if len(codes) < 50 || !slices.Contains(codes, "content_expired") || !slices.Contains(codes, "key_exists") {
		t.Fatalf("the API has %d codes: %q", len(codes), codes)
	}
	member := regexp.MustCompile(`(?m)^  ([a-z_]+): `)
	for _, language := range []string{"en", "zh"} {
		text, err := os.ReadFile(filepath.Join("ui", "src", "i18n", language, "errors.ts"))
		if err != nil {
			t.Fatal(err)
		}
		var known []string
		for _, m := range member.FindAllStringSubmatch(string(text), -1) {
			known = append(known, m[1])
		}
		for _, code := range codes {
			if !slices.Contains(known, code) {
				t.Errorf("%s has no sentence for %s", language, code)
			}
		}
	}
}
