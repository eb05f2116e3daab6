package keys

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// secretFile holds the secret of the HMACs, beside the database: with only one
// of the two, not even guesses can be tested.
const secretFile = "keys.secret"

// minSecret is the least length of a secret that a setting gives, in bytes.
const minSecret = 16

// LoadSecret returns the secret in dir. It makes one where there is none,
// readable by its owner alone. Of several processes that make one at the same
// time one wins, and all return what the winner wrote.
func LoadSecret(dir string) (Secret, error) {
	path := filepath.Join(dir, secretFile)
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		if err = makeSecret(dir, path); err == nil {
			text, err = os.ReadFile(path)
		}
	}
	if err != nil {
		return Secret{}, fmt.Errorf("the secret of the forward keys in DATA_DIR: %w; or give one by KEY_SECRET", err)
	}
	if info, err := os.Stat(path); err == nil && info.Mode().Perm()&0o077 != 0 {
		if err := os.Chmod(path, 0o600); err != nil {
			return Secret{}, fmt.Errorf("the secret of the forward keys is readable by others: %w", err)
		}
	}
	secret := strings.TrimSpace(string(text))
	if len(secret) < minSecret {
		return Secret{}, fmt.Errorf("%s holds no secret; restore it from a backup, or give the secret by KEY_SECRET", path)
	}
	return NewSecret(secret), nil
}

// makeSecret writes the whole file under another name and links it. A link to a
// name that is taken fails, so no process reads half a secret and none is
// replaced.
func makeSecret(dir, path string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	random := make([]byte, 32)
	rand.Read(random)                                 // never fails, see its documentation
	f, err := os.CreateTemp(dir, "."+secretFile+".*") // with mode 0600
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	_, err = f.WriteString(hex.EncodeToString(random) + "\n")
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := os.Link(f.Name(), path); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync() // the name must survive what the keys survive
}
