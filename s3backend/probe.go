package s3backend

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/smithy-go/middleware"
)

// Probe finds out how a server behaves towards one bucket. What it writes are
// objects of a scratch prefix that nobody else uses; Close removes them. It is
// not safe for concurrent use.
type Probe struct {
	c       *Client
	b       *bucket
	base    string
	scratch string
	wrote   bool
}

// NewProbe returns a Probe of a bucket, for keys below prefix ("" or ending in
// "/"). It makes no request. "bucket" may be "tenant:bucket".
func (c *Client) NewProbe(bucket, prefix string) *Probe {
	return &Probe{c: c, b: c.at(bucket), base: prefix, scratch: prefix + ".rgwfs-doctor-" + strings.ToLower(rand.Text()[:12]) + "/"}
}

// Scratch returns the prefix of all that the Probe writes.
func (p *Probe) Scratch() string { return p.scratch }

// Close removes what was written, also when ctx is cancelled: all versions of
// all objects, and uploads. Its error says what may be left.
func (p *Probe) Close(ctx context.Context) error {
	if !p.wrote {
		return nil
	}
	const patience = 30 * time.Second
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), patience)
	defer cancel()
	if err := p.clean(ctx); err != nil {
		return fmt.Errorf("objects below %s/%s may be left: %w", p.b.name, p.scratch, err)
	}
	return nil
}

func (p *Probe) clean(ctx context.Context) error {
	uploads, err := p.b.ListMultiparts(ctx, p.scratch)
	for _, u := range uploads {
		err = errors.Join(err, p.b.AbortMultipart(ctx, u.Key, u.UploadID))
	}
	for {
		page, lerr := p.b.List(ctx, ListRequest{Prefix: p.scratch})
		if lerr != nil {
			return errors.Join(err, lerr)
		}
		for _, o := range page.Objects {
			err = errors.Join(err, p.b.Delete(ctx, o.Key))
		}
		if page.Next == "" || err != nil {
			break
		}
	}
	// In a versioned bucket they are still there. Who may not list versions
	// has no such bucket, mostly.
	versions, verr := p.c.ListVersions(ctx, VersionsRequest{Bucket: p.b.name, Prefix: p.scratch})
	if verr != nil && KindOf(verr) != KindPermission && KindOf(verr) != KindUnsupported {
		return errors.Join(err, verr)
	}
	for _, v := range versions.Versions {
		err = errors.Join(err, p.c.DeleteVersion(ctx, p.b.name, v.Key, v.ID))
	}
	return err
}

// Right is one thing that credentials may or may not do.
type Right struct {
	Name string // "list", "get", "put", "delete", "multipart"
	// Err says why not; nil if it was done.
	Err error
	// Untried says why it is not known, "" if it is.
	Untried string
}

// Rights finds out what the credentials may do, as the Client is configured,
// with encryption too. Without write nothing is stored.
func (p *Probe) Rights(ctx context.Context, write bool) []Right {
	store := p.c.Bucket(p.b.name)
	page, lerr := store.List(ctx, ListRequest{Prefix: p.base, MaxKeys: 1})
	list, get := Right{Name: "list", Err: lerr}, Right{Name: "get"}
	put, del, parts := Right{Name: "put"}, Right{Name: "delete"}, Right{Name: "multipart"}
	key := ""
	if len(page.Objects) > 0 {
		key = page.Objects[0].Key
	}
	switch {
	case !write:
		put.Untried = "nothing is written"
		del.Untried, parts.Untried = put.Untried, put.Untried
	default:
		p.wrote = true
		own := p.scratch + "rights"
		if _, put.Err = store.Put(ctx, putOf(own, "rights")); put.Err != nil {
			del.Untried, parts.Untried = "nothing can be stored", "nothing can be stored"
			break
		}
		get.Err = readOne(ctx, store, own)
		key = ""
		// Before more is stored, so that little is left where it can't be removed.
		if del.Err = store.Delete(ctx, own); del.Err != nil {
			parts.Untried = "nothing can be removed"
			return []Right{list, get, put, del, parts}
		}
		parts.Err = p.multipart(ctx, store, p.scratch+"parts")
		if lerr != nil && parts.Err == nil {
			// Close could not find it.
			parts.Err = store.Delete(ctx, p.scratch+"parts")
			p.wrote = parts.Err != nil
		}
		return []Right{list, get, put, del, parts}
	}
	if key == "" {
		get.Untried = "there is no object to read"
	} else {
		get.Err = readOne(ctx, store, key)
	}
	return []Right{list, get, put, del, parts}
}

func putOf(key, text string) PutRequest {
	return PutRequest{Key: key, Body: strings.NewReader(text), Size: int64(len(text))}
}

// readOne reads a byte of an object.
func readOne(ctx context.Context, store Store, key string) error {
	_, body, err := store.Get(ctx, GetRequest{Key: key, Length: 1})
	if err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, body)
	return errors.Join(err, body.Close())
}

func (p *Probe) multipart(ctx context.Context, store Store, key string) error {
	id, err := store.CreateMultipart(ctx, CreateMultipartRequest{Key: key})
	if err != nil {
		return err
	}
	const text = "a part"
	part, err := store.UploadPart(ctx, UploadPartRequest{Key: key, UploadID: id, Number: 1, Body: strings.NewReader(text), Size: int64(len(text))})
	if err != nil {
		return err
	}
	_, err = store.CompleteMultipart(ctx, CompleteMultipartRequest{Key: key, UploadID: id, Parts: []Part{part}})
	return err
}

