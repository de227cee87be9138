package cache

import (
	"context"
	"crypto/md5"
	"encoding/hex"
	"errors"
	"fmt"
	"io"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sync/semaphore"

	"rgwfs/s3backend"
)

// complete ends a multipart upload, and verifies that what the server made of
// it is what was sent.
func complete(ctx context.Context, up uploader, key, uploadID string, parts []s3backend.Part, size int64, cond s3backend.Conditions) (s3backend.Object, error) {
	if cond.IfNoneMatch {
		// RGW before 20.2 ignores the condition here (measured on 16.2 and
		// 18.2), so it is checked first as well as sent.
		obj, err := up.Head(ctx, key)
		if err == nil {
			if want, ok := compositeETag(parts); ok && obj.ETag == want && obj.Size == size {
				// This very upload, completed by an earlier commit which was
				// not told so.
				return obj, nil
			}
			return s3backend.Object{}, &s3backend.Error{Kind: s3backend.KindExist, Op: "CompleteMultipartUpload", Key: key}
		}
		if !s3backend.IsNotExist(err) {
			return s3backend.Object{}, err
		}
	}
	obj, err := up.CompleteMultipart(ctx, s3backend.CompleteMultipartRequest{Key: key, UploadID: uploadID, Parts: parts, Conditions: cond})
	if err != nil {
		return s3backend.Object{}, err
	}
	if want, ok := compositeETag(parts); ok && obj.ETag == want {
		obj.Size = size
		return obj, nil
	}
	// The ETag says nothing here (some servers encrypt, and make their own):
	// the size must do.
	got, err := up.Head(ctx, key)
	if err != nil {
		return s3backend.Object{}, err
	}
	if got.Size != size {
		return s3backend.Object{}, &s3backend.Error{Kind: s3backend.KindCorrupt, Op: "CompleteMultipartUpload", Key: key,
			Err: fmt.Errorf("the server has %d bytes of %d", got.Size, size)}
	}
	return got, nil
}

// compositeETag returns the ETag that S3 gives an object made of the parts:
// the MD5 of their binary MD5s, and their count. ok is false if a part's ETag
// is no MD5.
func compositeETag(parts []s3backend.Part) (etag string, ok bool) {
	h := md5.New()
	for _, p := range parts {
		sum, err := hex.DecodeString(p.ETag)
		if err != nil || len(sum) != md5.Size {
			return "", false
		}
		h.Write(sum)
	}
	return fmt.Sprintf("%x-%d", h.Sum(nil), len(parts)), true
}

// piece is one part of a commit: copied on the server from the base, or sent.
type piece struct {
	number int
	span
	copy bool
}

// plan cuts a staged file into the parts of its commit. A part that the
// changes don't touch is copied.
func (s *staged) plan(partBase int64) []piece {
	out := pieces(s.size, partBase)
	for i := range out {
		out[i].copy = !s.touched(out[i].span)
	}
	return out
}

// pieces cuts size bytes into parts of the ladder that begins with partBase.
func pieces(size, partBase int64) []piece {
	var out []piece
	for off, n := int64(0), 1; off < size; n++ {
		sp := span{off, min(off+partSize(partBase, n), size)}
		out = append(out, piece{number: n, span: sp})
		off = sp.end
	}
	return out
}

// stagedCommit makes an object of a staged file.
type stagedCommit struct {
	up       uploader
	uploads  *semaphore.Weighted
	partBase int64
	key      string
	baseETag string
	attrs    s3backend.Attributes
	cond     s3backend.Conditions
	trying   func(etag string) // told the ETag of the object before it is made
}

