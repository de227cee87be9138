package cache

import (
	"strings"
	"unicode/utf8"

	"rgwfs/s3backend"
)

// maxName is the longest name of a directory entry in bytes (NAME_MAX).
const maxName = 255

// splitKey returns the directory that holds key, and key's name in it:
// "a/b" and "a/b/" are both "b" in "a/".
func splitKey(key string) (dir, name string) {
	key = strings.TrimSuffix(key, "/")
	i := strings.LastIndexByte(key, '/') + 1
	return key[:i], key[i:]
}

// canBeName reports whether a key's segment can be the name of a directory
// entry. Keys with other segments are legal on RGW and stay there untouched,
// but no path leads to them. A slash is in none of them unless a server lists
// what is behind a delimiter.
func canBeName(name string) bool {
	return name != "" && name != "." && name != ".." && len(name) <= maxName && !strings.Contains(name, "/")
}

// checkName says why no file dir+name can exist: a name or path that is too
// long has a kind of its own, as POSIX asks; other names that no key can have
// just don't exist.
func checkName(dir, name string) error {
	key := dir + name
	switch {
	case len(name) > maxName, len(key) > s3backend.MaxKeyLength:
		return nameError(s3backend.KindNameTooLong, key)
	case !canBeName(name), !utf8.ValidString(name), strings.ContainsRune(name, 0):
		return nameError(s3backend.KindNotExist, key)
	}
	return nil
}

// nameError is an answer that this package gives without, or beyond, the
// server's.
func nameError(kind s3backend.Kind, key string) error {
	return &s3backend.Error{Kind: kind, Op: "Lookup", Key: key}
}

func lookupCancelled(key string, cause error) error {
	return &s3backend.Error{Kind: s3backend.KindCancelled, Op: "Lookup", Key: key, Err: cause}
}
