package forward

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"forward/internal/chatlog"
	"forward/internal/dialect"
	"forward/internal/keys"
	"forward/internal/ledger"
)

// A request may name its session and add tags to those of its key. Both are for
// reports, so every caller may; neither is in a sum or a metric, so names that
// a client makes up take no more than the request's own row.

// maxSession bounds the name of a session, in bytes.
const maxSession = 256

// labels are the names under which a request is found in reports, beside those
// of its key and its user.
type labels struct {
	session string
	tags    []string        // those of the key, then those that the request brought
	added   int             // how many of tags the request brought
	budgets []ledger.Budget // of the tags
}

// hasBudgets reports whether what a request costs is to fit into budgets: those
// of the caller's key, or of a tag of the request.
func (who *caller) hasBudgets() bool { return len(who.policy.Budgets)+len(who.budgets) > 0 }

// label reads the labels of a request in its headers.
func (g *Gateway) label(r *http.Request, who *caller) (err error) {
	who.tags = who.policy.Tags
	defer func() { who.budgets = g.budgetsOf(who.tags) }()
	session := r.Header.Get("X-Forward-Session")
	if session != "" && !isSession(session) {
		return refused(http.StatusBadRequest, "invalid_session",
			fmt.Sprintf("The header X-Forward-Session is not UTF-8, holds control characters or has more than %d bytes. Send a short id, such as X-Forward-Session: run-42.", maxSession))
	}
	who.session = boundedSession(sessionOf(r.Header))
	added, err := readTags(r.Header["X-Forward-Tags"])
	if err != nil {
		return err
	}
	if g.redacts(who) {
		for i, tag := range added {
			if g.tagBudgets[tag] == nil { // else the administrator has written it
				added[i] = g.redactTag(tag)
			}
		}
	}
	who.addTags(added)
	return nil
}

// budgetsOf returns the budgets of tags.
func (g *Gateway) budgetsOf(tags []string) (list []ledger.Budget) {
	if len(g.tagBudgets) == 0 {
		return nil
	}
	for i, tag := range tags {
		if !slices.Contains(tags[:i], tag) {
			list = append(list, g.tagBudgets[tag]...)
		}
	}
	return list
}

// redactTag returns a tag whose name and value are names, or pseudonyms.
func (g *Gateway) redactTag(tag string) string {
	name, value, valued := strings.Cut(tag, "=")
	if !valued {
		return g.Redactor.Name(name)
	}
	return g.Redactor.Name(name) + "=" + g.Redactor.Name(value)
}

// addTags adds the tags that a request brought. A key's own tag stays what it
// is: of another value for its name nothing is written, so that no caller
// leaves the group, and the budget, that its administrator put it in.
func (who *caller) addTags(tags []string) {
	own := who.tags
	who.tags = slices.Clip(own)
	for _, tag := range tags {
		name := tagName(tag)
		fixed := slices.ContainsFunc(own, func(o string) bool { return tagName(o) == name })
		if !fixed && !slices.Contains(who.tags, tag) {
			who.tags = append(who.tags, chatlog.WithoutKeys(tag, who.secrets(nil)))
			who.added++
		}
	}
}

// tagName returns the name of a tag: team of team=search.
func tagName(tag string) string {
	name, _, _ := strings.Cut(tag, "=")
	return name
}

// readTags reads the values of X-Forward-Tags: words between commas.
func readTags(values []string) (tags []string, err error) {
	for _, value := range values {
		for tag := range strings.SplitSeq(value, ",") {
			tag = strings.TrimSpace(tag)
			if tag == "" {
				continue
			}
			err := keys.CheckTag(tag)
			if err != nil {
				return nil, badTags("is not understood: " + err.Error())
			}
			tags = append(tags, tag)
		}
	}
	if len(tags) > keys.MaxTags {
		return nil, badTags(fmt.Sprintf("has %d tags, more than %d", len(tags), keys.MaxTags))
	}
	return tags, nil
}

func badTags(what string) error {
	return refused(http.StatusBadRequest, "invalid_tags",
		"The header X-Forward-Tags "+what+". Send words between commas, such as X-Forward-Tags: team=search,run=42.")
}

// sessionOfBody returns the name of the session that a body has, "" without
// one.
func sessionOfBody(b *dialect.Body) string {
	if b == nil {
		return ""
	}
	return boundedSession(b.SessionID())
}

// isSession reports whether a name of a session can be written down.
func isSession(name string) bool {
	return len(name) <= maxSession && utf8.ValidString(name) && !strings.ContainsFunc(name, unicode.IsControl)
}

// boundedSession returns an agent's name for its session as it is written: one
// that cannot be is a digest. An agent does not choose its name for us, so it
// is never refused.
func boundedSession(name string) string {
	if isSession(name) {
		return name
	}
	sum := sha256.Sum256([]byte(name))
	return "sha256:" + hex.EncodeToString(sum[:16])
}
