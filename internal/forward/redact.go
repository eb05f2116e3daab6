package forward

import (
	"cmp"
	"strings"

	"forward/internal/chatlog"
	"forward/internal/ledger"
)

// redacts reports whether the caller's key lets nothing be written that could
// be text: all that is written of its requests anywhere keeps to the key's
// policy for the chat log.
func (g *Gateway) redacts(who *caller) bool {
	return g.Redactor != nil && cmp.Or(who.policy.Log, g.LogContent, "full") != "full"
}

// redactRow takes out of a row what a client or an upstream may have written
// into it: keys of the gateway, and where the caller's key wants it, names of
// users and models that are no names, and what is no figure of a usage object.
// ans is nil before the upstream was asked.
func (g *Gateway) redactRow(row *ledger.Row, a *ask, ans *answer) {
	if g.redacts(&a.who) {
		row.Usage.Raw = g.Redactor.Figures(row.Usage.Raw)
	}
	for _, name := range []*string{&row.User, &row.Session, &row.Model, &row.Answered, &row.Finish, &row.Tier} {
		if *name == "" {
			continue
		}
		shown := g.redactName(*name, a, ans)
		if shown != *name {
			row.Price = strings.ReplaceAll(row.Price, *name, shown) // which names what it found no price for
			for i := range row.Trail {
				row.Trail[i].Text = strings.ReplaceAll(row.Trail[i].Text, *name, shown)
			}
			*name = shown
		}
	}
}

// redactName returns a client's name for something as it may be written.
func (g *Gateway) redactName(name string, a *ask, ans *answer) string {
	name = chatlog.WithoutKeys(name, a.who.secrets(ans))
	if g.redacts(&a.who) {
		return g.Redactor.Name(name)
	}
	return name
}

// secrets are the credentials of a request: those that the client presented,
// and the API key that was used.
func (who *caller) secrets(ans *answer) []string {
	list := make([]string, 0, 2+len(who.others))
	list = append(list, who.presented)
	if ans != nil {
		list = append(list, ans.secret.Reveal())
	}
	return append(list, who.others...)
}
