package sink

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"strings"

	"forward/internal/ledger"
	"forward/internal/price"
)

// StatsDOptions configure a StatsD sink. Zero fields mean the defaults.
type StatsDOptions struct {
	Address   string   // host:port, UDP; default localhost:8125
	Namespace string   // in front of each name; default llm
	Datadog   bool     // distributions with tags, as Datadog's agent accepts them, instead of plain counters
	Tags      []string // of every metric, with Datadog: env:prod
}

// StatsD sends what requests used as metrics over UDP: tokens.input,
// tokens.output, tokens.total, cost.total_cents and requests.count. With
// Datadog the first four are distributions, and all have the tags provider,
// model, endpoint, streaming, key_id and finish_reason.
type StatsD struct {
	o    StatsDOptions
	conn net.Conn
}

// maxPacket is what fits into one Ethernet frame, in bytes. A larger datagram
// is lost whole when one of its frames is.
const maxPacket = 1432

// maxTag bounds the value of a tag, in bytes.
const maxTag = 128

// NewStatsD resolves the address. Nothing needs to listen there.
func NewStatsD(o StatsDOptions) (*StatsD, error) {
	o.Address = cmp.Or(o.Address, "localhost:8125")
	o.Namespace = cmp.Or(o.Namespace, "llm")
	conn, err := net.Dial("udp", o.Address)
	if err != nil {
		return nil, fmt.Errorf("opening the StatsD sink: %w", err)
	}
	return &StatsD{o, conn}, nil
}

// Name returns "statsd" or "datadog".
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
		for _, line := range s.metrics(&rows[i]) {
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

// metrics returns the metrics of a row, one a line.
func (s *StatsD) metrics(r *ledger.Row) []string {
	kind := "c"
	tags := ""
	if s.o.Datadog {
		kind = "d"
		tags = "|#" + strings.Join(append(s.o.Tags, rowTags(r)...), ",")
	}
	metric := func(name string, value any, kind string) string {
		return fmt.Sprintf("%s.%s:%v|%s%s", s.o.Namespace, name, value, kind, tags)
	}
	out := []string{metric("requests.count", 1, "c")}
	if tokens := r.Tokens(); tokens > 0 {
		out = append(out,
			metric("tokens.input", r.Usage.Input, kind),
			metric("tokens.output", r.Usage.Output, kind),
			metric("tokens.total", tokens, kind))
	}
	if r.Priced && r.Cost > 0 {
		const cent = price.Dollar / 100
		cents := fmt.Sprintf("%d.%07d", r.Cost/cent, r.Cost%cent)
		out = append(out, metric("cost.total_cents", strings.TrimRight(strings.TrimRight(cents, "0"), "."), kind))
	}
	return out
}

// rowTags returns the tags of a row. Clients choose some of the values, so what
// would end a tag or a line is replaced.
func rowTags(r *ledger.Row) []string {
	safe := strings.NewReplacer(",", "_", "|", "_", "#", "_", "\n", "_", "\r", "_", ":", "_", "@", "_")
	tag := func(name, value string) string { return name + ":" + safe.Replace(value[:min(len(value), maxTag)]) }
	return []string{
		tag("provider", r.Upstream), tag("model", r.Model), tag("endpoint", string(r.Operation)),
		tag("streaming", fmt.Sprint(r.Stream)), tag("key_id", r.Key), tag("finish_reason", r.Finish),
	}
}

// Close closes the socket.
func (s *StatsD) Close() error { return s.conn.Close() }
