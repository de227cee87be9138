package main

import (
	"errors"
	"fmt"
	"io"
	iofs "io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// host is what a mount needs of the machine; tests put other paths in.
type host struct {
	euid      int
	fuse      string // the FUSE device
	fuseConf  string // fusermount3's configuration
	mountinfo string
	lookPath  func(string) (string, error)
}

func thisHost() host {
	return host{
		euid:      os.Geteuid(),
		fuse:      "/dev/fuse",
		fuseConf:  "/etc/fuse.conf",
		mountinfo: "/proc/self/mountinfo",
		lookPath:  exec.LookPath,
	}
}

// checkMountpoint finds out whether s.mountpoint can be mounted on, and
// replaces it by the path without symbolic links that the kernel will know it
// by.
func (h host) checkMountpoint(s *settings) error {
	path := s.mountpoint
	entries, err := h.mounts()
	if err != nil {
		return fail("the mount table can't be read: %v", err)
	}
	if entry, ok := mountedAt(entries, path); ok && isOurs(entry) {
		return checkOurMount(path, entry)
	}
	info, err := os.Stat(path)
	if err == nil && touch(path) == unix.ENOTCONN {
		err = unix.ENOTCONN
	}
	switch {
	case errors.Is(err, iofs.ErrNotExist):
		return fail("mountpoint %s does not exist: make it by `mkdir -p %s`", path, quote(path))
	case errors.Is(err, unix.ENOTCONN):
		return staleError(path)
	case errors.Is(err, iofs.ErrPermission):
		return fail("mountpoint %s can't be reached by user %d: permission denied; give x on the directories above it, or choose another", path, h.euid)
	case err != nil:
		return fail("mountpoint %s: %v", path, errors.Unwrap(err))
	case !info.IsDir():
		return fail("mountpoint %s is not a directory: give a directory", path)
	}
	if path, err = filepath.EvalSymlinks(path); err != nil {
		return fail("mountpoint %s: %v", s.mountpoint, err)
	}
	s.mountpoint = path
	if entry, ok := mountedAt(entries, path); ok {
		if isOurs(entry) {
			return checkOurMount(path, entry)
		}
		if !s.nonempty {
			return fail("mountpoint %s: %s (type %s) is already mounted there: choose another directory, or mount over it by -o nonempty", path, entry.source, entry.fsType)
		}
	}
	if !s.nonempty {
		if err := checkEmpty(path); err != nil {
			return err
		}
	}
	// fusermount3 asks for the same, but says less. (util/fusermount.c,
	// check_perm)
	if h.euid != 0 {
		if err := unix.Access(path, unix.W_OK); err != nil {
			return fail("mountpoint %s is not writable by user %d: only root may mount on it; choose a directory of your own", path, h.euid)
		}
	}
	return nil
}

func (h host) mounts() ([]mountEntry, error) {
	f, err := os.Open(h.mountinfo)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return readMountinfo(f)
}

// mountedAt returns what is mounted on exactly this path: the last, if several
// lie on one another.
func mountedAt(entries []mountEntry, path string) (mountEntry, bool) {
	var found mountEntry
	ok := false
	for _, entry := range entries {
		if entry.point == path {
			found, ok = entry, true
		}
	}
	return found, ok
}

func isOurs(entry mountEntry) bool { return entry.fsType == "fuse.rgwfs" }

// checkOurMount says what is wrong with mounting where an rgwfs is mounted.
func checkOurMount(path string, entry mountEntry) error {
	if errors.Is(touch(path), unix.ENOTCONN) {
		return staleError(path)
	}
	return fail("mountpoint %s: rgwfs has %s mounted there already: use it, or unmount it by `fusermount3 -u %s`", path, entry.source, quote(path))
}

// touch asks the filesystem itself for the attributes of path: for a while
// after the process of a FUSE mount has died, stat(2) is still answered from
// the kernel's memory.
func touch(path string) error {
	var buf unix.Statx_t
	return unix.Statx(unix.AT_FDCWD, path, unix.AT_STATX_FORCE_SYNC, unix.STATX_TYPE, &buf)
}

func staleError(path string) error {
	return fail("mountpoint %s is stale (Transport endpoint is not connected): an rgwfs or other FUSE program that served it has died; clean up by `fusermount3 -u %s`", path, quote(path))
}

func checkEmpty(path string) error {
	dir, err := os.Open(path)
	if err != nil {
		if errors.Is(err, iofs.ErrPermission) {
			return fail("mountpoint %s can't be read by user %d: choose a directory of your own", path, os.Geteuid())
		}
		return fail("mountpoint %s: %v", path, err)
	}
	defer dir.Close()
	names, err := dir.Readdirnames(1)
	switch {
	case errors.Is(err, io.EOF):
		return nil
	case err != nil:
		return fail("mountpoint %s: %v", path, err)
	}
	return fail("mountpoint %s is not empty (it has %q): choose an empty directory, or hide what it has by -o nonempty", path, names[0])
}

// checkFuse finds out whether this machine and user can mount at all.
func (h host) checkFuse(s *settings) error {
	if _, err := os.Stat(h.fuse); err != nil {
		if errors.Is(err, iofs.ErrNotExist) {
			return fail("%s is missing: load the module by `modprobe fuse`; in a container, start it with --device /dev/fuse --cap-add SYS_ADMIN", h.fuse)
		}
		return fail("%s: %v", h.fuse, errors.Unwrap(err))
	}
	if h.euid != 0 {
		// fusermount3 opens it with the user's rights.
		if err := unix.Access(h.fuse, unix.R_OK|unix.W_OK); err != nil {
			return fail("%s may not be used by user %d: have root allow it by `chmod 666 %s`, or add you to its group", h.fuse, h.euid, h.fuse)
		}
		if _, err := h.lookPath("fusermount3"); err != nil {
			return fail("fusermount3 is missing, which mounts for users other than root: install it by `apt install fuse3` (or `dnf install fuse3`)")
		}
		if s.fs.AllowOther || s.fs.AllowRoot {
			return h.checkUserAllowOther(s)
		}
		return nil
	}
	device, err := os.OpenFile(h.fuse, os.O_RDWR, 0)
	if err != nil {
		return fail("%s can't be opened (%v): in a container, start it with --device /dev/fuse --cap-add SYS_ADMIN", h.fuse, errors.Unwrap(err))
	}
	return device.Close()
}

// checkUserAllowOther looks for user_allow_other, without which fusermount3
// lets nobody but root use allow_other and allow_root. (mount.fuse3(8))
func (h host) checkUserAllowOther(s *settings) error {
	name := "allow-other"
	if s.fs.AllowRoot {
		name = "allow-root"
	}
	data, err := os.ReadFile(h.fuseConf)
	if err != nil && !errors.Is(err, iofs.ErrNotExist) {
		return fail("%s: %v", h.fuseConf, errors.Unwrap(err))
	}
	for line := range strings.Lines(string(data)) {
		setting, _, _ := strings.Cut(line, "#")
		if strings.TrimSpace(setting) == "user_allow_other" {
			return nil
		}
	}
	return fail("--%s is not allowed to users here: have root put the line user_allow_other into %s, or drop the flag", name, h.fuseConf)
}

// quote makes a path fit for pasting into a shell.
func quote(path string) string {
	plain := func(r rune) bool {
		return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("/._-+,:@%=", r)
	}
	if path != "" && strings.IndexFunc(path, func(r rune) bool { return !plain(r) }) < 0 {
		return path
	}
	if strings.ContainsFunc(path, func(r rune) bool { return r < ' ' || r == 0x7f }) {
		return "$" + fmt.Sprintf("'%s'", strings.ReplaceAll(strings.Trim(strconv.Quote(path), `"`), "'", `\'`))
	}
	return "'" + strings.ReplaceAll(path, "'", `'\''`) + "'"
}
