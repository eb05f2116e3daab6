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

// Show returns the entry whose key begins with these hexadecimal digits, as an export has it; nil if there is none. It
// fails with ErrAmbiguous where several keys begin so.
func (c *Cache) Show(ctx context.Context, prefix string) (*Detail, error) {
	i, e, err := c.Find(ctx, prefix)
	if err != nil || e == nil {
		return nil, err
	}
	return &Detail{Key: i.Key, Scope: i.Scope, Expires: i.Expires.UTC(), exportLine: newExportLine(e)}, nil
}