// run sends the staged file: whole if it is small, else in parts of which the
// untouched ones are copied on the server. base may be nil if none shows.
func (c *stagedCommit) run(ctx context.Context, s *staged, base *reader) (s3backend.Object, error) {
	if err := s.extend(); err != nil {
		return s3backend.Object{}, err
	}
	if s.size <= c.partBase {
		if err := s.fill(ctx, base, span{0, s.size}); err != nil {
			return s3backend.Object{}, err
		}
		cond := c.cond
		if c.baseETag != "" {
			// All of it may be here, so that no read of the base has noticed
			// that somebody else replaced it.
			cond = s3backend.Conditions{IfMatch: c.baseETag}
		}
		obj, err := c.up.Put(ctx, s3backend.PutRequest{Key: c.key, Body: io.NewSectionReader(s.file, 0, s.size), Size: s.size,
			Attributes: c.attrs, Conditions: cond})
		if err != nil {
			h := md5.New()
			if _, herr := io.Copy(h, io.NewSectionReader(s.file, 0, s.size)); herr != nil {
				return obj, errors.Join(err, localError("read", herr))
			}
			c.trying(hex.EncodeToString(h.Sum(nil)))
		}
		return obj, err
	}
	pieces := s.plan(c.partBase)
	if err := c.checkBase(ctx); err != nil {
		return s3backend.Object{}, err
	}
	return inUpload(ctx, c.up, c.key, c.attrs, func(id string) (s3backend.Object, error) {
		return c.parts(ctx, s, base, id, pieces)
	})
}

// inUpload begins a multipart upload, which fill completes, and aborts it if
// that fails.
func inUpload(ctx context.Context, up uploader, key string, attrs s3backend.Attributes, fill func(id string) (s3backend.Object, error)) (s3backend.Object, error) {
	id, err := up.CreateMultipart(ctx, s3backend.CreateMultipartRequest{Key: key, Attributes: attrs})
	if err != nil {
		return s3backend.Object{}, err
	}
	obj, err := fill(id)
	if err != nil {
		if aerr := up.AbortMultipart(ctx, key, id); aerr != nil {
			err = fmt.Errorf("%w (and its upload %s could not be aborted: %v)", err, id, aerr)
		}
		return s3backend.Object{}, err
	}
	return obj, nil
}

func (c *stagedCommit) parts(ctx context.Context, s *staged, base *reader, id string, pieces []piece) (s3backend.Object, error) {
	parts := make([]s3backend.Part, len(pieces))
	g, gctx := errgroup.WithContext(ctx)
	for i, p := range pieces {
		g.Go(func() error {
			if c.uploads.Acquire(gctx, 1) != nil {
				return cancelled(gctx)
			}
			defer c.uploads.Release(1)
			var err error
			if p.copy {
				parts[i], err = c.up.CopyPart(gctx, s3backend.CopyPartRequest{Key: c.key, UploadID: id, Number: p.number,
					SourceKey: c.key, SourceIfMatch: c.baseETag, Offset: p.off, Length: p.len()})
				if err == nil || s3backend.KindOf(err) != s3backend.KindUnsupported {
					return err
				}
				// A key that this gateway can't copy parts of: through here.
			}
			if err := s.fill(gctx, base, p.span); err != nil {
				return err
			}
			parts[i], err = c.up.UploadPart(gctx, s3backend.UploadPartRequest{Key: c.key, UploadID: id, Number: p.number,
				Body: io.NewSectionReader(s.file, p.off, p.len()), Size: p.len()})
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return s3backend.Object{}, err
	}
	if err := c.checkBase(ctx); err != nil {
		return s3backend.Object{}, err
	}
	if etag, ok := compositeETag(parts); ok {
		c.trying(etag)
	}
	return complete(ctx, c.up, c.key, id, parts, s.size, c.cond)
}

// checkBase verifies that the base is still there. RGW 16.2 ignores
// x-amz-copy-source-if-match (measured), so the source is looked at before the
// first copy and after the last: an ETag that is the same both times was there
// in between.
func (c *stagedCommit) checkBase(ctx context.Context) error {
	if c.baseETag == "" {
		return nil
	}
	obj, err := c.up.Head(ctx, c.key)
	if err != nil && !s3backend.IsNotExist(err) {
		return err
	}
	if err != nil || obj.ETag != c.baseETag {
		return &s3backend.Error{Kind: s3backend.KindChanged, Op: "commit", Key: c.key,
			Err: fmt.Errorf("somebody else replaced or removed the object that was being modified")}
	}
	return nil
}
