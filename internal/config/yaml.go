package config

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"

	"forward/internal/keys"
)

// maxYAMLNodes bounds what aliases may unfold to.
const maxYAMLNodes = 100_000

// yamlReader turns goccy's syntax tree into nodes. The tree and not decoded values, because scalars must keep their text
// (`0123` is a key and not 83) and every value its line.
type yamlReader struct {
	anchors map[string]node
	nodes   int
}

// yamlError is a mistake in the file's form: where it is and what it is, but no text of the file.
type yamlError struct {
	line   int
	reason string
}

func (e *yamlError) Error() string { return fmt.Sprintf("line %d: %s", e.line, e.reason) }

// readYAML parses one YAML document. JSON is YAML, except that it may be indented with tabs.
func readYAML(text []byte) (node, error) {
	if json.Valid(text) {
		text = bytes.ReplaceAll(text, []byte("\t"), []byte(" "))
	}
	file, err := parser.ParseBytes(text, 0, parser.AllowDuplicateMapKey())
	if err != nil {
		var syntax yaml.Error
		if errors.As(err, &syntax) && syntax.GetToken() != nil {
			reason, _, _ := strings.Cut(syntax.GetMessage(), `"`) // a quoted part may be a key
			return node{}, &yamlError{syntax.GetToken().Position.Line, reason}
		}
		return node{}, &yamlError{1, "this is not YAML"}
	}
	r := yamlReader{anchors: map[string]node{}}
	root := node{kind: object}
	for i, doc := range file.Docs {
		if doc.Body == nil {
			continue
		}
		if i > 0 && len(root.pairs) > 0 {
			return node{}, &yamlError{doc.Body.GetToken().Position.Line, "a second document begins here"}
		}
		if root, err = r.read(doc.Body); err != nil {
			return node{}, err
		}
	}
	if root.kind != object && !root.empty() {
		return node{}, &yamlError{1, "the file does not begin with a name and a colon"}
	}
	return root, nil
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
		if r.nodes += value.size(); !ok || r.nodes > maxYAMLNodes {
			return node{}, &yamlError{line, "this alias has no anchor before it, or unfolds to too much"}
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

// object reads a mapping. A name may be missing from the tree when it is a merge key (<<), whose members fill the gaps.
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
			return out, &yamlError{key.line, "a name must be a plain word"}
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

// sections maps the nested names of openai-forward's YAML and of LLProxy's config.json to settings. Names at the top need no
// entry when they are a setting's name in any case.
var sections = map[string]map[string]string{
	"": {"forward": "FORWARD_CONFIG", "timezone": "TZ"},
	"log": {"openai": "LOG_OPENAI", "general": "LOG_GENERAL", "chat": "LOG_CHAT", "dir": "LOG_DIR", "content": "LOG_CONTENT",
		"redact":   "LOG_REDACT",
		"max_size": "LOG_MAX_SIZE", "max_total": "LOG_MAX_TOTAL", "retention": "LOG_RETENTION", "level": "LOG_LEVEL", "format": "LOG_FORMAT"},
	"cache": {"openai": "CACHE_OPENAI", "general": "CACHE_GENERAL", "custom": "CACHE_GENERAL", "routes": "CACHE_ROUTES", "backend": "CACHE_BACKEND",
		"root_path_or_url": "CACHE_ROOT_PATH_OR_URL", "default_request_caching_value": "DEFAULT_REQUEST_CACHING_VALUE",
		"chat_completion": "CACHE_CHAT_COMPLETION", "embedding": "CACHE_EMBEDDING", "ttl": "CACHE_TTL", "max_bytes": "CACHE_MAX_BYTES",
		"max_entry_bytes": "CACHE_MAX_ENTRY_BYTES", "scope": "CACHE_SCOPE", "mode": "CACHE_MODE"},
	"api_key": {"openai_key": "OPENAI_API_KEY_CONFIG", "forward_key": "FORWARD_KEY_CONFIG", "level": "LEVEL_MODELS"},
	"rate_limit": {"global_rate_limit": "GLOBAL_RATE_LIMIT", "strategy": "RATE_LIMIT_STRATEGY", "iter_chunk": "ITER_CHUNK_TYPE",
		"token_rate_limit": "TOKEN_RATE_LIMIT", "req_rate_limit": "REQ_RATE_LIMIT", "req_rate_limit_backend": "REQ_RATE_LIMIT_BACKEND",
		"backend": "REQ_RATE_LIMIT_BACKEND"},
	"app":     {"port": "PORT", "healthport": "app.healthPort"},
	"logging": {"level": "LOG_LEVEL", "type": "LOG_FORMAT"},
}

// flatten sorts the file's tree into a layer. A name nobody knows is an error: the file is ours alone, so it is a slip.
func flatten(file string, root node) (values layer, routes node, problems []Problem, warnings []Warning) {
	values = layer{}
	add := func(path, name string, n node) {
		where := fmt.Sprintf("%s:%d", file, n.line)
		if before, twice := values[name]; twice && !before.empty() {
			problems = append(problems, Problem{Name: path, Where: where, Problem: "set again after " + before.where, Fix: "keep one of the two"})
			return
		}
		values[name] = value{node: n, name: path, source: File, where: where}
	}
	for _, p := range root.pairs {
		section := strings.ToLower(p.key)
		if section == "routes" {
			routes = p.value
			continue
		}
		if section == "features" || section == "rate_limiting" {
			more, said := features(file, p, add)
			problems, warnings = append(problems, more...), append(warnings, said...)
			continue
		}
		if names, ok := sections[section]; ok && section != "" && p.value.kind == object {
			for _, member := range p.value.pairs {
				path := p.key + "." + member.key
				if name, ok := names[strings.ToLower(member.key)]; ok {
					add(path, name, member.value)
					continue
				}
				problems = append(problems, unknownKey(file, path, member, p.key+".", keysOf(names)))
			}
			continue
		}
		if name := topName(section); name != "" {
			add(p.key, name, p.value)
			continue
		}
		if !p.value.empty() || sections[section] == nil {
			problems = append(problems, unknownKey(file, p.key, p, "", append(allNames(), "forward", "routes", "api_key", "rate_limit", "cache", "log")))
		}
	}
	return values, routes, problems, warnings
}

// topName returns the setting that a lower-case name at the top of the file stands for.
func topName(key string) string {
	if name, ok := sections[""][key]; ok {
		return name
	}
	for _, name := range allNames() {
		if strings.EqualFold(name, key) {
			return name
		}
	}
	return ""
}

// plainName is what a misspelt setting looks like, and a key does not.
var plainName = regexp.MustCompile(`^[A-Za-z_. ]{1,60}$`)

func unknownKey(file, path string, p pair, prefix string, candidates []string) Problem {
	if !plainName.MatchString(path) {
		path = keys.Mask(path) // a key whose line lost its indentation, perhaps
	}
	out := Problem{Name: path, Where: fmt.Sprintf("%s:%d", file, p.value.line), Problem: "no setting has this name"}
	for i, c := range candidates {
		candidates[i] = strings.ToLower(c)
	}
	last := path[strings.LastIndexByte(path, '.')+1:]
	if near := nearest(last, candidates); near != "" {
		out.DidYouMean = prefix + near
	} else {
		out.Fix = "remove it, or see .env.example for the names"
	}
	return out
}
