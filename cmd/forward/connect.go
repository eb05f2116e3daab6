package main

import (
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"forward/internal/clients"
	"forward/internal/config"
)

// connectCommand prints how a client is pointed at this gateway.
func connectCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "connect [CLIENT]",
		Short: "Print the settings that point a client at this gateway",
		Long: "connect prints the settings of a client, such as claude-code or codex, with the address of this gateway; without a client it\n" +
			"lists them. It changes nothing, and it reads no key: name one with --key, or write it into what is printed.",
		Example: "  forward connect claude-code --key fk-alice\n  forward connect codex --url https://llm.example.com",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 1 {
				return &usageError{errors.New("name one client: forward connect CLIENT")}
			}
			return nil
		},
		ValidArgsFunction: completeClients,
	}
	url := c.Flags().String("url", "", "address at which clients reach the gateway; by default that of the settings")
	key := c.Flags().String("key", "", "the forward key to write into the settings")
	f := frame{forms: []string{"text", "json"}}
	f.managedKeys = func(string) bool { return true } // a client can be set up before a gateway may start
	return f.command(c, func(c *call) error {
		o := clients.Options{URL: *url, Key: *key}
		if o.URL == "" {
			var err error
			o.URL, err = listenAddress(&c.cfg.Listen)
			if err != nil {
				return err
			}
		}
		guide, err := clients.New(o)
		if err != nil {
			return &usageError{err}
		}
		if len(c.args) == 0 {
			return listClients(c, guide)
		}
		client, err := findClient(guide, c.args[0])
		if err != nil {
			return err
		}
		if c.form == "json" {
			return writeJSON(c.OutOrStdout(), client)
		}
		if *url == "" {
			fmt.Fprintf(c.ErrOrStderr(), "The address is that of the settings, %s; --url names another.\n", o.URL)
		}
		if *key == "" {
			fmt.Fprintf(c.ErrOrStderr(), "%s stands for a forward key: --key writes yours in its place.\n", clients.Key)
		}
		return printClient(c.OutOrStdout(), client)
	})
}

// listenAddress is the address of a gateway, as a client on the same machine
// reaches it.
func listenAddress(l *config.Listen) (string, error) {
	if l.Port == 0 {
		return "", errors.New("PORT=0 takes any free port: name the address with --url")
	}
	host := l.Host
	if ip := net.ParseIP(host); host == "" || (ip != nil && ip.IsUnspecified()) {
		host = "localhost"
	}
	scheme := "http"
	if l.TLSCert != "" {
		scheme = "https"
	}
	return scheme + "://" + net.JoinHostPort(host, strconv.Itoa(l.Port)), nil
}

func completeClients(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	guide, err := clients.New(clients.Options{})
	if err != nil || len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return guide.Names(), cobra.ShellCompDirectiveNoFileComp
}

// findClient returns the client of a name, or an error that suggests one.
func findClient(guide *clients.Guide, name string) (clients.Client, error) {
	if client, ok := guide.Find(name); ok {
		return client, nil
	}
	names := guide.Names()
	hint := ""
	if near := guide.Like(name); near != "" {
		hint = fmt.Sprintf(", did you mean %q?", near)
	} else if near := config.Nearest(name, names); near != "" {
		hint = fmt.Sprintf(", did you mean %q?", near)
	}
	return clients.Client{}, &usageError{fmt.Errorf("unknown client %q%s\nThe clients are: %s", name, hint, strings.Join(names, ", "))}
}

func listClients(c *call, guide *clients.Guide) error {
	if c.form == "json" {
		return writeJSON(c.OutOrStdout(), guide.Clients)
	}
	t := table{head: []string{"client", "is", "wire"}}
	for _, client := range guide.Clients {
		t.rows = append(t.rows, []string{client.Name, client.Title, client.Wire})
	}
	t.write(c.OutOrStdout())
	return nil
}

// printClient writes a recipe for a terminal: text within 100 columns, and code
// as it is, so that it can be copied.
func printClient(w io.Writer, client clients.Client) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%s (%s)\n%s\n\n", client.Title, client.Wire, client.Source)
	code := false
	paragraph := ""
	flush := func() {
		if paragraph == "" {
			return
		}
		indent := ""
		if strings.HasPrefix(paragraph, "- ") {
			indent = "  "
		}
		b.WriteString(strings.Join(wrapped(paragraph, 98), "\n"+indent) + "\n")
		paragraph = ""
	}
	for line := range strings.Lines(client.Text) {
		text := strings.TrimSpace(line)
		switch {
		case strings.HasPrefix(line, "```"):
			flush()
			code = !code
		case code:
			b.WriteString(line)
		case text == "":
			flush()
			b.WriteString("\n")
		case paragraph == "" || strings.HasPrefix(text, "- "):
			flush()
			paragraph = text
		default:
			paragraph += " " + text
		}
	}
	flush()
	_, err := io.WriteString(w, b.String())
	return err
}
