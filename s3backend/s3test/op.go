package s3test

// The S3 operations by the names that s3backend.Error.Op, Mem's counters and
// fault rules use.
const (
	OpHead            = "HeadObject"
	OpGet             = "GetObject"
	OpPut             = "PutObject"
	OpCopy            = "CopyObject"
	OpDelete          = "DeleteObject"
	OpDeleteMany      = "DeleteObjects"
	OpList            = "ListObjectsV2"
	OpCreateMultipart = "CreateMultipartUpload"
	OpUploadPart      = "UploadPart"
	OpCopyPart        = "UploadPartCopy"
	OpComplete        = "CompleteMultipartUpload"
	OpAbort           = "AbortMultipartUpload"
	OpListMultiparts  = "ListMultipartUploads"
	OpUsage           = "HeadBucket"
	OpListBuckets     = "ListBuckets"
)
