package main

import (
	"context"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"fmt"

	"rgwfs/s3backend"
)

func infoSpec() toolSpec {
	return toolSpec{
		name: "info", synopsis: "rgwfs info [--version ID] PATH", summary: "everything that the server knows of an object or bucket",
		least: 1, most: 1,
		setup: func(t *tool) func(context.Context, []string) error {
			version := t.flags.String("version", "", "`ID` of a version (see `rgwfs versions`)")
			return func(ctx context.Context, operands []string) error {
				l, err := t.open(ctx, operands[0])
				switch {
				case err != nil:
					return err
				case l.bucket == "":
					return usageError("info", "%s is neither an object nor a bucket", operands[0])
				case l.key == "":
					return t.bucketInfo(ctx, l)
				}
				return t.objectInfo(ctx, l, *version)
			}
		},
	}
}

// infoJSON is what --json shows of an object.
type infoJSON struct {
	Bucket string `json:"bucket"`
	objectJSON
	ContentType string            `json:"content_type,omitempty"`
	Version     string            `json:"version,omitempty"`
	Owner       string            `json:"owner,omitempty"`
	ACL         *aclJSON          `json:"acl,omitempty"`
	Metadata    map[string]string `json:"metadata"`
	Tags        map[string]string `json:"tags,omitempty"`
	Headers     map[string]string `json:"headers"`
}

func (t *tool) objectInfo(ctx context.Context, l location, version string) error {
	info, err := t.client.ObjectInfo(ctx, l.bucket, l.key, version)
	if err != nil {
		return t.explain(l, err)
	}
	out := infoJSON{
		Bucket: l.bucket, objectJSON: toObjectJSON(info.Object), ContentType: info.ContentType,
		Version: info.Version, Metadata: info.Metadata, Headers: info.Headers,
	}
	// Who may read an object need not be allowed to read these.
	var denied []string
	if acl, err := t.client.ObjectACL(ctx, l.bucket, l.key, version); err == nil {
		shown := toACLJSON(acl)
		out.Owner, out.ACL = acl.Owner, &shown
	} else if denied = append(denied, "acl"); !mayNot(err) {
		return t.explain(l, err)
	}
	if tags, err := t.client.ObjectTags(ctx, l.bucket, l.key, version); err == nil {
		out.Tags = tags
	} else if denied = append(denied, "tags"); !mayNot(err) {
		return t.explain(l, err)
	}
	if t.json {
		return t.emit(out)
	}
	rows := [][2]string{
		{"object", l.String()},
		{"size", fmt.Sprintf("%d (%s)", out.Size, humanSize(out.Size))},
		{"changed", out.LastModified.Format(time.RFC3339)},
		{"etag", out.ETag}, {"type", out.ContentType}, {"storage class", out.StorageClass},
		{"version", out.Version}, {"owner", out.Owner},
	}
	if out.ACL != nil {
		rows = append(rows, [2]string{"acl", out.ACL.text})
	}
	rows = append(rows, sorted("metadata ", out.Metadata)...)
	rows = append(rows, sorted("tag ", out.Tags)...)
	rows = append(rows, sorted("", out.Headers)...)
	if len(denied) > 0 {
		rows = append(rows, [2]string{"not allowed", strings.Join(denied, ", ")})
	}
	return t.table(rows)
}

// mayNot reports whether an error is that of an extra which the caller, or the
// server, does not have.
func mayNot(err error) bool {
	kind := s3backend.KindOf(err)
	return kind == s3backend.KindPermission || kind == s3backend.KindUnsupported || kind == s3backend.KindNotExist
}

func sorted(prefix string, m map[string]string) [][2]string {
	var rows [][2]string
	for _, name := range slices.Sorted(maps.Keys(m)) {
		rows = append(rows, [2]string{prefix + name, m[name]})
	}
	return rows
}

// table prints names and values in two columns, without those that are empty.
func (t *tool) table(rows [][2]string) error {
	w := tabwriter.NewWriter(t.inv.stdout, 0, 0, 2, ' ', 0)
	for _, row := range rows {
		if row[1] != "" {
			fmt.Fprintf(w, "%s\t%s\n", row[0], row[1])
		}
	}
	return w.Flush()
}
