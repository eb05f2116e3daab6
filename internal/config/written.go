package config

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"regexp"
	"slices"
	"strings"
)

// written is a value as it was written, before references and files were read.
type written struct {
	sum    [sha256.Size]byte
	source Source
	// open reports whether node is there: whether the value can be shown as it
	// was written, because nothing of it is secret.
	open bool
	node node
}

// keep remembers a value as it was written.
func (l *loader) keep(s setting, v value) {
	w := written{sum: sha256.Sum256([]byte(v.compact())), source: v.source}
	if n, ok := showable(s, v.node); ok && v.source != Default {
		w.node = n
		w.open = true
	}
	l.cfg.written[s.name] = w
}

// place matches a text that stands for a value and is none: a file or a
// variable.
var place = regexp.MustCompile(`^(file:[^,]+|\$\{[A-Za-z_][A-Za-z0-9_]*\})$`)

// showable returns the tree of a value, and whether it can be shown.
func showable(s setting, n node) (node, bool) {
	if s.secret {
		return n, n.kind == scalar && place.MatchString(strings.TrimSpace(n.text))
	}
	if n.kind == scalar && s.tree && looksJSON(n.text) {
		if tree, err := parseJSON(n.text); err == nil {
			n = tree
		}
	}
	text := n.compact()
	return n, hideSecrets(text) == text
}

// keysName is the member of a route that holds its API keys.
const keysName = "keys"

// keepRoutes remembers `routes` without the API keys, and of these their sum.
func (l *loader) keepRoutes() {
	out := node{kind: object, line: l.routes.line}
	for _, route := range l.routes.pairs {
		rest := node{kind: route.value.kind, text: route.value.text, items: route.value.items, line: route.value.line}
		for _, member := range route.value.pairs {
			shown, ok := showable(setting{name: routesName, secret: strings.EqualFold(member.key, keysName), tree: true}, member.value)
			if ok {
				rest.pairs = append(rest.pairs, pair{member.key, shown})
			}
			name := routesName + "." + route.key + "." + strings.ToLower(member.key)
			l.cfg.written[name] = written{sum: sha256.Sum256([]byte(member.value.compact())), source: File, open: ok}
		}
		out.pairs = append(out.pairs, pair{route.key, rest})
	}
	if !l.routes.empty() {
		l.cfg.written[routesName] = written{source: File, open: true, node: out}
	}
	l.cfg.onlyRoutes = l.onlyRoutes
}

// Export writes the settings as a forward.yaml from which the gateway starts as
// it did, but for secrets: in their place is a comment. Defaults are left out.
// References and the places of files stay as they were written.
func (c *Config) Export(w io.Writer) error {
	var b bytes.Buffer
	b.WriteString("# The settings of a gateway, whatever they were read from. Defaults are left out.\n")
	if c.onlyRoutes {
		b.WriteString("# They were read from a config.json of LLProxy, which mounts no route beside its own; this file mounts the built-in ones, too.\n")
	}
	for _, s := range table() {
		v := c.written[s.name]
		switch {
		case v.source == Default || v.source == "":
		case v.open:
			pair{s.name, v.node}.yaml(&b, 0)
		default:
			fmt.Fprintf(&b, "# %s is set and left out, because it holds a secret. Set it in the environment or in .env, or write file: and the path of a file.\n", s.name)
		}
	}
	routes := c.written[routesName].node
	for _, name := range slices.Sorted(maps.Keys(c.written)) {
		if strings.HasPrefix(name, routesName+".") && !c.written[name].open {
			fmt.Fprintf(&b, "# %s is set and left out, because it holds a secret.\n", oneLine(name))
		}
	}
	if !routes.empty() {
		pair{routesName, routes}.yaml(&b, 0)
	}
	_, err := w.Write(b.Bytes())
	return err
}

// oneLine makes a name fit for a comment.
func oneLine(s string) string { return hideSecrets(strings.Join(strings.Fields(s), " ")) }

// yaml writes a member of an object in block style.
func (p pair) yaml(b *bytes.Buffer, depth int) {
	b.WriteString(strings.Repeat("  ", depth) + yamlText(p.key) + ":")
	p.value.yamlValue(b, depth)
}

// yamlValue writes what comes after a colon or a dash.
func (n node) yamlValue(b *bytes.Buffer, depth int) {
	switch {
	case n.kind == list && len(n.items) > 0:
		b.WriteByte('\n')
		for _, item := range n.items {
			b.WriteString(strings.Repeat("  ", depth+1) + "-")
			item.yamlValue(b, depth+1)
		}
	case n.kind == object && len(n.pairs) > 0:
		b.WriteByte('\n')
		for _, p := range n.pairs {
			p.yaml(b, depth+1)
		}
	case n.kind == list:
		b.WriteString(" []\n")
	case n.kind == object:
		b.WriteString(" {}\n")
	default:
		b.WriteString(" " + yamlText(n.text) + "\n")
	}
}

// plainYAML matches texts that mean themselves in YAML.
var plainYAML = regexp.MustCompile(`^[A-Za-z0-9/][A-Za-z0-9_./-]*$`)

// yamlText writes a text so that it is read as it is.
func yamlText(s string) string {
	if plainYAML.MatchString(s) && !strings.EqualFold(s, "null") {
		return s
	}
	var b bytes.Buffer
	quoted := json.NewEncoder(&b)
	quoted.SetEscapeHTML(false)
	_ = quoted.Encode(s) // a text can be encoded
	return strings.TrimSpace(b.String())
}
