package main

import (
	"fmt"
	"slices"
)

// The bounds of the project's style. What exceeds one is a finding.
const (
	maxFunctionLines = 60
	maxParameters    = 4
	maxFields        = 20
	maxCyclomatic    = 15
	maxColumns       = 100
	maxFileLines     = 300
)

// A Package holds the numbers of one folder, or of all.
type Package struct {
	Path               string  `json:"path"`
	Files              int     `json:"files"`
	FilesOver300       int     `json:"files_over_300_lines"`
	Lines              int     `json:"lines"`
	CodeLines          int     `json:"code_lines"`    // neither blank nor comment only
	CommentLines       int     `json:"comment_lines"` // comment only
	CommentShare       float64 `json:"comment_share"` // percent of all lines
	CommentWidthMedian int     `json:"comment_width_median"`
	CommentWidthP90    int     `json:"comment_width_p90"`
	Exported           int     `json:"exported"`
	Sizes
	Style
	Findings []Finding `json:"findings,omitempty"`

	widths []int
}

// Sizes are the largest functions and structs, and how many exceed the bounds.
type Sizes struct {
	LongestFunction          Extreme `json:"longest_function"`
	FunctionsOver60          int     `json:"functions_over_60_lines"`
	MostParameters           Extreme `json:"most_parameters"`
	FunctionsOver4Parameters int     `json:"functions_over_4_parameters"`
	LargestStruct            Extreme `json:"largest_struct"`
	StructsOver20Fields      int     `json:"structs_over_20_fields"`
	MostCyclomatic           Extreme `json:"most_cyclomatic"`
	CyclomaticOver15         int     `json:"cyclomatic_over_15"`
}

// Style counts what the project avoids.
type Style struct {
	Undocumented     int `json:"undocumented"`
	WideLines        int `json:"lines_of_100_columns"`
	IfDeclarations   int `json:"if_header_declarations"` // := other than of err and ok
	IfMutations      int `json:"if_header_mutations"`    // = += ++ and calls
	MixedLogic       int `json:"and_or_without_parentheses"`
	TupleAssignments int `json:"tuple_assignments_of_3"`
}

// An Extreme is the largest of something, and where it is.
type Extreme struct {
	Size  int    `json:"size"`
	Name  string `json:"name"`
	Place string `json:"place"`
}

func (e Extreme) String() string { return fmt.Sprintf("%d %s (%s)", e.Size, e.Name, e.Place) }

func (e *Extreme) raise(to Extreme) {
	if to.Size > e.Size {
		*e = to
	}
}

// A Finding is one construct that exceeds a bound or that the project avoids.
type Finding struct {
	Place string `json:"place"`
	Text  string `json:"text"`
}

// add counts a file of the package.
func (p *Package) add(f *file) {
	p.Files++
	p.Lines += f.lines
	p.CodeLines += f.lines - f.blank - len(f.widths)
	p.CommentLines += len(f.widths)
	p.widths = append(p.widths, f.widths...)
	if f.lines > maxFileLines {
		p.FilesOver300++
		p.find(f.path, "file of %d lines", f.lines)
	}
	for _, e := range f.functions {
		p.LongestFunction.raise(e)
		p.FunctionsOver60 += p.over(e, maxFunctionLines, "function %s has %d lines")
	}
	for _, e := range f.parameters {
		p.MostParameters.raise(e)
		p.FunctionsOver4Parameters += p.over(e, maxParameters, "function %s has %d parameters")
	}
	for _, e := range f.cyclomatic {
		p.MostCyclomatic.raise(e)
		p.CyclomaticOver15 += p.over(e, maxCyclomatic, "function %s has cyclomatic complexity %d")
	}
	for _, e := range f.structs {
		p.LargestStruct.raise(e)
		p.StructsOver20Fields += p.over(e, maxFields, "struct %s has %d fields")
	}
	p.Exported += f.exported
	p.Undocumented += p.list(f.undocumented, "exported without a comment")
	p.WideLines += p.list(f.wide, "line of 100 columns or more")
	p.IfDeclarations += p.list(f.ifDeclarations, "declaration in an if header")
	p.IfMutations += p.list(f.ifMutations, "mutation in an if header")
	p.MixedLogic += p.list(f.mixed, "&& beside || without parentheses")
	p.TupleAssignments += p.list(f.tuples, "tuple assignment of 3 or more")
}

// over reports 1 and lists a finding if e exceeds bound.
func (p *Package) over(e Extreme, bound int, format string) int {
	if e.Size <= bound {
		return 0
	}
	p.find(e.Place, format, e.Name, e.Size)
	return 1
}

func (p *Package) list(places []string, text string) int {
	for _, place := range places {
		p.find(place, "%s", text)
	}
	return len(places)
}

func (p *Package) find(place, format string, args ...any) {
	p.Findings = append(p.Findings, Finding{place, fmt.Sprintf(format, args...)})
}

// summarize computes what needs all files.
func (p *Package) summarize() {
	if p.Lines > 0 {
		p.CommentShare = float64(p.CommentLines*1000/p.Lines) / 10
	}
	if len(p.widths) > 0 {
		slices.Sort(p.widths)
		p.CommentWidthMedian = p.widths[len(p.widths)/2]
		p.CommentWidthP90 = p.widths[len(p.widths)*9/10]
	}
}
