package s3backend

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
)

// Groups that a Grant can name, as S3 spells them.
const (
	GroupAllUsers           = "http://acs.amazonaws.com/groups/global/AllUsers"
	GroupAuthenticatedUsers = "http://acs.amazonaws.com/groups/global/AuthenticatedUsers"
)

// Permissions that a Grant can give.
const (
	PermissionRead        = "READ"
	PermissionWrite       = "WRITE" // of buckets only
	PermissionReadACL     = "READ_ACP"
	PermissionWriteACL    = "WRITE_ACP"
	PermissionFullControl = "FULL_CONTROL"
)

// CannedACLs are the names that stand for a whole ACL (x-amz-acl). The last two
// are for objects in somebody else's bucket.
func CannedACLs() []string {
	return []string{
		"private", "public-read", "public-read-write", "authenticated-read",
		"bucket-owner-read", "bucket-owner-full-control",
	}
}

// Grant gives one grantee one permission.
type Grant struct {
	Grantee    string // a user's id, a group's URI or an e-mail address
	Permission string // one of the Permission constants
}

// ACL is who may do what with an object or a bucket.
type ACL struct {
	Owner  string // user id
	Grants []Grant
}

// Public reports whether everybody may read.
func (a ACL) Public() bool {
	return slices.ContainsFunc(a.Grants, func(g Grant) bool {
		return g.Grantee == GroupAllUsers && (g.Permission == PermissionRead || g.Permission == PermissionFullControl)
	})
}

// Canned returns the name of the canned ACL that means the same, "" if none
// does. The two of the bucket's owner are not told from grants to that user.
func (a ACL) Canned() string {
	var groups []Grant
	owner := false
	for _, g := range a.Grants {
		switch {
		case g.Grantee == a.Owner && g.Permission == PermissionFullControl:
			owner = true
		default:
			groups = append(groups, g)
		}
	}
	if !owner {
		return ""
	}
	slices.SortFunc(groups, func(x, y Grant) int { return strings.Compare(x.Permission, y.Permission) })
	switch {
	case len(groups) == 0:
		return "private"
	case slices.Equal(groups, []Grant{{GroupAllUsers, PermissionRead}}):
		return "public-read"
	case slices.Equal(groups, []Grant{{GroupAllUsers, PermissionRead}, {GroupAllUsers, PermissionWrite}}):
		return "public-read-write"
	case slices.Equal(groups, []Grant{{GroupAuthenticatedUsers, PermissionRead}}):
		return "authenticated-read"
	}
	return ""
}

// NewACL is an ACL to be set: a canned one, or grants. The owner stays who it
// is, and keeps full control with a canned ACL; with grants it is what they say.
type NewACL struct {
	Canned string // one of CannedACLs, "" = Grants
	Grants []Grant
}

func (a NewACL) check() error {
	switch {
	case (a.Canned == "") == (len(a.Grants) == 0):
		return errors.New("an ACL is either a canned one or grants")
	case a.Canned != "" && !slices.Contains(CannedACLs(), a.Canned):
		return fmt.Errorf("no canned ACL %q: one of %s", a.Canned, strings.Join(CannedACLs(), ", "))
	}
	for _, g := range a.Grants {
		if g.Grantee == "" || strings.ContainsAny(g.Grantee, "\",\r\n") {
			return fmt.Errorf("%q can't be a grantee", g.Grantee)
		}
		if !slices.Contains([]string{PermissionRead, PermissionWrite, PermissionReadACL, PermissionWriteACL, PermissionFullControl}, g.Permission) {
			return fmt.Errorf("no permission %q", g.Permission)
		}
	}
	return nil
}

// header returns the value of the x-amz-grant-* header of a permission, nil if
// nobody has it. A grantee is written id="...", uri="..." or
// emailAddress="..." (S3 API, PutObjectAcl).
func (a NewACL) header(permission string) *string {
	var list []string
	for _, g := range a.Grants {
		if g.Permission != permission {
			continue
		}
		form := "id"
		switch {
		case strings.HasPrefix(g.Grantee, "http://"):
			form = "uri"
		case strings.Contains(g.Grantee, "@"):
			form = "emailAddress"
		}
		list = append(list, form+`="`+g.Grantee+`"`)
	}
	return optional(strings.Join(list, ","))
}

