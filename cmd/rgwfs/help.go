package main

import (
	"fmt"
	"io"
	"strings"
)

const mountSynopsis = "rgwfs mount [flags] SOURCE MOUNTPOINT"

// helpCommand explains rgwfs, or one command.
func helpCommand(inv *invocation, args []string) error {
	if len(args) > 1 {
		return &failure{exitUsage, fmt.Errorf("help takes one command, not %q", args)}
	}
	if len(args) == 0 {
		return overview(inv.stdout)
	}
	for _, c := range commands() {
		if c.name != args[0] {
			continue
		}
		if c.name == "mount" {
			return mountHelp(inv.stdout)
		}
		if spec, ok := toolNamed(c.name); ok {
			return spec.help(inv.stdout)
		}
		_, err := fmt.Fprintf(inv.stdout, "%s: %s\n\nusage: %s\n", c.name, c.summary, c.synopsis)
		return err
	}
	suggestion := nearest(args[0], commandNames())
	if suggestion == "" {
		return &failure{exitUsage, fmt.Errorf("no command %q: one of %s", args[0], strings.Join(commandNames(), ", "))}
	}
	return &failure{exitUsage, fmt.Errorf("no command %q; did you mean %q?", args[0], suggestion)}
}

func overview(w io.Writer) error {
	var b strings.Builder
	b.WriteString("rgwfs makes buckets of a Ceph RADOS Gateway into directories.\n\n")
	for _, c := range commands() {
		fmt.Fprintf(&b, "  rgwfs %-10s %s\n", c.name, c.summary)
	}
	b.WriteString(`
Mount a bucket, use it, unmount it:

  export AWS_ACCESS_KEY_ID=... AWS_SECRET_ACCESS_KEY=...    (or: aws configure)
  rgwfs mount --endpoint https://rgw.example.org my-bucket ~/bucket
  ls -l ~/bucket
  fusermount3 -u ~/bucket

` + "`rgwfs help mount` explains its flags, and so on for each command.\n")
	_, err := io.WriteString(w, b.String())
	return err
}

// helpWidth fits the usual terminal.
const helpWidth = 100

func mountHelp(w io.Writer) error {
	_, groups := newSettings()
	var b strings.Builder
	fmt.Fprintf(&b, "usage: %s\n\nSOURCE is %s.\nReturns 0 once MOUNTPOINT serves, and runs on in the background.\n", mountSynopsis, sourceForms)
	for _, group := range groups {
		fmt.Fprintf(&b, "\n%s:\n%s", group.title, group.FlagUsagesWrapped(helpWidth))
	}
	fmt.Fprintf(&b, `
Each flag is also an environment variable (--metadata-ttl: %s) and an option
(-o metadata_ttl=30s). A flag goes before -o, that before the environment. Sizes are bytes or have
K, M, G, T (powers of 1024); times have ms, s, m, h.

Credentials come from --credentials-file, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY,
~/.aws/credentials and the other sources of the AWS SDK, never from flags, which others can see. An
LDAP or opaque token is an access key with an empty secret.

In /etc/fstab:  BUCKET  /mnt/b  fuse.rgwfs  _netdev,nofail,endpoint=https://rgw.example.org  0 0

SIGTERM and SIGINT commit what is unsaved, then unmount; a second one does not wait.
Exit codes: %d it failed, %d wrong usage, %d it ended but something written could not be saved.
`, variable("metadata-ttl"), exitFailure, exitUsage, exitUnsaved)
	_, err := io.WriteString(w, b.String())
	return err
}
