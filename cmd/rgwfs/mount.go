package main

import (
	"context"
	"errors"

	"github.com/spf13/pflag"

	"rgwfs/s3backend"
)

// mountCommand mounts, as a daemon unless told otherwise.
func mountCommand(ctx context.Context, inv *invocation, args []string) error {
	s, err := parseMount(inv, args)
	if errors.Is(err, pflag.ErrHelp) {
		return mountHelp(inv.stdout)
	}
	if err != nil {
		return err
	}
	switch {
	case isDaemonChild(inv):
		return runDaemonChild(ctx, inv, s)
	case s.foreground:
		return runForeground(ctx, inv, s)
	default:
		return runDaemon(inv)
	}
}

// prepare fills in what only the outside world knows, and finds out whether
// the mount can work: what costs least first.
func prepare(ctx context.Context, s *settings) error {
	machine := thisHost()
	if err := machine.checkMountpoint(s); err != nil {
		return err
	}
	if err := machine.checkFuse(s); err != nil {
		return err
	}
	endpoint, _, err := s3backend.ResolveEndpoint(ctx, s.backend.Endpoint, s.backend.Profile)
	if err != nil {
		return fail("the endpoint can't be found out: %v", err)
	}
	s.backend.Endpoint = endpoint
	if err := s.backend.Validate(); err != nil {
		return &failure{exitUsage, err}
	}
	useProfile(s)
	return verify(ctx, s)
}
