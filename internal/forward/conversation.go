package forward

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"io"
	"net/http"

	"forward/internal/upstream"
)

// sessionHeaders are the request headers in which agents name their session, in
// canonical form.
var sessionHeaders = [...]string{
	"X-Forward-Session", "X-Claude-Code-Session-Id", "Session-Id", "Session_id", "X-Session-Id", "X-Session-Affinity",
	"Conversation-Id", "Conversation_id", "X-Conversation-Id",
}

// sessionOf returns the name that a client gives its session, "" for none.
func sessionOf(h http.Header) string {
	for _, name := range sessionHeaders {
		if values := h[name]; len(values) > 0 && values[0] != "" {
			return values[0]
		}
	}
	return ""
}

// stickOf returns what keeps a request at its API key: the objects that it
// names, or else its conversation. Providers cache prompts by account, so the
// next turn of a conversation is cheaper and faster where the last one was. A
// route with one API key for the caller pays nothing for it.
func (g *Gateway) stickOf(a *ask, to target) upstream.Stick {
	stick := upstream.Stick{Only: to.place}
	if stick.Only == "" && to.swap && a.body != nil && a.from.op.AnswersText() && to.route.Keys.Count(a.who.level) > 1 {
		stick.Near = conversationOf(a)
	}
	return stick
}

// conversationOf returns a number that all turns of a conversation have, 0 when
// it is not known: of the names that the client gives to its cached prompt, its
// session or its user, or else of the caller and how the conversation starts.
func conversationOf(a *ask) uint64 {
	h := sha256.New()
	name := cmp.Or(a.body.CacheKey(), sessionOf(a.in.r.Header), a.body.Session())
	if name != "" {
		io.WriteString(h, name)
	} else {
		io.WriteString(h, a.who.id)
		known := a.body.Beginning(func(text string) {
			h.Write([]byte{0})
			io.WriteString(h, text)
		})
		if !known {
			return 0
		}
	}
	var sum [sha256.Size]byte
	return max(binary.BigEndian.Uint64(h.Sum(sum[:0])), 1)
}
