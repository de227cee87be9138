package s3backend

import (
	"context"
	"crypto/rand"
	"errors"
	"net/http"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
)

// noETag is the ETag of no object: nothing has this MD5 that anybody knows of.
const noETag = "00000000000000000000000000000000"

// honoured tells from the answer to a request whose condition is false whether
// the server looked at it. An error that says something else is returned.
func honoured(err error) (Fact, error) {
	var answer *Error
	if err == nil {
		return No, nil
	}
	if errors.As(err, &answer) && answer.Status == http.StatusPreconditionFailed {
		return Yes, nil
	}
	return "", err
}

// Conditions finds out which conditions of writes are honoured, and how
// multipart uploads are answered.
func (p *Probe) Conditions(ctx context.Context, f *Profile) error {
	key := p.scratch + "condition"
	put := func(in *s3.PutObjectInput) error { return p.put(ctx, p.b, key, in, unsignedPayload) }
	if err := put(&s3.PutObjectInput{}); err != nil {
		return err
	}
	var err error
	if f.PutIfNoneMatch, err = honoured(put(&s3.PutObjectInput{IfNoneMatch: aws.String("*")})); err != nil {
		return err
	}
	if f.PutIfMatch, err = honoured(put(&s3.PutObjectInput{IfMatch: aws.String(noETag)})); err != nil {
		return err
	}
	now, err := p.b.Head(ctx, key)
	if err != nil {
		return err
	}
	if f.PutIfMatch == Yes {
		refused, err := honoured(put(&s3.PutObjectInput{IfMatch: quoted(now.ETag)}))
		if err != nil {
			return err
		}
		f.PutIfMatchQuoted = factOf(refused == No)
	}
	_, err = p.b.Copy(ctx, CopyRequest{Key: p.scratch + "copy", SourceKey: key, SourceIfMatch: noETag})
	if f.CopySourceIfMatch, err = honoured(err); err != nil {
		return err
	}
	_, err = p.b.call(ctx, "DeleteObject", key, func(ctx context.Context) error {
		_, err := p.c.s3.DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: &p.b.name, Key: &key, IfMatch: aws.String(noETag)})
		return err
	})
	if f.DeleteIfMatch, err = honoured(err); err != nil {
		return err
	}
	return p.completes(ctx, f)
}

func (p *Probe) completes(ctx context.Context, f *Profile) error {
	key := p.scratch + "complete"
	if err := p.put(ctx, p.b, key, &s3.PutObjectInput{}, unsignedPayload); err != nil {
		return err
	}
	id, err := p.b.CreateMultipart(ctx, CreateMultipartRequest{Key: key})
	if err != nil {
		return err
	}
	const text = "a part"
	part, err := p.b.UploadPart(ctx, UploadPartRequest{Key: key, UploadID: id, Number: 1, Body: strings.NewReader(text), Size: int64(len(text))})
	if err != nil {
		return err
	}
	in := &s3.CompleteMultipartUploadInput{
		Bucket: &p.b.name, Key: &key, UploadId: &id, IfNoneMatch: aws.String("*"),
		MultipartUpload: &types.CompletedMultipartUpload{Parts: []types.CompletedPart{{ETag: &part.ETag, PartNumber: aws.Int32(1)}}},
	}
	obj, _, err := p.b.complete(ctx, in, "")
	if f.CompleteCondition, err = honoured(err); err != nil {
		return err
	}
	if f.CompleteCondition == Yes {
		in.IfNoneMatch = nil
		if obj, _, err = p.b.complete(ctx, in, ""); err != nil {
			return err
		}
	}
	f.CompleteETag = factOf(obj.ETag != "")
	return nil
}

// Encryption finds out what the server can do with SSE-C, by a key that nobody
// keeps. Over http nothing is sent: the key would be in the clear.
func (p *Probe) Encryption(ctx context.Context, f *Profile) error {
	if !strings.HasPrefix(p.c.cfg.Endpoint, "https:") {
		return nil
	}
	key, err := randomKey()
	if err != nil {
		return err
	}
	p.wrote = true
	secret, plain := p.scratch+"encrypted", p.scratch+"plain"
	ask := func(r *sseRequest, request func(context.Context) error) (Fact, error) {
		err := request(r.in(ctx))
		var answer *Error
		switch {
		case err == nil:
			return Yes, nil
		case errors.Is(err, errNotEncrypted):
			return No, nil
		case errors.As(err, &answer) && (answer.Status == http.StatusNotImplemented || answer.Status == http.StatusBadRequest):
			return No, nil
		}
		return "", err
	}
	f.SSEC, err = ask(&sseRequest{key: key}, func(ctx context.Context) error {
		_, err := p.b.Put(ctx, putOf(secret, "encrypted"))
		return err
	})
	if err != nil || f.SSEC != Yes {
		return err
	}
	f.SSECCopy, err = ask(&sseRequest{key: key, source: key}, func(ctx context.Context) error {
		_, err := p.b.Copy(ctx, CopyRequest{Key: p.scratch + "copied", SourceKey: secret})
		return err
	})
	if err != nil {
		return err
	}
	f.SSECCopyPart, err = ask(&sseRequest{key: key, source: key}, func(ctx context.Context) error {
		id, err := p.b.CreateMultipart(ctx, CreateMultipartRequest{Key: p.scratch + "copied-part"})
		if err != nil {
			return err
		}
		_, err = p.b.CopyPart(ctx, CopyPartRequest{Key: p.scratch + "copied-part", UploadID: id, Number: 1, SourceKey: secret, Length: int64(len("encrypted"))})
		return err
	})
	if err != nil {
		return err
	}
	if err := p.put(ctx, p.b, plain, &s3.PutObjectInput{}, unsignedPayload); err != nil {
		return err
	}
	f.SSECCopyPlain, err = ask(&sseRequest{key: key}, func(ctx context.Context) error {
		_, err := p.b.Copy(ctx, CopyRequest{Key: p.scratch + "copied-plain", SourceKey: plain})
		return err
	})
	return err
}

// randomKey returns a key that is never kept.
func randomKey() (Key, error) {
	secret := make([]byte, 32)
	if _, err := rand.Read(secret); err != nil {
		return Key{}, err
	}
	return NewKey(secret, "probe")
}
