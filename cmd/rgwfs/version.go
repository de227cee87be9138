package main

import (
	"fmt"
	"runtime"
	"runtime/debug"
)

// Set at link time: -ldflags "-X main.version=1.2.3 -X main.commit=abcdef0".
var (
	version = "devel"
	commit  = ""
)

const fuseModule = "github.com/hanwen/go-fuse/v2"

// versionCommand prints what a bug report needs.
func versionCommand(inv *invocation, args []string) error {
	if len(args) != 0 {
		return usageError("version", "takes no arguments, not %q", args[0])
	}
	fmt.Fprintf(inv.stdout, "rgwfs %s\ncommit %s\ngo %s %s/%s\ngo-fuse %s\n",
		version, buildCommit(), runtime.Version(), runtime.GOOS, runtime.GOARCH, moduleVersion(fuseModule))
	return nil
}

// buildCommit prefers what the Makefile gave; a plain `go build` in a git tree
// records it too.
func buildCommit() string {
	if commit != "" {
		return commit
	}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	revision, modified := "unknown", ""
	for _, setting := range info.Settings {
		switch setting.Key {
		case "vcs.revision":
			revision = setting.Value
		case "vcs.modified":
			if setting.Value == "true" {
				modified = " (modified)"
			}
		}
	}
	return revision + modified
}

func moduleVersion(path string) string {
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, module := range info.Deps {
			if module.Path == path {
				return module.Version
			}
		}
	}
	return "unknown"
}
