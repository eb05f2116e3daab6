package keys

import (
	"crypto/rand"
	"fmt"
	"hash/crc32"
	"math/big"
	"strings"
)

// The form of a managed key: fk-, its public id, the secret part and a
// checksum, all letters and digits. So a double click selects it whole, and it
// needs no escaping anywhere.
const (
	keyPrefix    = "fk-"
	idLength     = 8  // 47 bits; unique in the database
	randomLength = 32 // 190 bits
	sumLength    = 6  // a CRC-32, as GitHub has it: https://github.blog/engineering/behind-githubs-new-authentication-token-formats/
	keyLength    = len(keyPrefix) + idLength + randomLength + sumLength
	alphabet     = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
)

// errMistyped is the ErrUnknown of a key that has the form of a managed one and
// a wrong checksum.
var errMistyped = fmt.Errorf("%w: its checksum is wrong, so it was mistyped or cut", ErrUnknown)

// errNotManaged is returned for a text that does not have the form of a managed
// key.
var errNotManaged = fmt.Errorf("%w: not a managed key: those are fk- and 46 letters and digits", ErrUnknown)

// parseManaged returns the public id in a managed key. It needs no database:
// the checksum shows what was mistyped.
func parseManaged(key string) (id string, err error) {
	if len(key) != keyLength || !strings.HasPrefix(key, keyPrefix) {
		return "", errNotManaged
	}
	for i := len(keyPrefix); i < len(key); i++ {
		if c := key[i]; (c < '0' || c > '9') && (c < 'A' || c > 'Z') && (c < 'a' || c > 'z') {
			return "", errNotManaged
		}
	}
	if sum := checksum(key[:keyLength-sumLength]); string(sum[:]) != key[keyLength-sumLength:] {
		return "", errMistyped
	}
	return key[len(keyPrefix) : len(keyPrefix)+idLength], nil
}

// newSecretOf makes a key with this public id.
func newSecretOf(id string) Secret {
	text := keyPrefix + id + random(randomLength)
	sum := checksum(text)
	return NewSecret(text + string(sum[:]))
}

func newID() string { return random(idLength) }

// random returns n letters and digits, each as likely as any other.
func random(n int) string {
	b := make([]byte, n)
	for i := range b {
		at, err := rand.Int(rand.Reader, big.NewInt(int64(len(alphabet))))
		if err != nil {
			panic(err) // the reader never fails, see its documentation
		}
		b[i] = alphabet[at.Int64()]
	}
	return string(b)
}

func checksum(text string) (sum [sumLength]byte) {
	n := crc32.ChecksumIEEE([]byte(text))
	for i := sumLength - 1; i >= 0; i-- {
		sum[i] = alphabet[n%uint32(len(alphabet))]
		n /= uint32(len(alphabet))
	}
	return sum
}
