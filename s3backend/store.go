package s3backend

import (
	"context"
	"io"
	"time"
)

// Store is one bucket of an S3 server. It is the only interface in rgwfs with
// several implementations; s3test.Suite states each obligation below as a test
// that every implementation passes.
//
// Obligations of every implementation:
//
//   - Every method is safe for concurrent use.
//   - Every error is an *Error: its Kind says what the caller can do about it.
//     When ctx is done the Kind is KindCancelled.
//   - A method that returns nil has taken effect on the server, durably and
//     visibly to every later call (RGW is strongly consistent within a zone).
//     A method that returns an error may or may not have taken effect, unless
//     its Kind is an answer of the server that excludes it (NotExist, Exist,
//     Changed, Permission, Quota, Invalid...).
//   - Transient failures (reset, timeout, 500, 503 and the like) have been
//     retried with backoff before they are returned, within a bounded time; no
//     call hangs on a server that is silent.
//   - Keys are raw: any UTF-8 of 1 to 1024 bytes without NUL, including "a//b",
//     "../x", "%2F", "+", spaces and control characters, goes to the server
//     and comes back from it unchanged.
//   - ETags are unquoted everywhere.
//   - Bodies passed in are read from their current position, may be read more
//     than once (retries seek back), and are not closed.
type Store interface {
	// Name returns the bucket's name.
	Name() string

	// Head returns the object with its Metadata. KindNotExist if the key is
	// absent. (S3 HeadObject)
	Head(ctx context.Context, key string) (Object, error)

	// List returns one page of keys, in byte order of the raw key. (S3
	// ListObjectsV2)
	List(ctx context.Context, req ListRequest) (Page, error)

	// Get opens a range of an object. The reader delivers exactly
	// min(Length, Size-Offset) bytes of the one generation that the returned
	// Object describes, or fails with an *Error: a connection that breaks is
	// resumed inside, by Range and If-Match, and a generation that is gone
	// meanwhile fails with KindChanged. A range that starts at or past the end
	// is an empty body, not an error. Cancelling ctx ends the body too. The
	// caller closes the body. Object.Metadata is always known here.
	// (S3 GetObject)
	Get(ctx context.Context, req GetRequest) (Object, io.ReadCloser, error)

	// Put stores an object whole, replacing any other unless a condition says
	// not to. What the server stored has been verified against Body by MD5.
	// The returned Object has Key, Size, ETag and Metadata; LastModified is
	// the server's Date of the answer, which may differ from what Head says
	// later by the time the write took. (S3 PutObject)
	Put(ctx context.Context, req PutRequest) (Object, error)

	// Copy copies an object within the bucket, or from another bucket of the
	// same server, without moving its bytes through the client. Objects larger
	// than MaxCopySize fail with KindTooLarge: use CopyPart. The returned Object
	// has Key, ETag and LastModified. (S3 CopyObject)
	Copy(ctx context.Context, req CopyRequest) (Object, error)

	// Delete removes a key; a key that is absent already is no error.
	// (S3 DeleteObject)
	Delete(ctx context.Context, key string) error

	// DeleteMany removes up to MaxDeleteKeys keys in one request. It returns
	// one *Error for each key that could not be removed, and err for a request
	// that failed as a whole. (S3 DeleteObjects)
	DeleteMany(ctx context.Context, keys []string) (failed []*Error, err error)

	// CreateMultipart begins a multipart upload and returns its id.
	CreateMultipart(ctx context.Context, req CreateMultipartRequest) (uploadID string, err error)

	// UploadPart stores one part; what the server stored has been verified
	// against Body by MD5. Every part but the last is at least MinPartSize.
	UploadPart(ctx context.Context, req UploadPartRequest) (Part, error)

	// CopyPart makes a part of a range of an existing object, server-side.
	// KindUnsupported if the server can't; on RGW that is so for source keys
	// that hold a "%", which it decodes once too often. (S3 UploadPartCopy)
	CopyPart(ctx context.Context, req CopyPartRequest) (Part, error)

	// CompleteMultipart makes the object of the parts given, in order.
	// Repeating a Complete that has taken effect returns success. The returned
	// Object has Key and ETag (never empty), and LastModified as Put does.
	CompleteMultipart(ctx context.Context, req CompleteMultipartRequest) (Object, error)

	// AbortMultipart gives up an upload and frees its parts; an upload that is
	// gone already is no error.
	AbortMultipart(ctx context.Context, key, uploadID string) error

	// ListMultiparts returns the unfinished uploads below prefix, all pages.
	ListMultiparts(ctx context.Context, prefix string) ([]Upload, error)

	// Usage returns what the bucket holds and may hold.
	Usage(ctx context.Context) (Usage, error)
}

// Service is an S3 account: all of a user's buckets on one server.
type Service interface {
	// ListBuckets returns the caller's own buckets, by name.
	ListBuckets(ctx context.Context) ([]BucketInfo, error)
	// Bucket returns the Store of a bucket. It makes no request: whether the
	// bucket exists is found out by the first call on the Store.
	Bucket(name string) Store
	// CreateBucket makes a bucket. KindExist if the name is taken; on RGW
	// making one's own bucket again is no error.
	CreateBucket(ctx context.Context, req NewBucket) error
	// DeleteBucket removes a bucket. KindNotEmpty if it has objects.
	DeleteBucket(ctx context.Context, name string) error
}

