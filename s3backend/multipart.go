package s3backend

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
)

// CreateMultipart implements Store. A repetition after a lost answer leaves an
// empty upload behind, which ListMultiparts shows.
func (b *bucket) CreateMultipart(ctx context.Context, req CreateMultipartRequest) (string, error) {
	const op = "CreateMultipartUpload"
	if err := b.checkWrite(op, req.Key, &req.Attributes, &Conditions{}); err != nil {
		return "", err
	}
	var id string
	_, err := b.call(ctx, op, req.Key, func(ctx context.Context) error {
		out, err := b.c.s3.CreateMultipartUpload(ctx, &s3.CreateMultipartUploadInput{
			Bucket: &b.name, Key: &req.Key, Metadata: req.Metadata,
			ContentType: optional(req.ContentType), StorageClass: types.StorageClass(req.StorageClass),
		})
		if err != nil {
			return err
		}
		if id = aws.ToString(out.UploadId); id == "" {
			return b.fail(op, req.Key, KindOther, errors.New("the answer has no upload id"))
		}
		return nil
	})
	return id, err
}

// UploadPart implements Store.
func (b *bucket) UploadPart(ctx context.Context, req UploadPartRequest) (Part, error) {
	const op = "UploadPart"
	if err := b.checkPart(op, req.Key, req.UploadID, req.Number); err != nil {
		return Part{}, err
	}
	if req.Size > MaxPutSize {
		return Part{}, b.fail(op, req.Key, KindTooLarge, fmt.Errorf("%d bytes in one part, the limit is %d", req.Size, int64(MaxPutSize)))
	}
	sum, err := bodySum(req.Body, req.Size)
	if err != nil {
		return Part{}, b.fail(op, req.Key, KindInvalid, err)
	}
	part := Part{Number: req.Number, Size: req.Size, ETag: hexSum(sum)}
	_, err = b.call(ctx, op, req.Key, func(ctx context.Context) error {
		out, err := b.c.s3.UploadPart(ctx, &s3.UploadPartInput{
			Bucket: &b.name, Key: &req.Key, UploadId: &req.UploadID, PartNumber: aws.Int32(int32(req.Number)),
			Body: req.Body, ContentLength: &req.Size, ContentMD5: aws.String(base64Sum(sum)),
		}, unsignedPayload)
		if err != nil {
			return err
		}
		if etag := unquote(aws.ToString(out.ETag)); etag != "" {
			part.ETag = etag
		}
		if err := checkETag(part.ETag, hexSum(sum), header(out.ResultMetadata)); err != nil {
			return b.fail(op, req.Key, KindCorrupt, err)
		}
		return nil
	})
	if err != nil {
		return Part{}, err
	}
	return part, nil
}

// CompleteMultipart implements Store.
func (b *bucket) CompleteMultipart(ctx context.Context, req CompleteMultipartRequest) (Object, error) {
	const op = "CompleteMultipartUpload"
	if err := b.checkWrite(op, req.Key, &Attributes{}, &req.Conditions); err != nil {
		return Object{}, err
	}
	if n := len(req.Parts); n == 0 || n > MaxParts {
		return Object{}, b.fail(op, req.Key, KindInvalid, fmt.Errorf("%d parts", n))
	}
	done := make([]types.CompletedPart, len(req.Parts))
	for i, p := range req.Parts {
		if err := b.checkPart(op, req.Key, req.UploadID, p.Number); err != nil {
			return Object{}, err
		}
		done[i] = types.CompletedPart{ETag: aws.String(p.ETag), PartNumber: aws.Int32(int32(p.Number))}
	}
	in := &s3.CompleteMultipartUploadInput{
		Bucket: &b.name, Key: &req.Key, UploadId: &req.UploadID,
		MultipartUpload: &types.CompletedMultipartUpload{Parts: done},
		IfMatch:         optional(req.IfMatch),
	}
	if req.IfNoneMatch {
		in.IfNoneMatch = aws.String("*")
	}
	want := multipartETag(req.Parts)
	obj := Object{Key: req.Key}
	info, err := b.call(ctx, op, req.Key, func(ctx context.Context) error {
		out, err := b.c.s3.CompleteMultipartUpload(ctx, in)
		if err != nil {
			return err
		}
		h := header(out.ResultMetadata)
		obj.ETag, obj.LastModified = unquote(aws.ToString(out.ETag)), date(h)
		if obj.ETag == "" || want == "" {
			return nil
		}
		if err := checkETag(obj.ETag, want, h); err != nil {
			return b.fail(op, req.Key, KindCorrupt, err)
		}
		return nil
	})
	if err != nil {
		return b.settleComplete(ctx, req, want, info, err)
	}
	obj.Size = partsSize(req.Parts)
	if obj.ETag != "" {
		return obj, nil
	}
	// RGW 16 names no ETag, and 18 none for a repetition.
	now, err := b.head(ctx, req.Key, "")
	if err != nil {
		return Object{}, err
	}
	return now, nil
}

