package s3backend

import (
	"context"
	"errors"
	"io"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/smithy-go/middleware"
	smithyhttp "github.com/aws/smithy-go/transport/http"
	lru "github.com/hashicorp/golang-lru/v2"
	"golang.org/x/sync/errgroup"
)

// pastVersions is how many keys' versions are remembered: at about 200 bytes
// each they take 13 MB.
const pastVersions = 1 << 16

// AsOf returns the account as it was at a time, read-only: every change is
// KindReadOnly. Of a bucket that was not versioned then, what has been replaced
// or removed since is not there.
func (c *Client) AsOf(when time.Time) Service {
	d := *c
	d.options.APIOptions = append(slices.Clip(d.options.APIOptions), addVersion)
	d.s3 = s3.New(d.options)
	return &pastAccount{c: &d, when: when}
}

type pastAccount struct {
	c    *Client
	when time.Time
}

// ListBuckets implements Service, without those made later.
func (a *pastAccount) ListBuckets(ctx context.Context) ([]BucketInfo, error) {
	buckets, err := a.c.ListBuckets(ctx)
	return slices.DeleteFunc(buckets, func(b BucketInfo) bool { return b.Created.After(a.when) }), err
}

// Bucket implements Service.
func (a *pastAccount) Bucket(name string) Store {
	// New fails for sizes below 1 only.
	known, _ := lru.New[string, string](pastVersions)
	return &past{Store: a.c.Bucket(name), c: a.c, when: a.when, known: known}
}

// CreateBucket implements Service.
func (a *pastAccount) CreateBucket(_ context.Context, req NewBucket) error {
	return a.c.at(req.Name).fail("CreateBucket", "", KindReadOnly, errPast)
}

// DeleteBucket implements Service.
func (a *pastAccount) DeleteBucket(_ context.Context, name string) error {
	return a.c.at(name).fail("DeleteBucket", "", KindReadOnly, errPast)
}

var errPast = errors.New("the past can't be changed")

// versionKey is the context's key for the version that a HEAD or GET is to
// read; the context goes with all requests that resume a body.
type versionKey struct{}

// addVersion adds the versionId of the context to a request's query.
func addVersion(stack *middleware.Stack) error {
	return stack.Build.Add(middleware.BuildMiddlewareFunc("rgwfs:version",
		func(ctx context.Context, in middleware.BuildInput, next middleware.BuildHandler) (middleware.BuildOutput, middleware.Metadata, error) {
			req, ok := in.Request.(*smithyhttp.Request)
			if id, asked := ctx.Value(versionKey{}).(string); ok && asked {
				q := req.URL.Query()
				q.Set("versionId", id)
				req.URL.RawQuery = q.Encode()
			}
			return next.HandleBuild(ctx, in)
		}), middleware.After)
}

// past is a bucket as it was. What it embeds serves Name and Usage; Usage is
// of today.
type past struct {
	Store
	c     *Client
	when  time.Time
	known *lru.Cache[string, string] // version ids, by key: the past does not change
}

// version returns the version that a key had.
func (p *past) version(ctx context.Context, op, key string) (string, error) {
	if id, ok := p.known.Get(key); ok {
		return id, nil
	}
	absent := p.c.at(p.Name()).fail(op, key, KindNotExist, errors.New("it was not there at that time"))
	req := VersionsRequest{Bucket: p.Name(), Prefix: key}
	for {
		page, err := p.c.ListVersions(ctx, req)
		if err != nil {
			return "", err
		}
		for _, v := range page.Versions {
			switch {
			case v.Key != key:
				return "", absent
			case v.LastModified.After(p.when):
			case v.DeleteMarker:
				return "", absent
			default:
				p.known.Add(key, v.ID)
				return v.ID, nil
			}
		}
		if page.NextKey == "" {
			return "", absent
		}
		req.AfterKey, req.AfterID = page.NextKey, page.NextID
	}
}

// Head implements Store.
func (p *past) Head(ctx context.Context, key string) (Object, error) {
	id, err := p.version(ctx, "HeadObject", key)
	if err != nil {
		return Object{}, err
	}
	return p.Store.Head(context.WithValue(ctx, versionKey{}, id), key)
}

