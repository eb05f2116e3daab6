// Package keys knows forward keys: who a caller is and which models he may use.
//
// A request carries its key in one of five slots, the four headers that
// official SDKs use and Gemini's ?key=. Presented finds it without trusting any
// of them: two different keys in one request are refused, because whichever
// part of the way picked the other one would check one caller and charge the
// next. Strip and StripQuery take all of it out again.
//
// A Ring looks keys up by a keyed digest. The digest is what an attacker cannot
// steer, so neither the map nor the comparison tells by its timing how much of
// a guess was right, and an unknown key costs what a disabled one costs.
//
// Keys come from the settings, which only their files can change, and from a
// Store, where the command line manages them while the gateway runs: the store
// keeps what it can recognise a key by and nothing that a key could be made of.
// Watch carries its changes into the Ring, which holds all of them in memory.
//
// Every key of the program, also a provider's, travels as a Secret, which
// prints masked in whatever way it is printed.
package keys

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"sync/atomic"
	"time"
)

// What Lookup and Presented answer when a request is not to be let in.
var (
	ErrUnknown  = errors.New("unknown forward key")               // no key was presented, or none of ours
	ErrDisabled = errors.New("forward key is disabled")           // ours, switched off
	ErrExpired  = errors.New("forward key has expired")           // ours, its time is over
	ErrRevoked  = errors.New("forward key is revoked")            // ours, taken back for good, or replaced and its grace is over
	ErrConflict = errors.New("two different keys in one request") // it is not clear who asks
)

