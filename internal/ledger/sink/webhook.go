package sink

import (
	"bytes"
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

	"forward/internal/ledger"
)

// WebhookOptions set up a Webhook.
type WebhookOptions struct {
	URL    string
	Secret string            // signs each body, if there is one: X-Forward-Signature: sha256=<HMAC-SHA256 in hex>
	Client http.RoundTripper // default: a transport of its own
	Pause  time.Duration     // before the second try; doubled before the third; default 1 s
}

// sendTime bounds one delivery.
const sendTime = 30 * time.Second

// Webhook posts rows as a JSON object {"requests": […]}, and budget warnings as {"warning": {…}}. An answer of 5xx, 408 or 429, or
// none, is tried again twice; redirects are not followed. It is a Sink of rows; for warnings alone, use Warn and Close.
type Webhook struct {
	o        WebhookOptions
	warnings chan ledger.Warning
	ctx      context.Context // the life of the goroutine that posts warnings
	cancel   context.CancelFunc
	stop     chan struct{}
	done     chan struct{}
	own      *http.Transport
}

// NewWebhook checks the URL. Nothing is sent yet.
func NewWebhook(o WebhookOptions) (*Webhook, error) {
	u, err := url.Parse(o.URL)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return nil, errors.New("the webhook's address is not an http or https URL") // without it: it may carry a token
	}
	s := &Webhook{o: o, warnings: make(chan ledger.Warning, 256), stop: make(chan struct{}), done: make(chan struct{})}
	if s.o.Client == nil {
		s.own = &http.Transport{TLSHandshakeTimeout: 10 * time.Second, ResponseHeaderTimeout: sendTime}
		s.o.Client = s.own
	}
	if s.o.Pause == 0 {
		s.o.Pause = time.Second
	}
	s.ctx, s.cancel = context.WithCancel(context.Background()) // ends with Close
	go s.run()
	return s, nil
}

// Name is "webhook".
func (s *Webhook) Name() string { return "webhook" }

// Send posts rows.
func (s *Webhook) Send(ctx context.Context, rows []ledger.Row) error {
	return s.post(ctx, struct {
		Requests []ledger.Row `json:"requests"`
	}{rows})
}

// Warn queues a warning without waiting; it fits Options.OnWarning. It reports whether there was room.
func (s *Webhook) Warn(w ledger.Warning) bool {
	select {
	case s.warnings <- w:
		return true
	default:
		return false
	}
}

func (s *Webhook) run() {
	defer close(s.done)
	for {
		select {
		case w := <-s.warnings:
			s.postWarning(w)
			continue
		case <-s.stop:
		}
		select { // what had come before it was closed
		case w := <-s.warnings:
			s.postWarning(w)
		default:
			return
		}
	}
}

func (s *Webhook) postWarning(w ledger.Warning) {
	ctx, cancel := context.WithTimeout(s.ctx, sendTime)
	defer cancel()
	_ = s.post(ctx, struct { // it is in the log and in the ledger, too
		Warning ledger.Warning `json:"warning"`
	}{w})
}

// post sends a body, up to three times.
func (s *Webhook) post(ctx context.Context, body any) error {
	text, err := json.Marshal(body)
	if err != nil {
		return err
	}
	pause := s.o.Pause
	for try := 1; ; try++ {
		again, err := s.try(ctx, text)
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

func (s *Webhook) try(ctx context.Context, text []byte) (again bool, err error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, s.o.URL, bytes.NewReader(text))
	if err != nil {
		return false, errors.New("the webhook's address cannot be asked")
	}
	r.Header.Set("Content-Type", "application/json")
	if s.o.Secret != "" {
		mac := hmac.New(sha256.New, []byte(s.o.Secret))
		mac.Write(text)
		r.Header.Set("X-Forward-Signature", "sha256="+hex.EncodeToString(mac.Sum(nil)))
	}
	res, err := s.o.Client.RoundTrip(r)
	if err != nil {
		return true, fmt.Errorf("the webhook cannot be reached: %w", err) // RoundTrip's errors do not name the URL
	}
	defer res.Body.Close()
	io.Copy(io.Discard, io.LimitReader(res.Body, 64<<10)) // so that the connection can be used again
	if res.StatusCode/100 == 2 {
		return false, nil
	}
	again = res.StatusCode >= 500 || res.StatusCode == http.StatusRequestTimeout || res.StatusCode == http.StatusTooManyRequests
	return again, fmt.Errorf("the webhook answered %d", res.StatusCode)
}

// Close stops, once; warnings that wait are posted first, as far as two seconds last.
func (s *Webhook) Close() error {
	close(s.stop)
	patience := time.AfterFunc(2*time.Second, s.cancel)
	<-s.done
	patience.Stop()
	s.cancel()
	if s.own != nil {
		s.own.CloseIdleConnections()
	}
	return nil
}
