package admin

import (
	"io"
	"net/http"

	"forward/internal/audit"
)

// maxSettings bounds a text that is checked, in bytes of the request.
const maxSettings = 1 << 20

func (s *server) listSettings(r *http.Request, _ *viewer) (any, error) {
	if _, err := query(r); err != nil {
		return nil, err
	}
	return struct {
		Settings []Setting `json:"settings"`
	}{s.Gateway.Settings.List()}, nil
}

func (s *server) exportSettings(r *http.Request, _ *viewer) (any, error) {
	if _, err := query(r); err != nil {
		return nil, err
	}
	return reply{
		status: http.StatusOK,
		header: http.Header{"Content-Disposition": {`attachment; filename="forward.yaml"`}},
		value:  document{"text/yaml; charset=utf-8", func(w io.Writer) error { return s.Gateway.Settings.Export(w) }},
	}, nil
}

func (s *server) checkSettings(r *http.Request, _ *viewer) (any, error) {
	var asked struct {
		YAML string `json:"yaml"`
	}
	if err := decode(r, &asked); err != nil {
		return nil, err
	}
	return s.Gateway.Settings.Check(asked.YAML), nil
}

func (s *server) reload(r *http.Request, v *viewer) (any, error) {
	if err := nothing(r); err != nil {
		return nil, err
	}
	reloaded, err := s.Gateway.Settings.Reload()
	if err != nil {
		return nil, &problem{status: http.StatusUnprocessableEntity, code: "settings_refused", message: "Refused, and all settings stay as they were:\n" + err.Error()}
	}
	s.record(r, v, audit.Entry{Action: "settings.reload", After: reloaded})
	return reloaded, nil
}
