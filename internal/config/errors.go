package config

import (
	"fmt"
	"strings"
	"unicode"
)

// Problem is one thing that is wrong, and what to write instead.
type Problem struct {
	Name       string // the setting as it was written
	Value      string // shortened; hidden when the setting is secret
	Problem    string
	Fix        string
	DidYouMean string // the setting that was probably meant
	Where      string // file:line, "environment", or ""
}

// String is one line: NAME=value (where): problem; fix.
func (p Problem) String() string {
	var b strings.Builder
	b.WriteString(p.Name)
	if p.Value != "" {
		b.WriteByte('=')
		b.WriteString(p.Value)
	}
	if p.Where != "" {
		fmt.Fprintf(&b, " (%s)", p.Where)
	}
	b.WriteString(": ")
	b.WriteString(p.Text())
	return b.String()
}

// Text is what is wrong and what to do about it, without the name and the
// place.
func (p Problem) Text() string {
	text := p.Problem
	if p.DidYouMean != "" {
		text += "; did you mean " + p.DidYouMean + "?"
	}
	if p.Fix != "" {
		text += "; " + p.Fix
	}
	return text
}

// Errors is everything Load found wrong, in the order of the settings.
type Errors struct{ Problems []Problem }

// Error prints one problem per line.
func (e *Errors) Error() string {
	lines := make([]string, len(e.Problems))
	for i, p := range e.Problems {
		lines[i] = p.String()
	}
	return strings.Join(lines, "\n")
}

// Warning is something that does not stop the start but that its reader will
// want to know.
type Warning struct {
	Name    string // the setting, "" for none in particular
	Message string
	Where   string
}

// String is one line.
func (w Warning) String() string {
	switch {
	case w.Name == "":
		return w.Message
	case w.Where == "":
		return w.Name + ": " + w.Message
	}
	return fmt.Sprintf("%s (%s): %s", w.Name, w.Where, w.Message)
}

// fault is what a parser finds wrong with a value: the caller adds name, value
// and place. line is that of a part of the value, 0 for all of it.
type fault struct {
	problem, fix string
	line         int
}

func (f *fault) Error() string {
	if f.fix == "" {
		return f.problem
	}
	return f.problem + "; " + f.fix
}

// bad makes a fault.
func bad(problem, fix string) error { return &fault{problem: problem, fix: fix} }

// at adds the line of a part to what is wrong with it, unless a part of that
// has one.
func at(n node, err error) error {
	if f, ok := err.(*fault); ok && f.line == 0 {
		return &fault{f.problem, f.fix, n.line}
	}
	return err
}

// shorten cuts what an error shows of a value.
func shorten(s string) string {
	s = strings.Join(strings.FieldsFunc(s, func(r rune) bool { return unicode.IsSpace(r) || unicode.IsControl(r) }), " ")
	if r := []rune(s); len(r) > 60 {
		return string(r[:57]) + "…"
	}
	return s
}
