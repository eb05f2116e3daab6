package dialect

import (
	"strings"
	"time"

	"github.com/tidwall/gjson"

	"forward/internal/jsonscan"
)

// ephemeral lists the paths at whose end a provider hands out a credential that
// clients can use without the gateway. Sources: OpenAI's API reference,
// "Realtime" and "ChatKit";
// https://ai.google.dev/gemini-api/docs/ephemeral-tokens.
var ephemeral = []string{"/client_secrets", "/realtime/sessions", "/realtime/transcription_sessions", "/chatkit/sessions", "/auth_tokens", "/authtokens"}

// HandsOutSecrets reports whether a provider answers a request with a
// credential of its own. It goes by the path alone, for servers differ in which
// methods they take.
func HandsOutSecrets(method, path string) bool {
	switch method {
	case "GET", "HEAD", "OPTIONS", "DELETE":
		return false
	}
	path = FoldPath(path)
	for _, end := range ephemeral {
		if strings.HasSuffix(path, end) {
			return true
		}
	}
	return false
}

// EphemeralSecret reads the credential that an answer hands out and when it
// ends; a zero time is not reported. A session of OpenAI's has both in an
// object, a token of Google's is its own name.
func EphemeralSecret(answer []byte) (secret string, ends time.Time) {
	if !jsonscan.Valid(answer) {
		return "", ends
	}
	root := jsonscan.View(answer)
	holder := root
	value := root.Get("client_secret")
	switch {
	case value.IsObject():
		holder = value
		value = value.Get("value")
	case !value.Exists():
		value = root.Get("value")
	}
	if !value.Exists() {
		value = root.Get("name")
	}
	if at := holder.Get("expires_at"); at.Type == gjson.Number {
		ends = time.Unix(jsonscan.Count(at), 0)
	}
	if at, err := time.Parse(time.RFC3339Nano, jsonscan.String(root.Get("expireTime"))); err == nil {
		ends = at
	}
	return strings.Clone(jsonscan.String(value)), ends
}
