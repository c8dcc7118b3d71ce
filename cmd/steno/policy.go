package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/steno-audit/steno/internal/policy"
)

// policyConfig says by which Cedar policies calls are decided. Without files every call is permitted.
type policyConfig struct {
	Files []string `yaml:"files"` // patterns such as /etc/steno/*.cedar
}

func policyCommand() *cobra.Command {
	c := &cobra.Command{Use: "policy", Short: "Check and test the call policy"}
	c.AddCommand(policyCheckCommand(), policyTestCommand(), policySchemaCommand())
	return c
}

// configuredPolicies are the files of the configuration, for commands that name none.
func configuredPolicies(f serveFlags) ([]string, error) {
	cfg, err := loadConfig(f, os.Getenv)
	if err != nil {
		return nil, err
	}
	if len(cfg.Policy.Files) == 0 {
		return nil, usageError{errors.New("no policy file is named, and policy.files of the configuration names none either")}
	}
	return cfg.Policy.Files, nil
}

func policyCheckCommand() *cobra.Command {
	var f serveFlags
	var asJSON bool
	c := &cobra.Command{
		Use: "check [FILE…]", Short: "Validate policy files against the schema, or those of the configuration", Args: cobra.ArbitraryArgs,
		Long: "Validate policy files against the schema, or those of the configuration.\n\nExit codes: 0 they are fine, 1 they cannot be read, 2 something is wrong in them.",
		RunE: func(c *cobra.Command, args []string) error {
			if len(args) == 0 {
				var err error
				if args, err = configuredPolicies(f); err != nil {
					return err
				}
			}
			set, err := policy.Load(args)
			var wrong policy.Mistakes
			if err != nil && !errors.As(err, &wrong) {
				return err
			}
			if asJSON {
				out := struct {
					OK       bool             `json:"ok"`
					Version  string           `json:"version,omitempty"`
					Policies []string         `json:"policies"`
					Mistakes []policy.Mistake `json:"mistakes"`
				}{OK: set != nil, Policies: []string{}, Mistakes: []policy.Mistake{}}
				if set != nil {
					out.Version, out.Policies = set.Version(), set.IDs()
				}
				out.Mistakes = append(out.Mistakes, wrong...)
				if err := json.NewEncoder(c.OutOrStdout()).Encode(out); err != nil {
					return err
				}
				if set == nil {
					return &exitError{code: 2}
				}
				return nil
			}
			if set == nil {
				return usageError{err}
			}
			_, err = fmt.Fprintf(c.OutOrStdout(), "%d policies are fine, version %s\n", len(set.IDs()), set.Version())
			return err
		},
	}
	c.Flags().StringVar(&f.file, "config", "", "configuration file (YAML)")
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return c
}

func policySchemaCommand() *cobra.Command {
	return &cobra.Command{
		Use: "schema", Short: "Print the Cedar schema that policies are validated against", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			_, err := fmt.Fprint(c.OutOrStdout(), policy.Schema)
			return err
		},
	}
}

func policyTestCommand() *cobra.Command {
	var f serveFlags
	var files []string
	var asJSON bool
	c := &cobra.Command{
		Use: "test FILE…", Short: "Ask the policies the questions of test files, and compare the answers", Args: cobra.MinimumNArgs(1),
		Long: `Ask the policies the questions of test files (YAML), and compare the answers.

The policies are those of --policy, else those that the test file names, else those of the configuration.
Exit codes: 0 all answers are as expected, 1 some are not, or a file cannot be read, 2 something is wrong in a file.`,
		RunE: func(c *cobra.Command, args []string) error {
			failed, ran := 0, 0
			for _, name := range args {
				cases, set, err := loadCases(name, files, f)
				if err != nil {
					return err
				}
				for i := range cases.Cases {
					o := set.Try(&cases.Cases[i])
					ran++
					if !o.OK {
						failed++
					}
					if err := printOutcome(c, name, o, asJSON); err != nil {
						return err
					}
				}
			}
			if !asJSON {
				fmt.Fprintf(c.OutOrStdout(), "%d cases, %d not as expected\n", ran, failed)
			}
			if failed > 0 {
				return &exitError{code: 1}
			}
			return nil
		},
	}
	c.Flags().StringSliceVar(&files, "policy", nil, "policy `FILE`s (default: those that the test file names, else those of the configuration)")
	c.Flags().StringVar(&f.file, "config", "", "configuration file (YAML)")
	c.Flags().BoolVar(&asJSON, "json", false, "print one JSON object a case")
	return c
}

func loadCases(name string, files []string, f serveFlags) (*policy.Cases, *policy.Set, error) {
	b, err := os.ReadFile(name)
	if err != nil {
		return nil, nil, fmt.Errorf("couldn't read the cases: %w", err)
	}
	cases, err := policy.ParseCases(name, b)
	if err != nil {
		return nil, nil, usageError{err}
	}
	switch {
	case len(files) > 0:
	case len(cases.Policies) > 0:
		files = cases.Policies
	default:
		if files, err = configuredPolicies(f); err != nil {
			return nil, nil, err
		}
	}
	set, err := policy.Load(files)
	var wrong policy.Mistakes
	if errors.As(err, &wrong) {
		err = usageError{err}
	}
	return cases, set, err
}

func printOutcome(c *cobra.Command, file string, o policy.Outcome, asJSON bool) error {
	if o.By == nil {
		o.By = []string{}
	}
	if asJSON {
		return json.NewEncoder(c.OutOrStdout()).Encode(struct {
			File string `json:"file"`
			policy.Outcome
		}{file, o})
	}
	answer := map[bool]string{true: "permit", false: "deny"}[o.Permit]
	mark, want := "ok  ", ""
	if !o.OK {
		mark, want = "FAIL", ", expected "+o.Want
	}
	_, err := fmt.Fprintf(c.OutOrStdout(), "%s %s: %s by %v%s\n", mark, o.Name, answer, o.By, want)
	return err
}
