package cache

import (
	"bytes"
	"errors"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

func mustCodec(t testing.TB) *codec {
	t.Helper()
	c, err := newCodec()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.close)
	return c
}

// testQuestion has something in every part that a record keeps.
func testQuestion() Question {
	q := Question{
		Route: "openai", Dialect: "openai", Operation: "chat", Model: "gpt-4o", Method: "POST", Path: "/v1/chat/completions", Query: "a=1",
		Header: map[string]string{"Openai-Beta": "x"}, ContentType: "text/plain", Scope: "key:0123", Body: []byte(`{"model":"gpt-4o"}`),
	}
	q.seal()
	return q
}

// equal compares entries with the unexported fields of their questions, and
// without the fields that only Get sets.
var equal = cmp.Options{cmp.AllowUnexported(Question{}, field{}), cmpopts.IgnoreFields(Entry{}, "Zstd")}

func testEntry() *Entry {
	return &Entry{
		Status: 200, Body: []byte(strings.Repeat(`data: {"delta":"x"}`+"\n\n", 200)), Stream: true,
		Header: http.Header{"Content-Type": {"text/event-stream"}, "X": {"1", "2"}, "Y": {}},
		Stored: time.Unix(1700000000, 1), Expires: time.Unix(1800000000, 999999999), Question: testQuestion(),
	}
}

// TestNoRecordIsTrustedUnlessWhole flips each bit and cuts at each byte.
func TestNoRecordIsTrustedUnlessWhole(t *testing.T) {
	c, k := mustCodec(t), NewKey([]byte("question"))
	short := testEntry()
	short.Body = []byte("{}")
	for name, e := range map[string]*Entry{"packed": testEntry(), "plain": short} {
		rec := c.encode(k, e)
		if got, err := c.decodeWhole(k, rec); err != nil || cmp.Diff(e, got, equal) != "" {
			t.Fatal(name, err, cmp.Diff(e, got, equal))
		}
		if _, err := c.decode(NewKey([]byte("another")), rec); err == nil {
			t.Errorf("%s: taken for the answer to another question", name)
		}
		for i := range rec {
			for bit := range 8 {
				rec[i] ^= 1 << bit
				if _, err := c.decode(k, rec); err == nil {
					t.Errorf("%s: bit %d of byte %d flipped, and it is trusted", name, bit, i)
				}
				rec[i] ^= 1 << bit
			}
			if _, err := c.decode(k, rec[:i]); err == nil {
				t.Errorf("%s: cut at %d, and it is trusted", name, i)
			}
		}
		if _, err := c.decode(k, append(bytes.Clone(rec), 0)); err == nil {
			t.Errorf("%s: a byte too long, and it is trusted", name)
		}
	}
}

func TestEntrySharesNothingWithItsRecord(t *testing.T) {
	c, k := mustCodec(t), NewKey()
	for _, body := range []string{"short", strings.Repeat("long ", 1000)} {
		e := testEntry()
		e.Body = []byte(body)
		rec := c.encode(k, e)
		got, err := c.decodeWhole(k, rec)
		if err != nil {
			t.Fatal(err)
		}
		clear(rec)
		if diff := cmp.Diff(e, got, equal); diff != "" {
			t.Error(diff)
		}
	}
}

func TestLongBodiesArePacked(t *testing.T) {
	c, e := mustCodec(t), testEntry()
	rec := c.encode(Key{}, e)
	if len(rec) > len(e.Body)/5 {
		t.Errorf("%d bytes for a body of %d", len(rec), len(e.Body))
	}
	got, err := c.decode(Key{}, rec)
	if err != nil {
		t.Fatal(err)
	}
	clear(rec)
	if body, err := c.dec.DecodeAll(got.Zstd, nil); err != nil || !bytes.Equal(body, e.Body) {
		t.Errorf("the packed body is not the body: %v", err)
	}
	e.Body = []byte("short")
	if got, err := c.decode(Key{}, c.encode(Key{}, e)); err != nil || got.Zstd != nil {
		t.Errorf("%d bytes packed, %v", len(got.Zstd), err)
	}
}

// TestRecordsOfOtherVersionsAreMisses: neither an older nor a newer record is
// an error, or a reason to complain.
func TestRecordsOfOtherVersionsAreMisses(t *testing.T) {
	c, k := mustCodec(t), NewKey([]byte("question"))
	for _, version := range []byte{0, 1, recordVersion + 1, 255} {
		rec := c.encode(k, testEntry())
		rec[4] = version
		sum(rec, rec[recordSum:recordSum])
		if _, err := c.decode(k, rec); err != errVersion {
			t.Errorf("version %d: %v", version, err)
		}
	}
}

// FuzzRecord gives records a right sum, so that what is behind it is reached.
func FuzzRecord(f *testing.F) {
	c, k := mustCodec(f), NewKey([]byte("question"))
	f.Add(c.encode(k, testEntry()))
	short := testEntry()
	short.Body = nil
	f.Add(c.encode(k, short))
	f.Fuzz(func(t *testing.T, rec []byte) {
		rec = bytes.Clone(rec)
		if len(rec) >= recordHead {
			copy(rec[40:], k[:])
			sum(rec, rec[recordSum:recordSum])
		}
		e, err := c.decodeWhole(k, rec)
		if err != nil || len(e.Question.Body) > maxKept || e.Question.sum == [32]byte{} {
			return
		}
		again, err := c.decodeWhole(k, c.encode(k, e))
		if err != nil || cmp.Diff(e, again, equal) != "" {
			t.Fatal(err, cmp.Diff(e, again, equal))
		}
	})
}

