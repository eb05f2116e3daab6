package admin

import (
	"embed"
	"encoding/json"
	"fmt"
	"net/http"
	"path"
	"strings"
)

// The description of the API is in one file a resource, each with its paths and
// its schemas. What the frame answers to a request, and the callers that may
// ask, are added from the table of routes, so that they cannot differ from it.
//
//go:embed openapi/*.json
var fragments embed.FS

type object = map[string]any

// fragment is the description of one resource.
type fragment struct {
	Paths   map[string]map[string]object `json:"paths"`
	Schemas object                       `json:"schemas"`
}

// describe puts the description of the API together. Each route has to be
// described, and what is described has to be a route.
func describe(routes []route) (json.RawMessage, error) {
	var base object
	text, err := fragments.ReadFile("openapi/base.json")
	if err == nil {
		err = json.Unmarshal(text, &base)
	}
	if err != nil {
		return nil, fmt.Errorf("openapi/base.json: %w", err)
	}
	components := base["components"].(object)
	schemas := components["schemas"].(object)
	paths := map[string]map[string]object{}
	files, err := fragments.ReadDir("openapi")
	if err != nil {
		return nil, err
	}
	for _, file := range files {
		if file.Name() == "base.json" {
			continue
		}
		var f fragment
		text, err := fragments.ReadFile(path.Join("openapi", file.Name()))
		if err == nil {
			err = json.Unmarshal(text, &f)
		}
		if err != nil {
			return nil, fmt.Errorf("openapi/%s: %w", file.Name(), err)
		}
		for name, schema := range f.Schemas {
			if schemas[name] != nil {
				return nil, fmt.Errorf("openapi/%s: schema %s is there twice", file.Name(), name)
			}
			schemas[name] = schema
		}
		for name, methods := range f.Paths {
			if paths[name] == nil {
				paths[name] = map[string]object{}
			}
			for method, operation := range methods {
				if paths[name][method] != nil {
					return nil, fmt.Errorf("openapi/%s: %s %s is there twice", file.Name(), method, name)
				}
				paths[name][method] = operation
			}
		}
	}
	if err := agree(paths, routes); err != nil {
		return nil, err
	}
	base["paths"] = paths
	return json.Marshal(base)
}

// agree adds to each operation what its route knows, and reports what is in one
// of the two alone.
func agree(paths map[string]map[string]object, routes []route) error {
	known := map[string]bool{"GET /_/api/openapi.json": true} // New's own
	for _, r := range routes {
		name := strings.ReplaceAll(r.pattern, "...}", "}")
		operation := paths[name][strings.ToLower(r.method)]
		if operation == nil {
			return fmt.Errorf("%s %s is not described in openapi/", r.method, name)
		}
		known[r.method+" "+name] = true
		addErrors(operation, r)
	}
	for name, methods := range paths {
		for method := range methods {
			if !known[strings.ToUpper(method)+" "+name] {
				return fmt.Errorf("%s %s is described in openapi/ and is no route", strings.ToUpper(method), name)
			}
		}
	}
	return nil
}

// addErrors adds what the frame answers before the question is asked. What the
// fragment has of the same status stays.
func addErrors(operation object, r route) {
	responses := operation["responses"].(object)
	add := func(status int, description string) {
		name := fmt.Sprint(status)
		if responses[name] != nil {
			return
		}
		response := object{"description": description, "content": object{"application/json": object{"schema": object{"$ref": "#/components/schemas/Error"}}}}
		if status == http.StatusTooManyRequests {
			response["headers"] = object{"Retry-After": object{"description": "Seconds to wait.", "schema": object{"type": "integer"}}}
		}
		responses[name] = response
	}
	parameters, _ := operation["parameters"].([]any)
	for _, p := range parameters {
		if p.(object)["in"] == "query" {
			add(http.StatusBadRequest, "A parameter is wrong.")
		}
	}
	if r.who != 0 {
		security := []any{}
		if r.who&administrators != 0 {
			security = append(security, object{"adminKey": []any{}})
		}
		if r.who&holders != 0 {
			security = append(security, object{"forwardKey": []any{}})
		}
		if !r.program {
			security = append(security, object{"session": []any{}})
		}
		operation["security"] = security
		add(http.StatusUnauthorized, "The credential is missing or wrong, or the session has ended.")
		add(http.StatusForbidden, "The role may not do this, the key may not be used from the caller's address, or a page of another origin sent the request.")
		add(http.StatusTooManyRequests, "Too many wrong credentials came from the caller's address. Retry-After has how long to wait.")
	}
	if r.who == administrators {
		add(http.StatusNotFound, "The gateway has no ADMIN_KEY.")
	}
	if r.needs != nil {
		add(http.StatusNotFound, "What this shows is switched off.")
	}
	if !r.program {
		add(http.StatusMisdirectedRequest, "The name in Host is none of DASHBOARD_HOSTS.")
	}
	if changes(r.method) {
		add(http.StatusForbidden, "A page of another origin sent the request.")
		if r.method != http.MethodDelete && !r.raw {
			add(http.StatusBadRequest, "The body is wrong.")
			add(http.StatusUnsupportedMediaType, "The body is not JSON.")
			add(http.StatusRequestEntityTooLarge, "The body is too large.")
		}
	}
}
