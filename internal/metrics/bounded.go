package metrics

import (
	"maps"
	"strings"
	"sync"
	"sync/atomic"
	"unicode/utf8"
)

// other is the label of everything that is too much to have its own.
const other = "other"

// maxLabel is the longest value of a label, in bytes. The longest model names
// in use, those of Bedrock's inference profiles, have about 120.
const maxLabel = 200

// bounded is a map that is read with every request and grows a few times in the
// life of the process: readers take no lock, and a writer copies it. A key
// beyond the bound shares the entry of the key rest. Set it up with init.
type bounded[K comparable, V any] struct {
	most    int
	rest    K
	make    func(K) V
	others  func() V                // makes the entry of rest once
	mu      sync.Mutex              // held while entries are replaced
	entries atomic.Pointer[map[K]V] // without that of rest; never changed
}

func (b *bounded[K, V]) init(most int, rest K, make func(K) V) {
	b.most = most
	b.rest = rest
	b.make = make
	b.others = sync.OnceValue(func() V { return make(rest) })
	b.entries.Store(&map[K]V{})
}

// get returns the entry of k, and makes it within the bound. Beyond, it returns
// that of the rest.
func (b *bounded[K, V]) get(k K) V {
	entries := *b.entries.Load()
	v, ok := entries[k]
	switch {
	case ok:
		return v
	case k == b.rest || len(entries) >= b.most:
		return b.others()
	}
	return b.add(k)
}

// known returns the entry of k if it is there, and otherwise that of the rest.
func (b *bounded[K, V]) known(k K) V {
	if v, ok := (*b.entries.Load())[k]; ok {
		return v
	}
	return b.others()
}

func (b *bounded[K, V]) add(k K) V {
	b.mu.Lock()
	defer b.mu.Unlock()
	entries := *b.entries.Load()
	if v, ok := entries[k]; ok { // another request was faster
		return v
	}
	if len(entries) >= b.most {
		return b.others()
	}
	grown := maps.Clone(entries)
	v := b.make(k)
	grown[k] = v
	b.entries.Store(&grown)
	return v
}

// fit makes a text fit to be a label: the client library panics at one that is
// not UTF-8.
func fit(s string) string {
	return strings.ToValidUTF8(s[:min(len(s), maxLabel)], "�")
}

// fits reports whether a text may be a label as it is.
func fits(s string) bool { return len(s) <= maxLabel && utf8.ValidString(s) }
