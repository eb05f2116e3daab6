package main

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/scanner"
	"go/token"
	"os"
	"strings"
	"unicode/utf8"
)

// A file holds what was counted in one Go file.
type file struct {
	path          string
	lines, blank  int
	widths        []int // of lines that hold a comment only
	functions     []Extreme
	parameters    []Extreme
	cyclomatic    []Extreme
	structs       []Extreme
	exported      int
	undocumented  []string
	wide          []string
	mixed, tuples []string

	ifDeclarations, ifMutations []string

	set *token.FileSet
}

// readFile parses and counts a file. It returns nil for a generated one.
func readFile(path string) (*file, error) {
	source, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	f := &file{path: path, set: token.NewFileSet()}
	tree, err := parser.ParseFile(f.set, path, source, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		return nil, err
	}
	if ast.IsGenerated(tree) {
		return nil, nil
	}
	f.countLines(source)
	for _, decl := range tree.Decls {
		f.countDecl(decl, tree.Name.Name != "main")
	}
	ast.Inspect(tree, f.countNode)
	return f, nil
}

// countLines counts code, comments and blank lines by the tokens on them.
func (f *file) countLines(source []byte) {
	code, comment := map[int]bool{}, map[int]bool{}
	set := token.NewFileSet()
	in := set.AddFile("", -1, len(source))
	var s scanner.Scanner
	s.Init(in, source, nil, scanner.ScanComments)
	for {
		pos, tok, text := s.Scan()
		if tok == token.EOF {
			break
		}
		if tok == token.SEMICOLON && text == "\n" {
			continue
		}
		lines := code
		if tok == token.COMMENT {
			lines = comment
		}
		first := in.Line(pos)
		for i := range strings.Count(text, "\n") + 1 {
			lines[first+i] = true
		}
	}
	all := strings.Split(strings.TrimSuffix(string(source), "\n"), "\n")
	f.lines = len(all)
	for i, line := range all {
		columns := width(line)
		if columns >= maxColumns {
			f.wide = append(f.wide, fmt.Sprintf("%s:%d", f.path, i+1))
		}
		switch {
		case code[i+1]:
		case comment[i+1]:
			f.widths = append(f.widths, columns)
		default:
			f.blank++
		}
	}
}

// width is the number of columns of a line, with a tab as four.
func width(line string) int {
	return utf8.RuneCountInString(line) + 3*strings.Count(line, "\t")
}

func (f *file) place(node ast.Node) string {
	position := f.set.Position(node.Pos())
	return fmt.Sprintf("%s:%d", position.Filename, position.Line)
}

func (f *file) countDecl(decl ast.Decl, library bool) {
	switch d := decl.(type) {
	case *ast.FuncDecl:
		f.countFunction(d)
		if library && d.Name.IsExported() && exportedReceiver(d) {
			f.export(d, d.Doc)
		}
	case *ast.GenDecl:
		if !library {
			return
		}
		for _, spec := range d.Specs {
			switch s := spec.(type) {
			case *ast.TypeSpec:
				if s.Name.IsExported() {
					f.export(s, d.Doc, s.Doc, s.Comment)
				}
			case *ast.ValueSpec:
				for _, name := range s.Names {
					if name.IsExported() {
						f.export(name, d.Doc, s.Doc, s.Comment)
					}
				}
			}
		}
	}
}

// export counts an exported name, which any of docs documents.
func (f *file) export(node ast.Node, docs ...*ast.CommentGroup) {
	f.exported++
	for _, doc := range docs {
		if doc != nil {
			return
		}
	}
	f.undocumented = append(f.undocumented, f.place(node))
}

func exportedReceiver(d *ast.FuncDecl) bool {
	return d.Recv == nil || ast.IsExported(receiver(d))
}

// receiver is the name of the type that d is a method of.
func receiver(d *ast.FuncDecl) string {
	of := d.Recv.List[0].Type
	for {
		switch t := of.(type) {
		case *ast.StarExpr:
			of = t.X
		case *ast.IndexExpr:
			of = t.X
		case *ast.IndexListExpr:
			of = t.X
		case *ast.Ident:
			return t.Name
		default:
			return ""
		}
	}
}

func (f *file) countFunction(d *ast.FuncDecl) {
	name := d.Name.Name
	if d.Recv != nil {
		name = receiver(d) + "." + name
	}
	lines := f.set.Position(d.End()).Line - f.set.Position(d.Pos()).Line + 1
	f.functions = append(f.functions, Extreme{lines, name, f.place(d)})
	f.parameters = append(f.parameters, Extreme{d.Type.Params.NumFields(), name, f.place(d)})
	f.cyclomatic = append(f.cyclomatic, Extreme{cyclomatic(d), name, f.place(d)})
}

// cyclomatic counts as gocyclo does: one, and one for each if, for, case that
// is not the default, && and ||. Function literals count for the function that
// holds them.
func cyclomatic(d *ast.FuncDecl) int {
	n := 1
	ast.Inspect(d, func(node ast.Node) bool {
		switch node := node.(type) {
		case *ast.IfStmt, *ast.ForStmt, *ast.RangeStmt:
			n++
		case *ast.CaseClause:
			if node.List != nil {
				n++
			}
		case *ast.CommClause:
			if node.Comm != nil {
				n++
			}
		case *ast.BinaryExpr:
			if node.Op == token.LAND || node.Op == token.LOR {
				n++
			}
		}
		return true
	})
	return n
}

func (f *file) countNode(node ast.Node) bool {
	switch node := node.(type) {
	case *ast.TypeSpec:
		if s, ok := node.Type.(*ast.StructType); ok {
			f.structs = append(f.structs, Extreme{s.Fields.NumFields(), node.Name.Name, f.place(node)})
		}
	case *ast.IfStmt:
		f.countHeader(node.Init)
	case *ast.BinaryExpr:
		if node.Op == token.LOR && (isAnd(node.X) || isAnd(node.Y)) {
			f.mixed = append(f.mixed, f.place(node))
		}
	case *ast.AssignStmt:
		// A call with three results counts as one: its callers have no choice.
		if len(node.Rhs) >= 3 {
			f.tuples = append(f.tuples, f.place(node))
		}
	}
	return true
}

func isAnd(x ast.Expr) bool {
	b, ok := x.(*ast.BinaryExpr)
	return ok && b.Op == token.LAND
}

// countHeader counts what stands before the condition of an if. Declarations
// of an error, or of a value and whether it exists, are the language's idiom.
func (f *file) countHeader(init ast.Stmt) {
	if init == nil {
		return
	}
	assign, ok := init.(*ast.AssignStmt)
	switch {
	case !ok || assign.Tok != token.DEFINE:
		f.ifMutations = append(f.ifMutations, f.place(init))
	case !idiomatic(assign):
		f.ifDeclarations = append(f.ifDeclarations, f.place(init))
	}
}

func idiomatic(assign *ast.AssignStmt) bool {
	last, ok := assign.Lhs[len(assign.Lhs)-1].(*ast.Ident)
	if !ok || len(assign.Rhs) > 1 {
		return false
	}
	name := strings.ToLower(last.Name)
	return len(assign.Lhs) > 1 || strings.HasPrefix(name, "err") || strings.HasPrefix(name, "ok")
}
