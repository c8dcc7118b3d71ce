package main

import (
	"encoding/json"
	"fmt"
	"os"
	"reflect"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

func configCommand() *cobra.Command {
	c := &cobra.Command{Use: "config", Short: "Check a configuration file, or print its schema"}
	c.AddCommand(configCheckCommand(), configSchemaCommand())
	return c
}

func configCheckCommand() *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use: "check FILE", Short: "Say what is wrong with a configuration file, and where", Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			cfg, err := loadConfig(serveFlags{file: args[0]}, os.Getenv)
			if err != nil {
				return err
			}
			if _, err := cfg.upstreams(); err != nil {
				return err
			}
			if cfg.Console.Token != nil {
				if _, err := cfg.Console.Token.resolve(); err != nil {
					return usageError{fmt.Errorf("console.token: %w", err)}
				}
			}
			if asJSON {
				return json.NewEncoder(c.OutOrStdout()).Encode(map[string]any{"ok": true, "file": args[0], "upstreams": len(cfg.Gateway.Upstreams), "keys": len(cfg.Gateway.Keys)})
			}
			_, err = fmt.Fprintf(c.OutOrStdout(), "%s is fine: %d upstreams, %d keys, data in %s\n", args[0], len(cfg.Gateway.Upstreams), len(cfg.Gateway.Keys), cfg.Data)
			return err
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return c
}

func configSchemaCommand() *cobra.Command {
	return &cobra.Command{
		Use: "schema", Short: "Print the JSON Schema of the configuration file", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			s := configSchema(reflect.TypeFor[config]())
			s["$schema"] = "https://json-schema.org/draft/2020-12/schema"
			s["title"] = "steno configuration"
			enc := json.NewEncoder(c.OutOrStdout())
			enc.SetIndent("", "  ")
			return enc.Encode(s)
		},
	}
}

// secretSchema is a secret by reference.
var secretSchema = map[string]any{
	"type": "object", "additionalProperties": false, "minProperties": 1, "maxProperties": 1,
	"properties": map[string]any{"env": map[string]any{"type": "string"}, "file": map[string]any{"type": "string"}},
}

// configSchema derives the schema from the structs that the file is read into.
func configSchema(t reflect.Type) map[string]any {
	switch t {
	case reflect.TypeFor[credential]():
		return map[string]any{"anyOf": []any{
			map[string]any{"enum": []string{"passthrough", "aws"}},
			secretSchema,
			map[string]any{
				"type": "object", "additionalProperties": false, "required": []string{"keyring"},
				"properties": map[string]any{"keyring": map[string]any{"type": "string"}},
			},
			map[string]any{
				"type": "object", "additionalProperties": false, "required": []string{"aws"},
				"properties": map[string]any{"aws": configSchema(reflect.TypeFor[awsCredential]())},
			},
		}}
	case reflect.TypeFor[secret]():
		return secretSchema
	case reflect.TypeFor[byteSize]():
		return map[string]any{"type": []string{"string", "integer"}, "pattern": "^[0-9]+ ?(B|KiB|MiB|GiB)?$"}
	case reflect.TypeFor[time.Duration]():
		return map[string]any{"type": "string", "pattern": "^[0-9]+(ns|us|ms|s|m|h)"}
	}
	switch t.Kind() {
	case reflect.Pointer:
		return configSchema(t.Elem())
	case reflect.Slice:
		return map[string]any{"type": "array", "items": configSchema(t.Elem())}
	case reflect.Map:
		return map[string]any{"type": "object", "additionalProperties": configSchema(t.Elem())}
	case reflect.Bool:
		return map[string]any{"type": "boolean"}
	case reflect.Int:
		return map[string]any{"type": "integer"}
	case reflect.Struct:
		props := map[string]any{}
		for i := range t.NumField() {
			f := t.Field(i)
			name, _, _ := strings.Cut(f.Tag.Get("yaml"), ",")
			props[name] = configSchema(f.Type)
		}
		return map[string]any{"type": "object", "properties": props, "additionalProperties": false}
	}
	return map[string]any{"type": "string"}
}
