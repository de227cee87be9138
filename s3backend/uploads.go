package s3backend

import (
	"context"
	"errors"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/s3"
)

// ListMultiparts implements Store.
func (b *bucket) ListMultiparts(ctx context.Context, prefix string) ([]Upload, error) {
	const op = "ListMultipartUploads"
	var uploads []Upload
	var last uploadsPage
	for {
		var page uploadsPage
		// Not with encoding-type=url: RGW encodes then, but does not say so as
		// other servers do. Our decoder reads every key as it is.
		in := &s3.ListMultipartUploadsInput{
			Bucket: &b.name, Prefix: optional(prefix),
			KeyMarker: optional(last.nextKey), UploadIdMarker: optional(last.nextID),
		}
		_, err := b.call(ctx, op, prefix, func(ctx context.Context) error {
			_, err := b.c.s3.ListMultipartUploads(ctx, in, decode(&s3.ListMultipartUploadsOutput{}, func(data []byte) error {
				page = uploadsPage{}
				return page.scan(data)
			}))
			return err
		})
		if err != nil {
			return nil, err
		}
		uploads = append(uploads, page.uploads...)
		if !page.truncated {
			return uploads, nil
		}
		if page.nextKey == "" || page.nextKey == last.nextKey && page.nextID == last.nextID {
			return nil, b.fail(op, prefix, KindOther, errors.New("a truncated listing that does not go on"))
		}
		last = page
	}
}

type uploadsPage struct {
	uploads         []Upload
	truncated       bool
	nextKey, nextID string
}

func (p *uploadsPage) scan(data []byte) error {
	var u Upload // gathers one Upload
	return walk(data, "ListMultipartUploadsResult", func(parent, name, text []byte) error {
		var err error
		if parent == nil {
			switch string(name) {
			case "Upload":
				p.uploads = append(p.uploads, u)
				u = Upload{}
			case "IsTruncated":
				p.truncated = string(text) == "true"
			case "NextKeyMarker":
				p.nextKey = string(text)
			case "NextUploadIdMarker":
				p.nextID = string(text)
			}
			return nil
		}
		if string(parent) != "Upload" {
			return nil
		}
		switch string(name) {
		case "Key":
			u.Key = string(text)
		case "UploadId":
			u.UploadID = string(text)
		case "Initiated":
			u.Initiated, err = time.Parse(time.RFC3339Nano, string(text))
		}
		return err
	})
}
