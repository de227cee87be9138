package main

import (
	"errors"
	"slices"
	"strings"

	"github.com/spf13/pflag"
)

// Options that mount(8), mount.fuse(8), systemd or fstab(5) pass on and that
// mean nothing to us:
//   - when and by whom to mount: mount(8)'s and systemd's business;
//   - times: RGW keeps no access times, whatever is asked;
//   - sync and async: close and fsync commit, whatever is asked;
//   - dev and suid: mount.fuse(8) always adds them; nothing from a bucket is
//     ever honoured as a device or as setuid, whatever is asked;
//   - default_permissions: always on;
//   - use_path_request_style: s3fs's name for our default.
var ignoredOptions = []string{
	"defaults", "auto", "noauto", "user", "nouser", "users", "owner", "group", "nofail", "_netdev", "comment",
	"atime", "noatime", "diratime", "nodiratime", "relatime", "norelatime", "strictatime", "nostrictatime", "lazytime", "nolazytime",
	"sync", "async", "dirsync", "mand", "nomand", "exec", "silent", "loud",
	"dev", "nodev", "suid", "nosuid",
	"default_permissions", "use_path_request_style",
}

// optionFlags maps options that have another name than our flag.
var optionFlags = map[string]string{
	"url": "endpoint", // s3fs
}

// applyOptions applies -o lists. Flags named in given were given as flags and
// stay; what is set here is added to it.
func (s *settings) applyOptions(flags *pflag.FlagSet, lists []string, given map[string]bool) error {
	set := map[string]bool{}
	for _, list := range lists {
		for _, option := range splitOptions(list) {
			name, value, hasValue := strings.Cut(option, "=")
			switch {
			case option == "", strings.HasPrefix(name, "x-"), slices.Contains(ignoredOptions, name):
				continue
			case name == "ro" || name == "rw":
				name, value, hasValue = "read-only", map[string]string{"ro": "true", "rw": "false"}[name], true
			case name == "nonempty":
				s.nonempty = true
				continue
			case name == "noexec":
				s.fs.Options = append(s.fs.Options, name)
				continue
			}
			if other, ok := optionFlags[name]; ok {
				name = other
			}
			flag := flags.Lookup(strings.ReplaceAll(strings.TrimLeft(name, "-"), "_", "-"))
			if flag == nil || flag.Name == "options" {
				return unknownOption(flags, name)
			}
			if !hasValue {
				if flag.NoOptDefVal == "" {
					return usageError("mount", "-o %s needs a value: -o %s=%s", name, name, flag.Value.Type())
				}
				value = flag.NoOptDefVal
			}
			if given[flag.Name] {
				continue
			}
			if err := flags.Set(flag.Name, value); err != nil {
				return usageError("mount", "-o %s: %v", name, errors.Unwrap(err))
			}
			set[flag.Name] = true
		}
	}
	for name := range set {
		given[name] = true
	}
	return nil
}

func unknownOption(flags *pflag.FlagSet, name string) error {
	known := append([]string{"ro", "rw", "nonempty", "noexec"}, ignoredOptions...)
	for _, flag := range longNames(flags) {
		if flag != "options" {
			known = append(known, strings.ReplaceAll(flag, "-", "_"))
		}
	}
	if suggestion := nearest(name, known); suggestion != "" {
		return usageError("mount", "no option -o %s; did you mean -o %s?", name, suggestion)
	}
	return usageError("mount", "no option -o %s", name)
}

// splitOptions splits at commas; `\,` is a comma in a value, as in libfuse.
func splitOptions(list string) []string {
	var options []string
	var current strings.Builder
	for i := 0; i < len(list); i++ {
		switch {
		case list[i] == '\\' && i+1 < len(list) && (list[i+1] == ',' || list[i+1] == '\\'):
			i++
			current.WriteByte(list[i])
		case list[i] == ',':
			options = append(options, current.String())
			current.Reset()
		default:
			current.WriteByte(list[i])
		}
	}
	return append(options, current.String())
}
