package main

import (
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"forward/internal/config"
	"forward/internal/control"
)

// reloadCommand makes the running gateway read its settings again.
func reloadCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "reload",
		Short: "Let the running gateway read its settings again",
		Long: "The gateway reads .env and forward.yaml again and applies them without dropping a request; requests under way finish as they started.\n" +
			"If anything is wrong, all settings stay as they were and the exit status is 1. Its environment variables and flags stay what they were at its start.\n" +
			"It finds the gateway by DATA_DIR, which it reads as the gateway does. SIGHUP and a changed file do the same.",
	}
	flags := settingsFlags(c)
	hideListener(c)
	c.RunE = func(c *cobra.Command, _ []string) error {
		dir, err := config.DataDir(flags(), os.Environ()) // also where other settings are wrong
		if err != nil {
			return err
		}
		running, err := control.Running(c.Context(), dir)
		if err != nil {
			return err
		}
		if !running {
			return fmt.Errorf("no gateway answers on %s: start one, or give this command the DATA_DIR of the one that runs", control.Path(dir))
		}
		client := control.NewClient(dir)
		defer client.Close()
		result, err := client.Reload(c.Context())
		if err != nil {
			return err
		}
		for _, w := range result.Warnings {
			fmt.Fprintln(c.ErrOrStderr(), "warning:", w)
		}
		outcome := "nothing has changed"
		if len(result.Changed) > 0 {
			outcome = "changed: " + strings.Join(result.Changed, ", ")
		}
		if len(result.NeedsRestart) > 0 {
			outcome += "\nneeds a restart: " + strings.Join(result.NeedsRestart, ", ")
		}
		_, err = fmt.Fprintln(c.OutOrStdout(), outcome)
		return err
	}
	return c
}
