package main

import (
	"strings"
	"testing"
	"time"
)

func TestUntilWhen(t *testing.T) {
	now := time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)
	for in, want := range map[string]string{
		"": "", "12h": "2026-11-25T00:00:00Z", "90d": "2027-02-22T12:00:00Z", "2w": "2026-12-08T12:00:00Z", "2027-01-31T00:00:00Z": "2027-01-31T00:00:00Z",
	} {
		if got, err := untilWhen(in, now); err != nil || got != want {
			t.Errorf("%q is %q, %v; want %q", in, got, err, want)
		}
	}
	for in, want := range map[string]string{"soon": "write how long", "2020-01-01": "lies in the past", "2020-01-01T00:00:00Z": "lies in the past"} {
		if got, err := untilWhen(in, now); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q is %q, %v; want an error that says %q", in, got, err, want)
		}
	}
}

func TestKeyLimits(t *testing.T) {
	for _, k := range []gatewayKey{{Expires: "tomorrow"}, {Models: []string{"gpt-["}}} {
		if err := checkKeyLimits(k); err == nil {
			t.Errorf("%+v is taken", k)
		}
	}
	if err := checkKeyLimits(gatewayKey{Expires: "2027-01-31T00:00:00Z", Models: []string{"gpt-4o*"}}); err != nil {
		t.Error(err)
	}
}
