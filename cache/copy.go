package cache

import (
	"context"
	"io"

	"golang.org/x/sync/errgroup"

	"rgwfs/s3backend"
)

// copyPartSize is the first part size in bytes of the copy of a huge object.
const copyPartSize = 512 * mib

// copyObject copies the object that src describes to key, on the server.
// replace, if not nil, is what the copy carries instead of src's attributes.
func (b *Bucket) copyObject(ctx context.Context, src Attr, key string, replace *s3backend.Attributes) (s3backend.Object, error) {
	if src.Size <= b.c.maxCopy {
		return b.store.Copy(ctx, s3backend.CopyRequest{Key: key, SourceKey: src.Key, SourceIfMatch: src.ETag, Replace: replace})
	}
	if replace == nil {
		// CreateMultipartUpload copies no attributes: they are sent anew.
		obj, err := b.store.Head(ctx, src.Key)
		if err != nil {
			return s3backend.Object{}, err
		}
		if obj.ETag != src.ETag {
			return s3backend.Object{}, keyError(s3backend.KindChanged, "copy", b.Name(), src.Key)
		}
		replace = &s3backend.Attributes{Metadata: obj.Metadata, ContentType: obj.ContentType, StorageClass: obj.StorageClass}
	}
	return inUpload(ctx, b.store, key, *replace, func(id string) (s3backend.Object, error) {
		return b.copyParts(ctx, src, key, id)
	})
}

func (b *Bucket) copyParts(ctx context.Context, src Attr, key, id string) (s3backend.Object, error) {
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(b.c.cfg.Uploads)
	pieces := pieces(src.Size, b.c.copyPart)
	parts := make([]s3backend.Part, len(pieces))
	for i, p := range pieces {
		g.Go(func() error {
			var err error
			parts[i], err = b.store.CopyPart(gctx, s3backend.CopyPartRequest{Key: key, UploadID: id, Number: p.number,
				SourceKey: src.Key, SourceIfMatch: src.ETag, Offset: p.off, Length: p.len()})
			if err != nil && s3backend.KindOf(err) == s3backend.KindUnsupported {
				parts[i], err = b.carryPart(gctx, src, key, id, p)
			}
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return s3backend.Object{}, err
	}
	return complete(ctx, b.store, key, id, parts, src.Size, s3backend.Conditions{})
}

// carryPart copies a part through this machine's disk: RGW 16.2 can't copy
// parts of objects whose key has a percent sign or a question mark.
func (b *Bucket) carryPart(ctx context.Context, src Attr, key, id string, p piece) (s3backend.Part, error) {
	file, err := b.c.newStagingFile()
	if err != nil {
		return s3backend.Part{}, err
	}
	defer file.Close()
	_, body, err := b.store.Get(ctx, s3backend.GetRequest{Key: src.Key, Offset: p.off, Length: p.len(), IfMatch: src.ETag})
	if err != nil {
		return s3backend.Part{}, err
	}
	_, err = io.Copy(&offsetWriter{f: file}, body)
	if cerr := body.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return s3backend.Part{}, err
	}
	return b.store.UploadPart(ctx, s3backend.UploadPartRequest{Key: key, UploadID: id, Number: p.number,
		Body: io.NewSectionReader(file, 0, p.len()), Size: p.len()})
}
