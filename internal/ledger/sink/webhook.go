package sink

import (
	"bytes"
	"cmp"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"

	"forward/internal/backlog"
	"forward/internal/ledger"
)

// WebhookOptions configure a Webhook. Zero fields mean the defaults.
type WebhookOptions struct {
	URL    string
	Secret string            // signs each body: X-Forward-Signature: sha256=<HMAC-SHA256 in hex>; "": no signature
	Client http.RoundTripper // default: a transport of its own
	Pause  time.Duration     // before the second try, doubled before the third; default 1 s
}

// Webhook posts rows as a JSON object {"requests": […]}, and warnings of
// budgets as {"warning": {…}}. It tries again twice after an answer of 5xx, 408
// or 429, or none, and follows no redirects. It is a sink of rows; for warnings
// alone, use Warn and Close.
type Webhook struct {
	o        WebhookOptions
	own      *http.Transport // nil: the client is the caller's
	warnings *backlog.Queue[ledger.Warning]
}

// NewWebhook checks the URL. It sends nothing yet.
func NewWebhook(o WebhookOptions) (*Webhook, error) {
	u, err := url.Parse(o.URL)
	if err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https") {
		return nil, errors.New("the webhook's address is not an http or https URL") // which may have a token, and is not shown
	}
	s := &Webhook{o: o}
	s.o.Pause = cmp.Or(o.Pause, time.Second)
	if o.Client == nil {
		s.own = &http.Transport{TLSHandshakeTimeout: 10 * time.Second, ResponseHeaderTimeout: sendPatience}
		s.o.Client = s.own
	}
	s.warnings = backlog.New(backlog.Options[ledger.Warning]{Write: s.postWarnings, BatchCount: 1, MaxCount: 256})
	return s, nil
}

// Name returns "webhook".
func (s *Webhook) Name() string { return "webhook" }

// Send posts rows.
func (s *Webhook) Send(ctx context.Context, rows []ledger.Row) error {
	return s.post(ctx, struct {
		Requests []ledger.Row `json:"requests"`
	}{rows})
}

// Warn queues a warning without waiting, and reports whether it fit.
func (s *Webhook) Warn(w ledger.Warning) bool { return s.warnings.Put(w) }

// postWarnings posts warnings. A warning that cannot be posted is in the log
// and in the ledger, too.
func (s *Webhook) postWarnings(ctx context.Context, warnings []ledger.Warning) error {
	ctx, cancel := context.WithTimeout(ctx, sendPatience)
	defer cancel()
	for _, w := range warnings {
		_ = s.post(ctx, struct {
			Warning ledger.Warning `json:"warning"`
		}{w})
	}
	return nil
}

// Test posts a message that shows that the webhook works, once, as {"test":
// {…}}. It returns the status of the answer, 0 for none.
func (s *Webhook) Test(ctx context.Context, now time.Time) (status int, err error) {
	text, err := json.Marshal(struct {
		Test testMessage `json:"test"`
	}{testMessage{now, "This is a test message of forward. Warnings about budgets come to this address."}})
	if err != nil {
		return 0, err
	}
	ctx, cancel := context.WithTimeout(ctx, testPatience)
	defer cancel()
	status, _, err = s.try(ctx, text)
	return status, err
}

type testMessage struct {
	Time    time.Time `json:"time"`
	Message string    `json:"message"`
}

// testPatience bounds a test, for which a caller waits.
const testPatience = 10 * time.Second

// post sends a body, up to three times.
func (s *Webhook) post(ctx context.Context, body any) error {
	text, err := json.Marshal(body)
	if err != nil {
		return err
	}
	pause := s.o.Pause
	for try := 1; ; try++ {
		_, again, err := s.try(ctx, text)
		if err == nil || !again || try == 3 {
			return err
		}
		timer := time.NewTimer(pause)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return errors.Join(err, ctx.Err())
		}
		pause *= 2
	}
}

// try sends a body once. It returns the status of the answer, 0 for none, and
// whether another try may succeed.
func (s *Webhook) try(ctx context.Context, text []byte) (status int, again bool, err error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, s.o.URL, bytes.NewReader(text))
	if err != nil {
		return 0, false, errors.New("the webhook's address cannot be asked")
	}
	r.Header.Set("Content-Type", "application/json")
	if s.o.Secret != "" {
		mac := hmac.New(sha256.New, []byte(s.o.Secret))
		mac.Write(text)
		r.Header.Set("X-Forward-Signature", "sha256="+hex.EncodeToString(mac.Sum(nil)))
	}
	res, err := s.o.Client.RoundTrip(r)
	if err != nil {
		return 0, true, fmt.Errorf("the webhook cannot be reached: %w", err) // errors of RoundTrip do not have the URL
	}
	defer res.Body.Close()
	io.Copy(io.Discard, io.LimitReader(res.Body, 64<<10)) // so that the connection can be used again
	if res.StatusCode/100 == 2 {
		return res.StatusCode, false, nil
	}
	again = res.StatusCode >= 500 || res.StatusCode == http.StatusRequestTimeout || res.StatusCode == http.StatusTooManyRequests
	return res.StatusCode, again, fmt.Errorf("the webhook answered %d", res.StatusCode)
}

// Close stops. Warnings that wait are posted first, for two seconds at most.
func (s *Webhook) Close() error {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second) // of a shutdown, which no caller waits for longer
	defer cancel()
	_ = s.warnings.Close(ctx) // a warning that is left is in the log and in the ledger
	if s.own != nil {
		s.own.CloseIdleConnections()
	}
	return nil
}
