package main

import (
	"context"
	"errors"
	"time"

	"rgwfs/s3backend"
)

func urlSpec() toolSpec {
	return toolSpec{
		name: "url", synopsis: "rgwfs url [--expires TIME] [--put] [--unsigned] [--version ID] PATH", summary: "a URL by which others can fetch or store one object",
		about: "Whoever has the URL has your right to this object until it expires. It is made without a request.",
		least: 1, most: 1,
		setup: func(t *tool) func(context.Context, []string) error {
			expires := t.flags.Duration("expires", time.Hour, "how long it works, at most 168h")
			put := t.flags.Bool("put", false, "to store the object (HTTP PUT), not to fetch it")
			unsigned := t.flags.Bool("unsigned", false, "without signature: for what everybody may read")
			version := t.flags.String("version", "", "`ID` of a version")
			force := t.flags.Bool("force", false, "also if the access key is a token: the URL then gives the password away")
			return func(ctx context.Context, operands []string) error {
				l, err := t.open(ctx, operands[0])
				if err != nil {
					return err
				}
				if l.bucket == "" || l.key == "" {
					return usageError("url", "%s is no object", operands[0])
				}
				if *unsigned {
					return t.plainURL(ctx, l, *version, *put)
				}
				url, err := t.client.SignURL(ctx, s3backend.URLRequest{
					Bucket: l.bucket, Key: l.key, Put: *put, Version: *version, Expires: *expires, AllowToken: *force,
				})
				if errors.Is(err, s3backend.ErrTokenInURL) {
					return fail("%v: make the object public (`rgwfs acl set`) and use --unsigned, use ordinary keys, or give --force", s3backend.ErrTokenInURL)
				}
				if err != nil && s3backend.KindOf(err) == s3backend.KindInvalid {
					return usageError("url", "%v", errors.Unwrap(err))
				}
				if err != nil {
					return t.explain(l, err)
				}
				if t.json {
					return t.emit(map[string]any{"url": url, "expires": time.Now().Add(*expires).UTC().Truncate(time.Second)})
				}
				return t.printf("%s\n", url)
			}
		},
	}
}

// plainURL warns if the URL will not work.
func (t *tool) plainURL(ctx context.Context, l location, version string, put bool) error {
	if put {
		return usageError("url", "--put needs a signature: drop --unsigned")
	}
	url, err := t.client.PlainURL(l.bucket, l.key, version)
	if err != nil {
		return t.explain(l, err)
	}
	acl, err := t.client.ObjectACL(ctx, l.bucket, l.key, version)
	switch {
	case err == nil && !acl.Public():
		t.warn("%s is not public, so the URL works only if the bucket's policy allows it: `rgwfs acl set public-read %s`", l, l)
	case s3backend.IsNotExist(err):
		t.warn("%s: there is none yet", l)
	case err != nil:
		t.warn("whether %s is public can't be seen: %v", l, err)
	}
	if t.json {
		return t.emit(map[string]any{"url": url, "public": err == nil && acl.Public()})
	}
	return t.printf("%s\n", url)
}
