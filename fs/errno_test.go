package fs

import (
	"strings"
	"syscall"
	"testing"

	"rgwfs/s3backend"
)

// TestErrnoTable finds every kind by its name, so a kind that is added without
// an errno fails here.
func TestErrnoTable(t *testing.T) {
	want := map[s3backend.Kind]syscall.Errno{
		s3backend.KindNotExist: syscall.ENOENT, s3backend.KindExist: syscall.EEXIST,
		s3backend.KindChanged: syscall.ESTALE, s3backend.KindPermission: syscall.EACCES,
		s3backend.KindQuota: syscall.EDQUOT, s3backend.KindNoSpace: syscall.ENOSPC,
		s3backend.KindTooLarge: syscall.EFBIG, s3backend.KindNotEmpty: syscall.ENOTEMPTY,
		s3backend.KindUnsupported: syscall.ENOTSUP, s3backend.KindUnavailable: syscall.EIO,
		s3backend.KindCancelled: syscall.EINTR, s3backend.KindReadOnly: syscall.EROFS,
	}
	n := 0
	for k := s3backend.Kind(0); !strings.HasPrefix(k.String(), "kind "); k++ {
		n++
		got := errnoOf(k)
		if got == 0 {
			t.Errorf("%v has no errno", k)
		}
		if w, ok := want[k]; ok && got != w {
			t.Errorf("%v is %v, want %v", k, got, w)
		}
	}
	if n < len(want) {
		t.Fatalf("found only %d kinds", n)
	}
	if got := errnoOf(s3backend.Kind(n)); got != 0 {
		t.Errorf("the kind after the last one is %v, want 0", got)
	}
}
