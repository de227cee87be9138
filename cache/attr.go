package cache

import (
	"fmt"
	"strings"
	"time"

	"rgwfs/s3backend"
)

// Attr is what is known of a file or a directory.
type Attr struct {
	Key     string    // a directory's ends in "/"; "" is the bucket's root
	Size    int64     // bytes; 0 for directories
	ModTime time.Time // LastModified, or of the last local write; zero for directories without marker
	ETag    string    // "" for directories without marker and for files not on RGW yet
	// Metadata holds the x-amz-meta-* headers; nil means not known yet. It is
	// read-only for the receiver.
	Metadata     map[string]string
	ContentType  string        // "" if not known
	StorageClass string        // "" if not known
	TTL          time.Duration // how long this may be believed from now on
}

// IsDir reports whether the key is that of a directory.
func (a Attr) IsDir() bool { return isDirKey(a.Key) }

// MaybeSymlink reports whether a, whose metadata is not known, may be a
// symbolic link that rgwfs made. Listings carry no metadata, but they do carry
// ETags: Symlink makes its objects by a multipart upload of one part, which
// shows in the ETag, and nobody else has a reason to for so few bytes.
func (a Attr) MaybeSymlink() bool {
	return a.Metadata == nil && a.Size > 0 && a.Size <= maxSymlink && strings.HasSuffix(a.ETag, "-1")
}

// FormatTime formats t as s3fs does in its mtime, ctime and atime metadata:
// seconds of the epoch, a point, and nine digits of nanoseconds.
func FormatTime(t time.Time) string {
	return fmt.Sprintf("%d.%09d", t.Unix(), t.Nanosecond())
}

// attrOf describes a generation of an object. A directory marker's own size
// is of no concern to anybody: directories have size 0.
func attrOf(o s3backend.Object, ttl time.Duration) Attr {
	a := Attr{
		Key: o.Key, Size: o.Size, ModTime: o.LastModified, ETag: o.ETag,
		Metadata: o.Metadata, ContentType: o.ContentType,
		StorageClass: o.StorageClass, TTL: ttl,
	}
	if a.IsDir() {
		a.Size = 0
	}
	return a
}

// sameGeneration reports whether a and b describe the same generation with
// the same metadata. A change of metadata alone keeps the ETag but renews
// LastModified. Listings of RGW 20.2 give whole seconds, those before
// milliseconds, HEAD always whole seconds: only seconds are compared. An
// unknown ETag is equal to nothing.
func (a Attr) sameGeneration(b Attr) bool {
	return a.ETag != "" && a.ETag == b.ETag && a.ModTime.Unix() == b.ModTime.Unix()
}

// fillFrom adds to a what a listing does not carry, if b knows it of the same
// generation.
func (a Attr) fillFrom(b Attr) Attr {
	if !a.sameGeneration(b) {
		return a
	}
	if a.Metadata == nil {
		a.Metadata = b.Metadata
	}
	if a.ContentType == "" {
		a.ContentType = b.ContentType
	}
	if a.StorageClass == "" {
		a.StorageClass = b.StorageClass
	}
	return a
}

// bytes estimates the heap that a holds beside its own struct, its key apart.
func (a Attr) bytes() int64 {
	n := len(a.ETag) + len(a.ContentType)
	if a.Metadata != nil {
		// A small map is one group of eight pairs of string headers.
		n += 48 + (len(a.Metadata)+7)/8*(8+8*32)
		for k, v := range a.Metadata {
			n += len(k) + len(v)
		}
	}
	return int64(n)
}

func isDirKey(key string) bool { return key == "" || strings.HasSuffix(key, "/") }
