package main

import (
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"forward/internal/config"
)

// frame is what commands that read the settings have in common.
type frame struct {
	operands []string // that the command takes, as its usage line names them; nil: the command checks its own
	complain string   // about a wrong number of operands; "": the usage line
	forms    []string // of -o, the default first; nil: there is no -o
	offline  bool     // the command is not about the listener, so its flags are hidden

	managedKeys func(dataDir string) bool // nil: hasManagedKeys
}

// call is one call of a command in a frame.
type call struct {
	*cobra.Command
	cfg  *config.Config
	form string // of -o
	args []string
}

var (
	none        = []string{} // operands
	tableOrJSON = []string{"table", "json"}
)

// command makes c read its flags and the settings before it runs do.
func (f frame) command(c *cobra.Command, do func(*call) error) *cobra.Command {
	managedKeys := f.managedKeys
	if managedKeys == nil {
		managedKeys = hasManagedKeys
	}
	from := sourcesOf(c, managedKeys)
	if f.offline {
		hideListener(c)
	}
	form := func() (string, error) { return "", nil }
	if f.forms != nil {
		form = outputFlag(c, f.forms)
	}
	if f.operands != nil {
		c.Use = strings.Join(append([]string{c.Use}, f.operands...), " ")
		c.Args = func(c *cobra.Command, args []string) error {
			switch {
			case len(args) == len(f.operands):
				return nil
			case f.complain != "":
				return &usageError{fmt.Errorf("%s", f.complain)}
			}
			return &usageError{fmt.Errorf("write: %s", strings.Join(append([]string{c.CommandPath()}, f.operands...), " "))}
		}
	}
	c.RunE = func(c *cobra.Command, args []string) error {
		form, err := form()
		if err != nil {
			return err
		}
		cfg, warnings, err := from.read(nil)
		printWarnings(c.ErrOrStderr(), warnings)
		if err != nil {
			return err
		}
		return do(&call{c, cfg, form, args})
	}
	return c
}

func printWarnings(w io.Writer, warnings []config.Warning) {
	for _, warning := range warnings {
		fmt.Fprintln(w, "warning:", warning)
	}
}

// sources are where a command's settings come from: its flags, the environment
// and files.
type sources struct {
	flags       func() config.Flags
	managedKeys func(dataDir string) bool
}

// read reads the settings beside those of a running gateway, which are nil at
// its start.
func (s *sources) read(running *config.Config) (*config.Config, []config.Warning, error) {
	f := s.flags()
	f.ManagedKeys = s.managedKeys
	f.Running = running
	return config.Load(f, os.Environ())
}

// propose reads a text in the place of forward.yaml beside the other sources.
func (s *sources) propose(running *config.Config, text string) *config.Proposal {
	f := s.flags()
	f.ManagedKeys = s.managedKeys
	return config.Propose(f, os.Environ(), running, text)
}

// sourcesOf gives a command the flags that name the sources of settings.
func sourcesOf(c *cobra.Command, managedKeys func(dataDir string) bool) *sources {
	return &sources{settingsFlags(c), managedKeys}
}

// settingsFlags gives a command the flags that name the sources of settings,
// and returns the function that reads them.
func settingsFlags(c *cobra.Command) func() config.Flags {
	var f config.Flags
	var host string
	var port, workers int
	flags := c.Flags()
	flags.StringVar(&host, "host", "127.0.0.1", "address to listen on (HOST)")
	flags.IntVar(&port, "port", 8000, "port to listen on (PORT)")
	flags.StringVar(&f.EnvFile, "env-file", ".env", "settings as NAME=value lines")
	flags.StringVar(&f.ConfigFile, "config", "forward.yaml", "settings as YAML, or an LLProxy config.json")
	flags.IntVar(&workers, "workers", 1, "accepted from openai-forward's command line and ignored: one process uses every core")
	return func() config.Flags {
		f.EnvFileSet = flags.Changed("env-file")
		f.ConfigFileSet = flags.Changed("config")
		if flags.Changed("host") {
			f.Host = &host
		}
		if flags.Changed("port") {
			f.Port = &port
		}
		if flags.Changed("workers") {
			f.Workers = &workers
		}
		if !f.EnvFileSet {
			f.EnvFile = ""
		}
		if !f.ConfigFileSet {
			f.ConfigFile = ""
		}
		return f
	}
}

// hideListener hides the flags that mean nothing to a command that does not
// listen. They are accepted, so that one set of flags serves all commands of a
// deployment.
func hideListener(c *cobra.Command) {
	for _, name := range []string{"host", "port", "workers"} {
		c.Flags().Lookup(name).Hidden = true
	}
}
