package main

import (
	"context"
	"time"

	"rgwfs/s3backend"
)

func versionsSpec() toolSpec {
	return toolSpec{
		name: "versions", synopsis: "rgwfs versions [-r] PATH", summary: "the versions of an object in a versioned bucket, newest first",
		about: "Time, size, version, key; a removal has no size. In a mount, a removed file's path works too.",
		least: 1, most: 1,
		setup: func(t *tool) func(context.Context, []string) error {
			recursive := t.flags.BoolP("recursive", "r", false, "of everything below PATH")
			return func(ctx context.Context, operands []string) error {
				l, err := t.open(ctx, operands[0])
				if err != nil {
					return err
				}
				if l.bucket == "" || l.key == "" && !*recursive {
					return usageError("versions", "%s is no object; --recursive is for buckets and directories", operands[0])
				}
				n, err := t.eachVersion(ctx, l, *recursive, t.printVersion)
				if err == nil && n == 0 {
					return nothingAt(l)
				}
				return err
			}
		},
	}
}

// eachVersion calls f for each version of the object at l, newest first; or of
// everything at or below l, by key.
func (t *tool) eachVersion(ctx context.Context, l location, recursive bool, f func(s3backend.Version) error) (int, error) {
	req := s3backend.VersionsRequest{Bucket: l.bucket, Prefix: l.key}
	for n := 0; ; {
		page, err := t.client.ListVersions(ctx, req)
		if err != nil {
			return n, t.explain(l, err)
		}
		for _, v := range page.Versions {
			below := len(v.Key) >= len(l.below()) && v.Key[:len(l.below())] == l.below()
			if v.Key != l.key && !(recursive && below) {
				// Longer keys that begin alike come after all of this key's.
				if !recursive {
					return n, nil
				}
				continue
			}
			n++
			if err := f(v); err != nil {
				return n, err
			}
		}
		if page.NextKey == "" {
			return n, nil
		}
		req.AfterKey, req.AfterID = page.NextKey, page.NextID
	}
}

// versionJSON is a version as --json shows it.
type versionJSON struct {
	objectJSON
	Version string `json:"version"`
	Latest  bool   `json:"latest"`
	Removed bool   `json:"removed"`
}

func (t *tool) printVersion(v s3backend.Version) error {
	if t.json {
		return t.emit(versionJSON{toObjectJSON(v.Object), v.ID, v.Latest, v.DeleteMarker})
	}
	mark := " "
	if v.Latest {
		mark = "*"
	}
	if v.DeleteMarker {
		return t.printf("%s %s %14s  %-32s  %s\n", mark, v.LastModified.UTC().Format(time.RFC3339), "removed", v.ID, shown(v.Key))
	}
	return t.printf("%s %s %14d  %-32s  %s\n", mark, v.LastModified.UTC().Format(time.RFC3339), v.Size, v.ID, shown(v.Key))
}
