package main

import (
	"context"

	"golang.org/x/sync/errgroup"

	"rgwfs/s3backend"
)

func rmSpec() toolSpec {
	return toolSpec{
		name: "rm", synopsis: "rgwfs rm [-r] [-n] PATH...", summary: "remove objects, a thousand a request",
		about: "In a versioned bucket the versions stay; `rgwfs restore` brings them back.",
		least: 1, most: -1,
		setup: func(t *tool) func(context.Context, []string) error {
			recursive := t.flags.BoolP("recursive", "r", false, "everything below PATH too")
			dry := t.flags.BoolP("dry-run", "n", false, "only print what would be removed")
			return func(ctx context.Context, operands []string) error {
				var locations []location
				for _, arg := range operands {
					l, err := t.locate(arg)
					if err != nil {
						return err
					}
					if l.bucket == "" || l.key == "" && !*recursive {
						return usageError("rm", "%s is a bucket: `rgwfs rm -r` empties it, `rgwfs bucket rm` removes it", arg)
					}
					locations = append(locations, l)
				}
				if err := t.connect(ctx); err != nil {
					return err
				}
				for _, l := range locations {
					var err error
					if *recursive {
						err = t.removeTree(ctx, l, *dry)
					} else {
						err = t.removeOne(ctx, l, *dry)
					}
					if err != nil {
						return err
					}
				}
				return nil
			}
		},
	}
}

func (t *tool) removeOne(ctx context.Context, l location, dry bool) error {
	store := t.client.Bucket(l.bucket)
	// S3 says nothing of a key that was absent; rm(1) does.
	if _, err := store.Head(ctx, l.key); err != nil {
		return t.explain(l, err)
	}
	if dry {
		return t.removed(l.key)
	}
	if err := store.Delete(ctx, l.key); err != nil {
		return t.explain(l, err)
	}
	if t.json {
		return t.removed(l.key)
	}
	return nil
}

func (t *tool) removed(key string) error {
	if t.json {
		return t.emit(map[string]string{"removed": key})
	}
	return t.printf("%s\n", shown(key))
}

func (t *tool) removeTree(ctx context.Context, l location, dry bool) error {
	store, p := t.client.Bucket(l.bucket), t.newProgress("removing", 0)
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(parallel)
	var batch []s3backend.Object
	flush := func() {
		objects := batch
		batch = nil
		g.Go(func() error { return t.removeBatch(gctx, l, store, objects, p) })
	}
	n, err := t.eachObject(ctx, l, func(o s3backend.Object) error {
		if dry {
			return t.removed(o.Key)
		}
		if gctx.Err() != nil {
			return gctx.Err()
		}
		if batch = append(batch, o); len(batch) == s3backend.MaxDeleteKeys {
			flush()
		}
		return nil
	})
	if len(batch) > 0 && err == nil {
		flush()
	}
	if werr := g.Wait(); werr != nil {
		err = werr
	}
	objects, bytes := p.done()
	switch {
	case err != nil:
		return err
	case n == 0 && l.key != "":
		return nothingAt(l)
	case dry:
		return nil
	case t.json:
		return t.emit(map[string]any{"path": l.String(), "objects": objects, "bytes": bytes})
	}
	return t.printf("removed %d objects, %s\n", objects, humanSize(bytes))
}

func (t *tool) removeBatch(ctx context.Context, l location, store s3backend.Store, objects []s3backend.Object, p *progress) error {
	keys := make([]string, len(objects))
	var bytes int64
	for i, o := range objects {
		keys[i] = o.Key
		bytes += o.Size
	}
	failed, err := store.DeleteMany(ctx, keys)
	if err != nil {
		return t.explain(l, err)
	}
	if len(failed) > 0 {
		return fail("%d of %d objects could not be removed: %v", len(failed), len(keys), failed[0])
	}
	p.add(int64(len(keys)), bytes)
	return nil
}
