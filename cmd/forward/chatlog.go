package main

import (
	"crypto/rand"
	"fmt"
	"os"
	"path/filepath"

	"forward/internal/chatlog"
	"forward/internal/keys"
)

// setRedactor makes the redactor of logs and ledger. Its pseudonyms depend on
// the secret of the managed keys; without a place for one they differ after
// each start.
func (a *app) setRedactor(c *change) (err error) {
	if a.redactor == nil {
		secret := c.cfg.Access.KeySecret
		if secret.IsZero() {
			secret, _ = keys.LoadSecret(c.cfg.DataDir) // an error was reported when the keys were opened
		}
		if secret.IsZero() {
			secret = keys.NewSecret(rand.Text())
		}
		a.redactor, err = chatlog.NewRedactor(c.cfg.Log.Redact, []byte("names in logs "+secret.Reveal()))
	}
	c.Redactor = a.redactor
	return err
}

// setChatLog opens the chat log where LOG_CHAT or PRINT_CHAT is on. Without
// either, exchanges under way still write their second lines.
func (a *app) setChatLog(c *change) error {
	cfg := c.cfg
	if !cfg.Log.Chat && !cfg.Log.Console {
		return nil
	}
	failed := func(err error) error {
		return fmt.Errorf("opening the chat log in %s: %w", filepath.Clean(cfg.Log.Dir), err)
	}
	if a.chatLog == nil {
		options := cfg.Log.Options
		options.NoFiles = !cfg.Log.Chat
		options.Redactor = c.Redactor
		options.Location = cfg.Location
		options.Log = a.log
		if cfg.Log.Console {
			options.Print = os.Stdout
		}
		log, err := chatlog.Open(options)
		if err != nil {
			return failed(err)
		}
		a.chatLog = log
		a.closers = append(a.closers, log)
	}
	if err := a.chatLog.TryFiles(cfg.Log.Chat); err != nil {
		return failed(err)
	}
	c.ChatLog = a.chatLog
	c.commit = append(c.commit, func() { a.chatLog.KeepFiles(cfg.Log.Chat) })
	return nil
}
