package main

import (
	"context"
	"time"

	"rgwfs/s3backend"
)

func restoreSpec() toolSpec {
	return toolSpec{
		name: "restore", synopsis: "rgwfs restore [--version ID | --as-of TIME] PATH...", summary: "bring back an older version of an object, or one that was removed",
		about: `The version is copied on the server and becomes the newest; nothing is lost. Without flags: the
newest version before the current one, or before the removal.`,
		least: 1, most: -1,
		setup: func(t *tool) func(context.Context, []string) error {
			version := t.flags.String("version", "", "`ID` of the version (see `rgwfs versions`)")
			var asOf timeValue
			t.flags.Var(&asOf, "as-of", "what it was then, such as 2026-11-01T00:00Z")
			return func(ctx context.Context, operands []string) error {
				if *version != "" && (!time.Time(asOf).IsZero() || len(operands) > 1) {
					return usageError("restore", "--version is for one PATH, and without --as-of")
				}
				when := time.Time(asOf)
				for _, arg := range operands {
					l, err := t.open(ctx, arg)
					if err != nil {
						return err
					}
					if l.bucket == "" || l.key == "" {
						return usageError("restore", "%s is no object", arg)
					}
					if err := t.restore(ctx, l, *version, when); err != nil {
						return err
					}
				}
				return nil
			}
		},
	}
}

func (t *tool) restore(ctx context.Context, l location, version string, when time.Time) error {
	if version == "" {
		var list []s3backend.Version
		if _, err := t.eachVersion(ctx, l, false, func(v s3backend.Version) error {
			list = append(list, v)
			return nil
		}); err != nil {
			return err
		}
		v, ok := chooseVersion(list, when)
		switch {
		case len(list) == 0:
			return nothingAt(l)
		case !ok:
			return fail("%s has no older version to restore (see `rgwfs versions`)", l)
		}
		version = v.ID
	}
	obj, err := t.client.RestoreVersion(ctx, l.bucket, l.key, version)
	if err != nil {
		return t.explain(l, err)
	}
	if t.json {
		return t.emit(map[string]string{"path": l.String(), "restored": version, "etag": obj.ETag})
	}
	return t.printf("%s is as it was in version %s\n", l, version)
}

// chooseVersion returns what to restore of versions, which are newest first:
// what was current at a time, or if that is zero, what was before the current.
func chooseVersion(versions []s3backend.Version, when time.Time) (s3backend.Version, bool) {
	for i, v := range versions {
		switch {
		case !when.IsZero():
			if !v.LastModified.After(when) {
				return v, !v.DeleteMarker
			}
		case i > 0 && !v.DeleteMarker:
			return v, true
		}
	}
	return s3backend.Version{}, false
}
