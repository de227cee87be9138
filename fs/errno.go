package fs

import (
	"context"
	"log/slog"
	"syscall"

	"rgwfs/s3backend"
)

// errnoOf is the one table from error kinds to errnos. It has no default, so
// that a new kind is noticed (by TestErrnoTable); 0 is no kind at all.
func errnoOf(kind s3backend.Kind) syscall.Errno {
	switch kind {
	case s3backend.KindOther:
		return syscall.EIO
	case s3backend.KindNotExist:
		return syscall.ENOENT
	case s3backend.KindExist:
		return syscall.EEXIST
	case s3backend.KindChanged:
		return syscall.ESTALE
	case s3backend.KindPermission:
		return syscall.EACCES
	case s3backend.KindQuota:
		return syscall.EDQUOT
	case s3backend.KindNoSpace:
		return syscall.ENOSPC
	case s3backend.KindTooLarge:
		return syscall.EFBIG
	case s3backend.KindNotEmpty:
		return syscall.ENOTEMPTY
	case s3backend.KindInvalidName:
		return syscall.EILSEQ
	case s3backend.KindNameTooLong:
		return syscall.ENAMETOOLONG
	case s3backend.KindInvalid:
		return syscall.EINVAL
	case s3backend.KindUnsupported:
		return syscall.ENOTSUP
	case s3backend.KindReadOnly:
		return syscall.EROFS
	case s3backend.KindCorrupt:
		return syscall.EIO
	case s3backend.KindUnavailable:
		return syscall.EIO
	case s3backend.KindCancelled:
		return syscall.EINTR
	}
	return 0
}

// logged reports whether an error is logged: those are the kinds whose cause the errno does not tell and somebody can
// mend: the user, the bucket's owner or the server's administrator. The rest
// are ordinary answers that programs provoke all the time.
func logged(kind s3backend.Kind) bool {
	switch kind {
	case s3backend.KindNotExist, s3backend.KindExist, s3backend.KindChanged,
		s3backend.KindNotEmpty, s3backend.KindInvalidName, s3backend.KindNameTooLong,
		s3backend.KindReadOnly, s3backend.KindCancelled:
		return false
	}
	return true
}

// doubtful reports whether a request that failed may have taken effect: the
// server gave no answer that excludes it.
func doubtful(kind s3backend.Kind) bool {
	switch kind {
	case s3backend.KindOther, s3backend.KindCorrupt, s3backend.KindUnavailable, s3backend.KindCancelled:
		return true
	}
	return false
}

// fail turns the error of an operation into its errno, and logs what the errno
// can't tell: FUSE has no room for more than a number. op is the name of the
// system call.
func (m *mount) fail(op string, key Key, err error) syscall.Errno {
	kind := s3backend.KindOf(err)
	if logged(kind) {
		m.log.LogAttrs(context.Background(), slog.LevelWarn, op+" failed",
			slog.String("key", key.String()), slog.String("error", err.Error()))
	}
	if errno := errnoOf(kind); errno != 0 {
		return errno
	}
	return syscall.EIO
}

// failNode is fail for an operation on an inode that the kernel knows. If its
// object is gone the answer is ESTALE: the kernel then looks the name up again
// and repeats the system call once, and only what that finds is shown.
func (m *mount) failNode(op string, key Key, err error) syscall.Errno {
	if s3backend.IsNotExist(err) {
		return syscall.ESTALE
	}
	return m.fail(op, key, err)
}
