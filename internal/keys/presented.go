package keys

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// Slot is a place of a request that can carry a key.
type Slot int

// The slots, in the order in which Presented names one when the same key is in
// several.
const (
	NoSlot      Slot = iota
	Bearer           // Authorization: Bearer …, OpenAI
	XAPIKey          // X-Api-Key, Anthropic
	APIKey           // Api-Key, Azure OpenAI
	XGoogAPIKey      // X-Goog-Api-Key, Gemini
	QueryKey         // ?key=… and ?access_token=…, Gemini
	Subprotocol      // an item of Sec-WebSocket-Protocol, OpenAI's from browsers
	ForwardKey       // X-Forward-Key, the gateway's own
)

// Header is the gateway's own header for a forward key. It identifies the
// caller where the places of the providers hold the client's own credential.
const Header = "X-Forward-Key"

// A page cannot set a header of a WebSocket, so OpenAI reads its key out of the
// list of subprotocols, and the account's
// organisation and project beside it
// (https://platform.openai.com/docs/guides/realtime-websocket).
const (
	subprotocols      = "Sec-Websocket-Protocol" // as http.Header spells it
	subprotocolKey    = "openai-insecure-api-key."
	subprotocolOrg    = "openai-organization."
	subprotocolTenant = "openai-project."
)

// headerSlots are the slots of one header each. Authorization has a syntax of
// its own.
var headerSlots = [...]struct {
	slot Slot
	name string
}{{XAPIKey, "X-Api-Key"}, {APIKey, "Api-Key"}, {XGoogAPIKey, "X-Goog-Api-Key"}}

// Presented returns the key that a request carries and where it came; no key is
// NoSlot and no error. The same key in several slots is one key, two different
// ones are ErrConflict, and so are two Authorization headers, since hops differ
// in which one they read. An Authorization that is not of scheme Bearer
// followed by one token is no key: neither a bare "fk-1", nor "Bearer,fk-1",
// nor Basic.
func Presented(h http.Header, rawQuery string) (value string, slot Slot, err error) {
	value, slot, err = Credential(h, rawQuery)
	named, wrong := Named(h)
	switch {
	case err != nil:
	case wrong != nil, named != "" && value != "" && named != value:
		return "", NoSlot, ErrConflict
	case value == "" && named != "":
		return named, ForwardKey, nil
	}
	return value, slot, err
}

// Named returns the key of X-Forward-Key, "" for none. The word Bearer may
// stand before it. Two different ones are ErrConflict.
func Named(h http.Header) (value string, err error) {
	for _, v := range h[Header] {
		v = strings.Trim(v, " \t")
		token := bearer(v)
		if token != "" {
			v = token
		}
		switch {
		case v == "":
		case value == "":
			value = v
		case v != value:
			return "", ErrConflict
		}
	}
	return value, nil
}

// Credential is Presented without X-Forward-Key: what goes upstream where the
// client's own credential does.
func Credential(h http.Header, rawQuery string) (value string, slot Slot, err error) {
	take := func(v string, s Slot) {
		switch {
		case v == "":
		case slot == NoSlot:
			value, slot = v, s
		case v != value:
			err = ErrConflict
		}
	}
	authorization := h["Authorization"]
	if len(authorization) > 1 {
		err = ErrConflict
	} else if len(authorization) == 1 {
		take(bearer(authorization[0]), Bearer)
	}
	for _, s := range headerSlots {
		for _, v := range h[s.name] {
			take(strings.Trim(v, " \t"), s.slot)
		}
	}
	for _, p := range parameters(rawQuery) {
		if isKey(p.text) {
			take(keyOf(p.text), QueryKey)
		}
	}
	for _, list := range h[subprotocols] {
		for item := range strings.SplitSeq(list, ",") {
			key, _ := cutFold(strings.Trim(item, " \t"), subprotocolKey)
			take(key, Subprotocol)
		}
	}
	if err != nil {
		return "", NoSlot, err
	}
	return value, slot, nil
}

// Credentials returns every text of a request that may be a credential beside
// X-Forward-Key, also those of schemes in which Presented sees no key: a Basic
// one, or a token without its scheme.
func Credentials(h http.Header, rawQuery string) (texts []string) {
	for _, v := range h["Authorization"] {
		scheme, rest, cut := strings.Cut(strings.Trim(v, " \t"), " ")
		if cut {
			texts = append(texts, strings.Trim(rest, " \t"))
		} else {
			texts = append(texts, scheme)
		}
	}
	for _, s := range headerSlots {
		for _, v := range h[s.name] {
			texts = append(texts, strings.Trim(v, " \t"))
		}
	}
	for _, p := range parameters(rawQuery) {
		if isKey(p.text) {
			texts = append(texts, keyOf(p.text))
		}
	}
	for _, list := range h[subprotocols] {
		for item := range strings.SplitSeq(list, ",") {
			if key, ok := cutFold(strings.Trim(item, " \t"), subprotocolKey); ok {
				texts = append(texts, key)
			}
		}
	}
	return slices.DeleteFunc(texts, func(s string) bool { return s == "" })
}

