package main

import (
	"context"

	"rgwfs/s3backend"
)

func lsSpec() toolSpec {
	return toolSpec{
		name: "ls", synopsis: "rgwfs ls [-r] [PATH]", summary: "list objects or buckets, without a mount",
		about: "Size in bytes, time of the last change, key. Without PATH: your buckets.",
		most:  1,
		setup: func(t *tool) func(context.Context, []string) error {
			recursive := t.flags.BoolP("recursive", "r", false, "everything below, by flat listings")
			return func(ctx context.Context, operands []string) error {
				arg := "s3://"
				if len(operands) > 0 {
					arg = operands[0]
				}
				l, err := t.open(ctx, arg)
				switch {
				case err != nil:
					return err
				case l.bucket == "":
					return t.listBuckets(ctx)
				case *recursive:
					n, err := t.eachObject(ctx, l, t.printObject)
					if err == nil && n == 0 && l.key != "" {
						return nothingAt(l)
					}
					return err
				}
				return t.listDirectory(ctx, l)
			}
		},
	}
}

func (t *tool) printObject(o s3backend.Object) error {
	if t.json {
		return t.emit(toObjectJSON(o))
	}
	return t.printf("%14d  %s  %s\n", o.Size, shortTime(o.LastModified), shown(o.Key))
}

func (t *tool) listBuckets(ctx context.Context) error {
	buckets, err := t.client.ListBuckets(ctx)
	if err != nil {
		return t.explain(location{}, err)
	}
	for _, b := range buckets {
		if t.json {
			err = t.emit(map[string]any{"bucket": b.Name, "created": b.Created.UTC()})
		} else {
			err = t.printf("%s  %s\n", shortTime(b.Created), b.Name)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// listDirectory lists one level. What is named without a slash may be an
// object, a directory, or both.
func (t *tool) listDirectory(ctx context.Context, l location) error {
	store, found := t.client.Bucket(l.bucket), l.key == ""
	prefix := l.below()
	if prefix != l.key {
		switch o, err := store.Head(ctx, l.key); {
		case err == nil:
			found = true
			if err := t.printObject(o); err != nil {
				return err
			}
		case !s3backend.IsNotExist(err):
			return t.explain(l, err)
		}
	}
	for after := ""; ; {
		page, err := store.List(ctx, s3backend.ListRequest{Prefix: prefix, Delimiter: "/", StartAfter: after})
		if err != nil {
			return t.explain(l, err)
		}
		for _, p := range page.Prefixes {
			found = true
			if t.json {
				err = t.emit(map[string]string{"prefix": p})
			} else {
				err = t.printf("%14s  %19s  %s\n", "DIR", "", shown(p))
			}
			if err != nil {
				return err
			}
		}
		for _, o := range page.Objects {
			found = true
			if err := t.printObject(o); err != nil {
				return err
			}
		}
		if after = page.Next; after == "" {
			break
		}
	}
	if !found {
		return nothingAt(l)
	}
	return nil
}
