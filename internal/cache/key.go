package cache

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
)

// keyFormat is hashed into every key. It changes when the meaning of the parts
// changes, so that answers stored under the old meaning are never found again.
const keyFormat = "forward cache key 1"

// Key identifies a question: a hash of everything that can change its answer.
// Two requests share an answer only if their keys are equal.
type Key [sha256.Size]byte

// NewKey hashes the parts of a question in their order. Each part is preceded
// by its length, so that no two lists of parts give the same bytes ("ab","c"
// and "a","bc" are different questions).
func NewKey(parts ...[]byte) Key {
	h := sha256.New()
	h.Write([]byte(keyFormat))
	var length [8]byte
	for _, part := range parts {
		binary.BigEndian.PutUint64(length[:], uint64(len(part)))
		h.Write(length[:])
		h.Write(part)
	}
	var k Key
	h.Sum(k[:0])
	return k
}

// String returns the key as hexadecimal digits.
func (k Key) String() string { return hex.EncodeToString(k[:]) }

// MarshalText is String for encoders.
func (k Key) MarshalText() ([]byte, error) { return []byte(k.String()), nil }

// UnmarshalText is the reverse of MarshalText.
func (k *Key) UnmarshalText(text []byte) error {
	if len(text) == 2*len(k) {
		if _, err := hex.Decode(k[:], text); err == nil {
			return nil
		}
	}
	return errors.New("a key is 64 hexadecimal digits")
}
