package admin

import (
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"

	"forward/internal/audit"
	"forward/internal/ledger"
)

func (s *server) auditRoutes() []route {
	return []route{{method: http.MethodGet, pattern: "/_/api/audit", who: administrators, ask: s.listAudit, needs: hasAudit}}
}

func hasAudit(s *server) error {
	if s.Audit == nil {
		return &problem{status: http.StatusNotFound, code: "audit_off", message: "Nothing is recorded here: DATA_DIR cannot be written."}
	}
	return nil
}

// listAudit shows the newest entries before a number.
func (s *server) listAudit(r *http.Request, _ *viewer) (any, error) {
	values, err := query(r, "before", "limit", "action", "actor", "object", "format")
	if err != nil {
		return nil, err
	}
	format := values.Get("format")
	if format != "" && format != "json" && format != "csv" {
		return nil, invalid("format", "is none of json, csv")
	}
	p, err := paging(values)
	if err != nil {
		return nil, err
	}
	q := audit.Query{Limit: p.limit + 1, Action: values.Get("action"), Actor: values.Get("actor"), Object: values.Get("object")}
	if text := values.Get("before"); text != "" {
		q.Before, err = strconv.ParseInt(text, 10, 64)
		if err != nil || q.Before <= 0 {
			return nil, invalid("before", "is no number of an entry")
		}
	}
	list, err := s.Audit.List(r.Context(), q, s.Location)
	if err != nil {
		return nil, err
	}
	var next *int64
	if len(list) > p.limit {
		list = list[:p.limit]
		next = &list[p.limit-1].ID
	}
	if format == "csv" {
		return reply{http.StatusOK, http.Header{"Content-Disposition": {`attachment; filename="audit.csv"`}}, document{"text/csv; charset=utf-8", func(w io.Writer) error { return auditCSV(w, list) }}}, nil
	}
	return struct {
		Entries []audit.Entry `json:"entries"`
		Next    *int64        `json:"next_before"`
	}{append([]audit.Entry{}, list...), next}, nil
}

func auditCSV(w io.Writer, list []audit.Entry) error {
	c := csv.NewWriter(w)
	rows := [][]string{{"id", "time", "actor", "role", "address", "action", "object", "before", "after", "session"}}
	for _, e := range list {
		row := []string{fmt.Sprint(e.ID), e.Time.Format(time.RFC3339), e.Actor, e.Role, e.Address, e.Action, e.Object, jsonCell(e.Before), jsonCell(e.After), e.Session}
		for i := range row {
			row[i] = ledger.CellText(row[i])
		}
		rows = append(rows, row)
	}
	return c.WriteAll(rows)
}

func jsonCell(v any) string {
	text, ok := v.(json.RawMessage)
	if !ok {
		return ""
	}
	return string(text)
}
