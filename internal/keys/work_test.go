package keys

import (
	"errors"
	"strings"
	"testing"
	"time"
)

// An attacker who measures must not learn why a key was refused: each reason
// costs as many HMACs, comparisons and allocations.
func TestEveryRefusalCostsTheSame(t *testing.T) {
	r, err := NewRing(nil)
	if err != nil {
		t.Fatal(err)
	}
	secrets := map[error]string{}
	var managed []*entry
	for want, k := range map[error]entry{
		ErrDisabled: {Key: Key{Disabled: true}}, ErrExpired: {Key: Key{Expires: time.Unix(1, 0)}}, ErrRevoked: {Key: Key{Revoked: true}},
	} {
		k.PublicID, k.Name = newID(), "alice"
		secrets[want] = newSecretOf(k.PublicID).Reveal()
		k.mac = r.sum(secrets[want])
		managed = append(managed, &k)
	}
	secrets[ErrUnknown] = newSecretOf(newID()).Reveal()
	r.replace(managed)
	var macs, comparisons int
	sum, equal := r.sum, r.equal
	r.sum = func(s string) digest { macs++; return sum(s) }
	r.equal = func(a, b []byte) int { comparisons++; return equal(a, b) }
	allocations := map[float64]bool{}
	for want, secret := range secrets {
		macs, comparisons = 0, 0
		_, err := r.Lookup(secret)
		if !errors.Is(err, want) || macs != 1 || comparisons != 1 {
			t.Errorf("%v: %v after %d HMACs and %d comparisons", want, err, macs, comparisons)
		}
		allocations[testing.AllocsPerRun(100, func() { r.Lookup(secret) })] = true
	}
	if len(allocations) != 1 {
		t.Errorf("allocations differ: %v", allocations)
	}
	macs = 0
	mistyped := []byte(secrets[ErrDisabled])
	old := mistyped[20] // by another letter: what is none does not look like a key of ours
	for mistyped[20] = alphabet[0]; mistyped[20] == old; mistyped[20] = alphabet[1] {
	}
	if _, err := r.Lookup(string(mistyped)); !errors.Is(err, errMistyped) || !errors.Is(err, ErrUnknown) || macs != 0 {
		t.Errorf("a mistyped key: %v after %d HMACs", err, macs)
	}
}

func TestTheFormOfManagedKeys(t *testing.T) {
	seen := map[string]bool{}
	for range 200 {
		id := newID()
		key := newSecretOf(id).Reveal()
		if got, err := parseManaged(key); err != nil || got != id || len(key) != 49 || seen[key] || strings.Trim(key[3:], alphabet) != "" {
			t.Fatalf("%q: %q, %v", key, got, err)
		}
		seen[key] = true
	}
	key := newSecretOf(newID()).Reveal()
	for i := 3; i < len(key); i++ { // a CRC-32 finds every single changed letter
		wrong := []byte(key)
		for wrong[i] = alphabet[0]; wrong[i] == key[i]; wrong[i] = alphabet[1] {
		}
		if _, err := parseManaged(string(wrong)); !errors.Is(err, errMistyped) {
			t.Errorf("letter %d: %v", i, err)
		}
	}
	for _, other := range []string{"", "fk-", "fk-team", key[:48], key + "0", "sk-" + key[3:], key[:20] + "-" + key[21:]} {
		if _, err := parseManaged(other); !errors.Is(err, errNotManaged) {
			t.Errorf("%q: %v", other, err)
		}
	}
}

// A key of the settings may look like a managed one: it came first.
func TestAKeyOfTheSettingsMayLookManaged(t *testing.T) {
	secret := "fk-" + strings.Repeat("a", 46)
	r, err := NewRing([]Key{{Secret: NewSecret(secret)}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.Lookup(secret); err != nil {
		t.Error(err)
	}
}
