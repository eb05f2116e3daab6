package main

import (
	"fmt"
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
	f := config.Flags{ManagedKeys: managedKeys}
	var host string
	var port, workers int
	flags := c.Flags()
	flags.StringVar(&host, "host", "127.0.0.1", "address to listen on (HOST)")
	flags.IntVar(&port, "port", 8000, "port to listen on (PORT)")
	flags.StringVar(&f.EnvFile, "env-file", ".env", "settings as NAME=value lines")
	flags.StringVar(&f.ConfigFile, "config", "forward.yaml", "settings as YAML, or an LLProxy config.json")
	flags.IntVar(&workers, "workers", 1, "accepted from openai-forward's command line and ignored: one process uses every core")
	return func() (*config.Config, error) {
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
		cfg, warnings, err := config.Load(f, os.Environ())
		for _, w := range warnings {
			fmt.Fprintln(c.ErrOrStderr(), "warning:", w)
		}
		return cfg, err
	}
}
