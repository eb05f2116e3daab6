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
		secret := c.cfg.KeySecret
		if secret.IsZero() {
			secret, _ = keys.LoadSecret(c.cfg.DataDir) // an error was reported when the keys were opened
		}
		if secret.IsZero() {
			secret = keys.NewSecret(rand.Text())
		}
		patterns := make([]chatlog.Pattern, len(c.cfg.LogRedact))
		for i, p := range c.cfg.LogRedact {
			patterns[i] = chatlog.Pattern{Name: p.Name, RE2: p.RE2}
		}
		a.redactor, err = chatlog.NewRedactor(patterns, []byte("names in logs "+secret.Reveal()))
	}
	c.Redactor = a.redactor
	return err
}

// setChatLog opens the chat log where LOG_CHAT or PRINT_CHAT is on. Without
// either, exchanges under way still write their second lines.
func (a *app) setChatLog(c *change) error {
	cfg := c.cfg
	if !cfg.LogChat && !cfg.PrintChat {
		return nil
	}
	failed := func(err error) error {
		return fmt.Errorf("opening the chat log in %s: %w", filepath.Clean(cfg.LogDir), err)
	}
	if a.chatLog == nil {
		options := chatlog.Options{Dir: cfg.LogDir, NoFiles: !cfg.LogChat, Redactor: c.Redactor,
			MaxSize: cfg.LogMaxSize, MaxTotal: cfg.LogMaxTotal, Retention: cfg.LogRetention, Location: cfg.Location, Log: a.log}
		if cfg.PrintChat {
			options.Print = os.Stdout
		}
		log, err := chatlog.Open(options)
		if err != nil {
			return failed(err)
		}
		a.chatLog = log
		a.closers = append(a.closers, log)
	}
	if err := a.chatLog.TryFiles(cfg.LogChat); err != nil {
		return failed(err)
	}
	c.ChatLog = a.chatLog
	c.commit = append(c.commit, func() { a.chatLog.KeepFiles(cfg.LogChat) })
	return nil
}
