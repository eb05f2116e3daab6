package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"strings"

	"golang.org/x/term"

	"forward/internal/config"
	"forward/internal/keys"
	"forward/internal/limits"
)

// banner shows the current settings on w, as openai-forward does: a box for
// each route and one for the limits on a terminal, plain lines elsewhere.
// Credentials are counted and masked.
func banner(w *os.File, cfg *config.Config, a *app, addr net.Addr) {
	show := plain
	if term.IsTerminal(int(w.Fd())) {
		show = boxed
	}
	for _, route := range cfg.Routes {
		show(w, "forward is ready to serve "+route.Prefix, routeRows(cfg, a, route))
	}
	if cfg.Benchmark {
		show(w, "forward is ready to serve /benchmark", [][2]string{{"base url", "the canned upstream of BENCHMARK_MODE"}, {"access", "open: no key is asked and none is swapped"}})
	}
	show(w, "Rate limits", limitRows(cfg, a))
	scheme := "http"
	if cfg.Listen.TLSCert != "" {
		scheme = "https"
	}
	fmt.Fprintf(w, "forward %s listens on %s://%s\n", buildVersion(), scheme, addr)
	if url := a.dashboardURL(); url != "" {
		fmt.Fprintf(w, "dashboard: %s (forward dashboard signs in)\n", url)
	}
}

func routeRows(cfg *config.Config, a *app, route config.Route) [][2]string {
	bases := []string{route.BaseURL.Redacted()}
	for _, base := range route.Also {
		bases = append(bases, base.Redacted())
	}
	rows := [][2]string{
		{"base url", strings.Join(bases, ", then ")},
		{"route prefix", strings.Join(append([]string{route.Prefix}, route.Aliases...), ", ")},
	}
	if route.Open {
		access := "open: no key is asked and none is swapped"
		if cfg.Access.ExtraAuth {
			access = "a forward key is asked, none is swapped"
		}
		return append(rows, [2]string{"access", access})
	}
	if route.Client {
		return append(rows, [2]string{"access", "the clients' own credentials; X-Forward-Key identifies"})
	}
	var api, own []keys.Secret
	for _, k := range route.APIKeys {
		api = append(api, k.Secret)
	}
	for _, k := range cfg.Access.Keys {
		own = append(own, k.Secret)
	}
	rows = append(rows, [2]string{"api keys", masked(api)}, [2]string{"forward keys", a.forwardKeys(own)})
	backend := "off"
	if a.cache.Load() != nil {
		backend = a.cache.Load().Backend()
	}
	log := "off"
	if cfg.Log.Chat {
		log = cfg.Log.Dir
	}
	return append(rows, [2]string{"cache backend", backend}, [2]string{"chat log", log})
}

// forwardKeys counts the keys of the settings and those of `forward keys`.
func (a *app) forwardKeys(declared []keys.Secret) string {
	managed := 0
	if a.keys != nil {
		list, _ := a.keys.List(context.Background()) // without them the gateway would not have started
		for _, m := range list {
			if !m.Revoked {
				managed++
			}
		}
	}
	switch {
	case managed == 0:
		return masked(declared)
	case len(declared) == 0:
		return fmt.Sprintf("%d of the command forward keys", managed)
	}
	return fmt.Sprintf("%s, and %d of the command forward keys", masked(declared), managed)
}

// masked counts secrets and shows the ends of the first few.
func masked(secrets []keys.Secret) string {
	if len(secrets) == 0 {
		return "none"
	}
	var shown []string
	for _, s := range secrets[:min(3, len(secrets))] {
		shown = append(shown, s.String())
	}
	if len(secrets) > len(shown) {
		shown = append(shown, "…")
	}
	return fmt.Sprintf("%d (%s)", len(secrets), strings.Join(shown, ", "))
}

func limitRows(cfg *config.Config, a *app) [][2]string {
	rows := [][2]string{{"backend", a.current.Load().Gate.Backend()}, {"strategy", string(cfg.Limits.Strategy)}, {"global rate limit", ratesText(cfg.Limits.Global) + " (req)"}}
	for _, kind := range []struct {
		unit  string
		rules []limits.Rule
	}{{"req", cfg.Limits.Rules}, {"token", cfg.Limits.Paces}} {
		for _, rule := range kind.rules {
			name := rule.Path
			if rule.Level != limits.AnyLevel {
				name = fmt.Sprintf("%s, level %d", rule.Path, rule.Level)
			}
			rows = append(rows, [2]string{name, fmt.Sprintf("%s (%s)", ratesText(rule.Rates), kind.unit)})
		}
	}
	return rows
}

// ratesText writes the rates of one limit as settings have them.
func ratesText(rates []limits.Rate) string {
	if len(rates) == 0 {
		return "inf"
	}
	var texts []string
	for _, r := range rates {
		texts = append(texts, r.String())
	}
	return strings.Join(texts, ";")
}

func boxed(w io.Writer, title string, rows [][2]string) {
	var cells [][]string
	for _, row := range rows {
		cells = append(cells, row[:])
	}
	widths := columnWidths(cells)
	inner := max(lineWidth(widths), displayWidth(title)+2)
	edge := strings.Repeat("─", inner)
	left := (inner - displayWidth(title) + 1) / 2
	line := func(s string) { fmt.Fprintf(w, "│%s%s│\n", s, strings.Repeat(" ", inner-displayWidth(s))) }
	fmt.Fprintf(w, "╭%s╮\n", edge)
	line(strings.Repeat(" ", left) + title)
	fmt.Fprintf(w, "├%s┤\n", edge)
	for _, row := range cells {
		line(padded(row, widths, nil))
	}
	fmt.Fprintf(w, "╰%s╯\n", edge)
}

func plain(w io.Writer, title string, rows [][2]string) {
	fmt.Fprintln(w, title)
	for _, row := range rows {
		fmt.Fprintf(w, "  %-18s %s\n", row[0], row[1])
	}
}
