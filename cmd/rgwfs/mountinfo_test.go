package main

import (
	"slices"
	"strings"
	"testing"
)

func TestReadMountinfo(t *testing.T) {
	const text = `22 1 0:21 / / rw,relatime - overlay overlay rw,lowerdir=/a:/b
36 22 98:0 /mnt1 /mnt/with\040blank rw,noatime master:1 - ext3 /dev/root\011x rw,errors=continue
40 22 0:50 / /mnt/b rw,nosuid,nodev shared:2 propagate_from:1 - fuse.rgwfs s3://data rw,user_id=0
garbage
41 22 0:51 / /mnt/b rw - tmpfs
`
	got, err := readMountinfo(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	want := []mountEntry{
		{"/", "overlay", "overlay", "/"},
		{"/mnt/with blank", "ext3", "/dev/root\tx", "/mnt1"},
		{"/mnt/b", "fuse.rgwfs", "s3://data", "/"},
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if entry, ok := mountedAt(got, "/mnt/b"); !ok || !isOurs(entry) {
		t.Errorf("mountedAt(/mnt/b) = %v, %v", entry, ok)
	}
	if entry, ok := mountedAt(got, "/mnt"); ok {
		t.Errorf("mountedAt(/mnt) = %v, which only has mounts below it", entry)
	}
}
