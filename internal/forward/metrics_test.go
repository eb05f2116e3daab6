package forward_test

import (
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"forward/internal/metrics"
)

func TestMetrics(t *testing.T) {
	ledger, _ := accounting(t)
	b := start(t, provider, func(s *setup) {
		ledger(s)
		caching(memoryCache(t))(s)
		s.Metrics = metrics.New(metrics.Options{Version: "1"})
	})
	b.chat("")
	b.chat(`,"stream":true`)
	b.chat(`,"caching":true`)
	b.chat(`,"caching":true`)
	b.chat("", "Authorization", "Bearer fk-nobody").want(t, 401)
	b.gateway.Wait(5 * time.Second)
	a := b.do("GET", "/metrics", "")
	a.want(t, 200, `forward_requests_total{model="gpt-4o-mini",route="openai",status="200"} 4`, `status="401"} 1`, `forward_tokens_total{kind="input",model="gpt-4o-mini",route="openai"} 27`,
		"forward_in_flight_requests 0", "forward_streams_in_flight 0", `forward_build_info{`)
	if strings.Contains(a.body, canary) || strings.Contains(a.body, "fk-alice") {
		t.Error("a key is in the metrics")
	}
	if shut := start(t, provider, func(s *setup) {
		s.Metrics = metrics.New(metrics.Options{})
		s.Deny = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128")}
	}).do("GET", "/metrics", ""); shut.StatusCode != 403 {
		t.Errorf("/metrics answers %d to an address that is kept out", shut.StatusCode)
	}
}

func TestOwnPagesAreNotForwarded(t *testing.T) {
	admin := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { w.Write([]byte("ours " + r.URL.Path)) })
	ledger, _ := accounting(t)
	for _, open := range []bool{true, false} {
		b := start(t, provider, func(s *setup) { ledger(s); s.Admin, s.open = admin, open })
		b.do("GET", "/_/api/me", "").want(t, 200, "ours /_/api/me")
		a := b.do("GET", "/dashboard/billing/usage?start_date=2026-11-01", "")
		if forwarded := b.calls() == 1; forwarded != open || open == strings.Contains(a.body, "ours") {
			t.Errorf("open %v: forwarded %v, %s", open, forwarded, a.body)
		}
	}
	kept := start(t, provider, func(s *setup) {
		s.Admin, s.Deny = admin, []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128")}
	})
	for _, path := range []string{"/_/api/me", "/dashboard/billing/usage"} {
		if a := kept.do("GET", path, ""); a.StatusCode != 403 || strings.Contains(a.body, "ours") {
			t.Errorf("%s answers %d %s to an address that is kept out", path, a.StatusCode, a.body)
		}
	}
}
