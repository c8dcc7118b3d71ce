package main

import (
	"encoding/json"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/steno-audit/steno/internal/stub"
)

func stubCommand() *cobra.Command {
	var cfg stub.Config
	var asJSON bool
	c := &cobra.Command{
		Use:   "stub",
		Short: "Run a model stub: OpenAI and Anthropic wire formats without a model",
		Long:  "Run a model stub: OpenAI and Anthropic wire formats without a model.\n\n" + stub.Help,
		Args:  cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			ctx, cancel := signal.NotifyContext(c.Context(), os.Interrupt, syscall.SIGTERM)
			defer cancel()
			return stub.Serve(ctx, cfg, func(url string) {
				if asJSON {
					if err := json.NewEncoder(c.OutOrStdout()).Encode(map[string]string{"stub": url}); err != nil {
						fmt.Fprintln(c.ErrOrStderr(), "steno:", err)
					}
					return
				}
				fmt.Fprintf(c.OutOrStdout(), "stub at %s\n", url)
			})
		},
	}
	c.Flags().StringVar(&cfg.Addr, "addr", "127.0.0.1:4610", "address to listen on; port 0 takes a free one")
	c.Flags().StringVar(&cfg.Tally, "tally", "", "file to which each request is durably appended before it is answered")
	c.Flags().BoolVar(&asJSON, "json", false, "when ready, print one line of JSON")
	return c
}
