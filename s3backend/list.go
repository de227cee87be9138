package s3backend

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
)

// List implements Store.
func (b *bucket) List(ctx context.Context, req ListRequest) (Page, error) {
	const op = "ListObjectsV2"
	if req.Delimiter != "" && req.Delimiter != "/" {
		return Page{}, b.fail(op, req.Prefix, KindInvalid, fmt.Errorf("delimiter %q", req.Delimiter))
	}
	in := &s3.ListObjectsV2Input{
		Bucket: &b.name, Prefix: optional(req.Prefix), Delimiter: optional(req.Delimiter),
		StartAfter: optional(req.StartAfter),
		// Without it a key with a control character is XML that nothing reads.
		EncodingType: types.EncodingTypeUrl,
	}
	if n := cmp.Or(req.MaxKeys, b.c.cfg.PageSize); n > 0 {
		in.MaxKeys = aws.Int32(int32(min(n, 1<<30)))
	}
	for {
		raw := &listing{}
		_, err := b.call(ctx, op, req.Prefix, func(ctx context.Context) error {
			_, err := b.c.s3.ListObjectsV2(ctx, in, decode(&s3.ListObjectsV2Output{}, func(data []byte) error {
				*raw = listing{} // an earlier attempt may have left something
				return raw.scan(data)
			}))
			return err
		})
		if err != nil {
			return Page{}, err
		}
		page, err := raw.page(req)
		if err != nil {
			return Page{}, b.fail(op, req.Prefix, KindCorrupt, err)
		}
		if !raw.truncated || len(page.Objects)+len(page.Prefixes) > 0 {
			return page, nil
		}
		// A page may hold nothing and yet not be the last, if all that it had
		// is what StartAfter excludes. Only the token leads on from there.
		if raw.token == "" || raw.token == aws.ToString(in.ContinuationToken) {
			return Page{}, b.fail(op, req.Prefix, KindOther, errors.New("a truncated listing that does not go on"))
		}
		in.ContinuationToken = aws.String(raw.token)
	}
}

// page turns a listing into what List returns.
func (l *listing) page(req ListRequest) (Page, error) {
	p := Page{Objects: l.objects}
	if l.encoded {
		for i := range p.Objects {
			key, err := unescape(p.Objects[i].Key)
			if err != nil {
				return Page{}, err
			}
			p.Objects[i].Key = key
		}
	}
	for _, prefix := range l.prefixes {
		if l.encoded {
			var err error
			if prefix, err = unescape(prefix); err != nil {
				return Page{}, err
			}
		}
		// RGW goes on after everything below a StartAfter that is a common
		// prefix; others name it again, since keys below it do come after.
		if prefix <= req.StartAfter {
			continue
		}
		p.Prefixes = append(p.Prefixes, prefix)
	}
	if !l.truncated {
		return p, nil
	}
	// The last entry, not the token, which only on RGW is a key.
	if n := len(p.Objects); n > 0 {
		p.Next = p.Objects[n-1].Key
	}
	if n := len(p.Prefixes); n > 0 && p.Prefixes[n-1] > p.Next {
		p.Next = p.Prefixes[n-1]
	}
	return p, nil
}

// unescape decodes encoding-type=url. Most keys need nothing.
func unescape(s string) (string, error) {
	if strings.IndexByte(s, '%') < 0 && strings.IndexByte(s, '+') < 0 {
		return s, nil
	}
	return url.QueryUnescape(s)
}
