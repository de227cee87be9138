package main

import (
	"context"
	"fmt"
	"strings"

	"rgwfs/s3backend"
)

func aclSpec() toolSpec {
	return toolSpec{
		name:     "acl",
		synopsis: "rgwfs acl get PATH | rgwfs acl set [-r] ACL PATH...", summary: "who may read and write an object or a bucket",
		about: `ACL is a canned one:
  private, public-read, public-read-write, authenticated-read,
  bucket-owner-read, bucket-owner-full-control (objects in somebody else's bucket),
or a list of grants, which replaces all that was granted, your own rights too:
  read=USER,write=USER,read-acl=USER,write-acl=USER,full=USER
USER is a user id, an e-mail address, "all" or "authenticated". A bucket's ACL says who may list it
and write to it; each object has its own.`,
		least: 2, most: -1,
		setup: func(t *tool) func(context.Context, []string) error {
			recursive := t.flags.BoolP("recursive", "r", false, "set: everything below PATH too")
			version := t.flags.String("version", "", "`ID` of a version of the object")
			return func(ctx context.Context, operands []string) error {
				switch verb, rest := operands[0], operands[1:]; {
				case verb == "get" && len(rest) == 1:
					return t.getACL(ctx, rest[0], *version)
				case verb == "set" && len(rest) >= 2:
					acl, err := parseACL(rest[0])
					if err != nil {
						return usageError("acl", "%v", err)
					}
					for _, arg := range rest[1:] {
						if err := t.setACL(ctx, arg, *version, acl, *recursive); err != nil {
							return err
						}
					}
					return nil
				}
				return usageError("acl", "usage: %s", t.spec.synopsis)
			}
		},
	}
}

// parseACL adds what may have been meant.
func parseACL(text string) (s3backend.NewACL, error) {
	acl, err := s3backend.ParseACL(text)
	if err != nil && !strings.Contains(text, "=") {
		if near := nearest(text, s3backend.CannedACLs()); near != "" {
			err = fmt.Errorf("no ACL %q; did you mean %s?", text, near)
		}
	}
	return acl, err
}

// aclJSON is an ACL as it is shown.
type aclJSON struct {
	Owner  string      `json:"owner"`
	Canned string      `json:"canned,omitempty"`
	Grants []grantJSON `json:"grants"`
	text   string      // in the form that `acl set` takes
}

type grantJSON struct {
	Grantee    string `json:"grantee"`
	Permission string `json:"permission"`
}

func toACLJSON(acl s3backend.ACL) aclJSON {
	out := aclJSON{Owner: acl.Owner, Canned: acl.Canned(), Grants: []grantJSON{}, text: acl.String()}
	for _, g := range acl.Grants {
		permission, grantee := g.Words()
		out.Grants = append(out.Grants, grantJSON{grantee, permission})
	}
	return out
}

func (t *tool) getACL(ctx context.Context, arg, version string) error {
	l, err := t.open(ctx, arg)
	if err != nil {
		return err
	}
	var acl s3backend.ACL
	switch {
	case l.bucket == "":
		return usageError("acl", "%s is neither an object nor a bucket", arg)
	case l.key == "":
		acl, err = t.client.BucketACL(ctx, l.bucket)
	default:
		acl, err = t.client.ObjectACL(ctx, l.bucket, l.key, version)
	}
	if err != nil {
		return t.explain(l, err)
	}
	out := toACLJSON(acl)
	if t.json {
		return t.emit(out)
	}
	return t.printf("%s\n", out.text)
}

func (t *tool) setACL(ctx context.Context, arg, version string, acl s3backend.NewACL, recursive bool) error {
	l, err := t.open(ctx, arg)
	if err != nil {
		return err
	}
	switch {
	case l.bucket == "":
		return usageError("acl", "%s is neither an object nor a bucket", arg)
	case recursive && version != "":
		return usageError("acl", "--version is of one object: drop --recursive")
	case !recursive && l.key == "":
		err = t.client.SetBucketACL(ctx, l.bucket, acl)
	case !recursive:
		err = t.client.SetObjectACL(ctx, l.bucket, l.key, version, acl)
	default:
		return t.setACLs(ctx, l, acl)
	}
	if err != nil {
		return t.explain(l, err)
	}
	return nil
}

// setACLs sets the ACL of every object at or below l. A bucket's own stays.
func (t *tool) setACLs(ctx context.Context, l location, acl s3backend.NewACL) error {
	p := t.newProgress("acl", 0)
	n, err := t.manyObjects(ctx, l, func(ctx context.Context, o s3backend.Object) error {
		if err := t.client.SetObjectACL(ctx, l.bucket, o.Key, "", acl); err != nil {
			return t.explain(location{bucket: l.bucket, key: o.Key}, err)
		}
		p.add(1, 0)
		return nil
	})
	items, _ := p.done()
	switch {
	case err != nil:
		return fail("%v (the ACLs of %d objects are set)", err, items)
	case n == 0 && l.key != "":
		return nothingAt(l)
	case t.json:
		return t.emit(map[string]any{"path": l.String(), "objects": items})
	}
	return t.printf("set the ACL of %d objects\n", items)
}
