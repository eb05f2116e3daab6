// Package clients knows how programs are pointed at the gateway.
//
// Its one source is docs/clients.md, as it is read by people. A section below a
// heading of the third level is the recipe of one client: a line with its wire
// and its source, text, and blocks of code. `forward connect` prints a recipe,
// /_/llms.txt is the whole document, and the tests run what it shows.
//
// The document has an address and a key that stand for the real ones, so that
// its blocks are valid as they are. A Guide has others in their place; they are
// restricted to characters that mean the same in a shell, in JSON, in TOML and
// in YAML.
package clients

import (
	"errors"
	"fmt"
	"regexp"
	"strings"

	"forward/docs"
)

// The address and the key that stand for those of a gateway.
const (
	Address = "http://gw:8000"
	Key     = "fk-YOUR-KEY"
)

// Options are what a guide names; what is empty stands as in the document.
type Options struct {
	URL string // of the gateway, perhaps with a path
	Key string // a forward key
}

// Guide is the document, filled in. Make it with New; it never changes.
type Guide struct {
	Text    string   // all of it, as Markdown
	Clients []Client // in the order of the document
}

// Client is a program and its recipe.
type Client struct {
	Name   string `json:"name"` // of the command line: claude-code
	Title  string `json:"title"`
	Group  string `json:"group"`  // the heading above: Coding agents
	Wire   string `json:"wire"`   // the protocols that it uses, comma-separated
	Source string `json:"source"` // the page that the settings are from
	Text   string `json:"text"`   // Markdown, with the blocks
	// Blocks are the settings, in the order of the text.
	Blocks []Block `json:"blocks"`
}

// Block is one block of code.
type Block struct {
	Language string `json:"language"`       // sh, dotenv, json, toml, yaml, python or js
	File     string `json:"file,omitempty"` // where it belongs; "": no file, or one of the reader's own
	Text     string `json:"text"`
}

var (
	address = regexp.MustCompile(`^https?://([A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(:[0-9]{1,5})?(/[A-Za-z0-9._~/-]*)?$`)
	key     = regexp.MustCompile(`^[A-Za-z0-9._~+/=:@-]+$`)
)

// ErrAddress is returned when the address of a gateway cannot be written into a
// recipe, ErrKey when a key cannot.
var (
	ErrAddress = errors.New("write the address as http://host:port or https://host")
	ErrKey     = errors.New("the key has characters that files would have to escape: leave it out, and write it into the recipe")
)

// New returns the guide for a gateway.
func New(o Options) (*Guide, error) {
	text := docs.Clients
	var pairs []string
	if o.URL != "" {
		if !address.MatchString(o.URL) {
			return nil, fmt.Errorf("%q: %w", o.URL, ErrAddress)
		}
		pairs = append(pairs, Address, strings.TrimRight(o.URL, "/"))
	}
	if o.Key != "" {
		if !key.MatchString(o.Key) {
			return nil, ErrKey // which does not repeat it
		}
		pairs = append(pairs, Key, o.Key)
	}
	text = strings.NewReplacer(pairs...).Replace(text)
	return &Guide{Text: text, Clients: read(text)}, nil
}

// Find returns the client of a name, or of a title.
func (g *Guide) Find(name string) (c Client, ok bool) {
	name = slug(name)
	for _, c := range g.Clients {
		if c.Name == name {
			return c, true
		}
	}
	return Client{}, false
}

// Like returns the first client whose name has the given one as a part, or "".
func (g *Guide) Like(name string) string {
	name = slug(name)
	for _, c := range g.Clients {
		if name != "" && strings.Contains(c.Name, name) {
			return c.Name
		}
	}
	return ""
}

// Names returns the names of all clients.
func (g *Guide) Names() (names []string) {
	for _, c := range g.Clients {
		names = append(names, c.Name)
	}
	return names
}

// Env returns the variables that the recipe sets in a shell or in a file of
// variables.
func (c Client) Env() map[string]string {
	env := map[string]string{}
	for _, b := range c.Blocks {
		if b.Language != "sh" && b.Language != "dotenv" {
			continue
		}
		for line := range strings.Lines(b.Text) {
			line = strings.TrimSpace(line)
			assigned, exported := strings.CutPrefix(line, "export ")
			name, value, ok := strings.Cut(assigned, "=")
			if ok && (exported || b.Language == "dotenv") {
				env[name] = strings.Trim(value, `"`)
			}
		}
	}
	return env
}

// Files returns the files that the recipe writes, by their paths.
func (c Client) Files() map[string]string {
	files := map[string]string{}
	for _, b := range c.Blocks {
		if b.File != "" {
			files[b.File] = b.Text
		}
	}
	return files
}
