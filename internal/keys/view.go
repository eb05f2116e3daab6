package keys

import (
	"cmp"
	"fmt"
	"slices"
	"time"
)

// View is a key as JSON shows it, by the command line and by the gateway's API.
// The names of its fields are a promise.
type View struct {
	ID      string     `json:"id"`
	Name    string     `json:"name"`
	State   string     `json:"state"`  // active, disabled, expired or revoked
	Origin  string     `json:"origin"` // managed or settings
	Level   int        `json:"level"`
	Expires *time.Time `json:"expires,omitempty"`
	Grace   *time.Time `json:"grace,omitempty"` // until when the secret before the last rotation is good
	Created *time.Time `json:"created,omitempty"`
	Updated *time.Time `json:"updated,omitempty"`
	Masked  string     `json:"masked,omitempty"`  // its secret as logs show it; "": not known
	Version int64      `json:"version,omitempty"` // of the last change; 0 for keys of the settings
	Pending bool       `json:"pending,omitempty"` // its secret is made when a hand-over link is opened
	Policy  Policy     `json:"policy"`
	// Fields are the settings as texts, by the names that Fields returns.
	Fields map[string]string `json:"fields"`
}

// View returns the key as it is shown at a time, whose zone is that of the
// view's times.
func (m *Managed) View(now time.Time) View {
	local := func(t time.Time) *time.Time {
		if t.IsZero() {
			return nil
		}
		t = t.In(now.Location())
		return &t
	}
	settings := m.Settings
	if !m.Expires.IsZero() {
		settings.Expires = m.Expires.In(now.Location())
	}
	return View{
		ID:      m.ID,
		Name:    m.Name,
		State:   m.State(now),
		Origin:  "managed",
		Level:   m.Level,
		Expires: local(m.Expires),
		Grace:   local(m.Grace),
		Created: local(m.Created),
		Updated: local(m.Updated),
		Masked:  m.Masked(),
		Version: m.Version,
		Pending: m.Pending,
		Policy:  m.Policy,
		Fields:  settings.Texts(),
	}
}

// Record is what the audit keeps of a key.
type Record struct {
	State   string            `json:"state"`
	Masked  string            `json:"masked,omitempty"`
	Grace   *time.Time        `json:"grace,omitempty"`
	Pending bool              `json:"pending,omitempty"`
	Version int64             `json:"version"`
	Fields  map[string]string `json:"fields"`
}

// Recorded returns what the audit keeps of the key at a time.
func (m *Managed) Recorded(now time.Time) Record {
	v := m.View(now)
	return Record{v.State, v.Masked, v.Grace, v.Pending, v.Version, v.Fields}
}

// Declared are the keys of the settings. Only an edit of their files changes
// them.
type Declared []Key

// Find returns the view of the key with this id or name, and whether there is
// one.
func (d Declared) Find(ref string, now time.Time) (v View, ok bool) {
	views := d.Views(now)
	i := slices.IndexFunc(views, func(v View) bool { return v.ID == ref || v.Name == ref || v.Name == "#"+ref })
	if i < 0 {
		return View{}, false
	}
	return views[i], true
}

// Numbered returns the keys with names for those that would look the same
// without: one that has no name, and whose masked secret another key has too,
// is called by its number.
func (d Declared) Numbered() Declared {
	count := map[string]int{}
	for _, k := range d {
		count[k.Secret.String()]++
	}
	named := slices.Clone(d)
	for i, k := range named {
		if k.Name == "" && count[k.Secret.String()] > 1 {
			named[i].Name = fmt.Sprintf("#%d", i+1)
		}
	}
	return named
}

// Views returns the keys as they are shown at a time. A key without a name has
// its masked secret in place of one, as in logs.
func (d Declared) Views(now time.Time) []View {
	views := make([]View, len(d))
	for i, k := range d.Numbered() {
		m := Managed{ID: k.ID(), Disabled: k.Disabled, Revoked: k.Revoked}
		m.Settings = Settings{Name: cmp.Or(k.Name, k.Secret.String()), Level: k.Level, Expires: k.Expires, Policy: k.Policy}
		views[i] = m.View(now)
		views[i].Origin = "settings"
		views[i].Masked = k.Secret.String()
	}
	return views
}

// MayChange returns an error where the key with this id or name is one of the
// settings.
func (d Declared) MayChange(ref string) error {
	for _, k := range d.Numbered() {
		if ref == k.Name || ref == k.ID() {
			return fmt.Errorf("key %q is declared in FORWARD_KEY or forward.yaml: %w", ref, ErrDeclared)
		}
	}
	return nil
}
