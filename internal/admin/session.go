package admin

import (
	"net/http"
)

func (s *server) sessionRoutes() []route { return nil }

func (s *server) auditRoutes() []route { return nil }

// cookie returns the secret of the session that a request names, or "".
func (s *server) cookie(r *http.Request) string { return "" }