// bearer returns the token of an Authorization value, or "" if it is not a
// Bearer one (RFC 6750, section 2.1).
func bearer(v string) string {
	v = strings.Trim(v, " \t")
	const scheme = "bearer"
	if len(v) <= len(scheme) || !strings.EqualFold(v[:len(scheme)], scheme) {
		return ""
	}
	token := strings.TrimLeft(v[len(scheme):], " \t")
	if len(token) == len(v)-len(scheme) || strings.ContainsAny(token, " \t") {
		return ""
	}
	return token
}

// cutFold returns what follows a prefix in any case, or "" and false.
func cutFold(s, prefix string) (rest string, found bool) {
	if len(s) < len(prefix) || !strings.EqualFold(s[:len(prefix)], prefix) {
		return "", false
	}
	return s[len(prefix):], true
}

// Strip removes every header that can carry a key, so that the client's never
// goes upstream. Of the subprotocols, only the items that name the client's key
// or account go. The values of h are replaced, never changed.
func Strip(h http.Header) {
	delete(h, "Authorization")
	delete(h, Header)
	for _, s := range headerSlots {
		delete(h, s.name)
	}
	if lists, ok := h[subprotocols]; ok {
		stripSubprotocols(h, lists)
	}
}

// stripSubprotocols leaves lists without an item of the client's own as they
// came.
func stripSubprotocols(h http.Header, lists []string) {
	var left []string
	changed := false
	for _, list := range lists {
		var kept []string
		whole := true
		for item := range strings.SplitSeq(list, ",") {
			item = strings.Trim(item, " \t")
			if namesAccount(item) {
				whole = false
				continue
			}
			kept = append(kept, item)
		}
		switch {
		case whole:
			left = append(left, list)
		case len(kept) > 0:
			left = append(left, strings.Join(kept, ", "))
		}
		changed = changed || !whole
	}
	switch {
	case !changed:
	case len(left) == 0:
		delete(h, subprotocols)
	default:
		h[subprotocols] = left
	}
}

// namesAccount reports whether a subprotocol names the client's key,
// organisation or project.
func namesAccount(item string) bool {
	for _, prefix := range [...]string{subprotocolKey, subprotocolOrg, subprotocolTenant} {
		if _, ok := cutFold(item, prefix); ok {
			return true
		}
	}
	return false
}

// StripQuery removes every parameter that holds a key, however its name is
// percent-encoded, and keeps all other bytes and their order. Both & and ;
// separate parameters, for some servers still read a ; that way.
func StripQuery(rawQuery string) string {
	params := parameters(rawQuery)
	found := false
	for _, p := range params {
		found = found || isKey(p.text)
	}
	if !found {
		return rawQuery
	}
	var kept strings.Builder
	empty := true
	for _, p := range params {
		if isKey(p.text) {
			continue
		}
		if !empty {
			kept.WriteByte(p.separator)
		}
		kept.WriteString(p.text)
		empty = false
	}
	return kept.String()
}

// parameter is one raw name=value of a query, and the byte before it (of the
// first one: '&').
type parameter struct {
	separator byte
	text      string
}

// parameters cuts a query. It returns nothing when no parameter can hold a key,
// which is nearly always.
func parameters(rawQuery string) (params []parameter) {
	if !strings.ContainsAny(rawQuery, "k%") {
		return nil
	}
	separator := byte('&')
	for {
		i := strings.IndexAny(rawQuery, "&;")
		if i < 0 {
			return append(params, parameter{separator, rawQuery})
		}
		params = append(params, parameter{separator, rawQuery[:i]})
		separator, rawQuery = rawQuery[i], rawQuery[i+1:]
	}
}

// isKey reports whether a parameter is named key, or access_token, in which
// Gemini's ephemeral tokens come.
func isKey(parameter string) bool {
	name, _, _ := strings.Cut(parameter, "=")
	if name == "key" || name == "access_token" {
		return true
	}
	if len(name) > 3*len("access_token") || !strings.Contains(name, "%") {
		return false
	}
	name, err := url.QueryUnescape(name)
	return err == nil && (name == "key" || name == "access_token")
}

// keyOf returns a parameter's value, decoded if it can be.
func keyOf(parameter string) string {
	_, raw, _ := strings.Cut(parameter, "=")
	if v, err := url.QueryUnescape(raw); err == nil {
		return v
	}
	return raw
}
