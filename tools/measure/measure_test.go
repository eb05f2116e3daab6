package main

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
)

// TestMeasure compares the numbers of a file that holds one of each finding.
func TestMeasure(t *testing.T) {
	report, err := measure([]string{"testdata/sample"})
	if err != nil {
		t.Fatal(err)
	}
	p := report.Total
	got := map[string]int{
		"lines": p.Lines, "code": p.CodeLines, "comments": p.CommentLines,
		"longest": p.LongestFunction.Size, "parameters": p.MostParameters.Size,
		"fields": p.LargestStruct.Size, "cyclomatic": p.MostCyclomatic.Size,
		"exported": p.Exported, "undocumented": p.Undocumented, "wide": p.WideLines,
		"if declarations": p.IfDeclarations, "if mutations": p.IfMutations,
		"mixed": p.MixedLogic, "tuples": p.TupleAssignments,
	}
	want := map[string]int{
		"lines": 42, "code": 33, "comments": 4, "longest": 25, "parameters": 5,
		"fields": 3, "cyclomatic": 12, "exported": 4, "undocumented": 2, "wide": 1,
		"if declarations": 1, "if mutations": 1, "mixed": 1, "tuples": 1,
	}
	for name, n := range want {
		if got[name] != n {
			t.Errorf("%s: %d, want %d", name, got[name], n)
		}
	}
	if place := p.LongestFunction.Place; place != "testdata/sample/sample.go:18" {
		t.Errorf("the longest function is at %s", place)
	}
}

func TestOutput(t *testing.T) {
	report, err := measure([]string{"testdata/sample"})
	if err != nil {
		t.Fatal(err)
	}
	var table, object bytes.Buffer
	if err := report.write(&table, "table", true); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(table.String(), "sample.go:19: && beside || without parentheses") {
		t.Errorf("the findings are not listed:\n%s", &table)
	}
	if err := report.write(&object, "json", false); err != nil {
		t.Fatal(err)
	}
	var back Report
	if err := json.Unmarshal(object.Bytes(), &back); err != nil || back.Total.Lines != report.Total.Lines {
		t.Errorf("%v, %+v", err, back.Total)
	}
	if err := report.write(&table, "xml", false); err == nil {
		t.Error("an unknown output is accepted")
	}
}