// ObjectACL returns the ACL of an object, version "" being the current one.
func (c *Client) ObjectACL(ctx context.Context, bucket, key, version string) (ACL, error) {
	const op = "GetObjectAcl"
	if err := c.at(bucket).checkKey(op, key); err != nil {
		return ACL{}, err
	}
	var acl ACL
	_, err := c.call(ctx, op, bucket, key, func(ctx context.Context) error {
		out, err := c.s3.GetObjectAcl(ctx, &s3.GetObjectAclInput{Bucket: &bucket, Key: &key, VersionId: optional(version)})
		if err == nil {
			acl = aclOf(out.Owner, out.Grants)
		}
		return err
	})
	return acl, err
}

// SetObjectACL replaces the ACL of an object.
func (c *Client) SetObjectACL(ctx context.Context, bucket, key, version string, acl NewACL) error {
	const op = "PutObjectAcl"
	if err := c.at(bucket).checkKey(op, key); err != nil {
		return err
	}
	if err := acl.check(); err != nil {
		return c.at(bucket).fail(op, key, KindInvalid, err)
	}
	_, err := c.call(ctx, op, bucket, key, func(ctx context.Context) error {
		_, err := c.s3.PutObjectAcl(ctx, &s3.PutObjectAclInput{
			Bucket: &bucket, Key: &key, VersionId: optional(version), ACL: types.ObjectCannedACL(acl.Canned),
			GrantRead: acl.header(PermissionRead), GrantWrite: acl.header(PermissionWrite),
			GrantReadACP: acl.header(PermissionReadACL), GrantWriteACP: acl.header(PermissionWriteACL),
			GrantFullControl: acl.header(PermissionFullControl),
		})
		return err
	})
	return err
}

// BucketACL returns the ACL of a bucket.
func (c *Client) BucketACL(ctx context.Context, bucket string) (ACL, error) {
	var acl ACL
	_, err := c.call(ctx, "GetBucketAcl", bucket, "", func(ctx context.Context) error {
		out, err := c.s3.GetBucketAcl(ctx, &s3.GetBucketAclInput{Bucket: &bucket})
		if err == nil {
			acl = aclOf(out.Owner, out.Grants)
		}
		return err
	})
	return acl, err
}

// SetBucketACL replaces the ACL of a bucket. It says who may list the bucket
// and write to it; each object has an ACL of its own.
func (c *Client) SetBucketACL(ctx context.Context, bucket string, acl NewACL) error {
	const op = "PutBucketAcl"
	if err := acl.check(); err != nil {
		return c.at(bucket).fail(op, "", KindInvalid, err)
	}
	_, err := c.call(ctx, op, bucket, "", func(ctx context.Context) error {
		_, err := c.s3.PutBucketAcl(ctx, &s3.PutBucketAclInput{
			Bucket: &bucket, ACL: types.BucketCannedACL(acl.Canned),
			GrantRead: acl.header(PermissionRead), GrantWrite: acl.header(PermissionWrite),
			GrantReadACP: acl.header(PermissionReadACL), GrantWriteACP: acl.header(PermissionWriteACL),
			GrantFullControl: acl.header(PermissionFullControl),
		})
		return err
	})
	return err
}

func (c *Client) at(name string) *bucket { return &bucket{c: c, name: name} }

func aclOf(owner *types.Owner, grants []types.Grant) ACL {
	var acl ACL
	if owner != nil {
		acl.Owner = aws.ToString(owner.ID)
	}
	for _, g := range grants {
		if g.Grantee == nil {
			continue
		}
		who := aws.ToString(g.Grantee.ID)
		if who == "" {
			who = aws.ToString(g.Grantee.URI)
		}
		if who == "" {
			who = aws.ToString(g.Grantee.EmailAddress)
		}
		acl.Grants = append(acl.Grants, Grant{Grantee: who, Permission: string(g.Permission)})
	}
	return acl
}
