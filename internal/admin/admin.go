// Package admin answers requests about keys, usage and the gateway itself over
// HTTP, in JSON: those of the administrator under /_/api/, and those of a key's
// holder about that key.
//
// Everything that can be asked is one table of routes (routes.go): a path, a
// method, the roles that may ask, and the function that answers. What holds for
// all of them is done once, before the function is called: which roles may ask,
// that a page of another site cannot, and how large a request may be. One
// function answers both roles; it sees in the viewer whose data to show, and a
// holder's is the key of the viewer, whatever the request asks for.
//
// No answer holds a secret but the one of a key that was just made, once. The
// names in answers are promises; openapi/ has them all, one file a resource,
// and the tests hold every answer to it. Each change is recorded in the audit.
package admin

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"forward/internal/audit"
	"forward/internal/clientip"
	"forward/internal/clients"
	"forward/internal/keys"
	"forward/internal/ledger"
	"forward/internal/session"
)

// Options set up a handler. Ring is required; other zero fields mean the
// defaults, or that there is none.
type Options struct {
	Ring       *keys.Ring    // the forward keys by which holders are known
	Keys       *keys.Store   // managed keys; nil: there are none
	Declared   keys.Declared // those of the settings
	Ledger     *ledger.Ledger
	TagBudgets []ledger.TagBudget // what all requests with a tag may use together
	AdminKey   keys.Secret        // without one only a link of `forward dashboard` makes an administrator
	Guard      *keys.Guard        // of wrong credentials; by default one of its own

	// Models returns the models that a key may use, without their last use; all
	// for a nil key. nil: none are known.
	Models func(context.Context, *keys.Key) []Model
	Traffic

	Sessions *session.Store // nil: cookies mean nothing
	Audit    *audit.Log     // nil: nothing is recorded
	Pages    http.Handler   // of the dashboard below /_/; nil: there are none
	Browser  Browser
	Features Features
	Gateway  Gateway

	// Address returns the address that a request comes from; by default its
	// peer's. Wrong credentials are counted by it, and keys may be bound to it.
	Address func(*http.Request) netip.Addr
	// Origin returns the scheme and the host at which a client has reached the
	// gateway; by default the request's own.
	Origin   func(*http.Request) string
	Location *time.Location // whose days and months are meant; default time.Local
	Now      func() time.Time
	Log      *slog.Logger
}

// Browser is what a gateway that browsers open needs to know of its address.
type Browser struct {
	// Hosts are the names by which browsers may reach /_/, beside addresses and
	// localhost; "*" are all.
	Hosts []string
	// Prefix returns the path at which a proxy has this gateway, such as /gw,
	// as far as it is to be trusted; nil: none has.
	Prefix func(*http.Request) string
}

// Features are what is switched on, for the dashboard to show or leave out.
type Features struct {
	Ledger      bool   `json:"ledger"`
	ChatLog     bool   `json:"chat_log"`
	Content     bool   `json:"content"` // stored questions and answers may be shown
	Cache       bool   `json:"cache"`
	Playground  bool   `json:"playground"`
	ManagedKeys bool   `json:"managed_keys"`
	RotateOwn   bool   `json:"rotate_own"` // holders may rotate their own keys
	Version     string `json:"-"`
	Chats       Chats  `json:"-"`
}

// shown returns what the dashboard learns: ChatLog, and Content of requests,
// follow from the chat log.
func (f Features) shown() Features {
	f.ChatLog = f.Chats.On
	f.Content = f.Content && f.Chats.On
	return f
}

type server struct {
	Options
	days    days          // of routes
	reports chan struct{} // one for each that is worked on
}

// New returns a handler of all routes of the table, of the pages, and of the
// guide for clients at /_/llms.txt.
func New(o Options) (http.Handler, error) {
	if o.Ring == nil {
		return nil, errors.New("admin: Options needs Ring")
	}
	if o.Location == nil {
		o.Location = time.Local
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Guard == nil {
		o.Guard = &keys.Guard{}
	}
	if o.Address == nil {
		o.Address = func(r *http.Request) netip.Addr { return clientip.Of(r, nil) }
	}
	if o.Origin == nil {
		o.Origin = func(r *http.Request) string { return clientip.Origin(r, nil) }
	}
	if o.Browser.Prefix == nil {
		o.Browser.Prefix = func(*http.Request) string { return "" }
	}
	s := &server{Options: o, reports: make(chan struct{}, maxReports)}
	described := s.routes()
	// A start does not wait for the description, which few ask for.
	description := sync.OnceValues(func() (json.RawMessage, error) { return describe(described) })
	routes := append(slices.Clone(described),
		route{method: http.MethodGet, pattern: "/_/api/openapi.json", program: true, ask: func(*http.Request, *viewer) (any, error) { return description() }},
		route{method: http.MethodGet, pattern: "/_/llms.txt", program: true, ask: s.guide})
	mux := http.NewServeMux()
	for pattern, methods := range byPattern(routes) {
		mux.Handle(pattern, s.dispatch(methods))
	}
	nothing := s.dispatch(map[string]route{"": {program: true, ask: func(*http.Request, *viewer) (any, error) {
		return nil, &problem{status: http.StatusNotFound, code: "not_found", message: "There is nothing here. GET /_/api/openapi.json describes what there is, and GET /_/llms.txt how clients use the gateway."}
	}}})
	mux.Handle("/", nothing)
	if o.Pages != nil {
		mux.Handle("/_/api/", nothing)
		mux.Handle("/_/", s.onKnownHost(o.Pages))
		mux.HandleFunc("/{$}", func(w http.ResponseWriter, _ *http.Request) { // of a listener of its own
			w.Header().Set("Location", "_/") // at whatever path a proxy has it
			w.WriteHeader(http.StatusFound)
		})
	}
	return mux, nil
}

// guide returns how clients are pointed at the gateway, at the address that the
// caller has reached. A Host that no recipe can name is left out.
func (s *server) guide(r *http.Request, _ *viewer) (any, error) {
	guide, err := clients.New(clients.Options{URL: s.Origin(r)})
	if errors.Is(err, clients.ErrAddress) {
		guide, err = clients.New(clients.Options{})
	}
	if err != nil {
		return nil, err
	}
	return document{"text/plain; charset=utf-8", func(w io.Writer) error {
		_, err := io.Copy(w, strings.NewReader(guide.Text))
		return err
	}}, nil
}
