package keys

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"hash"
	"io"
	"sync/atomic"
	"time"
)

// Ring holds all forward keys. Those of the settings never change; With makes
// another ring for other ones. Those of a Store are replaced as a whole, in all
// rings that With made of one, by Store.Watch. NewRing and Store.Ring make one.
// It is safe for concurrent use.
type Ring struct {
	sum      func(secret string) digest // fields, so that a test can count what each answer costs
	equal    func(a, b []byte) int
	declared map[digest]*entry
	former   map[digest]bool           // keys of earlier settings; see Former
	managed  *atomic.Pointer[[]*entry] // of the store; shared by the rings of one store
	index    atomic.Pointer[index]     // of both; made again when managed has changed
}

// index finds the keys of one moment. It never changes.
type index struct {
	managed    *[]*entry // what it was made of
	byMAC      map[digest]*entry
	lookalikes bool // a key of the settings has the form of a managed one, but not its checksum
	separates  bool // a key may use only the objects that it made
}

type digest [sha256.Size]byte

// entry is one secret of a key.
type entry struct {
	Key
	mac  digest
	ends time.Time // when the grace of a replaced secret is over; zero: it is not replaced
}

// unknown stands in for keys that there are not; in practice no HMAC is all
// zeros.
var unknown entry

// NewRing returns a ring of ks. A key that is empty, that comes twice, or that
// no request header could carry in one piece is an error; all of them are
// reported at once, masked.
func NewRing(ks []Key) (*Ring, error) {
	pepper := make([]byte, sha256.Size)
	rand.Read(pepper) // never fails, see its documentation
	return newRing(ks, pepper)
}

func newRing(ks []Key, pepper []byte) (*Ring, error) {
	empty := &Ring{sum: summer(pepper), equal: subtle.ConstantTimeCompare, managed: &atomic.Pointer[[]*entry]{}}
	empty.managed.Store(&[]*entry{})
	return empty.With(ks)
}

// With returns a ring with other keys of the settings and the same managed
// ones, now and whenever they change. Its errors are those of NewRing.
func (r *Ring) With(ks []Key) (*Ring, error) {
	next := &Ring{sum: r.sum, equal: r.equal, managed: r.managed, declared: make(map[digest]*entry, len(ks)), former: r.formerly()}
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

// maxFormer bounds the keys of earlier settings that are remembered.
const maxFormer = 10_000

// formerly returns the keys of the ring and of those before it.
func (r *Ring) formerly() map[digest]bool {
	if len(r.declared) == 0 && len(r.former) == 0 {
		return nil
	}
	former := make(map[digest]bool, len(r.declared)+len(r.former))
	for mac := range r.declared {
		former[mac] = true
	}
	for mac := range r.former {
		if len(former) >= maxFormer {
			break
		}
		former[mac] = true
	}
	return former
}

// Former reports whether a key was one of earlier settings of this process: a
// client that does not know of the change presents it, and it is no guess.
func (r *Ring) Former(presented string) bool { return r != nil && r.former[r.sum(presented)] }

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

// Len returns how many secrets there are, those of disabled, expired and
// revoked keys included: a gateway whose last key was revoked still asks for
// one. A nil Ring has none.
func (r *Ring) Len() int {
	if r == nil {
		return 0
	}
	return len(r.current().byMAC)
}

// Lookup returns the key whose secret was presented, or a *RefusedError with
// ErrUnknown, ErrDisabled, ErrExpired or ErrRevoked. The key is the ring's own
// and must not be changed.
//
// Its timing shows neither how much of a wrong key was right nor which of the
// reasons it was: each costs one HMAC, one look into the index and one
// comparison. Only a mistyped key is refused by its checksum alone, which any
// caller can compute.
func (r *Ring) Lookup(presented string) (*Key, error) {
	if r == nil || presented == "" {
		return nil, &RefusedError{Err: ErrUnknown}
	}
	index := r.current()
	if len(index.byMAC) == 0 {
		return nil, &RefusedError{Err: ErrUnknown} // there is nothing that its timing could show
	}
	if !index.lookalikes {
		if _, err := parseManaged(presented); errors.Is(err, errMistyped) {
			return nil, &RefusedError{Err: errMistyped}
		}
	}
	mac := r.sum(presented)
	e, known := index.byMAC[mac]
	if !known {
		e = &unknown // so that the comparison below is made for unknown keys too
	}
	same := r.equal(e.mac[:], mac[:]) == 1
	if err := e.verdict(same, time.Now()); err != nil {
		return nil, &RefusedError{ID: e.PublicID, Name: e.Name, Err: err}
	}
	return &e.Key, nil
}

// ByID returns the key with this id, or an error as Lookup does. It looks at
// every key: only ephemeral credentials are found by their owner.
func (r *Ring) ByID(id string) (*Key, error) {
	refused := &RefusedError{Err: ErrUnknown}
	if r == nil || id == "" {
		return nil, refused
	}
	for _, e := range r.current().byMAC {
		if e.ID() != id {
			continue
		}
		err := e.verdict(true, time.Now())
		if err == nil {
			return &e.Key, nil
		}
		refused = &RefusedError{ID: e.PublicID, Name: e.Name, Err: err} // unless it has another secret
	}
	return nil, refused
}

// Digest returns what stands for a secret where the secret is not kept, such as
// in a session that it opened.
func (r *Ring) Digest(secret string) []byte {
	d := r.sum(secret)
	return d[:]
}

// ByDigest returns the key whose secret has this digest, or an error as Lookup
// does: of a secret that was replaced, once its grace is over.
func (r *Ring) ByDigest(d []byte) (*Key, error) {
	if r == nil || len(d) != sha256.Size {
		return nil, &RefusedError{Err: ErrUnknown}
	}
	e, known := r.current().byMAC[digest(d)]
	if !known {
		return nil, &RefusedError{Err: ErrUnknown}
	}
	if err := e.verdict(true, time.Now()); err != nil {
		return nil, &RefusedError{ID: e.PublicID, Name: e.Name, Err: err}
	}
	return &e.Key, nil
}

// Separates reports whether there is a key that may use only the objects that
// it made.
func (r *Ring) Separates() bool { return r != nil && r.current().separates }

// verdict returns why a secret is refused, or nil.
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

// change replaces the secrets of some managed keys by fresh ones and keeps the
// others. changed has the keys by id.
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

// replace makes these the managed keys.
func (r *Ring) replace(managed []*entry) {
	r.managed.Store(&managed)
	r.merge(&managed)
}

// current returns the index of the current keys.
func (r *Ring) current() *index {
	managed := r.managed.Load()
	if index := r.index.Load(); index.managed == managed {
		return index
	}
	return r.merge(managed) // they were changed through another ring
}

// merge makes the index. A key that is both in the settings and managed counts
// as managed, or it could not be revoked.
func (r *Ring) merge(managed *[]*entry) *index {
	next := &index{managed: managed, byMAC: make(map[digest]*entry, len(r.declared)+len(*managed))}
	for mac, e := range r.declared {
		next.byMAC[mac] = e
		next.separates = next.separates || e.Policy.Objects == "own"
		if _, err := parseManaged(e.Secret.Reveal()); errors.Is(err, errMistyped) {
			next.lookalikes = true
		}
	}
	for _, e := range *managed {
		next.byMAC[e.mac] = e
		next.separates = next.separates || e.Policy.Objects == "own"
	}
	r.index.Store(next)
	return next
}

// summer returns the keyed digest. Making an HMAC costs more than using it, so
// used ones are kept: in a channel, for a sync.Pool forgets some, and what a
// key costs must not differ.
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
