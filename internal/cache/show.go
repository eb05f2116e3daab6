package cache

import (
	"context"
	"time"
)

// Detail is an entry with its bodies, written as an export writes them.
type Detail struct {
	Key     Key       `json:"key"`
	Scope   string    `json:"scope,omitempty"`
	Expires time.Time `json:"expires"`
	*exportLine
}

// Show returns the entry whose key starts with these hexadecimal digits, in the
// form of an export; nil if there is none. It fails with ErrAmbiguous for a
// prefix that several keys have.
func (c *Cache) Show(ctx context.Context, prefix string) (*Detail, error) {
	i, e, err := c.Find(ctx, prefix)
	if err != nil || e == nil {
		return nil, err
	}
	return &Detail{Key: i.Key, Scope: i.Scope, Expires: i.Expires.UTC(), exportLine: newExportLine(e)}, nil
}