// FuzzTableSum reads what stands at the end of a table.
func FuzzTableSum(f *testing.F) {
	f.Add([]byte{0x10, 0xff, 0xff, 0xff, 0xff, 0x0f})
	f.Fuzz(func(t *testing.T, message []byte) { tableSum(message) })
}

func TestPlanFits(t *testing.T) {
	for name, test := range map[string]struct{ max, entry, total, wantMax, wantFloor int64 }{
		"defaults, 100 GB":      {1 << 30, 8 << 20, 100e9, 1 << 30, 512 << 20},
		"defaults, 2 GB":        {1 << 30, 8 << 20, 2e9, 1e9, 100e6},
		"defaults, 200 MB":      {1 << 30, 8 << 20, 200e6, 100e6, 25e6},
		"small, large disk":     {64 << 20, 8 << 20, 1e12, 64 << 20, 512 << 20},
		"least, least disk":     {MinBytes, 8 << 20, 40e6, MinBytes, 5e6},
		"large, no total known": {1 << 40, 256 << 20, 1<<63 - 1, 1 << 40, 512 << 20},
	} {
		s := plan(test.max, test.entry, test.total)
		if s.max != test.wantMax || s.floor != test.wantFloor {
			t.Errorf("%s: at most %d bytes, %d free", name, s.max, s.floor)
		}
		if s.limit <= 0 || s.entry <= 0 || s.batch <= 0 || 2*(s.limit+2*s.memtable) > s.max || s.batch+s.entry > s.limit {
			t.Errorf("%s: does not fit: %+v", name, s)
		}
		if s.valueLog < 1<<20 || s.valueLog >= 2<<30 || s.batch+s.entry+1<<19 > s.valueLog {
			t.Errorf("%s: Badger cannot do this: %+v", name, s)
		}
	}
}

// TestQueueIsBounded fills the queue while nothing is written.
func TestQueueIsBounded(t *testing.T) {
	put := func(q *queue, n int, size int) bool {
		return q.put(&pending{key: NewKey([]byte{byte(n), byte(n >> 8)}), entry: &Entry{Body: make([]byte, size)}})
	}
	few, many := newQueue(1<<20), newQueue(1<<20)
	for n := range queueEntries {
		if !put(many, n, 10) {
			t.Fatalf("%d were too many", n)
		}
	}
	if put(many, queueEntries, 10) || many.len() != queueEntries {
		t.Error("not bounded in number")
	}
	if !put(many, 0, 20) {
		t.Error("what waits cannot be replaced")
	}
	for n := range queueBytes >> 20 {
		put(few, n, 1<<20)
	}
	if put(few, 1000, 1<<20) || few.bytes > queueBytes {
		t.Errorf("not bounded in bytes: %d", few.bytes)
	}
	if !put(newQueue(1<<20), 1, 2*queueBytes) {
		t.Error("an entry longer than the queue can never be remembered")
	}
	for few.len() > 0 {
		few.done(few.take())
	}
	for many.len() > 0 {
		many.done(many.take())
	}
	if few.bytes != 0 || many.bytes != 0 {
		t.Errorf("%d and %d bytes left in empty queues", few.bytes, many.bytes)
	}
}

func TestTidyingGivesWay(t *testing.T) {
	q, k := newQueue(1<<20), NewKey()
	q.put(&pending{key: k, entry: &Entry{Status: 1}})
	q.put(&pending{key: k, raw: []byte("old")})
	q.put(&pending{key: k})
	if e := q.get(k); e == nil || e.Status != 1 {
		t.Error("an old record took the place of a new answer")
	}
}

// TestAnOlderCacheIsEmpty opens a directory whose records have the version
// before this one: they are misses without a complaint, Verify counts them, and
// new answers take their place.
func TestAnOlderCacheIsEmpty(t *testing.T) {
	dir, codec, e := t.TempDir(), mustCodec(t), testEntry()
	path := filepath.Join(dir, generationName(1))
	if err := os.Mkdir(path, 0o700); err != nil {
		t.Fatal(err)
	}
	e.Stored, e.Expires = time.Now(), time.Now().Add(time.Hour)
	old := codec.encode(Key{1}, e)
	old[4]--
	sum(old, old[recordSum:recordSum])
	g, err := createGeneration(path, plan(MinBytes, 1<<20, 1<<40), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	batch := []*pending{{key: Key{1}, raw: old, expires: e.Expires}}
	if err := errors.Join(g.commit(batch, [][]byte{old}, time.Now()), g.close()); err != nil {
		t.Fatal(err)
	}

	var log bytes.Buffer
	c, err := Open(Options{Dir: dir, Log: slog.New(slog.NewTextHandler(&log, nil))})
	if err != nil {
		t.Fatal(err)
	}
	v, err := c.Verify(t.Context())
	if err != nil || v != (Verified{Foreign: 1}) {
		t.Errorf("%+v, %v", v, err)
	}
	if sum, err := c.Count(t.Context(), Filter{}); err != nil || sum.Entries != 0 {
		t.Errorf("%+v, %v", sum, err)
	}
	if _, ok := c.Get(t.Context(), Key{1}); ok {
		t.Error("a hit")
	}
	c.Put(Key{1}, testEntryNow())
	if _, ok := c.Get(t.Context(), Key{1}); !ok {
		t.Error("an old record is in the way of a new answer")
	}
	if err := c.Close(); err != nil || log.String() != "" || c.Stats().Damaged != 0 {
		t.Errorf("%v, %s", err, log.String())
	}
}

func testEntryNow() *Entry {
	e := testEntry()
	e.Stored, e.Expires = time.Time{}, time.Time{}
	return e
}
