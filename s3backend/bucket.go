package s3backend

import (
	"context"
	"encoding/xml"
	"fmt"
	"io"
	"net/http"
	"strconv"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/smithy-go"
	"github.com/aws/smithy-go/middleware"
	smithyhttp "github.com/aws/smithy-go/transport/http"
)

// ListBuckets implements Service.
func (c *Client) ListBuckets(ctx context.Context) ([]BucketInfo, error) {
	var buckets []BucketInfo
	_, err := c.call(ctx, "ListBuckets", "", "", func(ctx context.Context) error {
		out, err := c.s3.ListBuckets(ctx, &s3.ListBucketsInput{})
		if err != nil {
			return err
		}
		buckets = make([]BucketInfo, len(out.Buckets))
		for i, b := range out.Buckets {
			buckets[i] = BucketInfo{Name: aws.ToString(b.Name), Created: aws.ToTime(b.CreationDate)}
		}
		return nil
	})
	return buckets, err
}

// CreateBucket makes a bucket. KindExist if the name is taken; on RGW making
// one's own bucket again is no error.
func (c *Client) CreateBucket(ctx context.Context, name string) error {
	_, err := c.call(ctx, "CreateBucket", name, "", func(ctx context.Context) error {
		_, err := c.s3.CreateBucket(ctx, &s3.CreateBucketInput{Bucket: &name})
		return err
	})
	return err
}

// DeleteBucket removes a bucket. KindNotEmpty if it has objects.
func (c *Client) DeleteBucket(ctx context.Context, name string) error {
	_, err := c.call(ctx, "DeleteBucket", name, "", func(ctx context.Context) error {
		_, err := c.s3.DeleteBucket(ctx, &s3.DeleteBucketInput{Bucket: &name})
		return err
	})
	return err
}

// Usage implements Store from two extensions of RGW. HEAD of a bucket has
// X-RGW-* headers with its contents and quotas (rgw_rest_s3.cc,
// dump_bucket_metadata), since release 20 only if asked for by read-stats, and
// the owner's quotas only for the owner. GET /?usage has what the caller uses
// over all buckets. A server that has neither gives -1 throughout.
func (b *bucket) Usage(ctx context.Context) (Usage, error) {
	u := Usage{-1, -1, -1, -1, -1, -1, -1, -1}
	_, err := b.call(ctx, "HeadBucket", "", func(ctx context.Context) error {
		out, err := b.c.s3.HeadBucket(ctx, &s3.HeadBucketInput{Bucket: &b.name}, withQuery("read-stats", ""))
		if err != nil {
			return err
		}
		h := header(out.ResultMetadata)
		for name, p := range map[string]*int64{
			"X-Rgw-Bytes-Used":           &u.Bytes,
			"X-Rgw-Object-Count":         &u.Objects,
			"X-Rgw-Quota-Bucket-Size":    &u.BucketBytes,
			"X-Rgw-Quota-Bucket-Objects": &u.BucketCount,
			"X-Rgw-Quota-User-Size":      &u.UserBytes,
			"X-Rgw-Quota-User-Objects":   &u.UserCount,
		} {
			*p = limit(h, name)
		}
		return nil
	})
	if err != nil {
		return Usage{}, err
	}
	b.userUsage(ctx, &u)
	return u, nil
}

// limit returns a number of a header, -1 if it has none or a negative one.
func limit(h http.Header, name string) int64 {
	n, err := strconv.ParseInt(h.Get(name), 10, 64)
	if err != nil || n < 0 {
		return -1
	}
	return n
}

// usageXML is the answer to GET /?usage (rgw_rest_s3.cc,
// RGWGetUsage_ObjStore_S3::send_response).
type usageXML struct {
	Summary struct {
		QuotaMaxBytes    *int64
		QuotaMaxObjCount *int64
		// RGW has these two the wrong way round, in every release to 20.
		BucketBytes   *int64 `xml:"QuotaMaxObjCountPerBucket"`
		BucketObjects *int64 `xml:"QuotaMaxBytesPerBucket"`
		TotalBytes    *int64
		TotalEntries  *int64
	}
}

// userUsage fills in what the owner uses and the quotas that the bucket's
// headers leave out. It is an extra: a server that does not have it, or does
// not allow it, costs nothing but the knowledge, so failures end here (call has
// logged them).
func (b *bucket) userUsage(ctx context.Context, u *Usage) {
	var x usageXML
	_, err := b.c.call(ctx, "GetUsage", "", "", func(ctx context.Context) error {
		_, err := b.c.s3.ListBuckets(ctx, &s3.ListBucketsInput{}, withQuery("usage", ""), decodeXML(&x, &s3.ListBucketsOutput{}))
		return err
	})
	if err != nil {
		return
	}
	fill := func(p *int64, v *int64) {
		if *p < 0 && v != nil && *v >= 0 {
			*p = *v
		}
	}
	s := &x.Summary
	fill(&u.UserBytesUsed, s.TotalBytes)
	fill(&u.UserCountUsed, s.TotalEntries)
	fill(&u.UserBytes, s.QuotaMaxBytes)
	fill(&u.UserCount, s.QuotaMaxObjCount)
	fill(&u.BucketBytes, s.BucketBytes)
	fill(&u.BucketCount, s.BucketObjects)
}

// decodeXML decodes a good answer into v instead of the operation's own output.
func decodeXML(v, output any) func(*s3.Options) {
	return func(o *s3.Options) {
		o.APIOptions = append(o.APIOptions, func(stack *middleware.Stack) error {
			d := &xmlDecoder{into: v, output: output}
			sdk, err := stack.Deserialize.Swap(d.ID(), d)
			d.sdk = sdk
			return err
		})
	}
}

type xmlDecoder struct {
	into, output any
	sdk          middleware.DeserializeMiddleware
}

func (*xmlDecoder) ID() string { return "OperationDeserializer" }

func (d *xmlDecoder) HandleDeserialize(ctx context.Context, in middleware.DeserializeInput, next middleware.DeserializeHandler) (
	middleware.DeserializeOutput, middleware.Metadata, error,
) {
	out, md, err := next.HandleDeserialize(ctx, in)
	resp, ok := out.RawResponse.(*smithyhttp.Response)
	if err != nil || !ok || resp.StatusCode != http.StatusOK {
		return d.sdk.HandleDeserialize(ctx, in, replay(out, md, err))
	}
	data, err := io.ReadAll(io.LimitReader(resp.Body, maxPage))
	_ = resp.Body.Close() // it has been read, or is broken, which err says
	if err == nil {
		err = xml.Unmarshal(data, d.into)
	}
	if err != nil {
		return out, md, &smithy.DeserializationError{Err: fmt.Errorf("the answer: %w", err)}
	}
	out.Result = d.output
	return out, md, nil
}

// replay is a handler that has been called already.
func replay(out middleware.DeserializeOutput, md middleware.Metadata, err error) middleware.DeserializeHandler {
	return middleware.DeserializeHandlerFunc(
		func(context.Context, middleware.DeserializeInput) (middleware.DeserializeOutput, middleware.Metadata, error) {
			return out, md, err
		})
}
