package main

import (
	"context"
	"crypto/md5"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"mime"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sync/errgroup"

	"rgwfs/s3backend"
)

// What a transfer has under way: four files of four parts each make 16
// requests, which fill what one gateway gives.
const (
	filesAtOnce = 4
	partsAtOnce = 4
)

// firstPart is the size in bytes of parts, a multiple of RGW's stripes of
// 4 MiB; larger ones only where 10,000 of them would not be enough.
const firstPart = 16 << 20

// partOf returns the size of the parts of a file.
func partOf(size int64) int64 {
	const stripe = 4 << 20
	least := (size + s3backend.MaxParts - 1) / s3backend.MaxParts
	return max(firstPart, (least+stripe-1)/stripe*stripe)
}

// upFile stores one file. Each request's checksum is verified by the server and
// by s3backend; that the file did not change meanwhile is seen by its times.
func (c *copier) upFile(ctx context.Context, name string, to location) error {
	f, err := os.Open(name)
	if err != nil {
		return fail("%v", err)
	}
	defer f.Close()
	before, err := f.Stat()
	if err != nil {
		return fail("%v", err)
	}
	if !before.Mode().IsRegular() {
		return fail("%s is no regular file", name)
	}
	attributes := s3backend.Attributes{ContentType: c.contentType}
	if attributes.ContentType == "" {
		attributes.ContentType = mime.TypeByExtension(filepath.Ext(name))
	}
	store, size := c.t.client.Bucket(to.bucket), before.Size()
	unchanged := func() error {
		after, err := f.Stat()
		if err != nil {
			return fail("%v", err)
		}
		if after.Size() != size || !after.ModTime().Equal(before.ModTime()) {
			return fail("%s changed while it was copied", name)
		}
		return nil
	}
	var obj s3backend.Object
	if size <= firstPart {
		obj, err = store.Put(ctx, s3backend.PutRequest{Key: to.key, Body: io.NewSectionReader(f, 0, size), Size: size, Attributes: attributes})
		c.progress.add(0, size)
		if err == nil {
			err = unchanged()
		}
	} else {
		obj, err = c.upParts(ctx, store, f, size, to, attributes, unchanged)
	}
	if err != nil {
		var told *failure
		if errors.As(err, &told) {
			return err
		}
		return c.t.explain(to, err)
	}
	return c.copied(transferred{Source: name, Target: to.String(), Size: size, ETag: obj.ETag, Checked: "md5"})
}

