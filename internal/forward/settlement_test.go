package forward_test

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/tidwall/gjson"

	"forward/internal/keys"
	"forward/internal/ledger"
	"forward/internal/limits"
	"forward/internal/queue"
)

// scripted answers at random, within what the request allows: with usage or
// without, with errors, in forms that are not read, cut off or not at all. It
// sums up what it has generated.
type scripted struct {
	mu        sync.Mutex // guards rand
	rand      *rand.Rand
	generated atomic.Int64 // tokens
	watch     func()       // called while a request is under way
	leave     sync.Map     // by the request's number: makes its client leave
}

func (s *scripted) draw(n int) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.rand.IntN(n)
}

func (s *scripted) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	s.watch()
	most := gjson.GetBytes(body, "max_tokens").Int() * max(gjson.GetBytes(body, "n").Int(), 1)
	output := 1 + int64(s.draw(int(most)))
	usage := fmt.Sprintf(`{"prompt_tokens":9,"completion_tokens":%d,"total_tokens":%d}`, output, output+9)
	w.Header().Set("Content-Type", "application/json")
	stream := gjson.GetBytes(body, "stream").Bool()
	kind := s.draw(8)
	if kind < 6 || !stream && kind == 7 {
		s.generated.Add(output)
	}
	switch kind {
	case 0, 1:
		if stream {
			w.Header().Set("Content-Type", "text/event-stream")
			io.WriteString(w, chunk(`{"content":"word"}`, `"stop"`)+`data: {"choices":[],"usage":`+usage+"}\n\ndata: [DONE]\n\n")
			return
		}
		fmt.Fprintf(w, `{"id":"c","object":"chat.completion","model":"gpt-4o-mini","choices":[{"index":0,"message":{"role":"assistant","content":"a"},"finish_reason":"stop"}],"usage":%s}`, usage)
	case 2: // a page
		w.Header().Set("Content-Type", "text/html")
		io.WriteString(w, "<html>")
	case 3:
		w.WriteHeader(http.StatusNoContent)
	case 4: // cut before its first word
		w.Header().Set("Content-Type", "text/event-stream")
		io.WriteString(w, ": wait\n\n")
		abort(w)
	case 5:
		panic(http.ErrAbortHandler)
	case 6:
		w.WriteHeader(http.StatusInternalServerError)
	case 7:
		leave, _ := s.leave.Load(r.Header.Get("X-Number"))
		leave.(context.CancelFunc)()
		<-r.Context().Done()
	}
}

// TestReservationsComeBack draws requests and answers, many at the same time.
// Whatever becomes of them, nothing stays reserved, the rows have what the
// budgets have, and no budget is passed by more than one reservation.
func TestReservationsComeBack(t *testing.T) {
	const maxTokens, maxN = 100, 4
	const reservation = 40 + maxTokens*maxN // tokens
	for seed := range uint64(4) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			account, rows := accounting(t)
			amounts := map[ledger.Unit]int64{ledger.USD: 20 * reservation * 600, ledger.Tokens: 12 * reservation}
			p := keys.Policy{TPM: 1 << 40}
			for unit, amount := range amounts {
				p.Budgets = append(p.Budgets, keys.Budget{Unit: string(unit), Amount: amount, Period: "total"})
			}
			s := &scripted{rand: rand.New(rand.NewPCG(seed, 1))}
			b := start(t, s.ServeHTTP, carol(p, account, quotas(limits.Quota{Scope: limits.ScopeGlobal, TokensPerDay: 1 << 40}),
				lined(queue.Rule{Models: "*", Model: queue.Model{TPM: 1 << 30, MaxParallel: 20, MaxQueue: 1000}})))
			s.watch = func() {
				for unit, amount := range amounts {
					spent, held := b.balance(unit)
					one := map[ledger.Unit]int64{ledger.USD: reservation * 600, ledger.Tokens: reservation}[unit]
					if held < 0 || spent+held > amount+one {
						t.Errorf("%d spent and %d held of %d %s", spent, held, amount, unit)
					}
				}
			}
			draws := rand.New(rand.NewPCG(seed, 2))
			var all sync.WaitGroup
			for i := range 150 {
				body := fmt.Sprintf(`{"model":"gpt-4o-mini","max_tokens":%d,"n":%d,"stream":%v,"messages":[{"role":"user","content":"hi"}]}`,
					1+draws.IntN(maxTokens), draws.IntN(maxN+1), draws.IntN(2) == 0)
				all.Go(func() {
					ctx, leave := context.WithCancel(t.Context())
					defer leave()
					s.leave.Store(fmt.Sprint(i), leave)
					r := must(http.NewRequestWithContext(ctx, "POST", b.url+chatPath, strings.NewReader(body)))(t)
					r.Header.Set("Authorization", "Bearer fk-carol")
					r.Header.Set("Content-Type", "application/json")
					r.Header.Set("X-Number", fmt.Sprint(i))
					if res, err := plainTransport.RoundTrip(r); err == nil {
						io.Copy(io.Discard, res.Body)
						res.Body.Close()
					}
				})
			}
			all.Wait()
			s.check(t, b, rows(b), amounts)
		})
	}
}

// check compares what is left of the requests with their rows.
func (s *scripted) check(t *testing.T, b *bench, rows []ledger.Row, amounts map[ledger.Unit]int64) {
	t.Helper()
	sums := map[ledger.Unit]int64{}
	output := int64(0)
	for _, r := range rows {
		sums[ledger.USD] += int64(r.Cost)
		sums[ledger.Tokens] += r.Usage.Input + r.Usage.Output
		output += r.Usage.Output
	}
	for unit := range amounts {
		spent, held := b.balance(unit)
		if held != 0 || spent != sums[unit] {
			t.Errorf("%s: %d held, %d spent, and the rows have %d", unit, held, spent, sums[unit])
		}
	}
	if generated := s.generated.Load(); generated == 0 || output < generated {
		t.Errorf("%d tokens were generated, and the rows have %d", generated, output)
	}
	if lines := b.gateway.Scheduler.Report(); lines[0].InFlight != 0 || lines[0].Waiting != 0 {
		t.Errorf("the queue has %+v", lines[0])
	}
	quota := must(b.gateway.Quotas.Reserve(context.Background(), limits.Subject{}, limits.Estimate{}))(t)
	h := http.Header{}
	quota.SetHeader(h)
	if want := fmt.Sprint(1<<40 - sums[ledger.Tokens]); h.Get("X-Ratelimit-Remaining-Tokens") != want {
		t.Errorf("the quota has %s tokens left, want %s", h.Get("X-Ratelimit-Remaining-Tokens"), want)
	}
}
