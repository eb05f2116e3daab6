package forward_test

import (
	"crypto/sha256"
	"database/sql"
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"forward/internal/chatlog"
	"forward/internal/upstream"
)

// sealing is a provider that encrypts its reasoning for the API key in use, and
// refuses what another has encrypted.
func sealing(w http.ResponseWriter, r *http.Request) {
	raw, _ := io.ReadAll(r.Body)
	body := string(raw)
	seal := fmt.Sprintf("gAAAA-%x-", sha256.Sum256([]byte(credential(r))))
	_, after, carries := strings.Cut(body, `"encrypted_content":"gAAAA-`)
	if carries && !strings.HasPrefix("gAAAA-"+after, seal) {
		w.WriteHeader(400)
		io.WriteString(w, `{"error":{"code":"invalid_encrypted_content","message":"The encrypted content could not be verified."}}`)
		return
	}
	item := fmt.Sprintf(`{"type":"reasoning","summary":[],"encrypted_content":"%s%s"}`, seal, strings.Repeat(r.Header.Get("X-Request-Id"), 100))
	whole := `{"object":"response","status":"completed","output":[` + item + `],"usage":{"input_tokens":1,"output_tokens":2,"total_tokens":3}}`
	if !strings.Contains(body, `"stream":true`) {
		w.Header().Set("Content-Type", "application/json")
		io.WriteString(w, whole)
		return
	}
	w.Header().Set("Content-Type", "text/event-stream")
	fmt.Fprintf(w, "event: response.output_item.done\ndata: {\"type\":\"response.output_item.done\",\"output_index\":0,\"item\":%s}\n\n", item)
	if !strings.Contains(body, "cut") {
		fmt.Fprintf(w, "event: response.completed\ndata: {\"type\":\"response.completed\",\"response\":{\"status\":\"completed\",\"output\":[]}}\n\n")
	}
}

func TestB35ChatLogsOfImages(t *testing.T) {
	t.Run("B35 a chat log with an image", func(t *testing.T) {
		dir := t.TempDir()
		log := must(chatlog.Open(chatlog.Options{Dir: dir}))(t)
		b := start(t, provider, func(s *setup) { s.ChatLog = log })
		image := strings.Repeat("iVBO", 500_000)
		sent := `{"model":"m","messages":[{"role":"user","content":[{"type":"image_url","image_url":{"url":"data:image/png;base64,` + image + `"}}]}]}`
		b.do("POST", "/v1/chat/completions", sent).want(t, 200)
		log.Close()
		if _, got := b.last(); string(got) != sent {
			t.Error("the upstream got another body")
		}
		line := string(must(os.ReadFile(filepath.Join(dir, "openai", "chat", "chat.log")))(t))
		decoded := must(base64.StdEncoding.DecodeString(image))(t)
		if want := fmt.Sprintf(`{"url":"[image/png, %d bytes, sha256:%x]"}`, len(decoded), sha256.Sum256(decoded)); !strings.Contains(line, want) || len(line) > 2000 {
			t.Errorf("%d bytes, without %s: %.500s", len(line), want, line)
		}
	})
}

func TestEncryptedReasoning(t *testing.T) {
	for _, row := range []struct{ name, path, fields string }{
		{"encrypted reasoning of a body", "/v1/responses", ""},
		{"encrypted reasoning of a stream", "/v1/responses", `,"stream":true`},
		{"encrypted reasoning of a stream that was cut", "/v1/responses", `,"stream":true,"user":"cut"`},
		{"encrypted reasoning of a compaction", "/v1/responses/compact", ""},
	} {
		t.Run(row.name, func(t *testing.T) {
			db := must(sql.Open("sqlite", "file:"+filepath.Join(t.TempDir(), "forward.db")))(t)
			t.Cleanup(func() { db.Close() })
			b := start(t, sealing, func(s *setup) {
				s.apiKeys = []string{"sk-one-0123456789abcdef", "sk-two-0123456789abcdef"}
				s.Affinity = must(upstream.NewAffinity(db, nil))(t)
			})
			var seals []string
			keys := map[string]bool{}
			for i := range 8 {
				a := b.do("POST", row.path, fmt.Sprintf(`{"model":"m","input":"%d","store":false%s}`, i, row.fields))
				a.want(t, 200)
				_, seal, _ := strings.Cut(a.body, `"encrypted_content":"`)
				seal, _, _ = strings.Cut(seal, `"`)
				seals = append(seals, seal)
				keys[seal[:20]] = true
			}
			if len(keys) != 2 {
				t.Fatalf("%d API keys were used", len(keys))
			}
			for i, seal := range seals {
				b.do("POST", "/v1/responses", fmt.Sprintf(`{"model":"m","store":false,"input":[{"role":"user","content":"again %d"},{"type":"reasoning","summary":[],"encrypted_content":%q}]}`, i, seal)).want(t, 200)
			}
		})
	}
}