// Reads finds out what needs no right but to list.
func (p *Probe) Reads(ctx context.Context, f *Profile) error {
	f.Endpoint, f.Probed = p.c.Endpoint(), time.Now().UTC()
	// More than any server gives: it says what it does give.
	in := &s3.ListObjectsV2Input{Bucket: &p.b.name, Prefix: &p.scratch, MaxKeys: aws.Int32(1 << 20), EncodingType: types.EncodingTypeUrl}
	_, err := p.b.call(ctx, "ListObjectsV2", p.scratch, func(ctx context.Context) error {
		out, err := p.c.s3.ListObjectsV2(ctx, in, decode(&s3.ListObjectsV2Output{}, func(data []byte) error {
			var text string
			if err := walk(data, "ListBucketResult", textOf("MaxKeys", &text)); err != nil {
				return err
			}
			// Some say again what was asked for, which is no page's size.
			if n, err := strconv.Atoi(text); err == nil && n > 0 && n < 1<<20 {
				f.PageSize = n
			}
			return nil
		}))
		if err == nil {
			f.Server = header(out.ResultMetadata).Get("Server")
		}
		return err
	})
	if err != nil {
		return err
	}
	told := func(options ...func(*s3.Options)) (Fact, error) {
		var fact Fact
		_, err := p.b.call(ctx, "HeadBucket", "", func(ctx context.Context) error {
			out, err := p.c.s3.HeadBucket(ctx, &s3.HeadBucketInput{Bucket: &p.b.name}, options...)
			if err == nil {
				fact = factOf(header(out.ResultMetadata).Get("X-Rgw-Bytes-Used") != "")
			}
			return err
		})
		return fact, err
	}
	if f.ReadStats, err = told(withQuery("read-stats", "")); err == nil {
		f.StatsUnasked, err = told()
	}
	if err != nil && KindOf(err) == KindPermission {
		return nil // it then tells nothing
	}
	return err
}

// Signatures finds out which signatures the server verifies. Without write
// those of bodies are not tried, but those of other requests for data are.
func (p *Probe) Signatures(ctx context.Context, write bool, f *Profile) error {
	if p.c.cfg.NoSignRequest {
		return nil
	}
	for version, facts := range map[string][2]*Fact{SignatureV4: {&f.V4Names, &f.V4Data}, SignatureV2: {&f.V2Names, &f.V2Data}} {
		cfg := p.c.cfg
		cfg.Signature, cfg.UnsignedPayload = version, false
		c, err := New(ctx, cfg)
		var unusable *UnusableError
		if errors.As(err, &unusable) {
			continue // version 4 with a slash in the access key: it is not asked
		}
		if err != nil {
			return err
		}
		err = p.signature(ctx, c.at(p.b.name), version, write, facts, f)
		c.Close()
		if err != nil {
			return err
		}
	}
	return nil
}

func (p *Probe) signature(ctx context.Context, b *bucket, version string, write bool, facts [2]*Fact, f *Profile) error {
	_, err := b.List(ctx, ListRequest{Prefix: p.scratch, MaxKeys: 1})
	if *facts[0], err = verified(err); err != nil {
		return err
	}
	key := p.scratch + "signature"
	if !write {
		_, body, err := b.Get(ctx, GetRequest{Key: key, Length: 1})
		if err == nil {
			err = body.Close()
		}
		*facts[1], err = verified(err)
		return err
	}
	p.wrote = true
	send := func(options ...func(*s3.Options)) (Fact, error) {
		return verified(p.put(ctx, b, key, &s3.PutObjectInput{}, options...))
	}
	if *facts[1], err = send(unsignedPayload); err != nil || version != SignatureV4 {
		return err
	}
	f.SignedPayload, err = send(signedPayload)
	return err
}

// put stores a small object, plain, with what in says.
func (p *Probe) put(ctx context.Context, b *bucket, key string, in *s3.PutObjectInput, options ...func(*s3.Options)) error {
	const text = "rgwfs doctor"
	p.wrote = true
	in.Bucket, in.Key, in.Body, in.ContentLength = &b.name, &key, strings.NewReader(text), aws.Int64(int64(len(text)))
	_, err := b.call(ctx, "PutObject", key, func(ctx context.Context) error {
		_, err := b.c.s3.PutObject(ctx, in, options...)
		return err
	})
	return err
}

// signedPayload puts the body's hash into the signature, over https too.
func signedPayload(o *s3.Options) {
	o.APIOptions = append(o.APIOptions, func(stack *middleware.Stack) error {
		hash := &v4.ComputePayloadSHA256{}
		_, err := stack.Finalize.Swap(hash.ID(), hash)
		return err
	})
}

// verified tells from an answer whether a signature was verified. What it says
// beside that, such as that there is no such object or right, is no error here.
func verified(err error) (Fact, error) {
	var answer *Error
	switch {
	case err == nil:
		return Yes, nil
	case !errors.As(err, &answer) || answer.Status == 0 || answer.Status >= 500:
		return "", err
	case slices.Contains([]string{"SignatureDoesNotMatch", "XAmzContentSHA256Mismatch", "AuthorizationHeaderMalformed"}, answer.Code):
		return No, nil
	}
	switch answer.Status {
	case http.StatusNotFound, http.StatusPreconditionFailed, http.StatusConflict:
		return Yes, nil
	}
	return "", nil
}
