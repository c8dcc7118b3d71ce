package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"

	"github.com/spf13/cobra"

	"github.com/steno-audit/steno/internal/serve"
)

func showCommand() *cobra.Command {
	var read readFlags
	var raw string
	var reveal, full bool
	c := &cobra.Command{
		Use:   "show ID",
		Short: "Show an exchange as a transcript, or its exact bytes",
		Long: `Show an exchange: who asked which model what, what came back, what the checks said, and the proof that nothing of it was
changed, computed here and now. ID is that of an exchange or an event, the provider's id of the answer, or the beginning of
one as long as it is the only one.

Secrets that checks found are masked unless --reveal is given. Every show is itself recorded, a --reveal as such.`,
		Example: `  steno show 0193a1f2c4d87e1b
  steno show chatcmpl-9xYz --full
  steno show --raw response 0193a1f2c4d87e1b > answer.bin`,
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			switch raw {
			case "", "request", "response":
			default:
				return usageError{fmt.Errorf("--raw %s: it is request or response", raw)}
			}
			if raw != "" && read.json {
				return usageError{errors.New("--raw prints bytes as they were, --json prints JSON: give one of them")}
			}
			q := url.Values{}
			if reveal {
				q.Set("reveal", "1")
			}
			return read.read(func(r *reader) error {
				path := "/api/exchanges/" + url.PathEscape(args[0])
				if raw != "" {
					return showRaw(c, r, path+"/raw/"+raw, q)
				}
				var answer json.RawMessage
				if err := r.decode(c.Context(), path, q, &answer); err != nil {
					return err
				}
				if read.json {
					return compact(c.OutOrStdout(), answer)
				}
				var x serve.Exchange
				if err := json.Unmarshal(answer, &x); err != nil {
					return fmt.Errorf("couldn't read the server's answer: %w", err)
				}
				return printExchange(newScreen(c.OutOrStdout()), &x, full)
			})
		},
	}
	read.register(c)
	c.Flags().StringVar(&raw, "raw", "", "the exact bytes of the `request or response`, as they were on the wire")
	c.Flags().BoolVar(&reveal, "reveal", false, "show secrets too; that is recorded")
	c.Flags().BoolVar(&full, "full", false, "show all of a long history and of long texts")
	return c
}

func showRaw(c *cobra.Command, r *reader, path string, q url.Values) error {
	resp, err := r.get(c.Context(), path, q)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if _, err := io.Copy(c.OutOrStdout(), resp.Body); err != nil {
		return fmt.Errorf("couldn't copy the bytes: %w", err)
	}
	return nil
}
