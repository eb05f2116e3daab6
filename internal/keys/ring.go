// Package keys knows forward keys: who a caller is and which models he may use.
//
// A request carries its key in one of five slots, the four headers that official SDKs use and Gemini's ?key=. Presented
// finds it without trusting any of them: two different keys in one request are refused, because whichever part of the
// way picked the other one would check one caller and charge the next. Strip and StripQuery take all of it out again.
//
// A Ring looks keys up by a keyed digest. The digest is what an attacker cannot steer, so neither the map nor the
// comparison tells by its timing how much of a guess was right, and an unknown key costs what a disabled one costs.
//
// Every key of the program, also a provider's, travels as a Secret, which prints masked in whatever way it is printed.
package keys

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"fmt"
	"time"
)

// What Lookup and Presented answer when a request is not to be let in.
var (
	ErrUnknown  = errors.New("unknown forward key")               // no key was presented, or none of ours
	ErrDisabled = errors.New("forward key is disabled")           // ours, switched off
	ErrExpired  = errors.New("forward key has expired")           // ours, its time is over
	ErrConflict = errors.New("two different keys in one request") // it is not clear who asks
)

// Key is one forward key. Its Secret is what a caller presents; everything else is policy.
type Key struct {
	Name     string // what logs call its holder; NewRing fills in the masked secret if empty
	Secret   Secret
	Level    int       // which models it may use, see Levels, and which API keys serve it
	Disabled bool      // known, and refused
	Expires  time.Time // refused from this moment on; zero: never
}

// ID returns a stable name of the key that is not secret: the first 12 hexadecimal digits of the SHA-256 of its secret.
// Limits, logs and the cache know a caller by it, so it survives a restart and a change of Name.
func (k *Key) ID() string {
	sum := sha256.Sum256([]byte(k.Secret.Reveal()))
	return hex.EncodeToString(sum[:6])
}

// Ring holds all forward keys. It does not change after NewRing and is safe for concurrent use.
type Ring struct {
	pepper []byte // fresh for each ring: digests are of no use outside
	byMAC  map[digest]*entry
	nobody entry // stands in for unknown keys; no HMAC is all zeros in practice
}

type digest [sha256.Size]byte

type entry struct {
	Key
	mac digest
}

// NewRing returns a ring of ks. A key that is empty, that comes twice, or that no request header could carry in one piece is
// an error; all of them are reported at once, masked.
func NewRing(ks []Key) (*Ring, error) {
	r := &Ring{pepper: make([]byte, sha256.Size), byMAC: make(map[digest]*entry, len(ks))}
	rand.Read(r.pepper) // never fails, see its documentation
	var errs []error
	for i, k := range ks {
		secret := k.Secret.Reveal()
		e := &entry{k, r.sum(secret)}
		if k.Name == "" {
			e.Name = k.Secret.String()
		}
		switch {
		case secret == "":
			errs = append(errs, fmt.Errorf("forward key %d of %d is empty", i+1, len(ks)))
		case !presentable(secret):
			errs = append(errs, fmt.Errorf("forward key %d of %d (%v) contains white space or a control character, which no request can present", i+1, len(ks), k.Secret))
		case r.byMAC[e.mac] != nil:
			errs = append(errs, fmt.Errorf("forward key %d of %d (%v) is there twice", i+1, len(ks), k.Secret))
		default:
			r.byMAC[e.mac] = e
		}
	}
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	return r, nil
}

// Len returns how many keys there are, disabled and expired ones included. A nil Ring has none.
func (r *Ring) Len() int {
	if r == nil {
		return 0
	}
	return len(r.byMAC)
}

// Lookup returns the key whose secret was presented, or ErrUnknown, ErrDisabled or ErrExpired. The key is the ring's own
// and must not be changed. Its timing does not tell how much of a wrong key was right.
func (r *Ring) Lookup(presented string) (*Key, error) {
	if r == nil || presented == "" {
		return nil, ErrUnknown
	}
	mac := r.sum(presented)
	e, known := r.byMAC[mac]
	if !known {
		e = &r.nobody // so that the comparison below is made for unknown keys too
	}
	now := time.Now()
	switch {
	case subtle.ConstantTimeCompare(e.mac[:], mac[:]) == 0:
		return nil, ErrUnknown
	case e.Disabled:
		return nil, ErrDisabled
	case !e.Expires.IsZero() && !now.Before(e.Expires):
		return nil, ErrExpired
	}
	return &e.Key, nil
}

func (r *Ring) sum(secret string) (d digest) {
	h := hmac.New(sha256.New, r.pepper)
	h.Write([]byte(secret))
	h.Sum(d[:0])
	return d
}

// presentable reports whether secret can come through a header and Presented unchanged.
func presentable(secret string) bool {
	for i := range len(secret) {
		if secret[i] <= ' ' || secret[i] == 0x7f {
			return false
		}
	}
	return true
}
