package sink

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"

	"forward/internal/ledger"
	"forward/internal/price"
)

// StatsDOptions set up a StatsD.
type StatsDOptions struct {
	Address   string   // host:port, UDP; default localhost:8125
	Namespace string   // before each name; default llm
	Datadog   bool     // distributions with tags, as Datadog's agent takes them; without it counters of plain StatsD
	Tags      []string // of every metric, with Datadog: env:prod
}

// StatsD sends what requests used as metrics over UDP: tokens.input, tokens.output, tokens.total, cost.total_cents, requests.count.
// With Datadog the first four are distributions and all carry the tags provider, model, endpoint, streaming, key_id and finish_reason.
type StatsD struct {
	o    StatsDOptions
	conn net.Conn
}

// maxPacket is what fits into one Ethernet frame, in bytes; larger datagrams are lost whole when one part is.
const maxPacket = 1432

// maxTag bounds the value of a tag, in bytes.
const maxTag = 128

// NewStatsD looks the address up. Nothing needs to listen there.
func NewStatsD(o StatsDOptions) (*StatsD, error) {
	if o.Address == "" {
		o.Address = "localhost:8125"
	}
	if o.Namespace == "" {
		o.Namespace = "llm"
	}
	conn, err := net.Dial("udp", o.Address)
	if err != nil {
		return nil, fmt.Errorf("opening the StatsD sink: %w", err)
	}
	return &StatsD{o, conn}, nil
}

// Name is "statsd" or "datadog".
func (s *StatsD) Name() string {
	if s.o.Datadog {
		return "datadog"
	}
	return "statsd"
}

// Send packs metrics into as few datagrams as they fit into.
func (s *StatsD) Send(_ context.Context, rows []ledger.Row) error {
	var packet strings.Builder
	var errs []error
	flush := func() {
		if packet.Len() > 0 {
			_, err := s.conn.Write([]byte(packet.String()))
			errs = append(errs, err)
			packet.Reset()
		}
	}
	for i := range rows {
		for _, line := range s.lines(&rows[i]) {
			if packet.Len()+1+len(line) > maxPacket {
				flush()
			}
			if packet.Len() > 0 {
				packet.WriteByte('\n')
			}
			packet.WriteString(line)
		}
	}
	flush()
	return errors.Join(errs...)
}

func (s *StatsD) lines(r *ledger.Row) []string {
	kind, tags := "c", ""
	if s.o.Datadog {
		kind, tags = "d", "|#"+strings.Join(append(s.o.Tags, rowTags(r)...), ",")
	}
	line := func(name, value, kind string) string {
		return s.o.Namespace + "." + name + ":" + value + "|" + kind + tags
	}
	out := []string{line("requests.count", "1", "c")}
	if r.Tokens() > 0 {
		for _, m := range []struct {
			name string
			n    int64
		}{{"tokens.input", r.Usage.Input}, {"tokens.output", r.Usage.Output}, {"tokens.total", r.Tokens()}} {
			out = append(out, line(m.name, fmt.Sprint(m.n), kind))
		}
	}
	if r.Priced && r.Cost > 0 {
		cents := fmt.Sprintf("%d.%07d", r.Cost/(price.Dollar/100), r.Cost%(price.Dollar/100))
		out = append(out, line("cost.total_cents", strings.TrimRight(strings.TrimRight(cents, "0"), "."), kind))
	}
	return out
}

// rowTags are the tags of a row. Values are names that clients may choose: what would end a tag or a line is replaced.
func rowTags(r *ledger.Row) []string {
	safe := strings.NewReplacer(",", "_", "|", "_", "#", "_", "\n", "_", "\r", "_", ":", "_", "@", "_")
	tag := func(name, value string) string { return name + ":" + safe.Replace(value[:min(len(value), maxTag)]) }
	return []string{tag("provider", r.Upstream), tag("model", r.Model), tag("endpoint", string(r.Operation)), tag("streaming", fmt.Sprint(r.Stream)),
		tag("key_id", r.Key), tag("finish_reason", r.Finish)}
}

// Close closes the socket.
func (s *StatsD) Close() error { return s.conn.Close() }
