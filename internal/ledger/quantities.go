package ledger

import (
	"encoding/json"
	"reflect"

	"forward/internal/dialect"
)

// quantities are the part of a usage that few requests have: what is billed by
// the piece, and what changes a price. They are one column of JSON, so that a
// further quantity needs no further column.
type quantities struct {
	dialect.Media
	dialect.Terms
}

// quantitiesOf returns the quantities of a usage, and whether it has any. The
// provider's own amount has a column of its own, to be summed up.
func quantitiesOf(u *dialect.Usage) (q quantities, ok bool) {
	q = quantities{u.Media, u.Terms}
	q.Reported = 0
	q.HasReported = false
	return q, !reflect.ValueOf(&q).Elem().IsZero()
}

// marshalQuantities returns the quantities of a usage for SQL: NULL for none.
func marshalQuantities(u *dialect.Usage) any {
	q, ok := quantitiesOf(u)
	if !ok {
		return nil
	}
	text, err := json.Marshal(q)
	if err != nil { // not of strings and numbers
		return nil
	}
	return string(text)
}

// unmarshalQuantities reads what marshalQuantities wrote. An error means that a
// person edited the row. The rest of it is good.
func unmarshalQuantities(u *dialect.Usage, text string) {
	if text == "" {
		return
	}
	var q quantities
	_ = json.Unmarshal([]byte(text), &q)
	u.Media = q.Media
	u.Terms = q.Terms
}
