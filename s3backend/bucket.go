package s3backend

import (
	"context"
	"net/http"
	"strconv"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
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

// DeleteBucket implements Service.
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

// userUsage fills in what the owner uses and the quotas that the bucket's
// headers leave out, from GET /?usage (rgw_rest_s3.cc,
// RGWGetUsage_ObjStore_S3::send_response). It is an extra: a server that does
// not have it, or does not allow it, costs nothing but the knowledge, so
// failures end here (call has logged them).
func (b *bucket) userUsage(ctx context.Context, u *Usage) {
	fields := map[string]*int64{
		"TotalBytes":       &u.UserBytesUsed,
		"TotalEntries":     &u.UserCountUsed,
		"QuotaMaxBytes":    &u.UserBytes,
		"QuotaMaxObjCount": &u.UserCount,
		// RGW has these two the wrong way round, in every release to 20.
		"QuotaMaxObjCountPerBucket": &u.BucketBytes,
		"QuotaMaxBytesPerBucket":    &u.BucketCount,
	}
	found := map[*int64]int64{}
	scan := func(data []byte) error {
		return walk(data, "Usage", func(parent, name, text []byte) error {
			p, ok := fields[string(name)]
			if !ok || string(parent) != "Summary" {
				return nil
			}
			n, err := strconv.ParseInt(string(text), 10, 64)
			found[p] = n
			return err
		})
	}
	_, err := b.c.call(ctx, "GetUsage", "", "", func(ctx context.Context) error {
		_, err := b.c.s3.ListBuckets(ctx, &s3.ListBucketsInput{}, withQuery("usage", ""), decode(&s3.ListBucketsOutput{}, scan))
		return err
	})
	if err != nil {
		return
	}
	for p, n := range found {
		if *p < 0 && n >= 0 {
			*p = n
		}
	}
}
