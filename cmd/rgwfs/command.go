package main

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
)

// command is one word after "rgwfs".
type command struct {
	name string
	synopsis,
	summary string
	run func(ctx context.Context, inv *invocation, args []string) error
}

// commands lists every command, in the order that help shows them.
func commands() []command {
	list := []command{
		{"mount", mountSynopsis, "mount a bucket, a prefix of one, or all your buckets", mountCommand},
		{"version", "rgwfs version", "print the version", func(_ context.Context, inv *invocation, args []string) error {
			return versionCommand(inv, args)
		}},
		{"help", "rgwfs help [COMMAND]", "explain rgwfs or a command", func(_ context.Context, inv *invocation, args []string) error {
			return helpCommand(inv, args)
		}},
	}
	for _, spec := range toolSpecs() {
		list = append(list, command{spec.name, spec.synopsis, spec.summary, spec.start})
	}
	list = append(list, command{"keygen", keygenSynopsis, "make a key for encryption by SSE-C", keygenCommand})
	return list
}

func commandNames() []string {
	var names []string
	for _, c := range commands() {
		names = append(names, c.name)
	}
	return names
}

// run does what the command line says.
func run(ctx context.Context, inv *invocation) error {
	if isMountHelper(inv) {
		args, err := helperArgs(inv.args)
		if err != nil {
			return err
		}
		return mountCommand(ctx, inv, args)
	}
	if len(inv.args) == 0 {
		return &failure{exitUsage, fmt.Errorf("no command: one of %s; `rgwfs help` tells more", strings.Join(commandNames(), ", "))}
	}
	word, rest := inv.args[0], inv.args[1:]
	switch word {
	case "-h", "--help":
		word = "help"
	case "-V", "--version":
		word = "version"
	}
	for _, c := range commands() {
		if c.name == word {
			return c.run(ctx, inv, rest)
		}
	}
	if isFuseHelperCall(inv.args) {
		return mountCommand(ctx, inv, inv.args)
	}
	if suggestion := nearest(word, commandNames()); suggestion != "" {
		return &failure{exitUsage, fmt.Errorf("no command %q; did you mean `rgwfs %s`?", word, suggestion)}
	}
	return &failure{exitUsage, fmt.Errorf("no command %q: one of %s; `rgwfs help` tells more", word, strings.Join(commandNames(), ", "))}
}

// isMountHelper reports whether mount(8) runs us for a filesystem of type
// rgwfs: it calls /sbin/mount.TYPE.
func isMountHelper(inv *invocation) bool { return inv.name == "mount.rgwfs" }

// isFuseHelperCall reports whether mount.fuse(8) runs us for a filesystem of
// type fuse.rgwfs: it calls `rgwfs SOURCE /MOUNTPOINT [-o OPT,...]`, without a
// command's name (util/mount.fuse.c in libfuse).
func isFuseHelperCall(args []string) bool {
	return len(args) >= 2 && !strings.HasPrefix(args[0], "-") && filepath.IsAbs(args[1]) &&
		(len(args) == 2 || args[2] == "-o")
}

// helperArgs turns the arguments of a mount helper, which mount(8) fixes as
// `SOURCE MOUNTPOINT [-sfnv] [-N NAMESPACE] [-o OPT,...] [-t TYPE]`, into those
// of the mount command.
func helperArgs(args []string) ([]string, error) {
	var out []string
	for i := 0; i < len(args); i++ {
		arg := args[i]
		switch {
		case arg == "-o" || arg == "-t" || arg == "-N":
			if i+1 == len(args) {
				return nil, usageError("mount", "%s needs a value", arg)
			}
			i++
			switch arg {
			case "-o":
				out = append(out, "-o", args[i])
			case "-N":
				return nil, usageError("mount", "-N: mounting in another namespace is not supported; run nsenter(1)")
			}
		case strings.HasPrefix(arg, "-") && strings.Trim(arg[1:], "sfnv") == "" && len(arg) > 1:
			// -s: be lenient with options; -f: fake, which mount(8) does
			// itself; -n: don't write /etc/mtab; -v: be verbose.
			if strings.Contains(arg, "f") {
				return nil, usageError("mount", "-f: a fake mount is not supported by the helper")
			}
		default:
			out = append(out, arg)
		}
	}
	return out, nil
}
