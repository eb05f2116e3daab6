package forward

import (
	"cmp"
	"strings"

	"forward/internal/chatlog"
	"forward/internal/keys"
	"forward/internal/ledger"
)

// discreet reports whether the caller's key lets nothing be written that could be text: all that is written of his requests
// anywhere keeps to what the key says of the chat log.
func (x *exchange) discreet() bool {
	return x.Redactor != nil && cmp.Or(x.policy.Log, x.LogContent, "full") != "full"
}

// conceal takes out of a row what a client or an upstream may have written into it: keys of the gateway, and where the caller's key
// wants it, names of users and models that are no names, and what is no figure of a usage object.
func (x *exchange) conceal(row *ledger.Row) {
	if x.discreet() {
		row.Usage.Raw = x.Redactor.Figures(row.Usage.Raw)
	}
	for _, name := range []*string{&row.User, &row.Model, &row.Answered, &row.Finish, &row.Tier} {
		if *name == "" {
			continue
		}
		if shown := x.named(*name); shown != *name {
			row.Price = strings.ReplaceAll(row.Price, *name, shown) // which names what it found no price for
			*name = shown
		}
	}
}

// named is a client's name for something as it may be written.
func (x *exchange) named(name string) string {
	if name = chatlog.WithoutKeys(name, x.secrets()); x.discreet() {
		return x.Redactor.Name(name)
	}
	return name
}

// secrets are the credentials of the exchange: what the client presented, and the API key that was used.
func (x *exchange) secrets() []string {
	presented, _, _ := keys.Presented(x.r.Header, x.r.URL.RawQuery) // without one that is certain there is none that was used
	return []string{presented, x.secret.Reveal()}
}
