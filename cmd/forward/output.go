package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/spf13/cobra"
	"golang.org/x/term"
	"golang.org/x/text/width"
)

// outputFlag adds -o with the forms that a command writes, the default first,
// and returns the function that reads it.
func outputFlag(c *cobra.Command, forms []string) func() (string, error) {
	last := len(forms) - 1
	words := strings.Join(forms[:last], ", ") + " or " + forms[last]
	form := c.Flags().StringP("output", "o", forms[0], words)
	return func() (string, error) {
		if !slices.Contains(forms, *form) {
			return "", &usageError{fmt.Errorf("unknown output %q: write %s", *form, words)}
		}
		return *form, nil
	}
}

func writeJSON(w io.Writer, v any) error {
	encoder := json.NewEncoder(w)
	encoder.SetIndent("", "  ")
	encoder.SetEscapeHTML(false)
	return encoder.Encode(v)
}

// table is a table without a frame, which reads well on a terminal and in a
// pipe. text/tabwriter aligns all columns to the same side; here numbers are
// aligned to the right.
type table struct {
	head, foot []string // foot may be nil
	rows       [][]string
	right      []bool // the columns that are aligned to the right; those after its end are not
}

func (t *table) write(w io.Writer) {
	widths := columnWidths(append(t.rows, t.head, t.foot))
	rule := strings.Repeat("─", lineWidth(widths))
	fmt.Fprintln(w, padded(t.head, widths, t.right))
	fmt.Fprintln(w, rule)
	for _, row := range t.rows {
		fmt.Fprintln(w, padded(row, widths, t.right))
	}
	if t.foot != nil {
		fmt.Fprintln(w, rule)
		fmt.Fprintln(w, padded(t.foot, widths, t.right))
	}
}

// columnWidths returns the width of the widest cell in each column.
func columnWidths(rows [][]string) []int {
	var widths []int
	for _, row := range rows {
		for i, cell := range row {
			if i == len(widths) {
				widths = append(widths, 0)
			}
			widths[i] = max(widths[i], displayWidth(cell))
		}
	}
	return widths
}

// lineWidth is the width of what padded returns.
func lineWidth(widths []int) (total int) {
	for _, n := range widths {
		total += n + 2
	}
	return total
}

// padded joins the cells of a row at the width of their columns, with a space
// on both sides of each.
func padded(row []string, widths []int, right []bool) string {
	var b strings.Builder
	for i, cell := range row {
		gap := strings.Repeat(" ", widths[i]-displayWidth(cell))
		if i < len(right) && right[i] {
			b.WriteString(" " + gap + cell + " ")
		} else {
			b.WriteString(" " + cell + gap + " ")
		}
	}
	return b.String()
}

// writeWrapped writes rows of three cells within a width: a cell that is too
// long goes on below itself.
func writeWrapped(w io.Writer, rows [][]string, width int) {
	widths := columnWidths(rows)
	if widths[0]+widths[1]+widths[2]+4 > width {
		widths[0] = min(widths[0], width/3)
		widths[2] = min(widths[2], width/3)
		widths[1] = width - widths[0] - widths[2] - 4
	}
	for _, row := range rows {
		var cells [3][]string
		lines := 0
		for i := range cells {
			cells[i] = wrapped(row[i], widths[i])
			lines = max(lines, len(cells[i]))
		}
		for n := range lines {
			var line strings.Builder
			for i, parts := range cells {
				part := ""
				if n < len(parts) {
					part = parts[n]
				}
				line.WriteString(part + strings.Repeat(" ", widths[i]-displayWidth(part)+2))
			}
			fmt.Fprintln(w, strings.TrimRight(line.String(), " "))
		}
	}
}

// writeParagraph writes a line within 100 columns: a longer one goes on below
// itself, further in.
func writeParagraph(w io.Writer, indent, line string) error {
	inner := indent + "    "
	text := indent + strings.Join(wrapped(line, 100-len(inner)), "\n"+inner)
	_, err := fmt.Fprintln(w, text)
	return err
}

// wrapped cuts s into parts of at most width columns, behind a space or a comma
// where there is one.
func wrapped(s string, width int) (parts []string) {
	for displayWidth(s) > width {
		at, end, columns := 0, 0, 0
		for i, r := range s {
			columns += displayWidth(string(r))
			if columns > width {
				break
			}
			end = i + utf8.RuneLen(r)
			if r == ' ' || r == ',' {
				at = end
			}
		}
		if at <= end/2 {
			at = max(end, 1)
		}
		parts = append(parts, strings.TrimRight(s[:at], " "))
		s = s[at:]
	}
	return append(parts, s)
}

// displayWidth is the number of terminal columns that s takes: East Asian
// characters take two.
func displayWidth(s string) (n int) {
	for _, r := range s {
		n++
		if k := width.LookupRune(r).Kind(); k == width.EastAsianWide || k == width.EastAsianFullwidth {
			n++
		}
	}
	return n
}

// visible shows names that clients choose without letting them write control
// sequences to the terminal.
func visible(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || (r >= 0x7f && r < 0xa0) {
			return '·'
		}
		return r
	}, s)
}

// sizeText writes bytes with a unit.
func sizeText(n int64) string {
	switch {
	case n < 1<<10:
		return fmt.Sprintf("%d B", n)
	case n < 1<<20:
		return fmt.Sprintf("%.1f KiB", float64(n)/(1<<10))
	case n < 1<<30:
		return fmt.Sprintf("%.1f MiB", float64(n)/(1<<20))
	}
	return fmt.Sprintf("%.1f GiB", float64(n)/(1<<30))
}

// agrees asks on a terminal whether to destroy something. Without a terminal
// the question has no answer, so the call is a wrong one.
func agrees(c *cobra.Command, question string) (bool, error) {
	if in, ok := c.InOrStdin().(*os.File); !ok || !term.IsTerminal(int(in.Fd())) {
		return false, &usageError{fmt.Errorf("%s There is no terminal to ask on: write --yes", question)}
	}
	fmt.Fprintf(c.ErrOrStderr(), "%s [y/N] ", question)
	line, err := bufio.NewReader(c.InOrStdin()).ReadString('\n')
	if err != nil && err != io.EOF {
		return false, fmt.Errorf("reading the answer: %w", err)
	}
	switch strings.ToLower(strings.TrimSpace(line)) {
	case "y", "yes":
		return true, nil
	}
	return false, errors.New("nothing was done")
}

// writeFile writes to name by way of a temporary file beside it, so that a
// failure leaves the old content. "-" is stdout.
func writeFile(stdout io.Writer, name string, write func(io.Writer) error) error {
	if name == "-" {
		return write(stdout)
	}
	f, err := os.CreateTemp(filepath.Dir(name), "."+strings.TrimPrefix(filepath.Base(name), ".")+".*")
	if err != nil {
		return fmt.Errorf("writing %s: %w", name, err)
	}
	defer os.Remove(f.Name()) // fails after the rename, as it should
	if err := write(f); err != nil {
		f.Close()
		return err
	}
	if err := f.Close(); err != nil {
		return fmt.Errorf("writing %s: %w", name, err)
	}
	if err := os.Rename(f.Name(), name); err != nil {
		return fmt.Errorf("writing %s: %w", name, err)
	}
	return nil
}