func (c *copier) upParts(ctx context.Context, store s3backend.Store, f *os.File, size int64, to location,
	attributes s3backend.Attributes, unchanged func() error,
) (_ s3backend.Object, err error) {
	id, err := store.CreateMultipart(ctx, s3backend.CreateMultipartRequest{Key: to.key, Attributes: attributes})
	if err != nil {
		return s3backend.Object{}, err
	}
	defer func() {
		if err != nil {
			// Parts take space until they are aborted, also after an interrupt.
			if aerr := store.AbortMultipart(context.WithoutCancel(ctx), to.key, id); aerr != nil {
				c.t.warn("the unfinished upload of %s could not be removed: %v", to, aerr)
			}
		}
	}()
	part := partOf(size)
	parts := make([]s3backend.Part, (size+part-1)/part)
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(partsAtOnce)
	for i := range parts {
		g.Go(func() error {
			offset := int64(i) * part
			n := min(part, size-offset)
			p, err := store.UploadPart(gctx, s3backend.UploadPartRequest{
				Key: to.key, UploadID: id, Number: i + 1, Body: io.NewSectionReader(f, offset, n), Size: n,
			})
			parts[i] = p
			c.progress.add(0, n)
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return s3backend.Object{}, err
	}
	if err := unchanged(); err != nil {
		return s3backend.Object{}, err
	}
	return store.CompleteMultipart(ctx, s3backend.CompleteMultipartRequest{Key: to.key, UploadID: id, Parts: parts})
}

// downFile fetches one object beside its target and renames it when it is whole
// and checked, so that there is never half a file under the name.
func (c *copier) downFile(ctx context.Context, from location, obj s3backend.Object, name string) (err error) {
	if err := os.MkdirAll(filepath.Dir(name), 0o777); err != nil {
		return fail("%v", err)
	}
	f, err := os.CreateTemp(filepath.Dir(name), "."+shortName(filepath.Base(name))+".rgwfs-*")
	if err != nil {
		return fail("%v", err)
	}
	defer func() {
		f.Close()
		if err != nil {
			os.Remove(f.Name())
		}
	}()
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(partsAtOnce)
	store, part := c.t.client.Bucket(from.bucket), partOf(obj.Size)
	for offset := int64(0); offset < obj.Size; offset += part {
		g.Go(func() error {
			_, body, err := store.Get(gctx, s3backend.GetRequest{Key: from.key, Offset: offset, Length: part, IfMatch: obj.ETag})
			if err != nil {
				return err
			}
			defer body.Close()
			want := min(part, obj.Size-offset)
			n, err := io.Copy(io.NewOffsetWriter(f, offset), body)
			if err == nil && n != want {
				err = fail("%s: %d bytes at %d, not %d", from, n, offset, want)
			}
			c.progress.add(0, n)
			return err
		})
	}
	if err := g.Wait(); err != nil {
		var remote *s3backend.Error
		switch {
		case !errors.As(err, &remote):
			return fail("%v", err)
		case remote.Kind == s3backend.KindChanged:
			return fail("%s was replaced while it was copied", from)
		}
		return c.t.explain(from, err)
	}
	checked, err := checkFile(f, obj)
	if err != nil {
		return fail("%s: %v", from, err)
	}
	// As programs make files; CreateTemp's are for the user alone.
	if err := f.Chmod(0o666 &^ readUmask()); err != nil {
		return fail("%v", err)
	}
	if err := f.Close(); err != nil {
		return fail("%v", err)
	}
	if err := os.Rename(f.Name(), name); err != nil {
		return fail("%v", err)
	}
	return c.copied(transferred{Source: from.String(), Target: name, Size: obj.Size, ETag: obj.ETag, Checked: checked})
}

// shortName leaves room for what CreateTemp adds to a name of 255 bytes.
func shortName(name string) string {
	if len(name) > 200 {
		return name[:200]
	}
	return name
}

// checkFile compares a file with what the object's ETag says of its content: the
// MD5 of the whole, or of the MD5s of its parts, whose size is not known and
// must be guessed. It returns what was compared; where no guess fits, that is
// the size alone.
func checkFile(f *os.File, obj s3backend.Object) (string, error) {
	sum, count, multipart := strings.Cut(obj.ETag, "-")
	if raw, err := hex.DecodeString(sum); err != nil || len(raw) != md5.Size {
		return "size", nil
	}
	if !multipart {
		got, err := md5Of(f, 0, obj.Size)
		if err != nil {
			return "", err
		}
		if hex.EncodeToString(got) != sum {
			return "", fmt.Errorf("what arrived has the checksum %x, not %s", got, sum)
		}
		return "md5", nil
	}
	for _, part := range partSizes(obj.Size, count) {
		all := md5.New()
		for offset := int64(0); offset < obj.Size; offset += part {
			got, err := md5Of(f, offset, min(part, obj.Size-offset))
			if err != nil {
				return "", err
			}
			all.Write(got)
		}
		if hex.EncodeToString(all.Sum(nil)) == sum {
			return "etag", nil
		}
	}
	return "size", nil
}

// partSizes returns the usual part sizes in bytes that make so many parts.
func partSizes(size int64, count string) []int64 {
	var list []int64
	seen := map[int64]bool{}
	candidates := []int64{partOf(size)}
	for _, mib := range []int64{5, 8, 10, 15, 16, 20, 25, 32, 50, 52, 64, 100, 128, 256, 512, 1024} {
		candidates = append(candidates, mib<<20)
	}
	for _, part := range candidates {
		if fmt.Sprint((size+part-1)/part) == count && !seen[part] {
			seen[part] = true
			list = append(list, part)
		}
	}
	return list
}

func md5Of(f *os.File, offset, length int64) ([]byte, error) {
	h := md5.New()
	n, err := io.Copy(h, io.NewSectionReader(f, offset, length))
	if err == nil && n != length {
		err = fmt.Errorf("%s has %d bytes at %d, not %d", f.Name(), n, offset, length)
	}
	return h.Sum(nil), err
}

// readUmask returns the process's file mode creation mask, which Linux tells
// without changing it (proc_pid_status(5)).
func readUmask() os.FileMode {
	text, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0o077
	}
	for line := range strings.Lines(string(text)) {
		if value, ok := strings.CutPrefix(line, "Umask:"); ok {
			if n, err := strconv.ParseUint(strings.TrimSpace(value), 8, 32); err == nil {
				return os.FileMode(n)
			}
		}
	}
	return 0o077
}
