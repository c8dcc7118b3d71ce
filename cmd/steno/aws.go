package main

import (
	"errors"
	"fmt"

	"github.com/steno-audit/steno/internal/capture"
)

// awsCredential is a key of AWS that steno signs calls to Bedrock with. Without members it is that of the standard
// environment.
type awsCredential struct {
	AccessKeyID     *secret `yaml:"access_key_id"`
	SecretAccessKey *secret `yaml:"secret_access_key"`
	SessionToken    *secret `yaml:"session_token"`
	Region          string  `yaml:"region"` // default: the one in the upstream's host
}

// resolve reads the key.
func (a *awsCredential) resolve() (*capture.AWS, error) {
	id, key, token := a.AccessKeyID, a.SecretAccessKey, a.SessionToken
	if (id == nil) != (key == nil) || id == nil && token != nil {
		return nil, errors.New("aws: access_key_id and secret_access_key belong together, and session_token to them")
	}
	out := &capture.AWS{Region: a.Region}
	if id == nil {
		id, key = &secret{Env: "AWS_ACCESS_KEY_ID"}, &secret{Env: "AWS_SECRET_ACCESS_KEY"}
		out.SessionToken, _ = secret{Env: "AWS_SESSION_TOKEN"}.resolve() // only temporary credentials have one
	}
	var err error
	if out.AccessKeyID, err = id.resolve(); err != nil {
		return nil, fmt.Errorf("aws.access_key_id: %w", err)
	}
	if out.SecretAccessKey, err = key.resolve(); err != nil {
		return nil, fmt.Errorf("aws.secret_access_key: %w", err)
	}
	if token != nil {
		if out.SessionToken, err = token.resolve(); err != nil {
			return nil, fmt.Errorf("aws.session_token: %w", err)
		}
	}
	return out, nil
}
