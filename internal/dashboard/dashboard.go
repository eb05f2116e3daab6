// Package dashboard serves the pages of the dashboard, which are built from ui/
// and embedded in the binary.
//
// dist/ is committed, so that a clone builds without Node, and the build is
// reproducible, so that a test can build it again and compare. The tag no_ui
// leaves the pages out. They hold no data and no secret: everything on them
// comes from the API, so they are served to every caller. No page of another
// origin may frame them, no script but their own runs on them, and no string
// becomes HTML there, whatever a model or a client has written into it.
package dashboard

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"path"
	"strings"
	"sync"
)

// policy is what browsers allow on the pages.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; font-src 'self'; " +
	"form-action 'none'; base-uri 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"

// headers are those of every answer.
var headers = map[string]string{
	"Content-Security-Policy":      policy,
	"X-Content-Type-Options":       "nosniff",
	"Referrer-Policy":              "no-referrer",
	"Cross-Origin-Opener-Policy":   "same-origin",
	"Cross-Origin-Resource-Policy": "same-origin",
	"Permissions-Policy":           "camera=(), microphone=(), geolocation=()",
}

// absent is the page of a binary that was built without pages.
const absent = "<!doctype html>\n<html lang=\"en\">\n<title>forward</title>\n" +
	"<p>This binary was built with the tag no_ui and has no dashboard. Its API is below /_/api/, as /_/api/openapi.json describes it.</p>\n</html>\n"

// asset is one file, as it is sent.
type asset struct {
	read        func() ([]byte, error)
	contentType string
	lasting     bool // its name has a digest of its content

	once   sync.Once // makes the rest when the file is wanted: a start must not wait for it
	plain  []byte
	packed []byte // empty where it would not be smaller
	tag    string // for If-None-Match
	err    error
}

// Handler serves the files of dist below base, such as "/_/".
type Handler struct {
	base   string
	assets map[string]*asset // by path below base; "" is the page
}

// New returns a Handler of the embedded pages.
func New(base string) (*Handler, error) { return newHandler(base, dist) }

func newHandler(base string, files fs.FS) (*Handler, error) {
	h := &Handler{base: base, assets: map[string]*asset{}}
	err := fs.WalkDir(files, ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		h.assets[name] = newAsset(name, func() ([]byte, error) { return fs.ReadFile(files, name) })
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("reading the pages of the dashboard: %w", err)
	}
	h.assets[""] = h.assets["index.html"]
	if h.assets[""] == nil {
		h.assets[""] = newAsset("index.html", func() ([]byte, error) { return []byte(absent), nil })
	}
	return h, nil
}

func newAsset(name string, read func() ([]byte, error)) *asset {
	a := &asset{read: read, contentType: "application/octet-stream", lasting: strings.HasPrefix(name, "assets/")}
	switch path.Ext(name) { // the machine's own table may differ, and is long
	case ".js":
		a.contentType = "text/javascript; charset=utf-8"
	case ".css":
		a.contentType = "text/css; charset=utf-8"
	case ".html":
		a.contentType = "text/html; charset=utf-8"
	case ".svg":
		a.contentType = "image/svg+xml"
	}
	return a
}

// prepare reads and packs the file, once.
func (a *asset) prepare() error {
	a.once.Do(func() {
		a.plain, a.err = a.read()
		if a.err != nil {
			return
		}
		sum := sha256.Sum256(a.plain)
		a.tag = `"` + hex.EncodeToString(sum[:16]) + `"`
		var packed bytes.Buffer
		w, err := gzip.NewWriterLevel(&packed, gzip.BestCompression)
		if err != nil {
			return // the level is wrong, and the file is sent as it is
		}
		_, err = w.Write(a.plain)
		if err = errors.Join(err, w.Close()); err == nil && packed.Len() < len(a.plain) {
			a.packed = packed.Bytes()
		}
	})
	return a.err
}

// ServeHTTP implements http.Handler.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	header := w.Header()
	for name, value := range headers {
		header.Set(name, value)
	}
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		header.Set("Allow", "GET, HEAD")
		refuse(w, http.StatusMethodNotAllowed, "This can only be read.")
		return
	}
	a := h.assets[strings.TrimPrefix(r.URL.Path, h.base)]
	if a == nil {
		header.Set("Cache-Control", "no-cache")
		refuse(w, http.StatusNotFound, "The dashboard has no such file.")
		return
	}
	header.Set("Cache-Control", "no-cache")
	if err := a.prepare(); err != nil { // the binary itself is damaged
		refuse(w, http.StatusInternalServerError, "The file cannot be read.")
		return
	}
	if a.lasting {
		header.Set("Cache-Control", "public, max-age=31536000, immutable")
	}
	header.Set("ETag", a.tag)
	header.Set("Vary", "Accept-Encoding")
	if matches(r.Header.Get("If-None-Match"), a.tag) {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	body := a.plain
	if len(a.packed) > 0 && takesGzip(r.Header.Get("Accept-Encoding")) {
		header.Set("Content-Encoding", "gzip")
		body = a.packed
	}
	header.Set("Content-Type", a.contentType)
	header.Set("Content-Length", fmt.Sprint(len(body)))
	w.WriteHeader(http.StatusOK)
	if r.Method == http.MethodHead {
		return
	}
	// It goes to a browser that may have left.
	_, _ = w.Write(body)
}

func refuse(w http.ResponseWriter, status int, message string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(status)
	_, _ = io.WriteString(w, message+"\n")
}

// matches reports whether an If-None-Match has a tag; a proxy that packs may
// have made it weak.
func matches(list, tag string) bool {
	for one := range strings.SplitSeq(list, ",") {
		one = strings.TrimPrefix(strings.TrimSpace(one), "W/")
		if one == tag || one == "*" {
			return true
		}
	}
	return false
}

// takesGzip reports whether a client takes gzip, and has not refused it with a
// q of 0.
func takesGzip(accept string) bool {
	for one := range strings.SplitSeq(accept, ",") {
		name, parameter, _ := strings.Cut(strings.TrimSpace(one), ";")
		if strings.EqualFold(strings.TrimSpace(name), "gzip") {
			q := strings.TrimSpace(parameter)
			return q != "q=0" && !strings.HasPrefix(q, "q=0.0")
		}
	}
	return false
}
