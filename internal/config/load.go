package config

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"forward/internal/dialect"
	"forward/internal/keys"
)

// loader is the work in progress of one Load.
type loader struct {
	cfg         *Config
	layers      []layer // highest first
	dotenv      layer
	expand      func(string) (string, error)
	routes      node // `routes` of forward.yaml
	onlyRoutes  bool // the file mounts its routes and no others, as LLProxy does
	managedKeys func(dataDir string) bool
	running     *Config          // nil at the start
	sealed      bool             // the file's text comes from a client: its files and references are not read, see Propose
	unread      bool             // it has some of them
	file        string           // the YAML file read, "" for none
	chosen      map[string]value // by setting name: the value that counts
	problems    []Problem
	warnings    []Warning

	providers map[*dialect.Dialect]*targets // see of
	extra     targets
	forward   []target // FORWARD_CONFIG
	client    []string // CLIENT_CREDENTIALS
}

// Load reads all sources and returns the Config they make together. environ is
// os.Environ() or its like. The error is an *Errors with everything that is
// wrong; the warnings hold also then.
func Load(f Flags, environ []string) (*Config, []Warning, error) {
	l := &loader{cfg: &Config{reading: newReading()}, chosen: map[string]value{}, managedKeys: f.ManagedKeys, running: f.Running}
	l.readLayers(f, environ, func() layer { return l.readConfigFile(f) })
	l.load(f)
	if len(l.problems) > 0 {
		return nil, l.warnings, &Errors{l.problems}
	}
	return l.cfg, l.warnings, nil
}

// load makes the Config of the layers.
func (l *loader) load(f Flags) {
	for _, s := range table() {
		l.apply(s)
	}
	l.noteRoutes()
	l.finishDirs()
	l.buildRoutes()
	l.check()
	l.noteIgnored(f)
}

// readLayers reads flags, environment and .env, which are above the settings of
// forward.yaml, and complains about unknown names.
func (l *loader) readLayers(f Flags, environ []string, file func() layer) {
	flags := layer{}
	if f.Host != nil {
		flags["HOST"] = value{node: node{text: *f.Host}, name: "--host", source: Flag, where: string(Flag)}
	}
	if f.Port != nil {
		flags["PORT"] = value{node: node{text: strconv.Itoa(*f.Port)}, name: "--port", source: Flag, where: string(Flag)}
	}
	env, warnings := readEnviron(environ)
	l.warnings = append(l.warnings, warnings...)
	l.dotenv = l.readEnvFile(f)
	l.layers = []layer{flags, env, l.dotenv, file()}
	l.expand = expander(environ, l.dotenv)
	l.noteUnknown(environ)
}

func (l *loader) readEnvFile(f Flags) layer {
	path := f.EnvFile
	if path == "" {
		path = ".env"
	}
	l.cfg.files = append(l.cfg.files, path)
	text, err := os.ReadFile(path)
	switch {
	case errors.Is(err, os.ErrNotExist) && !f.EnvFileSet:
		return layer{}
	case err != nil:
		l.problems = append(l.problems, Problem{Name: "--env-file", Value: path, Problem: "the file cannot be read: " + cause(err), Fix: "write the path of a readable .env file"})
		return layer{}
	}
	values, problems, warnings := readDotEnv(path, string(text))
	l.problems, l.warnings = append(l.problems, problems...), append(l.warnings, warnings...)
	return values
}

// readConfigFile reads forward.yaml or, when there is none, the file that
// openai-forward's last version wrote. There it replaced all other settings;
// here it is the lowest layer, as forward.yaml is.
func (l *loader) readConfigFile(f Flags) layer {
	path := f.ConfigFile
	text, err := []byte(nil), error(nil)
	if path != "" {
		l.cfg.files = append(l.cfg.files, path)
		text, err = os.ReadFile(path)
	} else {
		for _, path = range []string{"forward.yaml", "forward.yml", "openai-forward-config.yaml"} {
			l.cfg.files = append(l.cfg.files, path)
			text, err = os.ReadFile(path)
			if !errors.Is(err, os.ErrNotExist) {
				break
			}
		}
	}
	switch {
	case errors.Is(err, os.ErrNotExist) && !f.ConfigFileSet:
		return layer{}
	case err != nil:
		l.problems = append(l.problems, Problem{Name: "--config", Value: path, Problem: "the file cannot be read: " + cause(err), Fix: "write the path of a readable YAML file"})
		return layer{}
	}
	return l.parseConfig(path, text, f.ConfigFile != "")
}

// parseConfig makes a layer of the text of a file. The file of openai-forward
// is pointed out, unless it was chosen.
func (l *loader) parseConfig(path string, text []byte, chosen bool) layer {
	root, err := readYAML(text)
	var form *yamlError
	if errors.As(err, &form) {
		l.problems = append(l.problems, Problem{Name: "line", Where: fmt.Sprintf("%s:%d", path, form.line), Problem: "not valid YAML: " + form.reason, Fix: cmp.Or(form.fix, "see forward.yaml in the README")})
		return layer{}
	}
	if strings.HasSuffix(path, "openai-forward-config.yaml") && !chosen && !root.empty() {
		l.warnings = append(l.warnings, Warning{Message: "settings were read from " + path + "; the environment and .env win over it, and forward.yaml would replace it"})
	}
	found := flatten(path, root)
	l.file = path
	l.routes = found.routes
	l.onlyRoutes = isLLProxys(text, root)
	l.problems = append(l.problems, found.problems...)
	l.warnings = append(l.warnings, found.warnings...)
	return found.values
}