// Key is one forward key. Its Secret is what a caller presents; everything else
// is policy.
type Key struct {
	Name     string // what logs call its holder; NewRing fills in the masked secret if empty
	Secret   Secret // zero for a managed key: nobody has it but its holder
	PublicID string // of a managed key, the same after it was rotated; "" for one of the settings
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

// RefusedError says which key of ours was refused and why; Err is one of the
// sentinels above. ID and Name are empty for a key that nobody knows, and ID
// for one of the settings. Logs may tell all of it, clients only what the
// sentinel says.
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

// Ring holds all forward keys. Those of the settings never change, other ones
// make another ring, see With; those of a Store are replaced as a whole by
// Store.Watch and Store.Load, in all rings that With has made of one. It is
// safe for concurrent use.
type Ring struct {
	sum      func(secret string) digest // fields, so that a test can count what each answer costs
	equal    func(a, b []byte) int
	declared map[digest]*entry
	managed  *atomic.Pointer[[]*entry] // of the store; shared by the rings of one store
	index    atomic.Pointer[index]     // of both; made anew when managed has changed
}

// index is what is in force at a time.
type index struct {
	managed    *[]*entry // of which it was made
	byMAC      map[digest]*entry
	lookalikes bool // a key of the settings has the form of a managed one, but not its checksum
}

type digest [sha256.Size]byte

// entry is one secret of a key.
type entry struct {
	Key
	mac  digest
	ends time.Time // of a secret that was replaced, when its grace is over; zero: never
}

// nobody stands in for unknown keys; no HMAC is all zeros in practice.
var nobody entry

// NewRing returns a ring of ks. A key that is empty, that comes twice, or that
// no request header could carry in one piece is an error; all of them are
// reported at once, masked.
func NewRing(ks []Key) (*Ring, error) {
	pepper := make([]byte, sha256.Size)
	rand.Read(pepper) // never fails, see its documentation
	return newRing(ks, pepper)
}

func newRing(ks []Key, pepper []byte) (*Ring, error) {
	none := &Ring{sum: summer(pepper), equal: subtle.ConstantTimeCompare, managed: &atomic.Pointer[[]*entry]{}}
	none.managed.Store(&[]*entry{})
	return none.With(ks)
}

// With returns a ring with other keys of the settings and the same managed
// ones, now and whenever they change. Its errors are those of NewRing.
func (r *Ring) With(ks []Key) (*Ring, error) {
	next := &Ring{sum: r.sum, equal: r.equal, managed: r.managed, declared: make(map[digest]*entry, len(ks))}
	var errs []error
	for i, k := range ks {
		secret := k.Secret.Reveal()
		e := &entry{Key: k, mac: r.sum(secret)}
		if k.Name == "" {
			e.Name = k.Secret.String()
		}
		switch {
		case secret == "":
			errs = append(errs, fmt.Errorf("forward key %d of %d is empty", i+1, len(ks)))
		case !presentable(secret):
			errs = append(errs, fmt.Errorf("forward key %d of %d (%v) contains white space or a control character, which no request can present", i+1, len(ks), k.Secret))
		case next.declared[e.mac] != nil:
			errs = append(errs, fmt.Errorf("forward key %d of %d (%v) is there twice", i+1, len(ks), k.Secret))
		default:
			next.declared[e.mac] = e
		}
	}
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	next.merge(next.managed.Load())
	return next, nil
}

// replace puts other managed keys in force.
func (r *Ring) replace(managed []*entry) {
	r.managed.Store(&managed)
	r.merge(&managed)
}

// change puts some managed keys in force and leaves the others: fresh are all
// secrets of the keys that changed, by id.
func (r *Ring) change(changed map[string]Key, fresh []*entry) {
	before := *r.managed.Load()
	managed := make([]*entry, 0, len(before)+len(fresh))
	for _, e := range before {
		if _, is := changed[e.PublicID]; !is {
			managed = append(managed, e)
		}
	}
	r.replace(append(managed, fresh...))
}

// now returns what is in force.
func (r *Ring) now() *index {
	managed := r.managed.Load()
	if now := r.index.Load(); now.managed == managed {
		return now
	}
	return r.merge(managed) // they were changed through another ring
}

// merge makes the index. A key that is both in the settings and managed is
// managed, or it could not be revoked.
func (r *Ring) merge(managed *[]*entry) *index {
	next := &index{managed: managed, byMAC: make(map[digest]*entry, len(r.declared)+len(*managed))}
	for mac, e := range r.declared {
		next.byMAC[mac] = e
		if _, err := ParseManaged(e.Secret.Reveal()); errors.Is(err, ErrMistyped) {
			next.lookalikes = true
		}
	}
	for _, e := range *managed {
		next.byMAC[e.mac] = e
	}
	r.index.Store(next)
	return next
}

// Len returns how many secrets there are, those of disabled, expired and
// revoked keys included: a gateway whose last key was revoked still asks for
// one. A nil Ring has none.
func (r *Ring) Len() int {
	if r == nil {
		return 0
	}
	return len(r.now().byMAC)
}

// Lookup returns the key whose secret was presented, or a *RefusedError with
// ErrUnknown, ErrMistyped, ErrDisabled, ErrExpired or ErrRevoked. The key is
// the ring's own and must not be changed. Its timing tells neither how much of
// a wrong key was right nor which of the reasons it was: each costs one HMAC,
// one look into the index and one comparison. Only a mistyped key is told by
// its checksum alone, of which anybody can compute as much.
func (r *Ring) Lookup(presented string) (*Key, error) {
	if r == nil || presented == "" {
		return nil, &RefusedError{Err: ErrUnknown}
	}
	now := r.now()
	if len(now.byMAC) == 0 {
		return nil, &RefusedError{Err: ErrUnknown} // there is nothing that its timing could tell
	}
	if !now.lookalikes {
		if _, err := ParseManaged(presented); errors.Is(err, ErrMistyped) {
			return nil, &RefusedError{Err: ErrMistyped}
		}
	}
	mac := r.sum(presented)
	e, known := now.byMAC[mac]
	if !known {
		e = &nobody // so that the comparison below is made for unknown keys too
	}
	same := r.equal(e.mac[:], mac[:]) == 1
	if err := e.verdict(same, time.Now()); err != nil {
		return nil, &RefusedError{ID: e.PublicID, Name: e.Name, Err: err}
	}
	return &e.Key, nil
}

// verdict says why a secret is refused; nil: it is not.
func (e *entry) verdict(same bool, now time.Time) error {
	over := func(t time.Time) bool { return !t.IsZero() && !now.Before(t) }
	switch {
	case !same:
		return ErrUnknown
	case e.Revoked, over(e.ends):
		return ErrRevoked
	case e.Disabled:
		return ErrDisabled
	case over(e.Expires):
		return ErrExpired
	}
	return nil
}

// summer returns the keyed digest. Making an HMAC costs more than using it, so
// those that were used are kept: in a list of ours, for a sync.Pool forgets
// some, and what a key costs must not differ.
func summer(pepper []byte) func(string) digest {
	idle := make(chan hash.Hash, 64)
	return func(secret string) (d digest) {
		var h hash.Hash
		select {
		case h = <-idle:
		default:
			h = hmac.New(sha256.New, pepper)
		}
		h.Reset()
		io.WriteString(h, secret)
		h.Sum(d[:0])
		select {
		case idle <- h:
		default:
		}
		return d
	}
}

// presentable reports whether secret can come through a header and Presented
// unchanged.
func presentable(secret string) bool {
	for i := range len(secret) {
		if secret[i] <= ' ' || secret[i] == 0x7f {
			return false
		}
	}
	return true
}
