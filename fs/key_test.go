package fs

import (
	"strings"
	"syscall"
	"testing"
)

func TestKeyChild(t *testing.T) {
	long := strings.Repeat("n", 255)
	deep := Key{strings.Repeat("d/", 511)} // 1022 bytes
	for _, c := range []struct {
		dir   Key
		name  string
		isDir bool
		want  string
		errno syscall.Errno
	}{
		{Key{}, "a", false, "a", 0},
		{Key{}, "a", true, "a/", 0},
		{Key{"p/"}, "ä b+%2F\x01", false, "p/ä b+%2F\x01", 0},
		{Key{}, long, false, long, 0},
		{Key{}, long + "n", false, "", syscall.ENAMETOOLONG},
		{deep, "xy", false, deep.s + "xy", 0},
		{deep, "x", true, deep.s + "x/", 0},
		{deep, "xy", true, "", syscall.ENAMETOOLONG},
		{deep, "xyz", false, "", syscall.ENAMETOOLONG},
		{Key{}, "", false, "", syscall.EINVAL},
		{Key{}, ".", false, "", syscall.EINVAL},
		{Key{}, "..", false, "", syscall.EINVAL},
		{Key{}, "...", false, "...", 0},
		{Key{}, "a/b", false, "", syscall.EINVAL},
		{Key{}, "a\x00", false, "", syscall.EINVAL},
		{Key{}, "a\xff", false, "", syscall.EILSEQ},
	} {
		got, errno := c.dir.child(c.name, c.isDir)
		if got.String() != c.want || errno != c.errno {
			t.Errorf("%.20q.child(%.20q, %v) = %.20q, %v; want %.20q, %v",
				c.dir, c.name, c.isDir, got, errno, c.want, c.errno)
		}
	}
}

func TestParsePrefix(t *testing.T) {
	for in, want := range map[string]string{"": "", "a": "a/", "a/": "a/", "a/b c/": "a/b c/"} {
		if got, err := ParsePrefix(in); err != nil || got.String() != want {
			t.Errorf("ParsePrefix(%q) = %q, %v; want %q", in, got, err, want)
		}
	}
	for _, in := range []string{"/", "/a", "a//b", "a/../b", ".", "a//", "\xff", strings.Repeat("x", 256)} {
		if got, err := ParsePrefix(in); err == nil {
			t.Errorf("ParsePrefix(%q) = %q, want an error", in, got)
		}
	}
}
