package fs

import (
	"math"
	"strconv"
	"strings"
	"syscall"
	"time"

	"rgwfs/cache"
)

// The metadata that holds POSIX attributes, as s3fs writes it: mode is the
// decimal st_mode with its type bits, uid and gid are decimal, times are
// seconds with an optional fraction.
const (
	metaMode  = "mode"
	metaUID   = "uid"
	metaGID   = "gid"
	metaMtime = "mtime"
	metaCtime = "ctime"
	metaAtime = "atime"
)

// permMask are the permission bits that rgwfs shows and stores. Set-user-id
// and set-group-id are not among them: whoever can write to a bucket could
// make a set-uid program otherwise. POSIX lets chmod ignore these two bits.
const permMask = 0o1777

// posix is what metadata says of an object. A field that it does not say, or
// that can't be understood, is unset.
type posix struct {
	mode           uint32 // type (0 if not said) and permissions
	uid, gid       uint32
	hasMode        bool
	hasUID, hasGID bool
	mtime, atime   time.Time // zero = unset
}

// parsePosix reads the metadata of s3fs, and where that is absent the keys of
// other writers: s3sync (permissions, owner, group), AWS FSx and DataSync
// (file-*), Google's tools (goog-reserved-*). rclone uses s3fs's names with
// values of its own. dir says that the key ends in "/".
func parsePosix(md map[string]string, dir bool) posix {
	var p posix
	if s, ok := first(md, metaMode, "permissions"); ok {
		p.mode, p.hasMode = parseMode(s, dir)
	}
	if s, ok := first(md, "file-permissions", "goog-reserved-posix-mode"); ok && !p.hasMode {
		v, err := strconv.ParseUint(s, 8, 32)
		p.mode, p.hasMode = uint32(v), err == nil && v <= math.MaxUint16
	}
	p.mode &= syscall.S_IFMT | permMask
	if s, ok := first(md, metaUID, "owner", "file-owner", "goog-reserved-posix-uid"); ok {
		p.uid, p.hasUID = parseID(s)
	}
	if s, ok := first(md, metaGID, "group", "file-group", "goog-reserved-posix-gid"); ok {
		p.gid, p.hasGID = parseID(s)
	}
	p.mtime = parseTimes(md, metaMtime, "file-mtime", "goog-reserved-file-mtime")
	p.atime = parseTimes(md, metaAtime, "file-atime", "goog-reserved-file-atime")
	return p
}

func first(md map[string]string, names ...string) (string, bool) {
	for _, name := range names {
		if s, ok := md[name]; ok && s != "" {
			return s, true
		}
	}
	return "", false
}

// s3fsSymlink is the mode of every symlink that s3fs writes.
const s3fsSymlink = syscall.S_IFLNK | 0o777

// parseMode understands the mode in decimal, as s3fs and geesefs write it, and
// in octal, as rclone does. Which one it is shows in the number:
//
//   - a leading 0 is octal;
//   - more than 16 bits as decimal is octal (rclone's 100664);
//   - a decimal number with the type bits of a file, a directory or the like
//     is decimal (33188); but in the range of symlinks only s3fs's 41471 is,
//     because octal directories (42755) fall into it;
//   - at most 4095 is decimal permissions without a type (s3fs's mkdir: 493);
//   - all others are octal.
func parseMode(s string, dir bool) (mode uint32, ok bool) {
	octal := func() (uint32, bool) {
		v, err := strconv.ParseUint(s, 8, 32)
		return uint32(v), err == nil && v <= math.MaxUint16
	}
	v, err := strconv.ParseUint(s, 10, 32)
	if err != nil {
		return 0, false
	}
	if strings.HasPrefix(s, "0") && s != "0" || v > math.MaxUint16 {
		return octal()
	}
	decimal := uint32(v)
	switch decimal & syscall.S_IFMT {
	case syscall.S_IFLNK:
		if decimal == s3fsSymlink && !dir {
			return decimal, true
		}
	case syscall.S_IFREG, syscall.S_IFDIR, syscall.S_IFIFO, syscall.S_IFSOCK, syscall.S_IFCHR, syscall.S_IFBLK:
		return decimal, true
	case 0:
		return decimal, true
	}
	return octal()
}

// parseID refuses 2^32-1, which chown(2) takes for "leave it".
func parseID(s string) (uint32, bool) {
	v, err := strconv.ParseUint(s, 10, 32)
	if err != nil || v == math.MaxUint32 {
		return 0, false
	}
	return uint32(v), true
}

// parseTimes reads a time from the first of three keys that is there and can
// be understood: s3fs's or rclone's, AWS's, Google's.
func parseTimes(md map[string]string, posix, aws, google string) time.Time {
	if t, ok := parseTime(md[posix]); ok {
		return t
	}
	if s := md[aws]; s != "" {
		ns, hasUnit := strings.CutSuffix(s, "ns")
		if v, err := strconv.ParseInt(ns, 10, 64); err == nil {
			if hasUnit {
				return time.Unix(0, v)
			}
			return time.UnixMilli(v)
		}
	}
	if t, ok := parseTime(md[google]); ok {
		return t
	}
	return time.Time{}
}

// parseTime reads seconds with an optional decimal fraction, which s3fs pads
// to nine digits and rclone does not, or RFC 3339, as rclone writes atime.
func parseTime(s string) (time.Time, bool) {
	if s == "" {
		return time.Time{}, false
	}
	whole, fraction, _ := strings.Cut(s, ".")
	sec, err := strconv.ParseInt(whole, 10, 64)
	if err != nil {
		t, err := time.Parse(time.RFC3339Nano, s)
		return t, err == nil
	}
	// Fraction digits are read as padded on the right: .5 is half a second.
	digits := (fraction + "000000000")[:9]
	nsec, err := strconv.ParseUint(digits, 10, 32)
	if err != nil {
		return time.Time{}, false
	}
	if strings.HasPrefix(whole, "-") {
		return time.Unix(sec, -int64(nsec)), true
	}
	return time.Unix(sec, int64(nsec)), true
}

// newMetadata is what a new file, directory or symlink is created with. mode
// has type bits.
func newMetadata(mode, uid, gid uint32, now time.Time) map[string]string {
	md := map[string]string{
		metaMtime: cache.FormatTime(now),
		metaCtime: cache.FormatTime(now),
	}
	setMode(md, mode)
	setID(md, metaUID, uid)
	setID(md, metaGID, gid)
	return md
}

func setMode(md map[string]string, mode uint32) {
	md[metaMode] = strconv.FormatUint(uint64(mode&(syscall.S_IFMT|permMask)), 10)
}

func setID(md map[string]string, name string, id uint32) {
	md[name] = strconv.FormatUint(uint64(id), 10)
}
