package config

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"
)

// maxYAMLNodes bounds what aliases may unfold to.
const maxYAMLNodes = 100_000

// yamlReader turns goccy's syntax tree into nodes. The tree and not decoded
// values, because scalars must keep their text (`0123` is a key and not 83) and
// every value its line.
type yamlReader struct {
	anchors map[string]node
	nodes   int
}

// yamlError is a mistake in the file's form: where it is and what it is, but no
// text of the file.
type yamlError struct {
	line   int
	reason string
	fix    string // "" for what the README shows
}

func (e *yamlError) Error() string { return fmt.Sprintf("line %d: %s", e.line, e.reason) }

// readYAML parses the one document of a file.
func readYAML(text []byte) (node, error) {
	root, err := parseYAML(text)
	if err == nil && root.kind != object && !root.empty() {
		err = &yamlError{line: 1, reason: "the file does not start with a name and a colon"}
	}
	return root, err
}

// parseYAML parses one YAML document. JSON is YAML, except that it may be
// indented with tabs.
func parseYAML(text []byte) (node, error) {
	if json.Valid(text) {
		text = bytes.ReplaceAll(text, []byte("\t"), []byte(" "))
	}
	file, err := parser.ParseBytes(text, 0, parser.AllowDuplicateMapKey())
	if err != nil {
		var syntax yaml.Error
		if errors.As(err, &syntax) && syntax.GetToken() != nil {
			reason, _, _ := strings.Cut(syntax.GetMessage(), `"`) // a quoted part may be a key
			return node{}, explainYAML(syntax.GetToken().Position.Line, reason)
		}
		return node{}, &yamlError{line: 1, reason: "this is not YAML"}
	}
	r := yamlReader{anchors: map[string]node{}}
	root := node{kind: object}
	for i, doc := range file.Docs {
		if doc.Body == nil {
			continue
		}
		if i > 0 && len(root.pairs) > 0 {
			return node{}, &yamlError{line: doc.Body.GetToken().Position.Line, reason: "a second document starts here"}
		}
		root, err = r.read(doc.Body)
		if err != nil {
			return node{}, err
		}
	}
	return root, nil
}

// explainYAML adds to what the parser reports what is nearly always its cause.
func explainYAML(line int, reason string) *yamlError {
	e := &yamlError{line: line, reason: reason}
	switch {
	case strings.Contains(reason, "tab character"), strings.Contains(reason, `'	'`):
		e.reason = "a tab stands where YAML takes spaces only"
		e.fix = "indent with spaces"
	case strings.Contains(reason, "not allowed in this context"), strings.Contains(reason, "unexpected"), strings.Contains(reason, "non-map value"):
		e.fix = "indent members of one object by the same number of spaces, and put values with a colon and a space in quotes"
	}
	return e
}

func (r *yamlReader) read(n ast.Node) (node, error) {
	line := n.GetToken().Position.Line
	r.nodes++
	switch n := n.(type) {
	case *ast.MappingNode:
		return r.object(n.Values, line)
	case *ast.MappingValueNode:
		return r.object([]*ast.MappingValueNode{n}, line)
	case *ast.SequenceNode:
		out := node{kind: list, line: line}
		for _, v := range n.Values {
			if n.IsFlowStyle && isCutValue(v) {
				return out, cutValue(v.GetToken().Position.Line)
			}
			item, err := r.read(v)
			if err != nil {
				return out, err
			}
			out.items = append(out.items, item)
		}
		return out, nil
	case *ast.AnchorNode:
		value, err := r.read(n.Value)
		r.anchors[n.Name.GetToken().Value] = value
		return value, err
	case *ast.AliasNode:
		value, ok := r.anchors[n.Value.GetToken().Value]
		r.nodes += value.size()
		if !ok || r.nodes > maxYAMLNodes {
			return node{}, &yamlError{line: line, reason: "this alias has no anchor before it, or unfolds to too much"}
		}
		value.line = line
		return value, nil
	case *ast.TagNode:
		return r.read(n.Value)
	case *ast.NullNode, *ast.CommentGroupNode:
		return node{line: line}, nil
	case *ast.LiteralNode:
		return node{text: n.Value.Value, line: line}, nil
	case *ast.StringNode:
		return node{text: n.Value, line: line}, nil
	}
	return node{text: n.GetToken().Value, line: line}, nil // numbers, booleans, .inf: as written
}

// object reads a mapping. A name may be missing from the tree when it is a
// merge key (<<), whose members fill the gaps.
func (r *yamlReader) object(values []*ast.MappingValueNode, line int) (node, error) {
	out := node{kind: object, line: line}
	var merged []pair
	for _, v := range values {
		value, err := r.read(v.Value)
		if err != nil {
			return out, err
		}
		if v.Key.IsMergeKey() {
			merged = append(merged, value.pairs...)
			continue
		}
		key, err := r.read(v.Key)
		if err != nil {
			return out, err
		}
		if key.kind != scalar {
			return out, &yamlError{line: key.line, reason: "a name must be a plain word"}
		}
		if strings.Contains(key.text, "://") && isCutValue(v) {
			return out, cutValue(v.Key.GetToken().Position.Line)
		}
		value.line = v.Key.GetToken().Position.Line
		out.pairs = append(out.pairs, pair{key.text, value})
	}
	for _, p := range merged {
		if _, ok := out.get(p.key); !ok {
			out.pairs = append(out.pairs, p)
		}
	}
	return out, nil
}

// isCutValue reports whether a pair is a text with a colon in it. In a list
// inside braces goccy/go-yaml reads http://host:8000 as a name and a value,
// although a name ends with a colon and a space there (YAML 1.2, section
// 7.3.3). What is right again in a later version does not come here.
func isCutValue(n ast.Node) bool {
	p, ok := n.(*ast.MappingValueNode)
	if !ok || p.Start == nil || p.Value == nil {
		return false
	}
	key, ok := p.Key.(ast.Node)
	if !ok || key.GetToken().Type == token.DoubleQuoteType || key.GetToken().Type == token.SingleQuoteType {
		return false
	}
	value := p.Value.GetToken().Position
	return value.Line == p.Start.Position.Line && value.Column == p.Start.Position.Column+1
}

func cutValue(line int) *yamlError {
	return &yamlError{line: line, reason: "a value with a colon inside braces or brackets is read as a name and a value", fix: `put it in quotes, such as "http://host:8000"`}
}

// size counts the nodes of a tree.
func (n node) size() int {
	total := 1
	for _, item := range n.items {
		total += item.size()
	}
	for _, p := range n.pairs {
		total += p.value.size()
	}
	return total
}
