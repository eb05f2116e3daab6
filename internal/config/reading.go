package config

import (
	"crypto/sha256"
	"reflect"
	"slices"
	"strings"
)

// reading is what a Config remembers of how it was read, so that the next one
// can be compared with it. It holds no secret in a form that could be printed.
type reading struct {
	sums    map[string][sha256.Size]byte // of what settings were set to, by name, and of routes
	again   map[string]func(*loader)     // set a fixed setting to what it is
	written map[string]written           // what settings and routes were set to, as written
	restart []string                     // fixed settings that are written otherwise by now
	// onlyRoutes reports whether the file mounts its routes and no others.
	onlyRoutes bool
	files      []string // from which was read, or would be if they were there
}

// routesName is what `routes` of forward.yaml is called among settings.
const routesName = "routes"

func newReading() reading {
	return reading{sums: map[string][sha256.Size]byte{}, again: map[string]func(*loader){}, written: map[string]written{}}
}

// note remembers what a setting is set to, the empty value included. A fixed
// setting whose text differs from the running gateway's is checked and then
// keeps the running value: note has set it, and reports so.
func (l *loader) note(s setting, v value) (kept bool) {
	l.noteFiles(v.node)
	sum := sha256.Sum256([]byte(v.compact()))
	if l.running == nil || !s.fixed || l.running.sums[s.name] == sum {
		l.cfg.sums[s.name] = sum
		if s.fixed {
			l.cfg.again[s.name] = func(l *loader) {
				if !v.empty() {
					s.set(l, v) // it was checked when it was read
				}
			}
		}
		return false
	}
	l.cfg.restart = append(l.cfg.restart, s.name)
	if !v.empty() {
		cfg := l.cfg
		l.cfg = &Config{reading: newReading()} // the value is only checked
		_, err := s.set(l, v)
		l.cfg = cfg
		if err != nil {
			l.fail(s, v, err)
		}
	}
	again := l.running.again[s.name]
	again(l)
	l.cfg.sums[s.name], l.cfg.again[s.name] = l.running.sums[s.name], again
	l.cfg.written[s.name] = l.running.written[s.name]
	for _, shown := range l.running.settings {
		if shown.Name == s.name {
			l.cfg.settings = append(l.cfg.settings, shown)
		}
	}
	return true
}

func (l *loader) noteRoutes() {
	l.cfg.sums[routesName] = sha256.Sum256([]byte(l.routes.compact()))
	l.keepRoutes()
	l.noteFiles(l.routes)
}

// noteFiles remembers the files whose content a value is.
func (l *loader) noteFiles(n node) {
	switch n.kind {
	case scalar:
		for item := range strings.SplitSeq(n.text, ",") {
			item, _ = cutName(item, "")
			if path, ok := strings.CutPrefix(strings.Trim(item, " \"'"), "file:"); ok && !slices.Contains(l.cfg.files, path) {
				l.cfg.files = append(l.cfg.files, path)
			}
		}
	case list:
		for _, item := range n.items {
			l.noteFiles(item)
		}
	case object:
		for _, p := range n.pairs {
			l.noteFiles(node{text: p.key}) // {"file:PATH": level}
			l.noteFiles(p.value)
		}
	}
}

// Files returns the files from which the settings were read, in the order of
// their first use: those of secrets, too, and those that are not there but
// would be read if they were.
func (c *Config) Files() []string { return slices.Clone(c.files) }

// NeedsRestart returns the settings whose text has changed and whose value has
// not, because only a restart can change it.
func (c *Config) NeedsRestart() []string { return slices.Clone(c.restart) }

// Changed returns the names of the settings that differ from those of before,
// in the order of .env.example.
func (c *Config) Changed(before *Config) []string {
	var names []string
	for _, s := range table() {
		if c.sums[s.name] != before.sums[s.name] || (s.name == "FORWARD_KEY" && !reflect.DeepEqual(c.Access.Keys, before.Access.Keys)) {
			names = append(names, s.name)
		}
	}
	// No text has changed, so the content of a file with a key has.
	silent := len(names) == 0 && !(reflect.DeepEqual(c.Routes, before.Routes) && reflect.DeepEqual(c.Models, before.Models))
	if silent || c.sums[routesName] != before.sums[routesName] {
		names = append(names, routesName)
	}
	return names
}

// DataDir returns DATA_DIR alone, also where other settings are wrong: a
// command that asks the running gateway needs no more.
func DataDir(f Flags, environ []string) (string, error) {
	l := &loader{cfg: &Config{reading: newReading()}, chosen: map[string]value{}}
	l.readLayers(f, environ, func() layer { return l.readConfigFile(f) })
	l.problems = nil // of other settings: the gateway reports them
	for _, s := range table() {
		if s.name == "DATA_DIR" {
			l.apply(s)
		}
	}
	if len(l.problems) > 0 {
		return "", &Errors{l.problems}
	}
	return l.cfg.DataDir, nil
}
