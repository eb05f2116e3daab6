package config

import (
	"fmt"
	"regexp"
	"strings"
)

// value is what one layer has for one name.
type value struct {
	node
	name   string // as written: an older name of the setting, perhaps
	source Source
	where  string // file:line, or the source
	cut    *cut   // not nil when only the start of a JSON text arrived
}

// layer is one source of settings, by name.
type layer map[string]value

// cut is a JSON text of several lines whose first line alone arrived, as
// `docker --env-file` passes it.
type cut struct {
	start string // what arrived, without the opening quote
	whole string // the same, closed after its last whole entry; "" when there is none
}

// readEnviron makes a layer of the process environment. Unlike a shell, `docker
// --env-file` takes a line as it stands: quotes stay part of the value, so does
// a trailing comment, and a value of several lines ends with its first line. A
// value that no shell could have meant that way is therefore read as the .env
// file it was written in.
func readEnviron(environ []string) (layer, []Warning) {
	values := layer{}
	var warnings []Warning
	for i, entry := range environ {
		name, text, ok := strings.Cut(entry, "=")
		if !ok || !known(name) {
			continue
		}
		v := value{name: name, source: Environment, where: string(Environment)}
		v.text, v.cut = undocker(text, environ[i+1:])
		if bare := strings.TrimSpace(text); leadingQuote(bare) == 0 && !looksJSON(bare) {
			v.text = cutComment(bare)
			if v.text != bare {
				warnings = append(warnings, Warning{name, "the text after ` #` was read as a comment", v.where})
			}
		}
		values[name] = v
	}
	return values, warnings
}

// undocker removes one layer of quotes and completes JSON that was cut, if it
// can. following are the entries after it.
func undocker(text string, following []string) (string, *cut) {
	text = strings.TrimSpace(text)
	quote := leadingQuote(text)
	switch {
	case quote == 0 && !looksJSON(text):
		return text, nil
	case quote != 0 && !looksJSON(text[1:]):
		if end := closingQuote(text, quote); end > 0 && isComment(text[end+1:]) {
			return text[1:end], nil
		}
		return text, nil
	case quote == 0:
		end := jsonEnd(text)
		if end > 0 && isComment(text[end:]) {
			return text[:end], nil
		}
		if end < 0 {
			return complete(text, 0, following)
		}
		return text, nil
	}
	inner := text[1:]
	if end := strings.LastIndexByte(inner, quote); end >= 0 && isComment(inner[end+1:]) {
		if whole := unescape(inner[:end]); jsonEnd(whole) > 0 {
			return whole, nil
		}
	}
	return complete(inner, quote, following)
}

// isComment reports whether s is blank or a comment.
func isComment(s string) bool {
	s = strings.TrimSpace(s)
	return s == "" || s[0] == '#'
}

// unescape undoes \" of a JSON text that stood between double quotes, where
// every quote is escaped.
func unescape(s string) string {
	if strings.Contains(s, `\"`) && !strings.Contains(strings.ReplaceAll(s, `\"`, ""), `"`) {
		return strings.ReplaceAll(s, `\"`, `"`)
	}
	return s
}

var shellName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

// complete looks for the rest of a cut JSON text among the entries that follow
// it: some runtimes pass each further line as a variable whose name is the
// line. If it is not there, what is left is the text up to its last whole
// entry.
func complete(text string, quote byte, following []string) (string, *cut) {
	joined := text
	for _, entry := range following {
		name, _, _ := strings.Cut(entry, "=")
		if shellName.MatchString(name) {
			break
		}
		if strings.Count(entry, "=") == 1 {
			entry = strings.TrimSuffix(entry, "=")
		}
		joined += "\n" + entry
		whole := joined
		if quote != 0 {
			whole = strings.TrimSuffix(strings.TrimSpace(whole), string(quote))
		}
		if jsonEnd(whole) > 0 {
			return whole, nil
		}
	}
	return text, &cut{start: text, whole: closeJSON(text)}
}

// jsonEnd returns the index after the bracket that closes the first one, or -1
// when the text ends before it.
func jsonEnd(text string) int {
	end := -1
	scanJSON(text, func(i, depth int, _ byte) {
		if depth == 0 && end < 0 {
			end = i + 1
		}
	})
	return end
}

// closeJSON closes a text that ends in the middle after its last whole
// top-level entry, so that half an entry is never taken for one:
// {"a":"1/minute","b":"2 becomes {"a":"1/minute"}. It returns "" when no entry
// is whole.
func closeJSON(text string) string {
	text = strings.TrimSpace(text)
	if text == "" {
		return ""
	}
	end, colon := 0, text[0] == '['
	scanJSON(text, func(i, depth int, c byte) {
		switch {
		case depth != 1:
		case c == ',':
			end, colon = i, text[0] == '['
		case c == ':':
			colon = true
		case (c == '"' || c == '}' || c == ']') && colon:
			end = i + 1
		}
	})
	if end == 0 || strings.Trim(text[1:end], " \t\r\n,") == "" {
		return ""
	}
	if text[0] == '[' {
		return strings.TrimSuffix(text[:end], ",") + "]"
	}
	return strings.TrimSuffix(text[:end], ",") + "}"
}

// scanJSON calls mark at each bracket, comma, colon and closing string quote
// outside of strings, with the depth after it.
func scanJSON(text string, mark func(i, depth int, c byte)) {
	depth, inString := 0, false
	for i := 0; i < len(text); i++ {
		c := text[i]
		switch {
		case inString && c == '\\':
			i++
		case inString && c != '"':
		case c == '"':
			inString = !inString
			if !inString {
				mark(i, depth, c)
			}
		case c == '{' || c == '[':
			depth++
			mark(i, depth, c)
		case c == '}' || c == ']':
			depth--
			mark(i, depth, c)
		case c == ',' || c == ':':
			mark(i, depth, c)
		}
	}
}

// recover decides what a cut value means: the .env of the working directory is
// asked first, then its whole entries are used. Nothing may be lost in silence,
// so the second case warns and a value without a whole entry is an error.
func (v value) recover(dotenv layer) (value, *Warning, error) {
	if file, ok := dotenv[v.name]; ok && strings.HasPrefix(squeeze(file.text), squeeze(v.cut.start)) {
		return file, &Warning{v.name, "the environment holds only its first line, as `docker --env-file` leaves it; read from the file instead", file.where}, nil
	}
	fix := fmt.Sprintf("write the whole JSON on one line: %s={…}", v.name)
	if v.cut.whole == "" {
		return v, nil, bad("only the first line of a JSON of several lines arrived, as `docker --env-file` leaves it, and it holds no whole entry", fix)
	}
	v.text, v.cut = v.cut.whole, nil
	n, err := parseJSON(v.text)
	if err != nil {
		return v, nil, err
	}
	w := &Warning{v.name, fmt.Sprintf("THE REST IS LOST: only the first line of a JSON of several lines arrived, as `docker --env-file` leaves it; %d whole %s applied; %s",
		len(n.items)+len(n.pairs), plural(len(n.items)+len(n.pairs), "entry is", "entries are"), fix), v.where}
	return v, w, nil
}

// squeeze removes white space, which a .env file may have more of than the
// environment.
func squeeze(s string) string { return strings.Join(strings.Fields(s), "") }

func plural(n int, one, many string) string {
	if n == 1 {
		return one
	}
	return many
}
