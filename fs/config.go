package fs

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strings"
	"time"
)

// Config is how a mount looks to its users.
type Config struct {
	// UID and GID own what has no owner in its metadata. With ForceUID
	// (ForceGID) they own everything, whatever is stored, and chown to
	// another owner fails with EPERM.
	UID, GID           uint32
	ForceUID, ForceGID bool
	// FileMode and DirMode are the permissions of what has none in its
	// metadata, less Umask. With ForceFileMode (ForceDirMode) everything has
	// them, and chmod to another mode fails with EPERM.
	FileMode, DirMode           uint32
	ForceFileMode, ForceDirMode bool
	Umask                       uint32

	ReadOnly   bool // every change fails with EROFS
	AllowOther bool // other users may use the mount; not root: needs user_allow_other in fuse.conf
	AllowRoot  bool // root may use it, beside its owner
	// Options are further -o options for the kernel or fusermount3, such as
	// "noexec" or "noatime".
	Options []string
	FsName  string // the source that mount(8) and df(1) show
	// Endpoint is the server's URL, for who asks by an extended attribute of
	// the root of all buckets; "" = not told.
	Endpoint string
	// BucketPrefix is what the names of buckets made here must begin with, and
	// Placement where they are put: see s3backend.NewBucket.
	BucketPrefix string
	Placement    string
	// NegativeTTL is how long the kernel may believe that a name is absent.
	NegativeTTL time.Duration
	// ReadAhead is the kernel's readahead window in KiB. Only root can raise
	// it over the kernel's 128.
	ReadAhead int
	Debug     bool // log every FUSE request
	Logger    *slog.Logger
}

// DefaultConfig returns a Config whose files belong to the user of this
// process.
func DefaultConfig() Config {
	return Config{
		UID: uint32(os.Geteuid()), GID: uint32(os.Getegid()),
		// What cp and mkdir make under the usual umask; a bucket's contents
		// are as private as its credentials, and these are the mounter's.
		FileMode: 0o644, DirMode: 0o755,
		FsName: "rgwfs",
		// As the metadata cache does by default: long enough for a program's
		// search path, short enough to wait for.
		NegativeTTL: 5 * time.Second,
		// 128 to 1024 KiB makes buffered reading four times faster when a
		// READ takes 1 ms; more gains nothing and costs memory per open file.
		ReadAhead: 1024,
		Logger:    slog.Default(),
	}
}

// Validate reports what can't be meant.
func (c Config) Validate() error {
	for name, mode := range map[string]uint32{"file mode": c.FileMode, "directory mode": c.DirMode, "umask": c.Umask} {
		if mode&^0o7777 != 0 {
			return fmt.Errorf("%s %o is more than permission bits", name, mode)
		}
	}
	switch {
	case c.AllowOther && c.AllowRoot:
		return errors.New("allow_other includes root: give only one of allow_other and allow_root")
	case c.NegativeTTL < 0:
		return fmt.Errorf("negative TTL %v is below 0", c.NegativeTTL)
	case c.ReadAhead < 0:
		return fmt.Errorf("readahead %d KiB is below 0", c.ReadAhead)
	case c.Logger == nil:
		return errors.New("no logger")
	case strings.ContainsAny(c.FsName, "\n\x00"):
		return fmt.Errorf("file system name %q can't be shown in /proc/mounts", c.FsName)
	}
	if i := slices.IndexFunc(c.Options, func(o string) bool { return o == "" || strings.ContainsAny(o, ",\n\x00") }); i >= 0 {
		return fmt.Errorf("mount option %q is not one option", c.Options[i])
	}
	return nil
}
