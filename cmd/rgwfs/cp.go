package main

import (
	"context"
	iofs "io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sync/errgroup"

	"rgwfs/s3backend"
)

func cpSpec() toolSpec {
	return toolSpec{
		name: "cp", synopsis: "rgwfs cp [-r] SOURCE... TARGET", summary: "copy between local files and a bucket, at full speed",
		about: `One side is local, the other s3:// or in a mount. Large files go in parts, several at a time; what
arrived is compared by checksum with what was sent. Into a directory (or a TARGET that ends in "/")
under their own names.`,
		least: 2, most: -1,
		setup: func(t *tool) func(context.Context, []string) error {
			recursive := t.flags.BoolP("recursive", "r", false, "directories with all that is below")
			contentType := t.flags.String("content-type", "", "`TYPE` of what is stored (default: by the name's extension)")
			t.flags.StringVar(&t.backend.ACL, "acl", "", "canned `ACL` of what is stored")
			return func(ctx context.Context, operands []string) error {
				c := &copier{t: t, recursive: *recursive, contentType: *contentType}
				return c.run(ctx, operands[:len(operands)-1], operands[len(operands)-1])
			}
		},
	}
}

// copier is one run of cp.
type copier struct {
	t           *tool
	recursive   bool
	contentType string
	progress    *progress
}

// side is a SOURCE or the TARGET.
type side struct {
	arg    string
	remote bool
	at     location // if remote
}

func (c *copier) side(arg string) (side, error) {
	if strings.HasPrefix(arg, "s3://") {
		l, err := c.t.locate(arg)
		return side{arg, true, l}, err
	}
	l, ok, err := inMount(arg)
	if err != nil {
		return side{}, fail("%v", err)
	}
	if ok {
		if strings.HasSuffix(arg, "/") {
			l.key = l.below()
		}
		if c.t.backend.Endpoint == "" {
			c.t.backend.Endpoint = l.endpoint
		}
	}
	return side{arg, ok, l}, nil
}

// transferred is a file that was copied, for --json.
type transferred struct {
	Source  string `json:"source"`
	Target  string `json:"target"`
	Size    int64  `json:"size"`
	ETag    string `json:"etag"`
	Checked string `json:"checked"` // what was compared: "md5", "etag" or "size"
}

func (c *copier) run(ctx context.Context, sources []string, target string) error {
	to, err := c.side(target)
	if err != nil {
		return err
	}
	for _, arg := range sources {
		from, err := c.side(arg)
		switch {
		case err != nil:
			return err
		case from.remote == to.remote:
			return usageError("cp", "%s and %s: one of them must be local, the other in a bucket", from.arg, to.arg)
		case from.remote && from.at.bucket == "" || to.remote && to.at.bucket == "":
			return usageError("cp", "s3:// is not one bucket: give s3://BUCKET/KEY")
		}
		if err := c.t.connect(ctx); err != nil {
			return err
		}
		if to.remote {
			err = c.up(ctx, arg, to.at, len(sources) > 1)
		} else {
			err = c.down(ctx, from.at, to.arg, len(sources) > 1)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (c *copier) copied(f transferred) error {
	c.progress.add(1, 0)
	if c.t.json {
		return c.t.emit(f)
	}
	return nil
}

// up stores a file, or with -r a directory.
func (c *copier) up(ctx context.Context, name string, to location, several bool) error {
	info, err := os.Stat(name)
	if err != nil {
		return fail("%v", err)
	}
	if info.IsDir() {
		if !c.recursive {
			return usageError("cp", "%s is a directory: give -r", name)
		}
		return c.upTree(ctx, name, to)
	}
	if to.key == "" || strings.HasSuffix(to.key, "/") || several {
		to.key = to.below() + filepath.Base(name)
	}
	c.progress = c.t.newProgress("copying", info.Size())
	defer c.progress.done()
	return c.upFile(ctx, name, to)
}

// upTree stores what is in a directory below to, as `cp -r dir/. target` does.
// Empty directories and what is no regular file are left out.
func (c *copier) upTree(ctx context.Context, root string, to location) error {
	c.progress = c.t.newProgress("copying", 0)
	defer c.progress.done()
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(filesAtOnce)
	err := filepath.WalkDir(root, func(path string, d iofs.DirEntry, err error) error {
		switch {
		case err != nil:
			return fail("%v", err)
		case gctx.Err() != nil:
			return gctx.Err()
		case d.IsDir():
			return nil
		case !d.Type().IsRegular():
			c.t.warn("%s is no regular file: left out", path)
			return nil
		}
		rel, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		target := location{bucket: to.bucket, key: to.below() + filepath.ToSlash(rel)}
		g.Go(func() error { return c.upFile(gctx, path, target) })
		return nil
	})
	if werr := g.Wait(); werr != nil {
		return werr
	}
	return err
}

// down fetches an object, or with -r all that is below.
func (c *copier) down(ctx context.Context, from location, name string, several bool) error {
	info, err := os.Stat(name)
	isDir := err == nil && info.IsDir()
	if c.recursive {
		return c.downTree(ctx, from, name)
	}
	if from.key == "" || strings.HasSuffix(from.key, "/") {
		return usageError("cp", "%s is a directory: give -r", from)
	}
	if isDir || several || strings.HasSuffix(name, "/") {
		name = filepath.Join(name, from.key[strings.LastIndexByte(from.key, '/')+1:])
	}
	obj, err := c.t.client.Bucket(from.bucket).Head(ctx, from.key)
	if err != nil {
		return c.t.explain(from, err)
	}
	c.progress = c.t.newProgress("copying", obj.Size)
	defer c.progress.done()
	return c.downFile(ctx, from, obj, name)
}

// downTree fetches all that is below from into a directory. Keys that can't be
// paths in it are refused: "../x" would be written beside it.
func (c *copier) downTree(ctx context.Context, from location, root string) error {
	c.progress = c.t.newProgress("copying", 0)
	defer c.progress.done()
	base := from.below()
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(filesAtOnce)
	n, err := c.t.eachObject(ctx, from, func(o s3backend.Object) error {
		rel, below := strings.CutPrefix(o.Key, base)
		if !below {
			rel = o.Key[strings.LastIndexByte(o.Key, '/')+1:] // the object itself
		}
		switch {
		case gctx.Err() != nil:
			return gctx.Err()
		case rel == "" || strings.HasSuffix(rel, "/") && filepath.IsLocal(rel):
			return nil // a directory's own object
		case !filepath.IsLocal(rel) || filepath.Clean(rel) != rel:
			c.t.warn("%q can't be a path: left out", o.Key)
			return nil
		}
		g.Go(func() error {
			return c.downFile(gctx, location{bucket: from.bucket, key: o.Key}, o, filepath.Join(root, rel))
		})
		return nil
	})
	if werr := g.Wait(); werr != nil {
		return werr
	}
	if err == nil && n == 0 {
		return nothingAt(from)
	}
	return err
}
