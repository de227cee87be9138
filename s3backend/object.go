package s3backend

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsmiddleware "github.com/aws/aws-sdk-go-v2/aws/middleware"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/smithy-go/middleware"
	smithyhttp "github.com/aws/smithy-go/transport/http"
)

// Head implements Store.
func (b *bucket) Head(ctx context.Context, key string) (Object, error) {
	return b.head(ctx, key, "")
}

func (b *bucket) head(ctx context.Context, key, ifMatch string) (Object, error) {
	if err := b.checkKey("HeadObject", key); err != nil {
		return Object{}, err
	}
	var obj Object
	_, err := b.call(ctx, "HeadObject", key, func(ctx context.Context) error {
		out, err := b.c.s3.HeadObject(ctx, &s3.HeadObjectInput{
			Bucket: &b.name, Key: &key, IfMatch: quoted(ifMatch),
		})
		if err != nil {
			return err
		}
		obj = Object{
			Key:          key,
			Size:         aws.ToInt64(out.ContentLength),
			ETag:         unquote(aws.ToString(out.ETag)),
			LastModified: aws.ToTime(out.LastModified),
			StorageClass: string(out.StorageClass),
			ContentType:  aws.ToString(out.ContentType),
			Metadata:     known(out.Metadata),
		}
		return nil
	})
	return obj, err
}

// Put implements Store.
func (b *bucket) Put(ctx context.Context, req PutRequest) (Object, error) {
	const op = "PutObject"
	if err := b.checkWrite(op, req.Key, &req.Attributes, &req.Conditions); err != nil {
		return Object{}, err
	}
	if req.Size > MaxPutSize {
		return Object{}, b.fail(op, req.Key, KindTooLarge, fmt.Errorf("%d bytes in one PUT, the limit is %d", req.Size, int64(MaxPutSize)))
	}
	sum, err := bodySum(req.Body, req.Size)
	if err != nil {
		return Object{}, b.fail(op, req.Key, KindInvalid, err)
	}
	in := &s3.PutObjectInput{
		Bucket: &b.name, Key: &req.Key, Body: req.Body, ContentLength: &req.Size,
		ContentMD5: aws.String(base64Sum(sum)), Metadata: req.Metadata,
		ContentType: optional(req.ContentType), StorageClass: types.StorageClass(req.StorageClass),
		// Unquoted: RGW 16 and 18 compare the quotes too, and never match.
		IfMatch: optional(req.IfMatch),
		ACL:     types.ObjectCannedACL(b.c.cfg.ACL),
	}
	if req.IfNoneMatch {
		in.IfNoneMatch = aws.String("*")
	}
	obj := Object{
		Key: req.Key, Size: req.Size, ETag: hexSum(sum), StorageClass: req.StorageClass,
		ContentType: req.ContentType, Metadata: known(req.Metadata),
	}
	info, err := b.call(ctx, op, req.Key, func(ctx context.Context) error {
		out, err := b.c.s3.PutObject(ctx, in, unsignedPayload)
		if err != nil {
			return err
		}
		h := header(out.ResultMetadata)
		obj.LastModified = date(h)
		if etag := unquote(aws.ToString(out.ETag)); etag != "" {
			obj.ETag = etag
		}
		if err := checkETag(obj.ETag, hexSum(sum), h); err != nil {
			return b.fail(op, req.Key, KindCorrupt, err)
		}
		return nil
	})
	if err == nil {
		return obj, nil
	}
	if req.Conditions == (Conditions{}) {
		return Object{}, err
	}
	return b.settlePut(ctx, req, obj, info, err)
}

// settlePut decides what a failed conditional PUT has done. If an answer was
// lost, or was a 500 (RGW 16 and 18 give it to losers of a race for If-Match),
// the object may be ours nevertheless: the condition then failed on our own
// write. It is ours if content and metadata are.
func (b *bucket) settlePut(ctx context.Context, req PutRequest, sent Object, info *callInfo, err error) (Object, error) {
	var e *Error
	if !errors.As(err, &e) || e.Kind == KindCancelled {
		return Object{}, err
	}
	refused := conditionRefused(e)
	if info.attempts.Load() == 1 && refused {
		return Object{}, b.refusal(e, req.Conditions)
	}
	if !refused && e.Kind != KindUnavailable {
		return Object{}, err
	}
	now, herr := b.head(ctx, req.Key, "")
	switch {
	case herr == nil && now.ETag == sent.ETag && now.Size == sent.Size && sameMetadata(now.Metadata, sent.Metadata):
		return now, nil
	case refused:
		return Object{}, b.refusal(e, req.Conditions)
	}
	return Object{}, err
}

// conditionRefused reports whether e is the server's "the condition fails".
// RGW 20 says 404 where the key of an If-Match is absent.
func conditionRefused(e *Error) bool {
	return e.Status == http.StatusPreconditionFailed || e.Code == "NoSuchKey" ||
		e.Status == http.StatusConflict
}

// refusal returns e with the Kind that the condition gives it.
func (b *bucket) refusal(e *Error, c Conditions) error {
	r := *e
	r.Kind = KindChanged
	if c.IfNoneMatch {
		r.Kind = KindExist
	}
	return &r
}

func sameMetadata(a, b map[string]string) bool {
	if len(a) != len(b) {
		return false
	}
	for k, v := range a {
		if w, ok := b[k]; !ok || v != w {
			return false
		}
	}
	return true
}

// Delete implements Store.
func (b *bucket) Delete(ctx context.Context, key string) error {
	if err := b.checkKey("DeleteObject", key); err != nil {
		return err
	}
	_, err := b.call(ctx, "DeleteObject", key, func(ctx context.Context) error {
		_, err := b.c.s3.DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: &b.name, Key: &key})
		return err
	})
	var e *Error
	if errors.As(err, &e) && e.Code == "NoSuchKey" {
		return nil
	}
	return err
}