// Extras is what a Store may offer beside: what S3 knows of an object that is
// no part of a file. A Store that does not have them does not implement it.
type Extras interface {
	// Endpoint returns the URL of the server.
	Endpoint() string
	// Info returns everything that the server says of an object.
	Info(ctx context.Context, key string) (ObjectInfo, error)
	// ACL and SetACL read and replace the ACL of an object.
	ACL(ctx context.Context, key string) (ACL, error)
	SetACL(ctx context.Context, key string, acl NewACL) error
	// URL returns a URL that lets whoever has it fetch the object until it
	// expires. KindPermission with ErrTokenInURL where it would give a
	// password away.
	URL(ctx context.Context, key string, expires time.Duration) (string, error)
}

// Limits of the S3 API, in bytes unless said; RGW has the same defaults
// (rgw_max_put_size, rgw_multipart_min_part_size, rgw_delete_multi_obj_max_num).
const (
	MaxPutSize    = 5 << 30 // one PUT or one part
	MaxCopySize   = 5 << 30 // one CopyObject or one CopyPart
	MinPartSize   = 5 << 20 // every part but the last
	MaxParts      = 10000   // parts of an upload (a count)
	MaxObjectSize = 5 << 40
	MaxKeyLength  = 1024 // UTF-8 bytes of a key
	MaxDeleteKeys = 1000 // keys of a DeleteMany (a count)
	MaxListKeys   = 1000 // keys of a page that every server serves (a count)
)

// Object is what is known of one generation of an object.
type Object struct {
	Key          string
	Size         int64
	ETag         string // unquoted
	LastModified time.Time
	StorageClass string
	ContentType  string // "" if unknown (listings)
	// Metadata holds the x-amz-meta-* headers, names in lower case without the
	// prefix. nil means unknown (listings); known and empty is non-nil.
	Metadata map[string]string
}

// ListRequest asks for one page of a listing.
type ListRequest struct {
	Prefix    string
	Delimiter string // "" or "/"
	// StartAfter begins the page after this key (exclusive). On RGW a
	// continuation token is a key too, so this is how pages are continued:
	// pass Page.Next. With a Delimiter, a StartAfter that is itself a common
	// prefix continues after everything below it.
	StartAfter string
	MaxKeys    int // 0 = as many as the server gives
}

// Page is one page of a listing.
type Page struct {
	Objects  []Object // Metadata and ContentType unknown
	Prefixes []string // common prefixes, each ending in the delimiter
	// Next is the StartAfter of the page that follows, "" if this is the last.
	Next string
}

// GetRequest asks for a range of an object.
type GetRequest struct {
	Key     string
	Offset  int64
	Length  int64  // < 0: to the end
	IfMatch string // ETag; "" = any generation. KindChanged if it is another
}

// Attributes are what an object carries beside its bytes.
type Attributes struct {
	Metadata     map[string]string // lower-case names of [a-z0-9-], see Object.Metadata
	ContentType  string
	StorageClass string // "" = the bucket's default
}

// Conditions make a write depend on what is there. At most one is set. RGW
// (measured on 16.2, 18.2 and 20.2): Put honours both; CompleteMultipart only
// from 20.2, so a caller that needs the condition there Heads first.
type Conditions struct {
	IfNoneMatch bool   // only if the key is absent, else KindExist
	IfMatch     string // only if the object has this ETag, else KindChanged
}

// PutRequest stores an object.
type PutRequest struct {
	Key  string
	Body io.ReadSeeker
	Size int64 // bytes that Body has from its current position
	Attributes
	Conditions
}

// CopyRequest copies an object.
type CopyRequest struct {
	Key          string // target
	SourceBucket string // "" = this bucket
	SourceKey    string
	// SourceIfMatch is the ETag that the source must have, "" = any. RGW 16.2
	// ignores it [L]: who needs it there Heads the source.
	SourceIfMatch string
	// Replace, if not nil, replaces all of the source's attributes; nil keeps
	// them. Copying an object to itself requires it (S3 rule).
	Replace *Attributes
}

// CreateMultipartRequest begins an upload; attributes are fixed here.
type CreateMultipartRequest struct {
	Key string
	Attributes
}

// UploadPartRequest stores one part.
type UploadPartRequest struct {
	Key, UploadID string
	Number        int // 1..MaxParts
	Body          io.ReadSeeker
	Size          int64
}

// CopyPartRequest makes a part of a range of an object.
type CopyPartRequest struct {
	Key, UploadID string
	Number        int
	SourceBucket  string // "" = this bucket
	SourceKey     string
	SourceIfMatch string // see CopyRequest
	Offset        int64
	Length        int64 // > 0, within the source
}

// Part is a part that the server has.
type Part struct {
	Number int
	ETag   string
	Size   int64
}

// CompleteMultipartRequest ends an upload.
type CompleteMultipartRequest struct {
	Key, UploadID string
	Parts         []Part // in order of Number, all that were uploaded: RGW refuses a choice
	Conditions
}

// Upload is an unfinished multipart upload.
type Upload struct {
	Key, UploadID string
	Initiated     time.Time
}

// NewBucket describes a bucket to be made.
type NewBucket struct {
	Name string
	// Placement is RGW's "[zonegroup][:placement]" (the S3 location
	// constraint); "" leaves it to the server.
	Placement string
	ACL       string // canned; "" = private
}

// BucketInfo is a bucket of ListBuckets.
type BucketInfo struct {
	Name    string
	Created time.Time
}

// Usage is what a bucket holds and may hold; -1 = no limit, or unknown.
type Usage struct {
	Bytes, Objects           int64 // in the bucket now
	BucketBytes, BucketCount int64 // quota of the bucket
	UserBytes, UserCount     int64 // quota of the owner, over all buckets
	UserBytesUsed            int64 // what the owner uses, over all buckets
	UserCountUsed            int64
}
