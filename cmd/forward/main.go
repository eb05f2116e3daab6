// Command forward is an LLM gateway: one binary between a team's programs and
// the model providers.
//
// This package only wires, one file a command. app.go opens the components of a
// running gateway, applies settings to them and closes them in reverse; the
// files beside it set the options of one package each. Answers go to stdout;
// banners, hints and progress go to stderr. The exit status is 0 for success, 1
// for a failure, 2 for a wrong command line.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	_ "time/tzdata" // TZ works in an image without zone files

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

func main() {
	root := newCommand()
	err := root.ExecuteContext(context.Background())
	if err == nil {
		return
	}
	fmt.Fprintln(os.Stderr, err)
	if errors.As(err, new(*usageError)) {
		fmt.Fprintf(os.Stderr, "\nSee '%s --help'.\n", root.Name())
		os.Exit(2)
	}
	os.Exit(1)
}

// usageError is a wrong command line.
type usageError struct{ error }

func (e *usageError) Unwrap() error { return e.error }

func newCommand() *cobra.Command {
	root := &cobra.Command{
		Use:   "forward",
		Short: "An LLM gateway: routes, forward keys, limits, cache and chat logs in one binary",
		Long: "forward stands between your programs and the model providers. Programs change one thing: their base URL.\n" +
			"Without a command it runs the gateway.",
		SilenceErrors: true,
		SilenceUsage:  true,
	}
	root.SuggestionsMinimumDistance = 2
	root.SetFlagErrorFunc(func(c *cobra.Command, err error) error { return &usageError{suggestFlag(c, err)} })
	addRun(root)
	run := &cobra.Command{Use: "run", Short: "Run the gateway"}
	addRun(run)
	root.AddCommand(run, usageCommand(), whyCommand(), convertCommand(), cacheCommand(), keysCommand(), connectCommand(), dashboardCommand(), checkCommand(), reloadCommand(), healthcheckCommand(), versionCommand())
	noArguments(root)
	return root
}

// suggestFlag adds to the error about an unknown flag the one that it starts or
// is started by, as --models is for --model.
func suggestFlag(c *cobra.Command, err error) error {
	name, unknown := strings.CutPrefix(err.Error(), "unknown flag: --")
	if !unknown {
		return err
	}
	name = strings.ReplaceAll(name, "_", "-")
	suggested := ""
	c.Flags().VisitAll(func(f *pflag.Flag) {
		if !f.Hidden && suggested == "" && (strings.HasPrefix(f.Name, name) || strings.HasPrefix(name, f.Name)) {
			suggested = f.Name
		}
	})
	if suggested == "" {
		return err
	}
	return fmt.Errorf("%w, did you mean --%s?", err, suggested)
}

// noArguments makes every stray word a usage error; cobra would hand it to the
// command, or exit with status 1.
func noArguments(root *cobra.Command) {
	for _, c := range append(root.Commands(), root) {
		if c.Args != nil {
			continue
		}
		c.Args = func(c *cobra.Command, args []string) error {
			if len(args) == 0 {
				return nil
			}
			hint := ""
			if names := c.SuggestionsFor(args[0]); len(names) > 0 {
				hint = fmt.Sprintf(", did you mean %q?", names[0])
			}
			return &usageError{fmt.Errorf("unknown command %q for %q%s", args[0], c.CommandPath(), hint)}
		}
	}
}
