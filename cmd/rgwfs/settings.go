package main

import (
	"errors"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"rgwfs/cache"
	"rgwfs/fs"
	"rgwfs/s3backend"
)

// settings is what one mount was asked for, before it is checked against the
// world.
type settings struct {
	source     source
	mountpoint string // absolute

	foreground     bool
	nonempty       bool // -o nonempty: mount over what is there
	unmountTimeout time.Duration
	logLevel       string
	logFormat      string
	logFile        string

	asOf    time.Time // zero = now
	backend s3backend.Config
	cache   cache.Config
	fs      fs.Config
}

// flagGroup is a part of the help text.
type flagGroup struct {
	title string
	*pflag.FlagSet
}

// defaultUnmountTimeout leaves time to commit what streamed in last, and ends
// before systemd's default TimeoutStopSec (90 s) kills what it waits for.
const defaultUnmountTimeout = 75 * time.Second

// newSettings returns the defaults, and the flags that change them.
func newSettings() (*settings, []flagGroup) {
	s := &settings{
		unmountTimeout: defaultUnmountTimeout,
		logLevel:       "info",
		logFormat:      "text",
		backend:        s3backend.DefaultConfig(),
		cache:          cache.DefaultConfig(),
		fs:             fs.DefaultConfig(),
	}
	group := func(title string, add func(*pflag.FlagSet)) flagGroup {
		set := pflag.NewFlagSet(title, pflag.ContinueOnError)
		set.SortFlags = false
		add(set)
		return flagGroup{title, set}
	}
	return s, []flagGroup{
		group("Server", func(f *pflag.FlagSet) { serverFlags(f, &s.backend) }),
		group("Mount", func(f *pflag.FlagSet) {
			f.BoolVarP(&s.foreground, "foreground", "f", s.foreground, "stay in the foreground and log to stderr; READY is told to systemd (Type=notify)")
			f.BoolVar(&s.fs.ReadOnly, "read-only", s.fs.ReadOnly, "refuse everything that writes; -o ro is the same")
			f.BoolVar(&s.fs.AllowOther, "allow-other", s.fs.AllowOther, "let all users in, as the modes say; without root, /etc/fuse.conf must have user_allow_other")
			f.BoolVar(&s.fs.AllowRoot, "allow-root", s.fs.AllowRoot, "let root in beside you; the same condition")
			f.Var((*ownerValue)(&s.fs.UID), "uid", "numeric owner of everything, whatever the bucket says; without: you own what has no owner of its own")
			f.Var((*ownerValue)(&s.fs.GID), "gid", "numeric group of everything, in the same way")
			f.Var((*modeValue)(&s.fs.FileMode), "file-mode", "permissions of files that have none of their own in the bucket")
			f.Var((*modeValue)(&s.fs.DirMode), "dir-mode", "permissions of directories that have none of their own")
			f.Var((*modeValue)(&s.fs.Umask), "umask", "bits to take from these two, which are 0666 and 0777 then unless given")
			f.Var((*timeValue)(&s.asOf), "as-of", "mount versioned buckets as they were then, read-only, such as 2026-11-01T00:00Z")
			f.StringVar(&s.backend.ACL, "acl", s.backend.ACL, "canned `ACL` of what the mount stores; without: private, the server's default")
			f.StringVar(&s.fs.BucketPrefix, "bucket-prefix", s.fs.BucketPrefix, "`PREFIX` that the names of buckets made by mkdir on s3:// must have")
			f.StringVar(&s.fs.Placement, "placement", s.fs.Placement, "`NAME` of where these are put (location constraint), on RGW \"ZONEGROUP:TARGET\" or \":TARGET\"")
			f.DurationVar(&s.unmountTimeout, "unmount-timeout", s.unmountTimeout, "how long SIGTERM or the last unmount waits for unsaved data to reach the server; 0 waits for ever")
			f.StringArrayP("options", "o", nil, "mount options, comma-separated `OPT,...`: those of mount(8), and each long flag here as name=value")
		}),
		group("Cache", func(f *pflag.FlagSet) {
			f.DurationVar(&s.cache.MetadataTTL, "metadata-ttl", s.cache.MetadataTTL, "how long listings and attributes are believed")
			f.DurationVar(&s.cache.NegativeTTL, "negative-ttl", s.cache.NegativeTTL, "how long it is believed that a name is absent")
			f.Var((*sizeValue)(&s.cache.MemoryLimit), "memory-limit", "memory for data and metadata; the default is a quarter of the machine's or the cgroup's, from 64MiB to 1GiB")
			f.Var((*sizeValue)(&s.cache.PartSize), "part-size", "size of the first parts of an upload; later ones are larger, so that 10,000 are enough")
			f.StringVar(&s.cache.Dir, "cache-dir", s.cache.Dir, "`DIR` for data that does not fit into memory")
		}),
		group("Logging", func(f *pflag.FlagSet) {
			f.Var(choiceValue{&s.logLevel, logLevels}, "log-level", "least that is logged; debug shows keys, never credentials")
			f.Var(choiceValue{&s.logFormat, logFormats}, "log-format", "format of the log")
			f.StringVar(&s.logFile, "log-file", s.logFile, "append the log to `FILE`, opened again on SIGHUP; without: stderr in the foreground, else syslog where /dev/log exists, else nowhere")
			f.BoolVar(&s.fs.Debug, "debug-fuse", s.fs.Debug, "log every FUSE request, with names and the first bytes of data")
		}),
	}
}

