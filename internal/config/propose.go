package config

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// Proposal is what a text would change in the place of forward.yaml.
type Proposal struct {
	Config   *Config // nil where there are problems
	Problems []Problem
	Warnings []Warning
	Changes  []Change // also where there are problems
}

// Change is a setting that would have another value. Secrets are masked.
type Change struct {
	Name          string
	Before, After string
	Restart       bool // only a restart can change it
}

// proposed is the name of a proposed text in the places of problems.
const proposed = "forward.yaml"

// Propose reads a text as forward.yaml beside the other sources of a gateway,
// and compares the result with the gateway's settings. Nothing is applied.
//
// The text may come from a browser, so it is only a text: files that it names
// are not opened and ${NAME} is not replaced, or an error could show what is in
// them. A value that needs them is not checked, with a warning.
func Propose(f Flags, environ []string, running *Config, text string) *Proposal {
	managed := f.ManagedKeys != nil && f.ManagedKeys(running.DataDir) // and not of the DATA_DIR in the text
	l := &loader{cfg: &Config{reading: newReading()}, chosen: map[string]value{}, sealed: true, managedKeys: func(string) bool { return managed }}
	l.readLayers(f, environ, func() layer { return l.parseConfig(proposed, []byte(text), true) })
	l.load(f)
	if l.unread {
		l.warnings = append(l.warnings, Warning{Message: "file:PATH and ${NAME} of this text are not read here, so what they stand for is not checked"})
	}
	p := &Proposal{Problems: l.problems, Warnings: l.warnings, Changes: l.cfg.changes(running)}
	if len(l.problems) == 0 {
		p.Config = l.cfg
	}
	return p
}

// Line returns the line of a problem in a proposed text, 0 for none.
func (p Problem) Line() int {
	line, ok := strings.CutPrefix(p.Where, proposed+":")
	n, err := strconv.Atoi(line)
	if !ok || err != nil {
		return 0
	}
	return n
}

// closed reports whether a value is of a text that is sealed.
func (l *loader) closed(v value) bool { return l.sealed && v.source == File }

// unreadPrefix starts what stands for a text that is not read.
const unreadPrefix = "unread-"

// unread stands for what a text of a client names and the gateway does not
// read.
func unread(name string) string {
	sum := sha256.Sum256([]byte(name))
	return unreadPrefix + hex.EncodeToString(sum[:12])
}

// expanderOf returns what replaces references in a value.
func (l *loader) expanderOf(v value) func(string) (string, error) {
	if !l.closed(v) {
		return l.expand
	}
	return func(s string) (string, error) {
		return reference.ReplaceAllStringFunc(s, func(ref string) string {
			l.unread = true
			return unread(ref)
		}), nil
	}
}

// set writes a value into the Config. Of a sealed text, a value that is in a
// file or in a variable is not checked, and a list is checked with others in
// their place.
func (l *loader) set(s setting, v, resolved value) (shown string, err error) {
	text := v.compact()
	named := (s.secret || s.url) && strings.Contains(text, "file:")
	if !l.closed(v) || (!named && !reference.MatchString(text)) {
		return s.set(l, resolved)
	}
	l.unread = true
	if !s.tree {
		if s.def != "" {
			v.node = node{text: s.def}
			s.set(l, v) // a default is right
		}
		if s.secret {
			return "(not read here)", nil
		}
		return hideSecrets(text), nil
	}
	shown, _ = s.set(l, resolved)
	return shown, nil
}

// changes returns how settings differ from those of before, in the order of
// .env.example, routes last.
func (c *Config) changes(before *Config) (list []Change) {
	was := shownBy(before)
	is := shownBy(c)
	for _, s := range table() {
		if c.sums[s.name] != before.sums[s.name] && c.written[s.name].sum != before.written[s.name].sum {
			list = append(list, Change{Name: s.name, Before: was[s.name], After: is[s.name], Restart: s.fixed})
		}
	}
	return append(list, c.routeChanges(before)...)
}

func shownBy(c *Config) map[string]string {
	shown := map[string]string{}
	for _, s := range c.settings {
		shown[s.Name] = s.Value
	}
	return shown
}

// routeChanges compares `routes`, value by value.
func (c *Config) routeChanges(before *Config) (list []Change) {
	was := before.routeLeaves()
	is := c.routeLeaves()
	merged := maps.Clone(before.written)
	maps.Copy(merged, c.written)
	for _, name := range slices.Sorted(maps.Keys(merged)) {
		if !strings.HasPrefix(name, routesName+".") || before.written[name].sum == c.written[name].sum {
			continue
		}
		if !c.written[name].open && !before.written[name].open { // API keys
			list = append(list, Change{Name: oneLine(name), Before: presence(before.written, name), After: presence(c.written, name)})
		}
	}
	for _, name := range append(keysOf(is), keysOf(was)...) {
		seen := slices.ContainsFunc(list, func(c Change) bool { return c.Name == name })
		if was[name] != is[name] && !seen {
			list = append(list, Change{Name: name, Before: was[name], After: is[name]})
		}
	}
	return list
}

// presence shows of a secret only whether it is there.
func presence(m map[string]written, name string) string {
	if _, ok := m[name]; ok {
		return "(hidden)"
	}
	return ""
}

// routeLeaves returns the values of `routes` by their paths.
func (c *Config) routeLeaves() map[string]string {
	out := map[string]string{}
	var walk func(path string, n node)
	walk = func(path string, n node) {
		for _, p := range n.pairs {
			walk(path+"."+oneLine(p.key), p.value)
		}
		for i, item := range n.items {
			walk(fmt.Sprintf("%s[%d]", path, i), item)
		}
		if n.kind == scalar {
			out[path] = hideSecrets(n.text)
		}
	}
	walk(routesName, c.written[routesName].node)
	return out
}
