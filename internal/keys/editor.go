package keys

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"forward/internal/duration"
)

// Errors of changes that an Editor refuses.
var (
	ErrNoStore  = errors.New("this gateway keeps no keys of its own: set DATA_DIR to a directory that can be written")
	ErrDeclared = errors.New("change it there")
)

// InputError is the error of a change whose texts are wrong.
type InputError struct{ Err error }

func (e *InputError) Error() string { return e.Err.Error() }

// Unwrap returns what is wrong.
func (e *InputError) Unwrap() error { return e.Err }

// VersionError is the error of a change to a key that was changed since.
type VersionError struct{ Version int64 }

func (e *VersionError) Error() string {
	return fmt.Sprintf("the key was changed by others since: it has version %d now; read it again, and repeat the change if it is still wanted", e.Version)
}

// Editor makes and changes keys by what people write. `forward keys` and the
// API of the gateway use it, so both accept the same and refuse the rest in the
// same words.
type Editor struct {
	Store    *Store         // nil: there are only keys of the settings
	Declared Declared       // which no command changes
	Zone     *time.Location // of dates
}

// Change is a change of a key.
type Change struct {
	Texts    map[string]string // settings by their names, as Settings.Apply takes them
	Disabled *bool
	Version  int64 // of the key as it was read; 0: any
}

// Changed is what a change has done.
type Changed struct{ Before, After *Managed }

// Create makes a key with the settings of texts.
func (e *Editor) Create(ctx context.Context, texts map[string]string, c Creation) (*Created, error) {
	if e.Store == nil {
		return nil, ErrNoStore
	}
	err := c.Apply(texts, e.now())
	if _, named := texts["name"]; err == nil && !named {
		err = fmt.Errorf("name: %w", checkName(""))
	}
	if err != nil {
		return nil, &InputError{err}
	}
	if err := e.Declared.MayChange(c.Name); err != nil {
		return nil, err
	}
	return e.Store.Create(ctx, c)
}

// Change changes the key of an id or a name.
func (e *Editor) Change(ctx context.Context, ref string, c Change) (done Changed, err error) {
	if err := e.mayChange(ref); err != nil {
		return Changed{}, err
	}
	return e.Store.update(ctx, ref, func(_ *sql.Tx, m *Managed) error { return e.apply(m, &c) })
}

// ChangeAll changes several keys in one transaction. failed has the errors of
// those that cannot be changed so, by what refs name; the others are changed.
func (e *Editor) ChangeAll(ctx context.Context, refs []string, c Change) (done []Changed, failed map[string]error, err error) {
	if e.Store == nil {
		return nil, nil, ErrNoStore
	}
	var s Settings // wrong texts are wrong for all of them
	if err := s.Apply(c.Texts, e.now()); err != nil {
		return nil, nil, &InputError{err}
	}
	failed = map[string]error{}
	err = e.Store.change(ctx, func(tx *sql.Tx) error {
		for _, ref := range refs {
			changed, err := e.changeIn(ctx, tx, ref, &c)
			switch {
			case ctx.Err() != nil:
				return ctx.Err()
			case err != nil:
				failed[ref] = err
			default:
				done = append(done, changed)
			}
		}
		return nil
	})
	if err != nil {
		return nil, nil, fmt.Errorf("changing %d keys: %w", len(refs), err)
	}
	return done, failed, nil
}

func (e *Editor) changeIn(ctx context.Context, tx *sql.Tx, ref string, c *Change) (Changed, error) {
	if err := e.mayChange(ref); err != nil {
		return Changed{}, err
	}
	return e.Store.updateIn(ctx, tx, ref, func(_ *sql.Tx, m *Managed) error { return e.apply(m, c) })
}

// apply makes a change to a key, unless it has another version.
func (e *Editor) apply(m *Managed, c *Change) error {
	if c.Version != 0 && c.Version != m.Version {
		return &VersionError{m.Version}
	}
	name := m.Name
	err := m.Apply(c.Texts, e.now())
	if err != nil {
		return &InputError{err}
	}
	if m.Name != name {
		if err := e.Declared.MayChange(m.Name); err != nil {
			return err
		}
	}
	if c.Disabled != nil {
		m.Disabled = *c.Disabled
	}
	return nil
}

// Rotate gives a key a new secret. The one before it is good for a grace, a
// text such as 12h, 7d or 0; "" is DefaultGrace.
func (e *Editor) Rotate(ctx context.Context, ref, grace string) (done Changed, secret Secret, err error) {
	d := DefaultGrace
	if grace != "" {
		d, err = duration.Parse(grace)
		if err != nil {
			return Changed{}, Secret{}, &InputError{fmt.Errorf("grace: %w", err)}
		}
	}
	if err := e.mayChange(ref); err != nil {
		return Changed{}, Secret{}, err
	}
	return e.Store.rotate(ctx, ref, d)
}

// Revoke takes a key back for good.
func (e *Editor) Revoke(ctx context.Context, ref string) (Changed, error) {
	if err := e.mayChange(ref); err != nil {
		return Changed{}, err
	}
	return e.Store.update(ctx, ref, func(_ *sql.Tx, m *Managed) error {
		m.Revoked = true
		return nil
	})
}

// Handover makes a hand-over link for a key.
func (e *Editor) Handover(ctx context.Context, ref string) (*Managed, Link, error) {
	if err := e.mayChange(ref); err != nil {
		return nil, Link{}, err
	}
	return e.Store.Handover(ctx, ref)
}

// Find returns the view of the key of an id or a name, whether it is of the
// settings or managed.
func (e *Editor) Find(ctx context.Context, ref string) (View, error) {
	if v, ok := e.Declared.Find(ref, e.now()); ok {
		return v, nil
	}
	if e.Store == nil {
		return View{}, ErrNoSuchKey
	}
	m, err := e.Store.Find(ctx, ref)
	if err != nil {
		return View{}, err
	}
	return m.View(e.now()), nil
}

// Whois returns the view of the key that a secret belongs to, and whether the
// secret was replaced since.
func (e *Editor) Whois(ctx context.Context, presented string) (v View, replaced bool, err error) {
	for i, k := range e.Declared {
		if k.Secret.Is(presented) {
			return e.Declared.Views(e.now())[i], false, nil
		}
	}
	if e.Store == nil {
		return View{}, false, ErrNoSuchKey
	}
	m, replaced, err := e.Store.Whois(ctx, presented)
	if err != nil {
		return View{}, false, err
	}
	return m.View(e.now()), replaced, nil
}

// mayChange returns why the key of a reference cannot be changed by commands.
func (e *Editor) mayChange(ref string) error {
	if err := e.Declared.MayChange(ref); err != nil {
		return err
	}
	if e.Store == nil {
		return ErrNoStore
	}
	return nil
}

// now is the time in the zone of dates.
func (e *Editor) now() time.Time {
	now := time.Now
	if e.Store != nil {
		now = e.Store.now
	}
	if e.Zone == nil {
		return now()
	}
	return now().In(e.Zone)
}