// merged returns all groups' flags as one set.
func merged(groups []flagGroup) *pflag.FlagSet {
	all := pflag.NewFlagSet("mount", pflag.ContinueOnError)
	all.SortFlags = false
	all.Usage = func() {}
	for _, group := range groups {
		all.AddFlagSet(group.FlagSet)
	}
	return all
}

func longNames(flags *pflag.FlagSet) []string {
	var names []string
	flags.VisitAll(func(flag *pflag.Flag) { names = append(names, flag.Name) })
	return names
}

// parseMount reads the mount command's arguments and environment: a flag goes
// before -o, that before RGWFS_*, that before the default.
func parseMount(inv *invocation, args []string) (*settings, error) {
	s, groups := newSettings()
	flags := merged(groups)
	if err := flags.Parse(args); err != nil {
		return nil, flagError(flags, err)
	}
	given := map[string]bool{}
	flags.Visit(func(flag *pflag.Flag) { given[flag.Name] = true })

	lists, err := flags.GetStringArray("options")
	if err != nil {
		return nil, err
	}
	if text := inv.getenv(variable("options")); text != "" && !given["options"] {
		lists = []string{text}
	}
	if err := s.applyOptions(flags, lists, given); err != nil {
		return nil, err
	}
	if err := applyEnvironment(inv, flags, given); err != nil {
		return nil, err
	}
	if err := s.applyOperands(flags.Args()); err != nil {
		return nil, err
	}
	s.derive(given)
	return s, s.validate()
}

// derive sets what follows from other settings.
func (s *settings) derive(given map[string]bool) {
	if given["umask"] {
		if !given["file-mode"] {
			s.fs.FileMode = 0o666
		}
		if !given["dir-mode"] {
			s.fs.DirMode = 0o777
		}
	}
	s.fs.ForceUID, s.fs.ForceGID = given["uid"], given["gid"]
	s.fs.FsName = s.source.String()
	if !s.asOf.IsZero() {
		s.fs.ReadOnly = true
		s.fs.FsName += pastMark + s.asOf.UTC().Format(time.RFC3339)
		// What is asked for once is so for ever.
		if !given["metadata-ttl"] {
			s.cache.MetadataTTL = time.Hour
		}
	}
	s.fs.NegativeTTL = s.cache.NegativeTTL
	s.cache.ReadOnly = s.fs.ReadOnly
	s.cache.EncryptStaging = len(s.backend.SSEKeys) > 0
	s.backend.Version = version
	s.backend.CredentialsBucket = s.source.bucket
}

func flagError(flags *pflag.FlagSet, err error) error {
	if errors.Is(err, pflag.ErrHelp) {
		return err
	}
	var unknown *pflag.NotExistError
	if errors.As(err, &unknown) {
		name := unknown.GetSpecifiedName()
		if len(name) > 1 {
			if suggestion := nearest(name, longNames(flags)); suggestion != "" {
				return usageError(flags.Name(), "no flag --%s; did you mean --%s?", name, suggestion)
			}
			return usageError(flags.Name(), "no flag --%s", name)
		}
		return usageError(flags.Name(), "no flag -%s", name)
	}
	return usageError(flags.Name(), "%v", err)
}

// variable returns the environment variable of a flag.
func variable(flag string) string {
	return "RGWFS_" + strings.ToUpper(strings.ReplaceAll(flag, "-", "_"))
}

// applyEnvironment sets what no flag and no -o option has set. An empty
// variable counts as unset, so that a script can switch one off.
func applyEnvironment(inv *invocation, flags *pflag.FlagSet, given map[string]bool) error {
	for _, name := range longNames(flags) {
		value := inv.getenv(variable(name))
		if value == "" || given[name] || name == "options" {
			continue
		}
		if err := flags.Set(name, value); err != nil {
			return usageError(flags.Name(), "%s in the environment: %v", variable(name), errors.Unwrap(err))
		}
		given[name] = true
	}
	return nil
}

func (s *settings) applyOperands(operands []string) error {
	switch len(operands) {
	case 0:
		return usageError("mount", "no SOURCE and no MOUNTPOINT: usage: %s", mountSynopsis)
	case 1:
		return usageError("mount", "no MOUNTPOINT after SOURCE %q: usage: %s", operands[0], mountSynopsis)
	case 2:
	default:
		return usageError("mount", "too much after MOUNTPOINT %q: %q", operands[1], operands[2:])
	}
	var err error
	if s.source, err = parseSource(operands[0]); err != nil {
		return usageError("mount", "%v", err)
	}
	if operands[1] == "" {
		return usageError("mount", "MOUNTPOINT is empty")
	}
	// A daemon works in "/": what was relative must not change its meaning.
	for _, path := range []*string{&operands[1], &s.cache.Dir, &s.logFile, &s.backend.CAFile, &s.backend.CredentialsFile} {
		if *path == "" {
			continue
		}
		if *path, err = filepath.Abs(*path); err != nil {
			return fail("%s: the working directory can't be read: %v", *path, err)
		}
	}
	s.mountpoint = operands[1]
	return nil
}

func (s *settings) validate() error {
	if s.unmountTimeout < 0 {
		return usageError("mount", "--unmount-timeout is %v: give 0 or more", s.unmountTimeout)
	}
	if err := s.cache.Validate(); err != nil {
		return usageError("mount", "%v", err)
	}
	if err := s.fs.Validate(); err != nil {
		return usageError("mount", "%v", err)
	}
	return nil
}
