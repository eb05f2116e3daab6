package ledger

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"forward/internal/price"
)

// Term keeps the requests whose dimension has a value, or with Not all others.
// A key can be given by id or by name, and a status by its class: 4xx. hour,
// day and month are no terms.
type Term struct {
	Dimension Dimension
	Value     string
	Not       bool
}

// condition returns the term about a table whose columns have the names of
// dimensions.
func (t Term) condition(table string) (text string, args []any) {
	column := table + "." + string(t.Dimension)
	text = column + " = ?"
	args = []any{t.Value}
	switch {
	case t.Dimension == ByKey:
		text = "(" + column + " = ? OR " + column + " IN (SELECT key FROM usage_keys WHERE name = ?))"
		args = append(args, t.Value)
	case t.Dimension == ByTag:
		text = "EXISTS (SELECT 1 FROM json_each(NULLIF(" + table + ".tags, '')) AS t WHERE t.value = ?)"
	case t.Dimension == ByStatus && isClass(t.Value):
		text = column + " BETWEEN ? AND ?"
		first := int(t.Value[0]-'0') * 100
		args = []any{first, first + 99}
	}
	if t.Not {
		text = "NOT " + text
	}
	return text, args
}

// isClass reports whether a status is a class of them: 4xx.
func isClass(status string) bool {
	return len(status) == 3 && status[0] >= '1' && status[0] <= '9' && status[1:] == "xx"
}

// where is a condition in SQL that grows.
type where struct {
	text string
	args []any
}

func (w *where) and(condition string, args ...any) {
	w.text += " AND " + condition
	w.args = append(w.args, args...)
}

// Selection is the rows of single requests that are meant. The zero value means
// all.
type Selection struct {
	Since, Until time.Time // when requests started; zero is open
	Terms        []Term    // a row has to match each of them
	ID           string    // how its id starts
	MinTotal     time.Duration
	MinCost      price.Money
	Unpriced     bool // rows whose cost is unknown
	Unmetered    bool // rows that were sent and whose usage is unknown
}

// Check returns what is wrong with a selection.
func (s Selection) Check() error {
	known := Dimensions()
	for _, t := range s.Terms {
		if !slices.Contains(known, t.Dimension) || layouts[t.Dimension] != "" {
			return fmt.Errorf("%q is nothing to filter by", t.Dimension)
		}
	}
	return nil
}

// The dimensions that are in a row's kind, and those of hourly sums.
var (
	kindDimensions = []Dimension{ByKey, ByModel, ByRoute, ByOperation, ByStatus, ByCache, ByUpstream, BySlot, ByAnswered, ByCause, ByFinish}
	sumDimensions  = []Dimension{ByKey, ByModel, ByRoute, ByOperation, ByStatus, ByCache}
)

// kinds returns the condition of a selection about usage_kinds; its text is ""
// where there is none.
func (s *Selection) kinds() (w where) {
	for _, t := range s.Terms {
		if slices.Contains(kindDimensions, t.Dimension) {
			text, args := t.condition("usage_kinds")
			w.and(text, args...)
		}
	}
	if s.Unmetered {
		w.and("usage_kinds.unmetered")
	}
	return w
}

