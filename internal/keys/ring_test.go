package keys_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"forward/internal/keys"
)

func mustRing(t testing.TB, ks ...keys.Key) *keys.Ring {
	t.Helper()
	r, err := keys.NewRing(ks)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestLookup(t *testing.T) {
	r := mustRing(t,
		keys.Key{Name: "alice", Secret: keys.NewSecret(plain), Level: 1},
		keys.Key{Secret: keys.NewSecret("fk-0")},
		keys.Key{Secret: keys.NewSecret("fk-off"), Disabled: true},
		keys.Key{Secret: keys.NewSecret("fk-old"), Expires: time.Unix(1, 0)},
		keys.Key{Secret: keys.NewSecret("fk-both"), Expires: time.Unix(1, 0), Disabled: true},
		keys.Key{Secret: keys.NewSecret("fk-ключ")},
	)
	for name, test := range map[string]struct {
		presented, name string
		err             error
	}{
		"a key":                  {plain, "alice", nil},
		"a short legacy key":     {"fk-0", "fk-…", nil},
		"a key beyond ASCII":     {"fk-ключ", "fk-…", nil},
		"nothing":                {"", "", keys.ErrUnknown},
		"another":                {"fk-eve", "", keys.ErrUnknown},
		"a prefix":               {plain[:len(plain)-1], "", keys.ErrUnknown},
		"a key and a byte":       {plain + "x", "", keys.ErrUnknown},
		"a key and a NUL":        {plain + "\x00", "", keys.ErrUnknown},
		"another case":           {strings.ToUpper(plain), "", keys.ErrUnknown},
		"injection":              {"' OR 1=1--", "", keys.ErrUnknown},
		"eight kilobytes":        {strings.Repeat("x", 8192), "", keys.ErrUnknown},
		"a format":               {"%s%n", "", keys.ErrUnknown},
		"disabled":               {"fk-off", "", keys.ErrDisabled},
		"expired":                {"fk-old", "", keys.ErrExpired},
		"disabled comes first":   {"fk-both", "", keys.ErrDisabled},
		"part of a disabled one": {"fk-of", "", keys.ErrUnknown},
	} {
		t.Run(name, func(t *testing.T) {
			k, err := r.Lookup(test.presented)
			if !errors.Is(err, test.err) || (err == nil) != (test.err == nil) {
				t.Fatalf("error %v, want %v", err, test.err)
			}
			if err == nil && (k.Name != test.name || k.Secret.Reveal() != test.presented) {
				t.Errorf("key %+v", k)
			}
			if err != nil && k != nil {
				t.Errorf("a key with an error: %+v", k)
			}
		})
	}
	if r.Len() != 6 {
		t.Errorf("Len() = %d", r.Len())
	}
}

func TestEmptyRingKnowsNoKey(t *testing.T) {
	for _, r := range []*keys.Ring{nil, mustRing(t)} {
		for _, presented := range []string{"", "fk-1"} {
			if k, err := r.Lookup(presented); k != nil || !errors.Is(err, keys.ErrUnknown) {
				t.Errorf("Lookup(%q) = %v, %v", presented, k, err)
			}
		}
		if r.Len() != 0 {
			t.Errorf("Len() = %d", r.Len())
		}
	}
}

func TestKeysExpireAtTheirMoment(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := mustRing(t, keys.Key{Secret: keys.NewSecret("fk-1"), Expires: time.Now().Add(time.Hour)})
		time.Sleep(time.Hour - time.Nanosecond)
		if _, err := r.Lookup("fk-1"); err != nil {
			t.Errorf("a nanosecond before: %v", err)
		}
		time.Sleep(time.Nanosecond)
		if _, err := r.Lookup("fk-1"); !errors.Is(err, keys.ErrExpired) {
			t.Errorf("at the moment: %v", err)
		}
	})
}

func TestNewRingReportsAllThatIsWrong(t *testing.T) {
	_, err := keys.NewRing([]keys.Key{
		{Secret: keys.NewSecret(plain)}, {}, {Secret: keys.NewSecret("fk-a b")}, {Secret: keys.NewSecret(plain), Name: "twice"}, {Secret: keys.NewSecret("fk-\n")},
	})
	if err == nil {
		t.Fatal("no error")
	}
	for _, want := range []string{"key 2 of 5 is empty", "key 3 of 5 (fk-…) contains white space", "key 4 of 5 (fk-a1B2…x9Zt) is there twice", "key 5 of 5"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q is not in %q", want, err)
		}
	}
	if strings.Contains(err.Error(), plain) {
		t.Errorf("the secret is in %q", err)
	}
}

