package cache

import (
	"crypto/sha256"
	"encoding/binary"
)

// keyFormat is hashed into every key. It changes when the meaning of the parts changes, so that answers stored under the
// old meaning are never found again.
const keyFormat = "forward cache key 1"

// Key names a question: everything that can change its answer, hashed. Two requests share an answer only if their keys
// are equal.
type Key [sha256.Size]byte

// NewKey hashes the parts of a question in their order. Each part goes in with its length in front, so that no two lists
// of parts that differ give the same bytes ("ab","c" and "a","bc" are different questions).
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
