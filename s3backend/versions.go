package s3backend

import (
	"context"
	"errors"
	"strconv"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
)

// Version is one generation of a key in a versioned bucket.
type Version struct {
	Object              // Metadata and ContentType unknown
	ID           string // "null" for what was stored while versioning was off
	Latest       bool
	DeleteMarker bool // a removal: there is no object
}

// VersionsRequest asks for one page of versions.
type VersionsRequest struct {
	Bucket, Prefix    string
	Delimiter         string // "" or "/"
	AfterKey, AfterID string // NextKey and NextID of the page before
	MaxKeys           int    // 0 = as many as the server gives
}

// VersionsPage is one page of versions: by key in byte order, the newest of a
// key first.
type VersionsPage struct {
	Versions        []Version
	Prefixes        []string
	NextKey, NextID string // "" if this is the last page
	truncated       bool
}

// ListVersions returns one page of versions. A bucket that was never versioned
// has one of each object. (S3 ListObjectVersions)
func (c *Client) ListVersions(ctx context.Context, req VersionsRequest) (VersionsPage, error) {
	const op = "ListObjectVersions"
	in := &s3.ListObjectVersionsInput{
		Bucket: &req.Bucket, Prefix: optional(req.Prefix), Delimiter: optional(req.Delimiter),
		KeyMarker: optional(req.AfterKey), VersionIdMarker: optional(req.AfterID),
	}
	if req.MaxKeys > 0 {
		in.MaxKeys = aws.Int32(int32(min(req.MaxKeys, 1<<30)))
	}
	var page VersionsPage
	_, err := c.call(ctx, op, req.Bucket, req.Prefix, func(ctx context.Context) error {
		_, err := c.s3.ListObjectVersions(ctx, in, decode(&s3.ListObjectVersionsOutput{}, func(data []byte) error {
			page = VersionsPage{}
			return page.scan(data)
		}))
		return err
	})
	if err != nil {
		return VersionsPage{}, err
	}
	if !page.truncated {
		page.NextKey, page.NextID = "", ""
	} else if page.NextKey == "" || page.NextKey == req.AfterKey && page.NextID == req.AfterID {
		return VersionsPage{}, c.at(req.Bucket).fail(op, req.Prefix, KindOther, errors.New("a truncated listing that does not go on"))
	}
	return page, nil
}

func (p *VersionsPage) scan(data []byte) error {
	var v Version // gathers one
	return walk(data, "ListVersionsResult", func(parent, name, text []byte) error {
		var err error
		switch string(parent) {
		case "":
			switch string(name) {
			case "Version", "DeleteMarker":
				v.DeleteMarker = string(name) == "DeleteMarker"
				p.Versions = append(p.Versions, v)
				v = Version{}
			case "IsTruncated":
				p.truncated = string(text) == "true"
			case "NextKeyMarker":
				p.NextKey = string(text)
			case "NextVersionIdMarker":
				p.NextID = string(text)
			}
		case "CommonPrefixes":
			if string(name) == "Prefix" {
				p.Prefixes = append(p.Prefixes, string(text))
			}
		case "Version", "DeleteMarker":
			switch string(name) {
			case "Key":
				v.Key = string(text)
			case "VersionId":
				v.ID = string(text)
			case "IsLatest":
				v.Latest = string(text) == "true"
			case "LastModified":
				v.LastModified, err = time.Parse(time.RFC3339Nano, string(text))
			case "ETag":
				v.ETag = unquote(string(text))
			case "Size":
				v.Size, err = strconv.ParseInt(string(text), 10, 64)
			case "StorageClass":
				v.StorageClass = string(text)
			}
		}
		return err
	})
}

// RestoreVersion makes a version the current one again, by a copy of it on the
// server: the versions in between stay. The returned Object has Key, ETag and
// LastModified. KindTooLarge for versions over MaxCopySize.
func (c *Client) RestoreVersion(ctx context.Context, bucket, key, version string) (Object, error) {
	const op = "CopyObject"
	b := c.at(bucket)
	if err := b.checkKey(op, key); err != nil {
		return Object{}, err
	}
	if version == "" {
		return Object{}, b.fail(op, key, KindInvalid, errors.New("no version is named"))
	}
	if c.ring.encrypts() {
		return c.restoreEncrypted(ctx, bucket, key, version)
	}
	obj := Object{Key: key}
	_, err := c.call(ctx, op, bucket, key, func(ctx context.Context) error {
		out, err := c.s3.CopyObject(ctx, &s3.CopyObjectInput{
			Bucket: &bucket, Key: &key, MetadataDirective: types.MetadataDirectiveCopy,
			CopySource: aws.String(b.copySource("", key) + "?versionId=" + escapeKey(version)),
			ACL:        types.ObjectCannedACL(c.cfg.ACL),
		})
		if err != nil {
			return err
		}
		if out.CopyObjectResult != nil {
			obj.ETag = unquote(aws.ToString(out.CopyObjectResult.ETag))
			obj.LastModified = aws.ToTime(out.CopyObjectResult.LastModified)
		}
		if obj.ETag == "" {
			return b.fail(op, key, KindUnavailable, errNoETag)
		}
		return nil
	})
	if err != nil {
		return Object{}, err
	}
	return obj, nil
}

// DeleteVersion removes one version, or a delete marker, for good.
func (c *Client) DeleteVersion(ctx context.Context, bucket, key, version string) error {
	const op = "DeleteObject"
	if err := c.at(bucket).checkKey(op, key); err != nil {
		return err
	}
	_, err := c.call(ctx, op, bucket, key, func(ctx context.Context) error {
		_, err := c.s3.DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: &bucket, Key: &key, VersionId: &version})
		return err
	})
	return err
}
