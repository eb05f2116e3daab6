package main

import (
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"
)

// version is set by release builds (-ldflags "-X main.version=v1.2.3"); other
// builds have the version of their module.
var version string

func versionCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print the version, the commit and what it was built with",
		RunE: func(c *cobra.Command, _ []string) error {
			_, err := fmt.Fprintln(c.OutOrStdout(), "forward "+buildVersion())
			return err
		},
	}
}

// buildVersion is the version as one line: v1.2.3 (commit 1a2b3c4d5e6f,
// 2026-11-21T…, modified) go1.26 linux/amd64.
func buildVersion() string {
	info, ok := debug.ReadBuildInfo()
	name := version
	if name == "" && ok {
		name = info.Main.Version
	}
	if name == "" {
		name = "(devel)"
	}
	set := make(map[string]string)
	if ok {
		for _, s := range info.Settings {
			set[s.Key] = s.Value
		}
	}
	if rev := set["vcs.revision"]; rev != "" {
		name += " (commit " + rev[:min(12, len(rev))] + ", " + set["vcs.time"]
		if set["vcs.modified"] == "true" {
			name += ", modified"
		}
		name += ")"
	}
	return name + " " + runtime.Version() + " " + runtime.GOOS + "/" + runtime.GOARCH
}
