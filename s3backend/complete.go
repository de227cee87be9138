package s3backend

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
)

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
		// RGW 16 takes parts that are out of order, or named twice.
		if i > 0 && p.Number <= req.Parts[i-1].Number {
			return Object{}, b.fail(op, req.Key, KindInvalid, fmt.Errorf("part %d after part %d", p.Number, req.Parts[i-1].Number))
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
	// RGW answers 500 while another Complete of the upload is under way, and
	// RGW 16 also where there is no such upload (any more).
	for try := 1; ; try++ {
		obj, info, err := b.complete(ctx, in, want)
		if err == nil {
			obj.Size = partsSize(req.Parts)
			if obj.ETag != "" {
				return obj, nil
			}
			// RGW 16 names no ETag, and 18 none for a repetition.
			return b.head(ctx, req.Key, "")
		}
		if !inProgress(err) {
			return b.settleComplete(ctx, req, want, info, err)
		}
		gone := b.uploadGone(ctx, req.Key, req.UploadID)
		now, herr := b.head(ctx, req.Key, "")
		switch {
		case herr == nil && madeOf(now, req.Parts, want):
			return now, nil
		case gone != nil:
			return Object{}, gone
		case try >= b.c.cfg.MaxAttempts:
			return Object{}, err
		}
		if !pause(ctx, backoff(try, b.c.cfg.MinBackoff, b.c.cfg.MaxBackoff)) {
			return Object{}, b.fail(op, req.Key, KindCancelled, context.Cause(ctx))
		}
	}
}

// complete sends a Complete and checks the ETag of its answer, if it has one.
func (b *bucket) complete(ctx context.Context, in *s3.CompleteMultipartUploadInput, want string) (Object, *callInfo, error) {
	const op = "CompleteMultipartUpload"
	obj := Object{Key: *in.Key}
	info, err := b.call(ctx, op, obj.Key, func(ctx context.Context) error {
		var etag string
		out, err := b.c.s3.CompleteMultipartUpload(ctx, in, decode(&s3.CompleteMultipartUploadOutput{}, func(data []byte) error {
			return walk(data, "", textOf("ETag", &etag))
		}))
		if err != nil {
			return err
		}
		h := header(out.ResultMetadata)
		obj.ETag, obj.LastModified = unquote(etag), date(h)
		// Some servers give the object's MD5, which is not known here.
		if want == "" || !strings.Contains(obj.ETag, "-") {
			return nil
		}
		if err := checkETag(obj.ETag, want, h); err != nil {
			return b.fail(op, obj.Key, KindCorrupt, err)
		}
		return nil
	})
	return obj, info, err
}

// inProgress reports RGW's "This multipart completion is already in progress"
// (rgw_op.cc, RGWCompleteMultipart::execute).
func inProgress(err error) bool {
	var e *Error
	return errors.As(err, &e) && completing(e.Code, e.Message)
}

func completing(code, message string) bool {
	return code == "InternalError" && strings.Contains(message, "already in progress")
}

// uploadGone returns the server's answer if it says that there is no such
// upload. Any other failure tells nothing: the Complete is then tried again.
func (b *bucket) uploadGone(ctx context.Context, key, uploadID string) error {
	_, err := b.call(ctx, "ListParts", key, func(ctx context.Context) error {
		_, err := b.c.s3.ListParts(ctx, &s3.ListPartsInput{
			Bucket: &b.name, Key: &key, UploadId: &uploadID, MaxParts: aws.Int32(1),
		}, decode(&s3.ListPartsOutput{}, func([]byte) error { return nil }))
		return err
	})
	if IsNotExist(err) {
		return err
	}
	return nil
}

// pause waits for d and reports whether ctx lasted as long.
func pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
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
