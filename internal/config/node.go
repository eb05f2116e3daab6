package config

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
)

// kind is one of the three shapes of a node.
type kind int

const (
	scalar kind = iota
	list
	object
)

// node is the one shape of a value, whichever file it was written in. Scalars
// keep their text as written, because a forward key `0123` must not become a
// number on its way through YAML.
type node struct {
	kind  kind
	text  string
	items []node
	pairs []pair // in the order written; a name may come twice
	line  int    // in its file; 0 when unknown
}

type pair struct {
	key   string
	value node
}

// get returns the last member called name, in any case.
func (n node) get(name string) (node, bool) {
	for i := len(n.pairs) - 1; i >= 0; i-- {
		if strings.EqualFold(n.pairs[i].key, name) {
			return n.pairs[i].value, true
		}
	}
	return node{}, false
}

// texts returns the texts of a list's items.
func (n node) texts() (out []string) {
	for _, item := range n.items {
		out = append(out, item.text)
	}
	return out
}

// empty reports whether the node holds nothing: "", null, [] or {}.
func (n node) empty() bool {
	if n.kind == scalar {
		return strings.TrimSpace(n.text) == ""
	}
	return len(n.items)+len(n.pairs) == 0
}

// onLine returns a copy that is on one line as a whole.
func (n node) onLine(line int) node {
	out := n
	out.line = line
	out.items = nil
	out.pairs = nil
	for _, item := range n.items {
		out.items = append(out.items, item.onLine(line))
	}
	for _, p := range n.pairs {
		out.pairs = append(out.pairs, pair{p.key, p.value.onLine(line)})
	}
	return out
}

// compact writes the node back as short JSON, or as plain text for a scalar;
// for showing only.
func (n node) compact() string {
	if n.kind == scalar {
		return n.text
	}
	var b strings.Builder
	n.write(&b)
	return b.String()
}

func (n node) write(b *strings.Builder) {
	switch n.kind {
	case scalar:
		text, _ := json.Marshal(n.text)
		b.Write(text)
	case list:
		b.WriteByte('[')
		for i, item := range n.items {
			if i > 0 {
				b.WriteByte(',')
			}
			item.write(b)
		}
		b.WriteByte(']')
	case object:
		b.WriteByte('{')
		for i, p := range n.pairs {
			if i > 0 {
				b.WriteByte(',')
			}
			node{text: p.key}.write(b)
			b.WriteByte(':')
			p.value.write(b)
		}
		b.WriteByte('}')
	}
}

// mapText returns a copy whose texts and names went through f; errors are
// joined.
func (n node) mapText(f func(string) (string, error)) (node, error) {
	var errs []error
	each := func(s string) string {
		out, err := f(s)
		if err != nil {
			errs = append(errs, err)
		}
		return out
	}
	out := node{kind: n.kind, line: n.line}
	if n.kind == scalar {
		out.text = each(n.text)
	}
	for _, item := range n.items {
		mapped, err := item.mapText(f)
		errs = append(errs, err)
		out.items = append(out.items, mapped)
	}
	for _, p := range n.pairs {
		mapped, err := p.value.mapText(f)
		errs = append(errs, err)
		out.pairs = append(out.pairs, pair{each(p.key), mapped})
	}
	return out, errors.Join(errs...)
}

// looksJSON reports whether text means to be a JSON list or object.
func looksJSON(text string) bool {
	text = strings.TrimSpace(text)
	return strings.HasPrefix(text, "{") || strings.HasPrefix(text, "[")
}

// parseJSON reads one JSON value, by way of YAML, since JSON is YAML: one tree
// for both. encoding/json checks it first, since YAML accepts more, and its
// errors can be explained. They have the place and no text, which may hold
// keys.
func parseJSON(text string) (node, error) {
	d := json.NewDecoder(strings.NewReader(text))
	err := checkJSON(d)
	var n node
	if err == nil {
		n, err = parseYAML([]byte(text))
	}
	if err != nil {
		return node{}, &fault{
			problem: fmt.Sprintf("not valid JSON (%s, at character %d)", jsonReason(text, err), d.InputOffset()+1),
			fix:     `write JSON on one line with double quotes inside, e.g. '{"name": "value"}'`,
		}
	}
	return n, nil
}

var errAfterJSON = errors.New("text after its end")

// checkJSON reads one value, and the end.
func checkJSON(d *json.Decoder) error {
	for depth := 0; ; {
		token, err := d.Token()
		if err != nil {
			return err
		}
		switch token {
		case json.Delim('{'), json.Delim('['):
			depth++
		case json.Delim('}'), json.Delim(']'):
			depth--
		}
		if depth > 0 {
			continue
		}
		if _, err := d.Token(); err != io.EOF {
			return errAfterJSON
		}
		return nil
	}
}

// jsonReason explains the common mistakes without quoting the text.
func jsonReason(text string, err error) string {
	switch {
	case errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF):
		return "it ends in the middle"
	case err == errAfterJSON:
		return err.Error()
	case !strings.Contains(text, `"`) && strings.Contains(text, "'"):
		return "single quotes where JSON wants double ones"
	}
	return "a wrong character"
}
