package ledger

import (
	"encoding/binary"
	"math"
	"slices"
	"time"
)

// spread counts times by their size. Its buckets end at powers of the fourth
// root of 2 from a millisecond on, so a time is known to a fifth of itself.
// Most cells have few of them, which are kept in order.
type spread []sized

// sized is how many times are in a bucket.
type sized struct {
	bucket byte
	count  int64
}

// maxBucket is the bucket of all that takes longer than 4 hours.
const maxBucket = 95

// bucketOf returns the bucket of a time.
func bucketOf(d time.Duration) byte {
	ms := float64(d) / float64(time.Millisecond)
	if ms <= 1 {
		return 0
	}
	return byte(min(math.Ceil(4*math.Log2(ms)), maxBucket))
}

// endOf returns where a bucket ends.
func endOf(bucket byte) time.Duration {
	return time.Duration(math.Exp2(float64(bucket)/4) * float64(time.Millisecond))
}

// add counts n more times in a bucket.
func (s *spread) add(bucket byte, n int64) {
	i, found := slices.BinarySearchFunc(*s, bucket, func(c sized, b byte) int { return int(c.bucket) - int(b) })
	if !found {
		*s = slices.Insert(*s, i, sized{bucket: bucket})
	}
	(*s)[i].count += n
}

// merge adds another spread.
func (s *spread) merge(o spread) {
	for _, c := range o {
		s.add(c.bucket, c.count)
	}
}

// count returns how many times there are.
func (s spread) count() (n int64) {
	for _, c := range s {
		n += c.count
	}
	return n
}

// Percentiles are the times that a part of the requests did not take longer
// than.
type Percentiles struct{ P50, P95, P99 time.Duration }

func (s spread) percentiles() Percentiles {
	return Percentiles{s.percentile(50), s.percentile(95), s.percentile(99)}
}

// percentile returns the time below which a part of the times is. Within a
// bucket they are taken to be spread evenly.
func (s spread) percentile(percent int64) time.Duration {
	all := s.count()
	rank := (all*percent + 99) / 100 // from 1
	for _, c := range s {
		if rank > c.count {
			rank -= c.count
			continue
		}
		low := time.Duration(0)
		if c.bucket > 0 {
			low = endOf(c.bucket - 1)
		}
		part := float64(rank) / float64(c.count)
		return low + time.Duration(part*float64(endOf(c.bucket)-low))
	}
	return 0
}

// append appends the spread as bytes: how many buckets, and each with its
// count.
func (s spread) append(b []byte) []byte {
	b = binary.AppendUvarint(b, uint64(len(s)))
	for _, c := range s {
		b = append(b, c.bucket)
		b = binary.AppendUvarint(b, uint64(c.count))
	}
	return b
}

// read adds what append wrote, and returns the rest. Of bytes that a person
// edited it takes what it can.
func (s *spread) read(b []byte) (rest []byte) {
	buckets, n := binary.Uvarint(b)
	if n <= 0 {
		return nil
	}
	b = b[n:]
	for range min(buckets, maxBucket+1) {
		if len(b) < 2 {
			return nil
		}
		count, n := binary.Uvarint(b[1:])
		if n <= 0 {
			return nil
		}
		s.add(min(b[0], maxBucket), int64(min(count, math.MaxInt32)))
		b = b[1+n:]
	}
	return b
}