// DeleteMany implements Store.
func (b *bucket) DeleteMany(ctx context.Context, keys []string) ([]*Error, error) {
	const op = "DeleteObjects"
	if len(keys) > MaxDeleteKeys {
		return nil, b.fail(op, "", KindInvalid, fmt.Errorf("%d keys, the limit is %d", len(keys), MaxDeleteKeys))
	}
	var failed []*Error
	var ids []types.ObjectIdentifier
	for _, key := range keys {
		if err := b.checkKey(op, key); err != nil {
			return nil, err
		}
		if inXML(key) {
			ids = append(ids, types.ObjectIdentifier{Key: aws.String(key)})
			continue
		}
		// XML 1.0 cannot say this key; the SDK would put U+FFFD for what it
		// can't, and delete another one.
		if err := b.Delete(ctx, key); err != nil {
			var e *Error
			if !errors.As(err, &e) || e.Kind == KindCancelled {
				return failed, err
			}
			failed = append(failed, e)
		}
	}
	if len(ids) == 0 {
		return failed, nil
	}
	_, err := b.call(ctx, op, "", func(ctx context.Context) error {
		out, err := b.c.s3.DeleteObjects(ctx, &s3.DeleteObjectsInput{
			Bucket: &b.name, Delete: &types.Delete{Objects: ids, Quiet: aws.Bool(true)},
		})
		if err != nil {
			return err
		}
		for _, e := range out.Errors {
			code := aws.ToString(e.Code)
			if code == "NoSuchKey" {
				continue
			}
			failed = append(failed, &Error{
				Kind: kindOf(0, code), Op: op, Bucket: b.name, Key: aws.ToString(e.Key), Code: code,
				Message: aws.ToString(e.Message), RequestID: header(out.ResultMetadata).Get("X-Amz-Request-Id"),
			})
		}
		return nil
	})
	return failed, err
}

// inXML reports whether XML 1.0 can hold s unchanged: its Char production has
// no control characters but tab, line feed and carriage return, and the SDK
// escapes those three.
func inXML(s string) bool {
	for _, r := range s {
		if r < 0x20 && r != '\t' && r != '\n' && r != '\r' || r == 0xFFFE || r == 0xFFFF {
			return false
		}
	}
	return true
}

// fail returns an error of ours, made before anything was sent or after the
// server had no objection.
func (b *bucket) fail(op, key string, kind Kind, err error) error {
	return &Error{Kind: kind, Op: op, Bucket: b.name, Key: key, Err: err}
}

// checkKey refuses keys that RGW refuses (400 with differing codes), or that
// would address the bucket.
func (b *bucket) checkKey(op, key string) error {
	switch {
	case key == "":
		return b.fail(op, key, KindInvalidName, errors.New("the key is empty"))
	case len(key) > MaxKeyLength:
		return b.fail(op, key, KindNameTooLong, fmt.Errorf("the key has %d bytes, the limit is %d", len(key), MaxKeyLength))
	case !utf8.ValidString(key):
		return b.fail(op, key, KindInvalidName, errors.New("the key is not UTF-8"))
	case strings.IndexByte(key, 0) >= 0:
		return b.fail(op, key, KindInvalidName, errors.New("the key holds a NUL"))
	}
	return nil
}

func (b *bucket) checkWrite(op, key string, a *Attributes, c *Conditions) error {
	if err := b.checkKey(op, key); err != nil {
		return err
	}
	if c.IfNoneMatch && c.IfMatch != "" {
		return b.fail(op, key, KindInvalid, errors.New("both conditions are set"))
	}
	return b.checkAttributes(op, key, a)
}

// checkAttributes refuses what an HTTP header cannot carry, or not unchanged.
func (b *bucket) checkAttributes(op, key string, a *Attributes) error {
	for name, value := range a.Metadata {
		if name == "" || strings.Trim(name, "abcdefghijklmnopqrstuvwxyz0123456789-") != "" {
			return b.fail(op, key, KindInvalid, fmt.Errorf("metadata name %q is not of [a-z0-9-]", name))
		}
		if !headerValue(value) {
			return b.fail(op, key, KindInvalid, fmt.Errorf("the value of metadata %q is not printable ASCII without spaces at its ends", name))
		}
	}
	if !headerValue(a.ContentType) || !headerValue(a.StorageClass) {
		return b.fail(op, key, KindInvalid, errors.New("the content type or storage class is not printable ASCII"))
	}
	return nil
}

func headerValue(s string) bool {
	for i := 0; i < len(s); i++ {
		if s[i] < 0x20 || s[i] > 0x7e {
			return false
		}
	}
	return strings.TrimSpace(s) == s
}

// known makes sure that metadata which is known is not nil.
func known(m map[string]string) map[string]string {
	c := make(map[string]string, len(m))
	for k, v := range m {
		c[k] = v
	}
	return c
}

func optional(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

// quoted is for reads, whose conditions every server takes as RFC 9110 has them.
func quoted(etag string) *string {
	if etag == "" {
		return nil
	}
	q := `"` + etag + `"`
	return &q
}

// header returns the header of the answer that an output was made of.
func header(m middleware.Metadata) http.Header {
	if r, ok := awsmiddleware.GetRawResponse(m).(*smithyhttp.Response); ok && r.Response != nil {
		return r.Header
	}
	return http.Header{}
}

// date returns the server's time of an answer, ours if it gave none.
func date(h http.Header) time.Time {
	if t, err := http.ParseTime(h.Get("Date")); err == nil {
		return t
	}
	return time.Now()
}
