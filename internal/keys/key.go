// Package keys knows forward keys: which caller a request is from, and what
// that caller may use.
//
// A request carries its key in one of seven slots: the four headers that
// official SDKs use, Gemini's ?key=, from browsers a WebSocket's subprotocols,
// and X-Forward-Key, beside which a credential of the client's own may go on.
// Presented finds it without trusting any of them: two different keys in one
// request are refused, because whichever hop picked the other one would check
// one caller and charge the next. Strip and StripQuery remove every one of
// them.
//
// A Ring looks keys up by a keyed digest. An attacker cannot steer the digest,
// so the timing of neither the map nor the comparison shows how much of a guess
// was right, and an unknown key costs what a disabled one costs.
//
// Keys come from the settings, where only an edit of their files changes them,
// and from a Store, where the command line manages them while the gateway runs:
// the store keeps what it can recognise a key by and nothing that a key could
// be made of. Watch carries its changes into the Ring, which holds all keys in
// memory.
//
// Every key of the program, a provider's too, travels as a Secret, which prints
// masked in whatever way it is printed.
package keys

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"time"
)

// Errors of Lookup and Presented.
var (
	ErrUnknown  = errors.New("unknown forward key")               // there is none, or it is none of ours
	ErrDisabled = errors.New("forward key is disabled")           // ours, switched off
	ErrExpired  = errors.New("forward key has expired")           // ours, past its time
	ErrRevoked  = errors.New("forward key is revoked")            // ours, revoked for good, or replaced and past its grace
	ErrConflict = errors.New("two different keys in one request") // the caller is not clear
)

// Key is one forward key. A caller presents its Secret; the rest is policy.
type Key struct {
	Name     string // for logs; a Ring fills in the masked secret if it is empty
	Secret   Secret // zero for a managed key: only its holder has it
	PublicID string // of a managed key, and kept when it is rotated; "" for one of the settings
	Level    int    // which models it may use, see Levels, and which API keys serve it
	Disabled bool   // known, and refused
	Revoked  bool
	Expires  time.Time // refused from this moment on; zero: never
	Policy   Policy
}

// ID returns a stable name of the key that is not secret: the public id, or the
// first 12 hexadecimal digits of the SHA-256 of its secret. Limits, logs and
// the cache know a caller by it, so it survives a restart and a change of Name.
func (k *Key) ID() string {
	if k.PublicID != "" {
		return k.PublicID
	}
	sum := sha256.Sum256([]byte(k.Secret.Reveal()))
	return hex.EncodeToString(sum[:6])
}

// RefusedError holds which of our keys was refused and why; Err is one of the
// sentinels above. ID and Name are empty for an unknown key, and ID for one of
// the settings. Logs may print all of it, clients see only the sentinel.
type RefusedError struct {
	ID, Name string
	Err      error
}

func (e *RefusedError) Error() string {
	switch {
	case e.Name == "":
		return e.Err.Error()
	case e.ID == "":
		return fmt.Sprintf("%v: %s", e.Err, e.Name)
	}
	return fmt.Sprintf("%v: %s (%s)", e.Err, e.Name, e.ID)
}

// Unwrap returns the sentinel.
func (e *RefusedError) Unwrap() error { return e.Err }
