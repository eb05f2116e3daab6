package admin

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"forward/internal/duration"
)

// maxLimit is the most that one page holds.
const maxLimit = 1000

// page is the part of a list that a request asks for.
type page struct{ limit, offset int }

// next returns where the next page starts, nil after the last one.
func (p page) next(total int) *int {
	if end := p.offset + p.limit; end < total {
		return &end
	}
	return nil
}

// of returns the part of the list.
func of[T any](p page, list []T) []T {
	from := min(p.offset, len(list))
	return list[from:min(from+p.limit, len(list))]
}

// query reads the parameters of a request and refuses unknown ones: a misspelt
// filter must not answer for everything.
func query(r *http.Request, known ...string) (url.Values, error) {
	values, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return nil, &problem{status: http.StatusBadRequest, code: "invalid_query", message: "The query cannot be read: " + err.Error() + "."}
	}
	for name, list := range values {
		if !slices.Contains(known, name) {
			return nil, invalid(name, "is no parameter here; write "+strings.Join(known, ", "))
		}
		if len(list) > 1 {
			return nil, invalid(name, "is there more than once")
		}
	}
	return values, nil
}

func invalid(param, what string) error {
	return &problem{status: http.StatusBadRequest, code: "invalid_query", message: fmt.Sprintf("%q %s.", param, what), param: param}
}

func paging(values url.Values) (page, error) {
	p := page{limit: 100}
	for name, bound := range map[string]struct {
		into      *int
		low, high int
	}{"limit": {&p.limit, 1, maxLimit}, "offset": {&p.offset, 0, 1 << 30}} {
		if !values.Has(name) {
			continue
		}
		n, err := strconv.Atoi(values.Get(name))
		if err != nil || n < bound.low || n > bound.high {
			return p, invalid(name, fmt.Sprintf("is not a whole number from %d to %d", bound.low, bound.high))
		}
		*bound.into = n
	}
	return p, nil
}

// moment reads an age (12h, 30d, 8w), a day or a time. "" is the zero time.
func (s *server) moment(values url.Values, name string) (time.Time, error) {
	text := values.Get(name)
	if text == "" || text == "all" {
		return time.Time{}, nil
	}
	if day, err := time.ParseInLocation(time.DateOnly, text, s.Location); err == nil {
		return day, nil
	}
	if at, err := time.Parse(time.RFC3339, text); err == nil {
		return at, nil
	}
	if age, err := duration.Parse(text); err == nil {
		return s.Now().Add(-age), nil
	}
	return time.Time{}, invalid(name, "is no age such as 30d, no day such as 2026-11-01, and no time such as 2026-11-01T12:00:00Z")
}
