package fs

import (
	"fmt"
	"strings"
	"syscall"
	"unicode/utf8"

	"rgwfs/s3backend"
)

// maxNameLength is the longest file name in bytes, the NAME_MAX of Linux.
const maxNameLength = 255

// Key names a file or a directory of one bucket. It can only be made from
// names that a path of Linux and a key of RGW both can hold, so a Key never
// has an empty segment, a segment "." or "..", a NUL, or invalid UTF-8. The
// zero Key is the bucket's top directory. A directory's ends in "/".
type Key struct{ s string }

// ParsePrefix returns the Key of the directory that prefix names, with or
// without a slash at its end; "" is the bucket's top. It fails on a prefix
// that can't be a path.
func ParsePrefix(prefix string) (Key, error) {
	trimmed := strings.TrimSuffix(prefix, "/")
	if trimmed == "" && prefix == "" {
		return Key{}, nil
	}
	k := Key{}
	for name := range strings.SplitSeq(trimmed, "/") {
		child, errno := k.child(name, true)
		if errno != 0 {
			return Key{}, fmt.Errorf("prefix %q: %q can't be a directory: %w", prefix, name, errno)
		}
		k = child
	}
	return k, nil
}

// String returns the key as RGW has it.
func (k Key) String() string { return k.s }

// child returns the key of name in the directory k. It fails with
// ENAMETOOLONG, or EILSEQ for what RGW can't hold, or EINVAL for what is no
// file name.
func (k Key) child(name string, dir bool) (Key, syscall.Errno) {
	if errno := checkName(name); errno != 0 {
		return Key{}, errno
	}
	s := k.s + name
	if dir {
		s += "/"
	}
	if len(s) > s3backend.MaxKeyLength {
		return Key{}, syscall.ENAMETOOLONG
	}
	return Key{s}, 0
}

// checkName returns 0 for a name that a directory entry can have.
func checkName(name string) syscall.Errno {
	switch {
	case len(name) > maxNameLength:
		return syscall.ENAMETOOLONG
	case name == "", name == ".", name == "..", strings.ContainsAny(name, "/\x00"):
		return syscall.EINVAL
	case !utf8.ValidString(name):
		return syscall.EILSEQ
	}
	return 0
}

// split returns the key of the directory that k is in, and k's name there. k
// is not the bucket's top.
func (k Key) split() (dir, name string) {
	s := strings.TrimSuffix(k.s, "/")
	i := strings.LastIndexByte(s, '/') + 1
	return s[:i], s[i:]
}
