package dialect

import (
	"bytes"
	"cmp"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"time"

	"github.com/tidwall/gjson"

	"forward/internal/jsonscan"
)

// Model is an entry of a provider's list of models.
type Model struct {
	ID      string // as requests name it
	Raw     []byte // the entry as it came, if it is one of the dialect that reads it; nil: it has to be made
	Display string // its name for people; "": there is none
	Owner   string
	Created time.Time // zero: unknown
	Named   string    // the member of Raw that names the model
	Prefix  string    // what stands before the name there
}

// Renamed returns the model under another name, with all else that its entry
// has.
func (m Model) Renamed(name string) Model {
	if m.Raw != nil {
		value := gjson.GetBytes(m.Raw, m.Named)
		if !value.Exists() || value.Index == 0 {
			m.Raw = nil
		} else {
			m.Raw = slices.Replace(slices.Clone(m.Raw), value.Index, value.Index+len(value.Raw), jsonscan.AppendString(nil, m.Prefix+name)...)
		}
	}
	m.Display = cmp.Or(m.Display, m.ID)
	m.ID = name
	return m
}

// Lists is how a protocol lists models.
type Lists struct {
	Path   string      // of the whole list, where no version is spelled by the client
	Query  string      // that asks for as many as there can be on a page
	Header http.Header // that it is asked with

	Operation Operation // the one for which a client looks for models

	// Read reads the models of a list. Owner is the name of the route.
	Read func(list []byte, owner string) []Model

	// Entry makes the entry of a model that another protocol listed.
	Entry func(m Model) []byte

	// Page writes the page of a list that a query asks for. The error is a
	// *PageError.
	Page func(models []Model, entries []json.RawMessage, query url.Values) (any, error)
}

// PageError reports a page of a list that there is not.
type PageError struct{ Param, Value string }

func (e *PageError) Error() string {
	return fmt.Sprintf("%s: %q names no page of this list.", e.Param, e.Value)
}

// List writes the page of models that a query asks for. The error is a
// *PageError.
func (l *Lists) List(models []Model, rawQuery string) ([]byte, error) {
	query, _ := url.ParseQuery(rawQuery) // what can be read of it
	entries := make([]json.RawMessage, len(models))
	for i, m := range models {
		entries[i] = l.One(m)
	}
	page, err := l.Page(models, entries, query)
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false) // entries stay as the provider spells them
	err = enc.Encode(page)
	return bytes.TrimRight(b.Bytes(), "\n"), err
}

// One writes the entry of one model.
func (l *Lists) One(m Model) []byte {
	if m.Raw != nil {
		return m.Raw
	}
	return l.Entry(m)
}

// ReadModels reads the entries of a list that are objects with a name.
func ReadModels(list []byte, path, named string, read func(entry gjson.Result, m *Model)) []Model {
	models := []Model{}
	gjson.GetBytes(list, path).ForEach(func(_, entry gjson.Result) bool {
		m := Model{ID: entry.Get(named).String(), Raw: []byte(entry.Raw), Named: named}
		if m.ID != "" {
			read(entry, &m)
			models = append(models, m)
		}
		return true
	})
	return models
}

// Size reads the length of a page from a query: from 1 to most, usual without
// one.
func Size(query url.Values, param string, usual, most int) (int, error) {
	text := query.Get(param)
	if text == "" {
		return usual, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 0 {
		return 0, &PageError{Param: param, Value: text}
	}
	if n == 0 {
		return usual, nil
	}
	return min(n, most), nil
}

// Find returns the place of the model that a query names; -1 if it names none.
func Find(models []Model, query url.Values, param string) (int, error) {
	id := query.Get(param)
	if id == "" {
		return -1, nil
	}
	i := slices.IndexFunc(models, func(m Model) bool { return m.ID == id })
	if i < 0 {
		return 0, &PageError{Param: param, Value: id}
	}
	return i, nil
}

// PageToken names the page that follows a model.
func PageToken(m Model) string { return base64.RawURLEncoding.EncodeToString([]byte(m.ID)) }

// AfterToken returns the place at which the page of a token starts.
func AfterToken(models []Model, token, param string) (int, error) {
	id, err := base64.RawURLEncoding.DecodeString(token)
	i := slices.IndexFunc(models, func(m Model) bool { return m.ID == string(id) })
	if err != nil || i < 0 {
		return 0, &PageError{Param: param, Value: token}
	}
	return i + 1, nil
}
