package s3backend

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
)

// errNoETag: RGW sends the header of a copy's answer, 200, before the copying is
// done. Only the ETag in the body says that it was.
var errNoETag = errors.New("the answer has no etag: the copy did not end well")

// Copy implements Store.
func (b *bucket) Copy(ctx context.Context, req CopyRequest) (Object, error) {
	const op = "CopyObject"
	if err := b.checkSource(op, req.Key, req.SourceKey); err != nil {
		return Object{}, err
	}
	in := &s3.CopyObjectInput{
		Bucket: &b.name, Key: &req.Key,
		CopySource:        aws.String(b.copySource(req.SourceBucket, req.SourceKey)),
		CopySourceIfMatch: optional(req.SourceIfMatch),
		MetadataDirective: types.MetadataDirectiveCopy,
		ACL:               types.ObjectCannedACL(b.c.cfg.ACL),
	}
	if req.Replace != nil {
		if err := b.checkAttributes(op, req.Key, req.Replace); err != nil {
			return Object{}, err
		}
		in.MetadataDirective = types.MetadataDirectiveReplace
		in.Metadata = req.Replace.Metadata
		in.ContentType = optional(req.Replace.ContentType)
		in.StorageClass = types.StorageClass(req.Replace.StorageClass)
	}
	obj := Object{Key: req.Key}
	_, err := b.call(ctx, op, req.Key, func(ctx context.Context) error {
		out, err := b.c.s3.CopyObject(ctx, in)
		if err != nil {
			return err
		}
		if out.CopyObjectResult != nil {
			obj.ETag = unquote(aws.ToString(out.CopyObjectResult.ETag))
			obj.LastModified = aws.ToTime(out.CopyObjectResult.LastModified)
		}
		if obj.ETag == "" {
			return b.fail(op, req.Key, KindUnavailable, errNoETag)
		}
		if obj.LastModified.IsZero() {
			obj.LastModified = date(header(out.ResultMetadata))
		}
		return nil
	})
	if err != nil {
		return Object{}, err
	}
	return obj, nil
}

// CopyPart implements Store. Source keys that RGW gets wrong are
// KindUnsupported: see decodesOnce.
func (b *bucket) CopyPart(ctx context.Context, req CopyPartRequest) (Part, error) {
	const op = "UploadPartCopy"
	if err := b.checkSource(op, req.Key, req.SourceKey); err != nil {
		return Part{}, err
	}
	if err := b.checkPart(op, req.Key, req.UploadID, req.Number); err != nil {
		return Part{}, err
	}
	if !decodesOnce(req.SourceKey) {
		return Part{}, b.fail(op, req.Key, KindUnsupported, fmt.Errorf("the source key %q: RGW decodes it twice", req.SourceKey))
	}
	if req.Offset < 0 || req.Length <= 0 {
		return Part{}, b.fail(op, req.Key, KindInvalid, fmt.Errorf("range of %d bytes at %d", req.Length, req.Offset))
	}
	if req.Length > MaxCopySize {
		return Part{}, b.fail(op, req.Key, KindTooLarge, fmt.Errorf("%d bytes in one part, the limit is %d", req.Length, int64(MaxCopySize)))
	}
	part := Part{Number: req.Number, Size: req.Length}
	_, err := b.call(ctx, op, req.Key, func(ctx context.Context) error {
		out, err := b.c.s3.UploadPartCopy(ctx, &s3.UploadPartCopyInput{
			Bucket: &b.name, Key: &req.Key, UploadId: &req.UploadID, PartNumber: aws.Int32(int32(req.Number)),
			CopySource:        aws.String(b.copySource(req.SourceBucket, req.SourceKey)),
			CopySourceIfMatch: optional(req.SourceIfMatch),
			CopySourceRange:   aws.String(fmt.Sprintf("bytes=%d-%d", req.Offset, req.Offset+req.Length-1)),
		})
		if err != nil {
			return err
		}
		if out.CopyPartResult != nil {
			part.ETag = unquote(aws.ToString(out.CopyPartResult.ETag))
		}
		if part.ETag == "" {
			return b.fail(op, req.Key, KindUnavailable, errNoETag)
		}
		return nil
	})
	if err != nil {
		return Part{}, err
	}
	return part, nil
}

func (b *bucket) checkSource(op, key, source string) error {
	if err := b.checkKey(op, key); err != nil {
		return err
	}
	return b.checkKey(op, source)
}

// decodesOnce reports whether a source key stays what it is when it is
// percent-decoded once more than it was encoded. That is what RGW does to the
// source of an UploadPartCopy, and only there (rgw_op.cc,
// RGWPutObj::init_processing): it would copy another object, or, where the key
// is no valid encoding, such as "100%", die of an assertion (16.2.15). After a
// "?" RGW takes "+" for a space, and "?versionId=" for the end of the key.
func decodesOnce(key string) bool {
	if strings.Contains(key, "%") || strings.Contains(key, "?versionId=") {
		return false
	}
	_, query, _ := strings.Cut(key, "?")
	return !strings.Contains(query, "+")
}

// copySource is the value of x-amz-copy-source, which is percent-encoded.
func (b *bucket) copySource(bucket, key string) string {
	if bucket == "" {
		bucket = b.name
	}
	return qualified(b.c.cfg.Tenant, bucket) + "/" + escapeKey(key)
}