// rows returns the condition of a selection about usage_calls, for rows that
// started in a time at most. Their kinds are looked up once, which is a few
// thousand of them where there may be a hundred thousand rows, unless those
// that match are given as JSON.
func (s *Selection) rows(from, to time.Time, known string) (w where) {
	if !s.Since.IsZero() {
		w.and("usage_calls.time >= ?", s.Since.UnixMicro())
	}
	if !s.Until.IsZero() {
		w.and("usage_calls.time < ?", s.Until.UnixMicro())
	}
	kinds := s.kinds()
	switch {
	case kinds.text == "":
	case known != "":
		w.and("usage_calls.kind IN (SELECT value FROM json_each(?))", known)
	default:
		in := kindsOf(from, to)
		w.and("usage_calls.kind IN (SELECT id FROM usage_kinds WHERE "+in.text+kinds.text+")", append(in.args, kinds.args...)...)
	}
	for _, t := range s.Terms {
		switch {
		case slices.Contains(kindDimensions, t.Dimension):
		case t.Dimension == ByTag:
			w.tag(t)
		case t.Dimension == BySession && t.Value == "":
			w.and("usage_calls.session IS " + map[bool]string{false: "NULL", true: "NOT NULL"}[t.Not])
		case t.Dimension == BySession && t.Not:
			w.and("usage_calls.session IS NOT ?", t.Value)
		default:
			text, args := t.condition("usage_calls")
			w.and(text, args...)
		}
	}
	if s.Unpriced {
		w.and("usage_calls.cost IS NULL")
	}
	if s.MinTotal > 0 {
		w.and("usage_calls.total_us >= ?", s.MinTotal.Microseconds())
	}
	if s.MinCost > 0 {
		w.and("usage_calls.cost >= ?", int64(s.MinCost))
	}
	if s.ID != "" {
		w.and("substr(usage_calls.id, 1, ?) = ?", len([]rune(s.ID)), s.ID)
	}
	return w
}

// kindsOf returns the condition about the kinds that rows of a time may have.
func kindsOf(from, to time.Time) where {
	return where{"usage_kinds.until BETWEEN ? AND ?", []any{from.Add(-clockSlack).UnixMicro(), to.Add(kindSpan + clockSlack).UnixMicro()}}
}

// tag adds a term about a tag. The tags of a row are those of its kind, unless
// it has some of its own.
func (w *where) tag(t Term) {
	own, args := Term{Dimension: ByTag, Value: t.Value}.condition("usage_calls")
	of, _ := Term{Dimension: ByTag, Value: t.Value}.condition("usage_kinds")
	text := "CASE WHEN usage_calls.tags IS NULL THEN usage_calls.kind IN (SELECT id FROM usage_kinds WHERE " + of + ") ELSE " + own + " END"
	if t.Not {
		text = "NOT " + text
	}
	w.and(text, append(args, args...)...)
}

// numbers returns the numbers of the rows that a selection may mean: from the
// first on, and below the second.
func (s *Selection) numbers() span {
	all := span{0, int64(maxMilli)<<numberBits | numberMask}
	if !s.Since.IsZero() {
		all.first = numberAt(s.Since.Add(-clockSlack))
	}
	if !s.Until.IsZero() {
		all.end = numberAt(s.Until.Add(clockSlack))
	}
	if digits, ok := strings.CutPrefix(s.ID, idPrefix); ok && digits != "" {
		digits = digits[:min(len(digits), idTime-len(idPrefix))]
		missing := idTime - len(idPrefix) - len(digits)
		first, _, low := parseID(idPrefix + digits + strings.Repeat("0", missing+20))
		last, _, high := parseID(idPrefix + digits + strings.Repeat("f", missing) + strings.Repeat("0", 20))
		if low {
			all.first = max(all.first, first)
		}
		if high {
			all.end = min(all.end, last+numberMask+1)
		}
	}
	return all
}

// span is the rows whose numbers are from the first on and below the end.
type span struct{ first, end int64 }

// from and to return a time before and one after all rows of a span.
func (s span) from() time.Time { return time.UnixMilli(s.first >> numberBits) }
func (s span) to() time.Time   { return time.UnixMilli(s.end>>numberBits + 1) }

// within returns the parts of spans that are in another list. Both are in the
// order of time, the newest first.
func within(a, b []span) (both []span) {
	for len(a) > 0 && len(b) > 0 {
		one := span{max(a[0].first, b[0].first), min(a[0].end, b[0].end)}
		if one.first < one.end {
			both = append(both, one)
		}
		if a[0].first >= b[0].first {
			a = a[1:]
		} else {
			b = b[1:]
		}
	}
	return both
}
