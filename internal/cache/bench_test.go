package cache_test

import (
	"fmt"
	"testing"

	"forward/internal/cache"
)

// benchSizes are the lengths of bodies that are measured: an answer, and a long
// stream. Odd answers compress as text does.
var benchSizes = map[string]int{"2KB": 2 << 10, "50KB": 50 << 10}

func BenchmarkGet(b *testing.B) {
	for name, size := range benchSizes {
		for _, backend := range []string{"BADGER", "MEMORY"} {
			b.Run(fmt.Sprintf("%s/%s", backend, name), func(b *testing.B) {
				c := MustOpen(b, cache.Options{Backend: backend, Dir: b.TempDir()})
				const answersStored = 500
				for n := range answersStored {
					c.Put(keyOf(n), answerTo(n, size))
				}
				drain(b, c)
				n := 0
				b.SetBytes(int64(size))
				b.ReportAllocs()
				for b.Loop() {
					if _, ok := get(c, keyOf(n%answersStored)); !ok {
						b.Fatal("miss")
					}
					n++
				}
			})
		}
	}
}

func BenchmarkMiss(b *testing.B) {
	c := MustOpen(b, cache.Options{Dir: b.TempDir()})
	for n := range 500 {
		c.Put(keyOf(n), answerTo(n, 2<<10))
	}
	drain(b, c)
	k := keyOf(1000)
	b.ReportAllocs()
	for b.Loop() {
		if _, ok := get(c, k); ok {
			b.Fatal("hit")
		}
	}
}

// BenchmarkPut measures what an answer pays; BenchmarkWrite what the writer
// does beside it, to the end.
func BenchmarkPut(b *testing.B) {
	for name, size := range benchSizes {
		b.Run(name, func(b *testing.B) {
			c := MustOpen(b, cache.Options{Dir: b.TempDir()})
			e := answerTo(1, size)
			n := 0
			b.ReportAllocs()
			for b.Loop() {
				c.Put(keyOf(n%64), e)
				n++
			}
		})
	}
}

func BenchmarkWrite(b *testing.B) {
	for name, size := range benchSizes {
		b.Run(name, func(b *testing.B) {
			c := MustOpen(b, cache.Options{Dir: b.TempDir()})
			e := answerTo(1, size)
			n := 0
			b.SetBytes(int64(size))
			b.ReportAllocs()
			for b.Loop() {
				for !c.Put(keyOf(n), e) {
					drain(b, c)
				}
				n++
			}
			drain(b, c)
		})
	}
}
