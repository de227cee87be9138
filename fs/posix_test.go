package fs

import (
	"syscall"
	"testing"
	"time"
)

func TestParseMode(t *testing.T) {
	for _, c := range []struct {
		in   string
		dir  bool
		want uint32
		ok   bool
	}{
		{"33188", false, syscall.S_IFREG | 0o644, true}, // s3fs, geesefs
		{"16877", true, syscall.S_IFDIR | 0o755, true},  // s3fs
		{"41471", false, syscall.S_IFLNK | 0o777, true}, // s3fs symlink
		{"493", true, 0o755, true},                      // s3fs mkdir
		{"420", false, 0o644, true},                     // bare decimal
		{"0", false, 0, true},
		{"100664", false, syscall.S_IFREG | 0o664, true},  // rclone; s3fs shows 4470 here
		{"100755", false, syscall.S_IFREG | 0o755, true},  // DataSync
		{"40755", true, syscall.S_IFDIR | 0o755, true},    // rclone directory
		{"42755", true, syscall.S_IFDIR | 0o2755, true},   // octal, in the decimal range of symlinks
		{"0100664", false, syscall.S_IFREG | 0o664, true}, // leading 0
		{"0644", false, 0o644, true},
		{"120777", false, syscall.S_IFLNK | 0o777, true},
		{"", false, 0, false},
		{"rw-r--r--", false, 0, false},
		{"-1", false, 0, false},
		{"99999", false, 0, false}, // neither
		{"9999999999999", false, 0, false},
	} {
		got, ok := parseMode(c.in, c.dir)
		if ok != c.ok || ok && got != c.want {
			t.Errorf("parseMode(%q, %v) = %o, %v; want %o, %v", c.in, c.dir, got, ok, c.want, c.ok)
		}
	}
}

func TestParsePosixMasksSetID(t *testing.T) {
	for _, md := range []map[string]string{
		{"mode": "36333"},               // 0106755
		{"mode": "106755"},              // the same in octal
		{"file-permissions": "0106755"}, // FSx
	} {
		if p := parsePosix(md, false); !p.hasMode || p.mode != syscall.S_IFREG|0o755 {
			t.Errorf("%v: mode %o, %v; want 100755", md, p.mode, p.hasMode)
		}
	}
}

func TestParsePosixSources(t *testing.T) {
	for name, c := range map[string]struct {
		md   map[string]string
		want posix
	}{
		"s3fs": {
			map[string]string{"mode": "33206", "uid": "1000", "gid": "100", "mtime": "1700000000.000000005", "ctime": "1700000001", "atime": "5"},
			posix{mode: 0o100666, hasMode: true, uid: 1000, hasUID: true, gid: 100, hasGID: true,
				mtime: time.Unix(1700000000, 5), atime: time.Unix(5, 0)},
		},
		"rclone trims zeros": {
			map[string]string{"mtime": "1700000000.5", "atime": "2023-11-14T22:13:20.25Z"},
			posix{mtime: time.Unix(1700000000, 500000000), atime: time.Unix(1700000000, 250000000)},
		},
		"FSx": {
			map[string]string{"file-permissions": "0100640", "file-owner": "7", "file-group": "8", "file-mtime": "1700000000000000005ns", "file-atime": "1700000000123"},
			posix{mode: 0o100640, hasMode: true, uid: 7, hasUID: true, gid: 8, hasGID: true,
				mtime: time.Unix(1700000000, 5), atime: time.UnixMilli(1700000000123)},
		},
		"gsutil": {
			map[string]string{"goog-reserved-posix-mode": "640", "goog-reserved-posix-uid": "7", "goog-reserved-file-mtime": "1700000000"},
			posix{mode: 0o640, hasMode: true, uid: 7, hasUID: true, mtime: time.Unix(1700000000, 0)},
		},
		"own keys win": {
			map[string]string{"mode": "33188", "file-permissions": "0100777", "uid": "1", "file-owner": "2"},
			posix{mode: 0o100644, hasMode: true, uid: 1, hasUID: true},
		},
		"nonsense": {
			map[string]string{"mode": "x", "uid": "-1", "gid": "4294967295", "mtime": "soon", "atime": "1.x", "ctime": "1.5.5"},
			posix{},
		},
		"before 1970": {
			map[string]string{"mtime": "-1.5"},
			posix{mtime: time.Unix(-1, -500000000)},
		},
	} {
		got := parsePosix(c.md, false)
		same := got.mtime.Equal(c.want.mtime) && got.atime.Equal(c.want.atime)
		got.mtime, got.atime = c.want.mtime, c.want.atime
		if got != c.want || !same {
			t.Errorf("%s: %+v, want %+v (times equal: %v)", name, got, c.want, same)
		}
	}
}

func TestNewMetadataIsRead(t *testing.T) {
	now := time.Unix(1700000000, 12345)
	p := parsePosix(newMetadata(syscall.S_IFDIR|0o1750, 12, 34, now), true)
	want := posix{mode: syscall.S_IFDIR | 0o1750, hasMode: true, uid: 12, hasUID: true, gid: 34, hasGID: true, mtime: p.mtime}
	if p != want || !p.mtime.Equal(now) {
		t.Errorf("got %+v, want %+v at %v", p, want, now)
	}
}