func TestIDIsStableAndShowsNothing(t *testing.T) {
	k := keys.Key{Name: "alice", Secret: keys.NewSecret(plain)}
	// printf %s fk-a1B2c3D4e5F6g7H8i9J0x9Zt | sha256sum: limits in Redis and
	// cached answers go by it, so it must never change.
	if got := k.ID(); got != "a5a89e81527c" {
		t.Errorf("ID() = %s", got)
	}
	k.Name, k.Level = "bob", 3
	if got := k.ID(); got != "a5a89e81527c" {
		t.Errorf("ID() changed with the name to %s", got)
	}
}

func TestLevels(t *testing.T) {
	l := keys.Levels{
		0: {"gpt-4o"},
		1: {"gpt-4o-mini", "text-*", "*/llama-?", "o[13]*", `odd\*`, "[", "a]b", "x[^a-c]y", "ü?", "**z"},
		2: {}, 3: {"*"}, 4: {""},
	}
	for _, test := range []struct {
		level int
		model string
		want  bool
	}{
		{0, "gpt-4o", true}, {0, "anything", true}, {0, "", true},
		{1, "gpt-4o-mini", true}, {1, "gpt-4o-mini-2024", false}, {1, "gpt-4o", false}, {1, "GPT-4o-mini", false}, {1, "", false},
		{1, "text-", true}, {1, "text-embedding/3", true}, {1, "xtext-3", false},
		{1, "meta/llama-3", true}, {1, "a/b/llama-3", true}, {1, "llama-3", false}, {1, "meta/llama-33", false}, {1, "meta/llama-", false},
		{1, "o1", true}, {1, "o3-pro", true}, {1, "o2", false}, {1, "o", false},
		{1, "odd*", true}, {1, "oddx", false}, {1, "[", true}, {1, "a]b", true},
		{1, "xdy", true}, {1, "xby", false}, {1, "üé", true}, {1, "ü", false}, {1, "az", true}, {1, "zz", true}, {1, "za", false},
		{2, "gpt-4o-mini", false}, {2, "", false},
		{3, "", true}, {3, "a/b", true},
		{4, "", true}, {4, "x", false},
		{9, "gpt-4o-mini", false}, {-1, "gpt-4o-mini", false},
	} {
		if got := l.Allows(test.level, test.model); got != test.want {
			t.Errorf("level %d, model %q: %v", test.level, test.model, got)
		}
	}
	var none keys.Levels
	if !none.Allows(0, "x") || none.Allows(1, "x") || none.Restricted(0) || !none.Restricted(1) || !l.Restricted(3) {
		t.Error("no levels: only level 0 may use models")
	}
}

func BenchmarkLookup(b *testing.B) {
	var ks []keys.Key
	for i := range 1000 {
		ks = append(ks, keys.Key{Secret: keys.NewSecret(fmt.Sprintf("fk-%048d", i))})
	}
	r := mustRing(b, ks...)
	for name, presented := range map[string]string{"known": fmt.Sprintf("fk-%048d", 7), "unknown": fmt.Sprintf("fk-%048d", 7777)} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				r.Lookup(presented)
			}
		})
	}
}

func Example() {
	ring, err := keys.NewRing([]keys.Key{{Name: "alice", Secret: keys.NewSecret("fk-a1B2c3D4e5F6g7H8i9J0x9Zt"), Level: 1}})
	if err != nil {
		fmt.Println(err)
		return
	}
	levels := keys.Levels{1: {"gpt-4o*"}}

	header := map[string][]string{"Authorization": {"Bearer fk-a1B2c3D4e5F6g7H8i9J0x9Zt"}}
	value, _, err := keys.Presented(header, "")
	if err != nil {
		fmt.Println(err)
		return
	}
	key, err := ring.Lookup(value)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(key.Name, key.Secret, levels.Allows(key.Level, "gpt-4o-mini"), levels.Allows(key.Level, "o1-pro"))
	// Output: alice fk-a1B2…x9Zt true false
}
