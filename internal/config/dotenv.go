package config

import (
	"fmt"
	"regexp"
	"strings"

	"github.com/joho/godotenv"
)

// statement is one assignment of a .env file, from its name to the end of its
// value.
type statement struct {
	name string
	raw  string // the value as written, quotes included
	line int    // where the name stands
}

var envName = regexp.MustCompile(`^(?:export[ \t]+)?([A-Za-z_][A-Za-z0-9_.]*)[ \t]*[=:](?:[ \t]*)(.*)$`)

// readDotEnv reads the text of a .env file as godotenv does, one statement at a
// time, because godotenv itself knows no line numbers, stops at its first error
// and quotes the rest of the file, keys and all, in it. Differences, each so
// that a file written for python-dotenv means what it meant:
//
//   - `$` is an ordinary character. godotenv would turn `pa$Word` into `paord` without a word; ${NAME} is resolved later, for
//     all sources alike, and a missing NAME is an error.
//   - an unquoted value ends at its first ` #`, not at its last.
func readDotEnv(file, text string) (layer, []Problem, []Warning) {
	var problems []Problem
	var warnings []Warning
	statements, problems := splitDotEnv(file, text)
	values := layer{}
	for _, s := range statements {
		where := fmt.Sprintf("%s:%d", file, s.line)
		parsed, err := godotenv.Unmarshal("V=" + strings.ReplaceAll(s.raw, "$", `\$`))
		if s.raw != "" && s.raw[0] == '\'' {
			parsed, err = godotenv.Unmarshal("V=" + s.raw) // nothing is expanded or unescaped between single quotes
		}
		if err != nil {
			problems = append(problems, Problem{Name: s.name, Where: where, Problem: "the value cannot be read", Fix: "write " + s.name + "='value' on one line"})
			continue
		}
		if before, twice := values[s.name]; twice && before.text != parsed["V"] {
			warnings = append(warnings, Warning{s.name, "set again after " + before.where + "; the last one counts", where})
		}
		values[s.name] = value{node: node{text: parsed["V"], line: s.line}, name: s.name, source: DotEnv, where: where}
	}
	return values, problems, warnings
}

// splitDotEnv cuts the text into statements. A line that is none is a problem
// that names the line only: a torn line may well be half a key.
func splitDotEnv(file, text string) ([]statement, []Problem) {
	var statements []statement
	var problems []Problem
	text = strings.TrimPrefix(text, "\ufeff")
	lines := strings.Split(strings.ReplaceAll(text, "\r\n", "\n"), "\n")
	for i := 0; i < len(lines); i++ {
		line := strings.TrimSpace(lines[i])
		if line == "" || line[0] == '#' {
			continue
		}
		fail := func(problem, fix string) {
			problems = append(problems, Problem{Name: "line", Where: fmt.Sprintf("%s:%d", file, i+1), Problem: problem, Fix: fix})
		}
		m := envName.FindStringSubmatch(strings.TrimLeft(lines[i], " \t")) // blanks at its end may belong to a quoted value
		if m == nil {
			fail("this is not NAME=value", `write NAME=value, or put a value of several lines between single quotes`)
			continue
		}
		s := statement{name: m[1], raw: m[2], line: i + 1}
		quote := leadingQuote(s.raw)
		if quote == 0 {
			s.raw = cutComment(s.raw)
			statements = append(statements, s)
			continue
		}
		rest := strings.Join(append([]string{s.raw}, lines[i+1:]...), "\n")
		end := closingQuote(rest, quote)
		if end < 0 {
			problems = append(problems, Problem{Name: s.name, Where: fmt.Sprintf("%s:%d", file, s.line),
				Problem: fmt.Sprintf("the quote %c is never closed, so the file cannot be read from here on", quote), Fix: fmt.Sprintf("end the value with %c", quote)})
			return statements, problems
		}
		s.raw = rest[:end+1]
		i += strings.Count(s.raw, "\n")
		after, _, _ := strings.Cut(rest[end+1:], "\n")
		if !isComment(after) {
			fail("there is text after the closing quote of "+s.name, "put the whole value between one pair of quotes")
			continue
		}
		statements = append(statements, s)
	}
	return statements, problems
}

// leadingQuote returns the quote that a value starts with, or 0.
func leadingQuote(s string) byte {
	if s != "" && (s[0] == '\'' || s[0] == '"') {
		return s[0]
	}
	return 0
}

// closingQuote returns the index of the quote that closes s[0], or -1; a
// backslash protects a quote, as in godotenv.
func closingQuote(s string, quote byte) int {
	for i := 1; i < len(s); i++ {
		if s[i] == quote && s[i-1] != '\\' {
			return i
		}
	}
	return -1
}

var commentStart = regexp.MustCompile(`[ \t]+#`)

// cutComment removes a trailing ` # comment` of an unquoted value.
func cutComment(s string) string {
	if at := commentStart.FindStringIndex(s); at != nil {
		s = s[:at[0]]
	}
	return strings.TrimSpace(s)
}
