package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
)

// Exit codes; rgwfs(1) documents them.
const (
	exitFailure = 1 // what was asked for could not be done
	exitUsage   = 2 // the command line or the environment is wrong
	exitUnsaved = 3 // the mount ended, but something written could not be committed
)

// Exit codes of mount(8), which a mount helper answers with.
const (
	mountExitUsage   = 1
	mountExitFailure = 32
)

// failure is an error with the exit code it ends the program with. Its text is
// one line that names the mend.
type failure struct {
	code int
	err  error
}

func (f *failure) Error() string { return f.err.Error() }

func (f *failure) Unwrap() error { return f.err }

func fail(format string, args ...any) error {
	return &failure{exitFailure, fmt.Errorf(format, args...)}
}

func usageError(command, format string, args ...any) error {
	return &failure{exitUsage, fmt.Errorf("%s (see `rgwfs help %s`)", fmt.Sprintf(format, args...), command)}
}

// exitCode returns the code that err ends the program with.
func exitCode(err error) int {
	var f *failure
	switch {
	case err == nil:
		return 0
	case errors.As(err, &f):
		return f.code
	default:
		return exitFailure
	}
}

// invocation is what one run of the program was given; tests make their own.
type invocation struct {
	argv0  string // as it was called
	name   string // base name of argv0
	args   []string
	stdout io.Writer
	stderr io.Writer
	env    []string // as os.Environ
}

// getenv returns the last value of a variable, "" if there is none.
func (inv *invocation) getenv(name string) string {
	for i := len(inv.env) - 1; i >= 0; i-- {
		if value, ok := strings.CutPrefix(inv.env[i], name+"="); ok {
			return value
		}
	}
	return ""
}

func main() {
	inv := &invocation{
		argv0:  os.Args[0],
		name:   filepath.Base(os.Args[0]),
		args:   os.Args[1:],
		stdout: os.Stdout,
		stderr: os.Stderr,
		env:    os.Environ(),
	}
	os.Exit(report(inv, run(context.Background(), inv)))
}

// report prints err as one line and returns the exit code.
func report(inv *invocation, err error) int {
	if err == nil {
		return 0
	}
	if !errors.Is(err, errTold) {
		fmt.Fprintf(inv.stderr, "%s: %s\n", inv.name, oneLine(err.Error()))
	}
	code := exitCode(err)
	if isMountHelper(inv) {
		switch code {
		case exitUsage:
			return mountExitUsage
		case exitFailure:
			return mountExitFailure
		}
	}
	return code
}

// oneLine keeps a message of a server or a library from breaking out of its
// line, which scripts and logs rely on.
func oneLine(text string) string {
	return strings.Join(strings.Fields(strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, text)), " ")
}