// cause is an error of the os package without its path.
func cause(err error) string {
	for inner := errors.Unwrap(err); inner != nil; inner = errors.Unwrap(inner) {
		err = inner
	}
	return err.Error()
}

// pick returns the value of a setting from the highest layer that has one. An
// empty value is none, in any layer: an unset ${FORWARD_KEY} in a compose file
// must not remove the keys of .env.
func (l *loader) pick(s setting) value {
	var found []value
	for _, values := range l.layers {
		for _, name := range append([]string{s.name}, s.older...) {
			if v, ok := values[name]; ok && !v.empty() {
				found = append(found, v)
			}
		}
	}
	if len(found) == 0 {
		return value{node: node{text: s.def}, name: s.name, source: Default}
	}
	v := found[0]
	for _, other := range found[1:] {
		if other.name != v.name && other.compact() != v.compact() {
			l.warn(other, fmt.Sprintf("ignored, because %s (%s) sets the same thing and comes first", v.name, v.where))
		}
	}
	if v.cut == nil {
		return v
	}
	whole, warning, err := v.recover(l.dotenv)
	if err != nil {
		l.fail(s, v, err)
		return value{name: s.name, source: v.source, where: v.where}
	}
	l.warnings = append(l.warnings, *warning)
	return whole
}

// apply parses the value of one setting into the Config and remembers what may
// be shown of it.
func (l *loader) apply(s setting) {
	v := l.pick(s)
	l.chosen[s.name] = v
	l.keep(s, v)
	shown := v.compact()
	if v.empty() {
		if l.note(s, v) {
			return
		}
	} else {
		resolved, err := l.resolve(s, v)
		if err == nil {
			if l.note(s, resolved) {
				return
			}
			shown, err = l.set(s, v, resolved)
		}
		if err != nil {
			l.fail(s, v, err)
		}
		if shown == "" && !s.secret {
			shown = resolved.compact()
		}
	}
	if !s.secret { // those are masked, and a mask must not be taken for a key
		shown = hideSecrets(shown)
	}
	where := v.where
	if where == string(v.source) {
		where = ""
	}
	l.cfg.settings = append(l.cfg.settings, Setting{Name: s.name, Value: shown, Source: v.source, Where: where, Fixed: s.fixed})
}

// resolve replaces ${NAME} and file:PATH and parses JSON where the setting may
// have it. JSON is parsed first, so that a secret with a quote in it cannot
// change the structure.
func (l *loader) resolve(s setting, v value) (value, error) {
	var err error
	parse := func() {
		if err == nil && v.kind == scalar && s.tree && looksJSON(v.text) {
			line := v.line
			v.node, err = parseJSON(v.text)
			v.node = v.onLine(line) // those of the text are not those of a file
		}
	}
	parse()
	if err == nil {
		v.node, err = v.mapText(l.expanderOf(v))
	}
	if err == nil && v.kind == scalar && (s.secret || s.url) && !strings.Contains(v.text, ",") {
		v.text, err = l.readSecret(v, v.text)
	}
	parse()
	if err == nil && v.kind != scalar && !s.tree {
		err = bad("one value was expected", "write one value, not a list")
	}
	return v, err
}

// fail reports what is wrong with a value.
func (l *loader) fail(s setting, v value, err error) {
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		for _, err := range joined.Unwrap() {
			l.fail(s, v, err)
		}
		return
	}
	p := Problem{Name: v.name, Value: hideSecrets(shorten(v.compact())), Where: v.where, Problem: err.Error()}
	if s.secret && v.compact() != "" {
		p.Value = fmt.Sprintf("(hidden, %d characters)", len(v.compact()))
	}
	var f *fault
	if errors.As(err, &f) {
		p.Problem, p.Fix = f.problem, f.fix
		if f.line > 0 && v.source == File {
			p.Where = fmt.Sprintf("%s:%d", l.file, f.line)
		}
	}
	if !slices.Contains(l.problems, p) {
		l.problems = append(l.problems, p)
	}
}

// failAt reports a problem of the setting called name that shows only after its
// value was parsed.
func (l *loader) failAt(name, problem, fix string) {
	row := setting{name: name} // a route of forward.yaml
	for _, s := range table() {
		if s.name == name {
			row = s
		}
	}
	l.fail(row, l.chosen[name], bad(problem, fix))
}

func (l *loader) warn(v value, message string) {
	w := Warning{v.name, message, v.where}
	if !slices.Contains(l.warnings, w) {
		l.warnings = append(l.warnings, w)
	}
}

var (
	userinfo  = regexp.MustCompile(`://[^\s]*@`)
	urlQuery  = regexp.MustCompile(`(://[^\s?]*)\?[^\s,"]*`)
	keyInText = regexp.MustCompile(`\b[sf]k-[A-Za-z0-9_-]{4,}`)
)

// hideSecrets removes what may be secret from a value that should hold no
// secret: passwords and queries of URLs, and misplaced keys.
func hideSecrets(s string) string {
	s = urlQuery.ReplaceAllString(userinfo.ReplaceAllString(s, "://…@"), "$1?…")
	return keyInText.ReplaceAllStringFunc(s, keys.Mask)
}
