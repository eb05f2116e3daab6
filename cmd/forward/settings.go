package main

import (
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"forward/internal/config"
)

// settingsFlags gives a command the flags that say where settings come from, and returns the function that loads them.
// Warnings are printed as they are found; all that is wrong is one error.
func settingsFlags(c *cobra.Command) func() (*config.Config, error) {
	return settingsFrom(c, hasManagedKeys)
}

// settingsFrom is settingsFlags, told whether there are managed keys.
func settingsFrom(c *cobra.Command, managedKeys func(dataDir string) bool) func() (*config.Config, error) {
	read := settingsReader(c, managedKeys)
	return func() (*config.Config, error) {
		cfg, warnings, err := read(nil)
		printWarnings(c.ErrOrStderr(), warnings)
		return cfg, err
	}
}

func printWarnings(w io.Writer, warnings []config.Warning) {
	for _, warning := range warnings {
		fmt.Fprintln(w, "warning:", warning)
	}
}

// readSettings reads the settings anew beside those of a running gateway, which are nil at its start.
type readSettings func(running *config.Config) (*config.Config, []config.Warning, error)

// settingsReader is settingsFrom for whoever reads more than once and shows warnings himself.
func settingsReader(c *cobra.Command, managedKeys func(dataDir string) bool) readSettings {
	where := whereSettings(c)
	return func(running *config.Config) (*config.Config, []config.Warning, error) {
		f := where()
		f.ManagedKeys, f.Running = managedKeys, running
		return config.Load(f, os.Environ())
	}
}

// whereSettings gives a command the flags that say where settings come from, and returns the function that reads the flags.
func whereSettings(c *cobra.Command) func() config.Flags {
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
		f.EnvFileSet, f.ConfigFileSet = flags.Changed("env-file"), flags.Changed("config")
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

// dataDir returns DATA_DIR, also where other settings are wrong.
func dataDir(f config.Flags) (string, error) { return config.DataDir(f, os.Environ()) }
