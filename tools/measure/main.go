// Measure prints how Go packages are written: lines, comments, long functions,
// and constructs that the project avoids.
//
// It reads the non-test, non-generated Go files below the given directories by
// go/ast and counts by package. The numbers find code to look at; they do not
// show that code is good. With -v each finding is listed with its place.
//
//	go run -C tools ./measure ../cmd ../internal
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"
)

func main() {
	output := flag.String("o", "table", "output: table or json")
	verbose := flag.Bool("v", false, "list each finding with its place")
	flag.Usage = func() {
		fmt.Fprintln(flag.CommandLine.Output(), "usage: measure [-o table|json] [-v] DIR…")
		flag.PrintDefaults()
	}
	flag.Parse()
	if flag.NArg() == 0 {
		flag.Usage()
		os.Exit(2)
	}
	report, err := measure(flag.Args())
	if err == nil {
		err = report.write(os.Stdout, *output, *verbose)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "measure:", err)
		os.Exit(1)
	}
}

// A Report is what was measured in some directories.
type Report struct {
	Packages []*Package `json:"packages"`
	Total    *Package   `json:"total"`
}

// measure reads the packages in and below dirs.
func measure(dirs []string) (*Report, error) {
	report := &Report{Total: &Package{Path: "all"}}
	packages := map[string]*Package{}
	for _, dir := range dirs {
		dir = filepath.Clean(strings.TrimSuffix(dir, "..."))
		err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			name := entry.Name()
			if entry.IsDir() && path != dir && ignored(name) {
				return filepath.SkipDir
			}
			if entry.IsDir() || !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go") {
				return nil
			}
			file, err := readFile(path)
			if err != nil || file == nil {
				return err
			}
			folder := filepath.Dir(path)
			if packages[folder] == nil {
				packages[folder] = &Package{Path: folder}
				report.Packages = append(report.Packages, packages[folder])
			}
			packages[folder].add(file)
			report.Total.add(file)
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	slices.SortFunc(report.Packages, func(a, b *Package) int { return strings.Compare(a.Path, b.Path) })
	for _, p := range append(report.Packages, report.Total) {
		p.summarize()
	}
	return report, nil
}

// ignored reports whether the go command passes over a folder of this name.
func ignored(name string) bool {
	return name == "testdata" || name == "vendor" || name == "node_modules" ||
		strings.HasPrefix(name, ".") || strings.HasPrefix(name, "_")
}

func (r *Report) write(w io.Writer, output string, verbose bool) error {
	switch output {
	case "json":
		if !verbose {
			for _, p := range append(r.Packages, r.Total) {
				p.Findings = nil
			}
		}
		encoder := json.NewEncoder(w)
		encoder.SetIndent("", "  ")
		encoder.SetEscapeHTML(false)
		return encoder.Encode(r)
	case "table":
		return r.writeTable(w, verbose)
	}
	return fmt.Errorf("unknown output %q", output)
}

func (r *Report) writeTable(w io.Writer, verbose bool) error {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(table, strings.Join([]string{"package", "files", "lines", "code", "comment%", "width50", "width90",
		"longest", ">60", "params", ">4", "fields", ">20", "cyclo", ">15", "exported", "undoc",
		"≥100col", ">300ln", "if:=", "if=", "&&||", "tuple3"}, "\t")+"\t")
	for _, p := range append(r.Packages, r.Total) {
		fmt.Fprintf(table, "%s\t%d\t%d\t%d\t%.1f\t%d\t%d\t", p.Path, p.Files, p.Lines, p.CodeLines,
			p.CommentShare, p.CommentWidthMedian, p.CommentWidthP90)
		fmt.Fprintf(table, "%d\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t", p.LongestFunction.Size, p.FunctionsOver60,
			p.MostParameters.Size, p.FunctionsOver4Parameters, p.LargestStruct.Size, p.StructsOver20Fields,
			p.MostCyclomatic.Size, p.CyclomaticOver15)
		fmt.Fprintf(table, "%d\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t\n", p.Exported, p.Undocumented, p.WideLines,
			p.FilesOver300, p.IfDeclarations, p.IfMutations, p.MixedLogic, p.TupleAssignments)
	}
	if err := table.Flush(); err != nil {
		return err
	}
	t := r.Total
	fmt.Fprintf(w, "\nlongest function: %s\nmost parameters:  %s\nlargest struct:   %s\nmost cyclomatic:  %s\n",
		t.LongestFunction, t.MostParameters, t.LargestStruct, t.MostCyclomatic)
	if verbose {
		fmt.Fprintln(w)
		for _, f := range t.Findings {
			fmt.Fprintf(w, "%s: %s\n", f.Place, f.Text)
		}
	}
	return nil
}
