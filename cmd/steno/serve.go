package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"

	"github.com/spf13/cobra"
)

// serveFlags are those of serve and demo.
type serveFlags struct {
	data, gateway, console, file string
	json                         bool
}

func (f *serveFlags) register(c *cobra.Command) {
	c.Flags().StringVar(&f.data, "data", "", "data directory (default ./steno-data)")
	c.Flags().StringVar(&f.gateway, "gateway", "", "address of the gateway, all that is written (default 127.0.0.1:4600)")
	c.Flags().StringVar(&f.console, "console", "", "address of the console, all that is read (default 127.0.0.1:4601)")
	c.Flags().StringVar(&f.file, "config", "", "configuration file (YAML)")
	c.Flags().BoolVar(&f.json, "json", false, "when ready, print one line of JSON with all addresses")
}

func serveCommand() *cobra.Command {
	var f serveFlags
	c := &cobra.Command{
		Use:   "serve",
		Short: "Run the gateway and the console",
		Long: `Run the gateway and the console.

Without a configuration file the upstreams are openai, anthropic and gemini; their keys come from OPENAI_API_KEY,
ANTHROPIC_API_KEY and GEMINI_API_KEY where set, else the caller's own key is passed through.`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			cfg, err := loadConfig(f, os.Getenv)
			if err != nil {
				return err
			}
			return runServer(c.Context(), cfg, false, func(s *server) error { return s.printReady(c.OutOrStdout(), f.json) }, c.ErrOrStderr())
		},
	}
	f.register(c)
	return c
}

// runServer serves until a signal. A second signal does not wait for calls under way.
func runServer(parent context.Context, cfg *config, demo bool, onReady func(*server) error, stderr io.Writer) error {
	logger := slog.New(slog.NewTextHandler(stderr, &slog.HandlerOptions{Level: slog.LevelInfo}))
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(300) // what lives is little beside what a call allocates; memory grows to four times what lives, for a third of the collector's work
	}
	if err := harden(); err != nil {
		logger.Warn("plain text may get into core files", "error", err)
	}
	ctx, cancel := signal.NotifyContext(parent, os.Interrupt, syscall.SIGTERM)
	defer cancel()
	s, err := startServer(context.WithoutCancel(ctx), cfg, demo, logger)
	if err != nil {
		return err
	}
	if err := onReady(s); err != nil {
		return errors.Join(err, s.stop(context.Background(), "not ready"))
	}
	reason := "stopped by signal"
	var failure error
	select {
	case <-ctx.Done():
	case failure = <-s.failed:
		reason = "a listener failed"
	case <-s.store.log.Done():
		failure, reason = s.store.log.Failed(), "the log failed"
		if cfg.Gateway.OnLogFailure == "allow" || parent.Err() == nil {
			logger.Error("the log cannot be written any more; calls are answered by on_log_failure until the restart", "on_log_failure", cfg.Gateway.OnLogFailure, "error", failure)
			select {
			case <-ctx.Done():
			case failure = <-s.failed:
			}
		}
	}
	cancel()
	logger.Info("stopping: waiting for calls under way; a second signal stops at once")
	hurry, stopHurry := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stopHurry()
	if err := s.stop(hurry, reason); err != nil {
		return errors.Join(failure, fmt.Errorf("couldn't stop cleanly: %w", err))
	}
	return failure
}
