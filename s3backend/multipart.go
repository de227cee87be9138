package s3backend

import (
	"context"
	"errors"
	"fmt"

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
		_, err := b.c.s3.CreateMultipartUpload(ctx, &s3.CreateMultipartUploadInput{
			Bucket: &b.name, Key: &req.Key, Metadata: req.Metadata,
			ContentType: optional(req.ContentType), StorageClass: types.StorageClass(req.StorageClass),
			ACL: types.ObjectCannedACL(b.c.cfg.ACL),
			// Servers differ in the name of this document, as of Complete's.
		}, decode(&s3.CreateMultipartUploadOutput{}, func(data []byte) error {
			return walk(data, "", textOf("UploadId", &id))
		}))
		if err != nil {
			return err
		}
		if id == "" {
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

// textOf returns a leafFunc that keeps the text of one element of a document.
func textOf(element string, into *string) leafFunc {
	return func(parent, name, text []byte) error {
		if parent == nil && string(name) == element {
			*into = string(text)
		}
		return nil
	}
}