// settleComplete decides what a failed Complete has done. Where the answer of an
// earlier attempt was lost, the upload is gone or the condition meets our own
// object: it is ours if it is made of these parts.
func (b *bucket) settleComplete(ctx context.Context, req CompleteMultipartRequest, want string, info *callInfo, err error) (Object, error) {
	var e *Error
	if !errors.As(err, &e) || e.Kind == KindCancelled {
		return Object{}, err
	}
	conditional := req.Conditions != (Conditions{})
	refused := conditional && conditionRefused(e)
	repeated := info.attempts.Load() > 1
	if e.Code == "NoSuchUpload" || repeated && (refused || e.Kind == KindUnavailable) {
		now, herr := b.head(ctx, req.Key, "")
		if herr == nil && madeOf(now, req.Parts, want) {
			return now, nil
		}
	}
	if refused {
		return Object{}, b.refusal(e, req.Conditions)
	}
	return Object{}, err
}

// madeOf reports whether an object consists of the parts given.
func madeOf(o Object, parts []Part, want string) bool {
	if size := partsSize(parts); size > 0 && o.Size != size {
		return false
	}
	if want != "" && isMD5(strings.SplitN(o.ETag, "-", 2)[0]) {
		return o.ETag == want
	}
	return strings.HasSuffix(o.ETag, fmt.Sprintf("-%d", len(parts)))
}

// partsSize returns the sum of the sizes, 0 if one is not known.
func partsSize(parts []Part) int64 {
	var n int64
	for _, p := range parts {
		if p.Size <= 0 {
			return 0
		}
		n += p.Size
	}
	return n
}

// AbortMultipart implements Store.
func (b *bucket) AbortMultipart(ctx context.Context, key, uploadID string) error {
	const op = "AbortMultipartUpload"
	if err := b.checkPart(op, key, uploadID, 1); err != nil {
		return err
	}
	_, err := b.call(ctx, op, key, func(ctx context.Context) error {
		_, err := b.c.s3.AbortMultipartUpload(ctx, &s3.AbortMultipartUploadInput{
			Bucket: &b.name, Key: &key, UploadId: &uploadID,
		})
		return err
	})
	var e *Error
	if errors.As(err, &e) && e.Code == "NoSuchUpload" {
		return nil
	}
	return err
}

// ListMultiparts implements Store.
func (b *bucket) ListMultiparts(ctx context.Context, prefix string) ([]Upload, error) {
	const op = "ListMultipartUploads"
	var uploads []Upload
	var keyMarker, idMarker *string
	for {
		more := false
		_, err := b.call(ctx, op, prefix, func(ctx context.Context) error {
			out, err := b.c.s3.ListMultipartUploads(ctx, &s3.ListMultipartUploadsInput{
				Bucket: &b.name, Prefix: optional(prefix), EncodingType: types.EncodingTypeUrl,
				KeyMarker: keyMarker, UploadIdMarker: idMarker,
			})
			if err != nil {
				return err
			}
			decode := func(s *string) (string, error) {
				if out.EncodingType != types.EncodingTypeUrl {
					return aws.ToString(s), nil
				}
				return url.QueryUnescape(aws.ToString(s))
			}
			for _, u := range out.Uploads {
				key, err := decode(u.Key)
				if err != nil {
					return b.fail(op, prefix, KindCorrupt, err)
				}
				uploads = append(uploads, Upload{Key: key, UploadID: aws.ToString(u.UploadId), Initiated: aws.ToTime(u.Initiated)})
			}
			if !aws.ToBool(out.IsTruncated) {
				return nil
			}
			next, err := decode(out.NextKeyMarker)
			if err != nil {
				return b.fail(op, prefix, KindCorrupt, err)
			}
			nextID := aws.ToString(out.NextUploadIdMarker)
			if next == "" || next == aws.ToString(keyMarker) && nextID == aws.ToString(idMarker) {
				return b.fail(op, prefix, KindOther, errors.New("a truncated listing that does not go on"))
			}
			keyMarker, idMarker, more = &next, &nextID, true
			return nil
		})
		if err != nil {
			return nil, err
		}
		if !more {
			return uploads, nil
		}
	}
}

func (b *bucket) checkPart(op, key, uploadID string, number int) error {
	if err := b.checkKey(op, key); err != nil {
		return err
	}
	switch {
	case uploadID == "":
		return b.fail(op, key, KindInvalid, errors.New("the upload id is empty"))
	case number < 1 || number > MaxParts:
		// RGW takes any number here and fails at the end.
		return b.fail(op, key, KindInvalid, fmt.Errorf("part number %d", number))
	}
	return nil
}
