package control

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"forward/internal/cache"
	"forward/internal/reload"
)

// Client sends the requests of commands to a Handler. It is safe for concurrent
// use; its user closes it.
type Client struct {
	transport interface {
		http.RoundTripper
		CloseIdleConnections()
	}
}

// NewClient returns a Client of the gateway that runs on dir. It connects with
// the first request.
func NewClient(dir string) *Client {
	return &Client{&http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) { return dial(ctx, dir) }}}
}

// Close closes the connections to the gateway.
func (c *Client) Close() { c.transport.CloseIdleConnections() }

// Reload makes the gateway read its settings again. An error that is not of the
// connection lists all that is wrong.
func (c *Client) Reload(ctx context.Context) (reload.Result, error) {
	var result reload.Result
	err := c.call(ctx, request{method: http.MethodPost, path: "/reload"}, &result)
	if refused, ok := errors.AsType[*answerError](err); ok && refused.status == http.StatusUnprocessableEntity {
		err = fmt.Errorf("refused, and all settings stay as they were:\n%w", err)
	}
	return result, err
}

// Stats returns the counters of the cache.
func (c *Client) Stats(ctx context.Context) (s cache.Stats, err error) {
	err = c.call(ctx, request{method: http.MethodGet, path: "/cache/stats"}, &s)
	return s, err
}

// List returns the entries that the filter selects, in no order. An entry that
// is used meanwhile may be there twice.
func (c *Client) List(ctx context.Context, f cache.Filter) ([]cache.Info, error) {
	body, err := c.send(ctx, request{method: http.MethodGet, path: "/cache/entries", query: filterValues(f)})
	if err != nil {
		return nil, err
	}
	defer body.Close()
	var list []cache.Info
	for lines := json.NewDecoder(body); ; {
		var i cache.Info
		switch err := lines.Decode(&i); {
		case err == io.EOF:
			return list, nil
		case err != nil:
			return nil, fmt.Errorf("reading the list: %w", err)
		}
		list = append(list, i)
	}
}

// Show returns the entry whose key starts with prefix, as a line of an export
// with its key.
func (c *Client) Show(ctx context.Context, prefix string) (entry json.RawMessage, err error) {
	err = c.call(ctx, request{method: http.MethodGet, path: "/cache/entries/" + url.PathEscape(prefix)}, &entry)
	return entry, err
}

// Count adds up the entries that the filter selects.
func (c *Client) Count(ctx context.Context, f cache.Filter) (sum cache.Sum, err error) {
	err = c.call(ctx, request{method: http.MethodGet, path: "/cache/count", query: filterValues(f)}, &sum)
	return sum, err
}

// Purge deletes the entries that the filter selects.
func (c *Client) Purge(ctx context.Context, f cache.Filter) (sum cache.Sum, err error) {
	err = c.call(ctx, request{method: http.MethodPost, path: "/cache/purge", query: filterValues(f)}, &sum)
	return sum, err
}

// Verify reads every entry and compares it with its checksum.
func (c *Client) Verify(ctx context.Context) (v cache.Verified, err error) {
	err = c.call(ctx, request{method: http.MethodPost, path: "/cache/verify"}, &v)
	return v, err
}

// Export returns the entries that the filter selects as an export, which the
// caller closes.
func (c *Client) Export(ctx context.Context, f cache.Filter) (io.ReadCloser, error) {
	return c.send(ctx, request{method: http.MethodGet, path: "/cache/export", query: filterValues(f)})
}

// Import stores the entries of an export for ttl, 0 for the cache's own.
func (c *Client) Import(ctx context.Context, export io.Reader, ttl time.Duration) (result Imported, err error) {
	query := url.Values{}
	if ttl > 0 {
		query.Set("ttl", ttl.String())
	}
	err = c.call(ctx, request{method: http.MethodPost, path: "/cache/import", query: query, body: export}, &result)
	return result, err
}

// SignIn returns the address of the dashboard at which one request signs in as
// administrator.
func (c *Client) SignIn(ctx context.Context) (url string, err error) {
	var link Link
	err = c.call(ctx, request{method: http.MethodPost, path: "/dashboard/link"}, &link)
	return link.URL, err
}

// request is one request to a Handler.
type request struct {
	method, path string
	query        url.Values
	body         io.Reader
}

// call sends a request and reads its answer into result.
func (c *Client) call(ctx context.Context, q request, result any) error {
	answer, err := c.send(ctx, q)
	if err != nil {
		return err
	}
	defer answer.Close()
	if err := json.NewDecoder(answer).Decode(result); err != nil {
		return fmt.Errorf("reading the gateway's answer: %w", err)
	}
	return nil
}

// answerError is an error that the gateway answered with.
type answerError struct {
	status  int
	message string
}

func (e *answerError) Error() string { return e.message }

// send sends a request and returns the body of its answer, which the caller
// closes.
func (c *Client) send(ctx context.Context, q request) (io.ReadCloser, error) {
	r, err := http.NewRequestWithContext(ctx, q.method, "http://forward"+q.path+"?"+q.query.Encode(), q.body)
	if err != nil {
		return nil, err
	}
	res, err := c.transport.RoundTrip(r)
	if err != nil {
		return nil, fmt.Errorf("asking the gateway: %w", err)
	}
	if res.StatusCode == http.StatusOK {
		return res.Body, nil
	}
	defer res.Body.Close()
	text, err := io.ReadAll(io.LimitReader(res.Body, 1<<20))
	if err != nil {
		return nil, fmt.Errorf("reading the gateway's answer: %w", err)
	}
	var answer struct{ Error struct{ Message string } }
	if json.Unmarshal(text, &answer) == nil && answer.Error.Message != "" {
		return nil, &answerError{res.StatusCode, answer.Error.Message}
	}
	return nil, fmt.Errorf("the running gateway does not know this command: %s: %s", res.Status, strings.TrimSpace(string(text)))
}