// Get implements Store.
func (p *past) Get(ctx context.Context, req GetRequest) (Object, io.ReadCloser, error) {
	id, err := p.version(ctx, "GetObject", req.Key)
	if err != nil {
		return Object{}, nil, err
	}
	return p.Store.Get(context.WithValue(ctx, versionKey{}, id), req)
}

// List implements Store, from listings of versions. A page has whatever of the
// past one or more of those pages have.
func (p *past) List(ctx context.Context, req ListRequest) (Page, error) {
	var page Page
	var decided string // the key whose version of that time is known
	ask := VersionsRequest{Bucket: p.Name(), Prefix: req.Prefix, Delimiter: req.Delimiter, AfterKey: req.StartAfter, MaxKeys: req.MaxKeys}
	var prefixes []string
	last := ""
	for {
		versions, err := p.c.ListVersions(ctx, ask)
		if err != nil {
			return Page{}, err
		}
		for _, v := range versions.Versions {
			last = max(last, v.Key)
			if v.Key <= req.StartAfter || v.Key == decided || v.LastModified.After(p.when) {
				continue
			}
			decided = v.Key
			if !v.DeleteMarker {
				p.known.Add(v.Key, v.ID)
				page.Objects = append(page.Objects, v.Object)
			}
		}
		for _, prefix := range versions.Prefixes {
			last = max(last, prefix)
			if prefix > req.StartAfter && !slices.Contains(prefixes, prefix) {
				prefixes = append(prefixes, prefix)
			}
		}
		if versions.NextKey == "" {
			last = ""
			break
		}
		// Not in the middle of a key whose version is still to come.
		if len(page.Objects)+len(prefixes) > 0 && (last == decided || slices.Contains(prefixes, last)) {
			break
		}
		ask.AfterKey, ask.AfterID = versions.NextKey, versions.NextID
	}
	page.Next = last
	var err error
	page.Prefixes, err = p.alive(ctx, prefixes)
	return page, err
}

// alive returns those of the prefixes that had an object below.
func (p *past) alive(ctx context.Context, prefixes []string) ([]string, error) {
	had := make([]bool, len(prefixes))
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(16)
	for i, prefix := range prefixes {
		g.Go(func() error {
			page, err := p.List(gctx, ListRequest{Prefix: prefix})
			had[i] = len(page.Objects) > 0
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	var alive []string
	for i, prefix := range prefixes {
		if had[i] {
			alive = append(alive, prefix)
		}
	}
	return alive, nil
}

func (p *past) refuse(op, key string) error {
	return p.c.at(p.Name()).fail(op, key, KindReadOnly, errPast)
}

// Put implements Store.
func (p *past) Put(_ context.Context, req PutRequest) (Object, error) {
	return Object{}, p.refuse("PutObject", req.Key)
}

// Copy implements Store.
func (p *past) Copy(_ context.Context, req CopyRequest) (Object, error) {
	return Object{}, p.refuse("CopyObject", req.Key)
}

// Delete implements Store.
func (p *past) Delete(_ context.Context, key string) error { return p.refuse("DeleteObject", key) }

// DeleteMany implements Store.
func (p *past) DeleteMany(context.Context, []string) ([]*Error, error) {
	return nil, p.refuse("DeleteObjects", "")
}

// CreateMultipart implements Store.
func (p *past) CreateMultipart(_ context.Context, req CreateMultipartRequest) (string, error) {
	return "", p.refuse("CreateMultipartUpload", req.Key)
}

// UploadPart implements Store.
func (p *past) UploadPart(_ context.Context, req UploadPartRequest) (Part, error) {
	return Part{}, p.refuse("UploadPart", req.Key)
}

// CopyPart implements Store.
func (p *past) CopyPart(_ context.Context, req CopyPartRequest) (Part, error) {
	return Part{}, p.refuse("UploadPartCopy", req.Key)
}

// CompleteMultipart implements Store.
func (p *past) CompleteMultipart(_ context.Context, req CompleteMultipartRequest) (Object, error) {
	return Object{}, p.refuse("CompleteMultipartUpload", req.Key)
}

// AbortMultipart implements Store.
func (p *past) AbortMultipart(_ context.Context, key, _ string) error {
	return p.refuse("AbortMultipartUpload", key)
}

// ListMultiparts implements Store: what is unfinished is of today.
func (p *past) ListMultiparts(context.Context, string) ([]Upload, error) { return nil, nil }
