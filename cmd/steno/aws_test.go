package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/steno-audit/steno/internal/capture"
)

func TestAWSCredential(t *testing.T) {
	file := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(file, []byte("from-a-file\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		dialect, credential string
		env                 map[string]string
		want                capture.AWS
		says                string
	}{
		"the standard environment": {
			credential: "aws", env: map[string]string{"AWS_ACCESS_KEY_ID": "id", "AWS_SECRET_ACCESS_KEY": "key", "AWS_SESSION_TOKEN": "token"},
			want: capture.AWS{AccessKeyID: "id", SecretAccessKey: "key", SessionToken: "token"},
		},
		"the same with a region": {
			credential: "{aws: {region: eu-west-1}}", env: map[string]string{"AWS_ACCESS_KEY_ID": "id", "AWS_SECRET_ACCESS_KEY": "key"},
			want: capture.AWS{AccessKeyID: "id", SecretAccessKey: "key", Region: "eu-west-1"},
		},
		"its own names": {
			credential: "{aws: {access_key_id: {env: MINE}, secret_access_key: {file: " + file + "}}}",
			env:        map[string]string{"MINE": "id", "AWS_SESSION_TOKEN": "of another key"},
			want:       capture.AWS{AccessKeyID: "id", SecretAccessKey: "from-a-file"},
		},
		"half of a key":   {credential: "{aws: {access_key_id: {env: MINE}}}", env: map[string]string{"MINE": "id"}, says: "belong together"},
		"nothing there":   {credential: "aws", says: "bedrock.credential.aws.access_key_id: the environment has no AWS_ACCESS_KEY_ID"},
		"a wrong member":  {credential: "{aws: {acces_key_id: {env: MINE}}}", says: `did you mean "access_key_id"?`},
		"a secret itself": {credential: "{aws: {secret_access_key: hush}}", says: "never written here"},
		"another dialect": {dialect: "openai", credential: "aws", says: "dialect bedrock only"},
	} {
		t.Run(name, func(t *testing.T) {
			for _, k := range []string{"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"} {
				t.Setenv(k, c.env[k])
			}
			for k, v := range c.env {
				t.Setenv(k, v)
			}
			d := c.dialect
			if d == "" {
				d = "bedrock"
			}
			cfg := defaultConfig(func(string) string { return "" })
			err := cfg.parse([]byte("gateway:\n  upstreams:\n    bedrock: {dialect: "+d+", url: \"https://x.example\", credential: "+c.credential+"}\n"), "c.yaml")
			if err == nil {
				err = cfg.complete()
			}
			var ups []*capture.Upstream
			if err == nil {
				ups, err = cfg.upstreams()
			}
			switch {
			case c.says != "":
				if err == nil || !strings.Contains(err.Error(), c.says) || strings.Contains(err.Error(), "hush") {
					t.Errorf("%v, want it to say %q", err, c.says)
				}
			case err != nil:
				t.Error(err)
			case *ups[0].AWS != c.want || ups[0].Passthrough():
				t.Errorf("%+v, want %+v", *ups[0].AWS, c.want)
			}
		})
	}
}
