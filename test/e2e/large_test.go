//go:build e2e

package e2e

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/tidwall/gjson"

	"forward/internal/upstreamtest"
)

// TestLargeBodiesAreNotBuffered sends 300 MB in each direction and looks at the
// most memory the process ever had.
func TestLargeBodiesAreNotBuffered(t *testing.T) {
	const (
		megabytes = 300
		bound     = 64 << 20 // bytes more than before; buffering once would cost five times as much
	)
	up := startUpstream(t)
	gw := startForward(t, t.TempDir(), "OPENAI_BASE_URL="+up.URL, "LOG_CHAT=true", "CACHE_CHAT_COMPLETION=true")
	send(t, "POST", gw.URL+"/v1/chat/completions", chatBody("m", "warm up", `,"stream":true`))
	before := gw.Memory("VmHWM")

	block := upstreamtest.Pattern(1 << 20)
	hash := sha256.New()
	for range megabytes {
		hash.Write(block)
	}
	sum := hex.EncodeToString(hash.Sum(nil))

	for name, length := range map[string]int64{"with their length": megabytes << 20, "in chunks": -1} {
		t.Run("uploads "+name, func(t *testing.T) {
			req, err := http.NewRequestWithContext(t.Context(), "POST", gw.URL+"/v1/uploads/upload_1/parts", repeat(block, megabytes))
			if err != nil {
				t.Fatal(err)
			}
			req.ContentLength = length
			req.Header.Set("Content-Type", "multipart/form-data; boundary=x")
			resp, err := http.DefaultTransport.RoundTrip(req)
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			body, err := io.ReadAll(resp.Body)
			if err != nil || gjson.GetBytes(body, "bytes").Int() != megabytes<<20 || gjson.GetBytes(body, "sha256").Str != sum {
				t.Errorf("the upstream received %s, error %v", body, err)
			}
		})
	}
	for _, script := range []string{fmt.Sprintf("big-%d-mb", megabytes), fmt.Sprintf("big-chunked-%d-mb", megabytes)} {
		t.Run("download "+script, func(t *testing.T) {
			resp, err := http.Get(gw.URL + "/v1/files/file-1/content?script=" + script)
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			got := sha256.New()
			if n, err := io.Copy(got, resp.Body); err != nil || hex.EncodeToString(got.Sum(nil)) != sum {
				t.Errorf("%d bytes arrived, error %v", n, err)
			}
		})
	}
	if grown := gw.Memory("VmHWM") - before; grown > bound {
		t.Errorf("peak memory grew by %d MiB to %d MiB", grown>>20, (before+grown)>>20)
	}
}

// repeat reads n times block. Its type hides the length from net/http, which
// would send it.
func repeat(block []byte, n int) io.Reader {
	parts := make([]io.Reader, n)
	for i := range parts {
		parts[i] = bytes.NewReader(block)
	}
	return io.MultiReader(parts...)
}

// TestTooLargeBodiesOfParsedOperations are refused without reading them whole.
func TestTooLargeBodiesOfParsedOperations(t *testing.T) {
	up := startUpstream(t)
	gw := startForward(t, t.TempDir(), "OPENAI_BASE_URL="+up.URL, "MAX_BODY_BYTES=1MiB")
	a := send(t, "POST", gw.URL+"/v1/chat/completions", chatBody("m", strings.Repeat("x", 1<<20), ""))
	if a.status != 413 || a.code() != "request_too_large" || up.count() != 0 {
		t.Errorf("status %d, %d upstream calls: %s", a.status, up.count(), a.body)
	}
}
