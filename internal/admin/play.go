package admin

import (
	"errors"
	"net/http"
	"strings"

	"forward/internal/audit"
	"forward/internal/keys"
)

const (
	// playKey is the header in which an administrator names the key in whose
	// name a request is made.
	playKey = "X-Forward-Play-Key"
	// playTag marks in reports what an administrator has tried.
	playTag = "playground"
	// playPrefix is what precedes the path of the gateway.
	playPrefix = "/_/api/play"
)

// hasPlay is the need of the playground.
func hasPlay(s *server) error {
	if s.Play == nil {
		return &problem{status: http.StatusNotFound, code: "playground_off", message: "The playground is switched off."}
	}
	return nil
}

// play makes a request of the gateway's in the name of the viewer's key. An
// administrator names a key, which the audit records.
func (s *server) play(r *http.Request, v *viewer) (any, error) {
	id, tags, err := s.player(r, v)
	if err != nil {
		return nil, err
	}
	if v.isAdministrator() {
		s.record(r, v, audit.Entry{Action: "play", Object: id, After: map[string]string{"path": strings.TrimPrefix(r.URL.Path, playPrefix)}})
	}
	return stream(func(w http.ResponseWriter) error {
		s.Play(w, r, id, tags)
		return nil
	}), nil
}

// player returns the id of the key in whose name a request is made, and the
// tags that it gets.
func (s *server) player(r *http.Request, v *viewer) (id string, tags []string, err error) {
	id = r.Header.Get(playKey)
	unknown := &problem{status: http.StatusNotFound, code: "key_not_found", param: playKey, message: "There is no key of the id in " + playKey + "."}
	if !v.isAdministrator() {
		if own := v.key.ID(); id == "" || id == own {
			return own, nil, nil
		}
		return "", nil, unknown
	}
	if id == "" {
		return "", nil, &problem{status: http.StatusBadRequest, code: "play_key_missing", param: playKey, message: "Name the id of the key in whose name the request is made, in " + playKey + "."}
	}
	_, err = s.Ring.ByID(id)
	if errors.Is(err, keys.ErrUnknown) {
		return "", nil, unknown
	}
	return id, []string{playTag}, nil // what else is wrong with a key, the gateway reports
}
