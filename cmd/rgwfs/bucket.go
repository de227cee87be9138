package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"

	"rgwfs/s3backend"
)

func bucketSpec() toolSpec {
	return toolSpec{
		name: "bucket", synopsis: "rgwfs bucket create|rm|info|policy|versioning|lifecycle|cors BUCKET ...", summary: "make, remove and set up buckets",
		about: `rgwfs bucket create BUCKET [--placement NAME] [--acl ACL]
rgwfs bucket rm BUCKET                          only if it is empty; see rgwfs rm -r
rgwfs bucket info BUCKET
rgwfs bucket versioning BUCKET [on|off]         off suspends it: the versions stay
rgwfs bucket policy BUCKET [FILE|-|none]        each prints what there is, or sets what the FILE (or
rgwfs bucket lifecycle BUCKET [FILE|-|none]     the standard input) has, or removes it; JSON as the
rgwfs bucket cors BUCKET [FILE|-|none]          AWS command line takes it`,
		least: 2, most: 3,
		setup: func(t *tool) func(context.Context, []string) error {
			var req s3backend.NewBucket
			t.flags.StringVar(&req.Placement, "placement", "", "create: `NAME` of the placement (the S3 location constraint), on RGW \"ZONEGROUP:TARGET\" or \":TARGET\"")
			t.flags.StringVar(&req.ACL, "acl", "", "create: canned `ACL` of the bucket")
			return func(ctx context.Context, operands []string) error {
				verb, name := operands[0], operands[1]
				value := ""
				if len(operands) > 2 {
					value = operands[2]
				}
				if !strings.HasPrefix(name, "s3://") && !strings.Contains(name, "/") {
					name = "s3://" + name
				}
				l, err := t.open(ctx, name)
				if err != nil {
					return err
				}
				if l.bucket == "" || l.key != "" {
					return usageError("bucket", "%s is no bucket", operands[1])
				}
				return t.bucket(ctx, verb, l, value, req)
			}
		},
	}
}

func (t *tool) bucket(ctx context.Context, verb string, l location, value string, req s3backend.NewBucket) error {
	if value != "" && (verb == "create" || verb == "rm" || verb == "info") {
		return usageError("bucket", "%s takes one bucket, not also %q", verb, value)
	}
	var err error
	switch verb {
	case "create":
		req.Name = l.bucket
		// RGW takes the making of one's own bucket again for no error.
		if _, err := t.client.BucketPlacement(ctx, l.bucket); err == nil {
			return fail("%s: you have that bucket already", l)
		}
		err = t.client.CreateBucket(ctx, req)
		if err != nil && s3backend.KindOf(err) == s3backend.KindExist {
			return fail("%s: the name is taken by somebody else; choose another", l)
		}
	case "rm":
		err = t.client.DeleteBucket(ctx, l.bucket)
		if err != nil && s3backend.KindOf(err) == s3backend.KindNotEmpty {
			return fail("%s is not empty: `rgwfs rm -r %s` removes its objects (versions and unfinished uploads count too)", l, l)
		}
	case "info":
		return t.bucketInfo(ctx, l)
	case "versioning":
		return t.versioning(ctx, l, value)
	case "policy":
		return t.document(ctx, l, value, t.client.Policy, t.client.SetPolicy)
	case "lifecycle":
		return t.document(ctx, l, value, t.client.Lifecycle, t.client.SetLifecycle)
	case "cors":
		return t.document(ctx, l, value, t.client.CORS, t.client.SetCORS)
	default:
		verbs := []string{"create", "rm", "info", "policy", "versioning", "lifecycle", "cors"}
		if near := nearest(verb, verbs); near != "" {
			return usageError("bucket", "no `bucket %s`; did you mean `bucket %s`?", verb, near)
		}
		return usageError("bucket", "no `bucket %s`: one of %s", verb, strings.Join(verbs, ", "))
	}
	if err != nil {
		return t.explain(l, err)
	}
	return nil
}

