package s3backend

import (
	"context"
	"net/http"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
)

// ObjectInfo is everything that a server says of an object.
type ObjectInfo struct {
	Object
	Version string // "" in a bucket that was never versioned
	// Headers holds all other headers of the answer that describe the object,
	// by lower-case name: content-encoding, x-amz-server-side-encryption*,
	// x-amz-object-lock*, x-rgw-object-type and so on.
	Headers map[string]string
}

// notOfObject are the headers of an answer that describe the answer, or that
// ObjectInfo has fields for.
var notOfObject = map[string]struct{}{
	"accept-ranges": {}, "connection": {}, "date": {}, "server": {}, "keep-alive": {},
	"x-amz-request-id": {}, "x-amz-id-2": {}, "content-length": {}, "content-type": {}, "etag": {},
	"last-modified": {}, "x-amz-storage-class": {}, "x-amz-version-id": {},
}

// ObjectInfo returns what the server knows of an object, version "" being the
// current one.
func (c *Client) ObjectInfo(ctx context.Context, bucket, key, version string) (ObjectInfo, error) {
	const op = "HeadObject"
	if err := c.at(bucket).checkKey(op, key); err != nil {
		return ObjectInfo{}, err
	}
	var info ObjectInfo
	e := &encrypted{c.at(bucket), c.ring}
	_, err := e.open(ctx, op, key, func(ctx context.Context) error {
		_, err := c.call(ctx, op, bucket, key, func(ctx context.Context) error {
			out, err := c.s3.HeadObject(ctx, &s3.HeadObjectInput{Bucket: &bucket, Key: &key, VersionId: optional(version)})
			if err != nil {
				return err
			}
			info = ObjectInfo{
				Object: Object{
					Key: key, Size: aws.ToInt64(out.ContentLength), ETag: unquote(aws.ToString(out.ETag)),
					LastModified: aws.ToTime(out.LastModified), StorageClass: string(out.StorageClass),
					ContentType: aws.ToString(out.ContentType), Metadata: known(out.Metadata),
				},
				Version: aws.ToString(out.VersionId),
				Headers: describing(header(out.ResultMetadata)),
			}
			return nil
		})
		return err
	})
	return info, err
}

func describing(h http.Header) map[string]string {
	out := map[string]string{}
	for name, values := range h {
		name = strings.ToLower(name)
		if _, skip := notOfObject[name]; !skip && !strings.HasPrefix(name, "x-amz-meta-") {
			out[name] = strings.Join(values, ",")
		}
	}
	return out
}

// ObjectTags returns the tags of an object.
func (c *Client) ObjectTags(ctx context.Context, bucket, key, version string) (map[string]string, error) {
	tags := map[string]string{}
	_, err := c.call(ctx, "GetObjectTagging", bucket, key, func(ctx context.Context) error {
		out, err := c.s3.GetObjectTagging(ctx, &s3.GetObjectTaggingInput{Bucket: &bucket, Key: &key, VersionId: optional(version)})
		if err != nil {
			return err
		}
		for _, t := range out.TagSet {
			tags[aws.ToString(t.Key)] = aws.ToString(t.Value)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return tags, nil
}