func (t *tool) versioning(ctx context.Context, l location, value string) error {
	if value == "" {
		status, err := t.client.Versioning(ctx, l.bucket)
		if err != nil {
			return t.explain(l, err)
		}
		if status == "" {
			status = "never on"
		}
		status = strings.ToLower(status)
		if t.json {
			return t.emit(map[string]string{"versioning": status})
		}
		return t.printf("%s\n", status)
	}
	if value != "on" && value != "off" {
		return usageError("bucket", "versioning is on or off, not %q", value)
	}
	if err := t.client.SetVersioning(ctx, l.bucket, value == "on"); err != nil {
		return t.explain(l, err)
	}
	return nil
}

// document prints, sets or removes a setting that is a JSON document.
func (t *tool) document(ctx context.Context, l location, value string,
	get func(context.Context, string) ([]byte, error), set func(context.Context, string, []byte) error,
) error {
	switch value {
	case "":
		doc, err := get(ctx, l.bucket)
		if s3backend.IsNotExist(err) {
			var answer *s3backend.Error
			if asError(err, &answer) && answer.Code != codeNoSuchBucket {
				return fail("%s has none", l)
			}
		}
		if err != nil {
			return t.explain(l, err)
		}
		if t.json {
			return t.emit(json.RawMessage(doc))
		}
		return t.printf("%s\n", indented(doc))
	case "none":
		if err := set(ctx, l.bucket, nil); err != nil {
			return t.explain(l, err)
		}
		return nil
	}
	var doc []byte
	var err error
	if value == "-" {
		doc, err = io.ReadAll(os.Stdin)
	} else {
		doc, err = os.ReadFile(value)
	}
	if err != nil {
		return fail("%v", err)
	}
	if err := set(ctx, l.bucket, doc); err != nil {
		return t.explain(l, err)
	}
	return nil
}

// bucketInfo prints what a server says of a bucket.
func (t *tool) bucketInfo(ctx context.Context, l location) error {
	d, err := t.client.BucketDetails(ctx, l.bucket)
	if err != nil {
		return t.explain(l, err)
	}
	acl, u := toACLJSON(d.ACL), d.Usage
	if t.json {
		out := map[string]any{
			"bucket": d.Name, "owner": d.Owner, "placement": d.Placement, "versioning": strings.ToLower(d.Versioning), "acl": acl,
		}
		for name, n := range map[string]int64{
			"bytes": u.Bytes, "objects": u.Objects, "quota_bytes": u.BucketBytes, "quota_objects": u.BucketCount,
			"user_bytes": u.UserBytesUsed, "user_quota_bytes": u.UserBytes, "user_quota_objects": u.UserCount,
		} {
			if n >= 0 {
				out[name] = n
			}
		}
		return t.emit(out)
	}
	rows := [][2]string{
		{"bucket", l.String()}, {"owner", d.Owner}, {"placement", d.Placement}, {"acl", acl.text},
		{"versioning", strings.ToLower(d.Versioning)},
		{"objects", count(u.Objects)}, {"size", size(u.Bytes)},
		{"quota of the bucket", joined(size(u.BucketBytes), count(u.BucketCount))},
		{"used by its owner", size(u.UserBytesUsed)},
		{"quota of its owner", joined(size(u.UserBytes), count(u.UserCount))},
	}
	for _, err := range d.Denied {
		rows = append(rows, [2]string{"not allowed", err.Error()})
	}
	return t.table(rows)
}

func count(n int64) string {
	if n < 0 {
		return ""
	}
	return fmt.Sprint(n)
}

func size(n int64) string {
	if n < 0 {
		return ""
	}
	return fmt.Sprintf("%d (%s)", n, humanSize(n))
}

func joined(bytes, objects string) string {
	if objects != "" {
		objects += " objects"
	}
	if bytes != "" && objects != "" {
		return bytes + ", " + objects
	}
	return bytes + objects
}
