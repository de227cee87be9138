package s3backend

import (
	"fmt"
	"slices"
	"strings"
)

// aclWords are the words of an ACL's text for what S3 calls otherwise.
var aclWords = [...]struct{ word, permission string }{
	{"read", PermissionRead}, {"write", PermissionWrite},
	{"read-acl", PermissionReadACL}, {"write-acl", PermissionWriteACL},
	{"full", PermissionFullControl},
}

// aclGroups are those for groups.
var aclGroups = [...]struct{ word, uri string }{
	{"all", GroupAllUsers}, {"authenticated", GroupAuthenticatedUsers},
}

// Words returns a grant as an ACL's text has it: "read", "all".
func (g Grant) Words() (permission, grantee string) {
	permission, grantee = strings.ToLower(g.Permission), g.Grantee
	for _, w := range aclWords {
		if w.permission == g.Permission {
			permission = w.word
		}
	}
	for _, w := range aclGroups {
		if w.uri == g.Grantee {
			grantee = w.word
		}
	}
	return permission, grantee
}

// String returns the ACL in the form that ParseACL takes: the name of a canned
// one, or grants such as "read=all,full=alice".
func (a ACL) String() string {
	if canned := a.Canned(); canned != "" {
		return canned
	}
	var list []string
	for _, g := range a.Grants {
		permission, grantee := g.Words()
		list = append(list, permission+"="+grantee)
	}
	return strings.Join(list, ",")
}

// ParseACL understands the name of a canned ACL, or a list of grants: read,
// write, read-acl, write-acl or full, "=", and a user id, an e-mail address,
// "all" or "authenticated".
func ParseACL(text string) (NewACL, error) {
	if !strings.Contains(text, "=") {
		acl := NewACL{Canned: text}
		if !slices.Contains(CannedACLs(), text) {
			return NewACL{}, fmt.Errorf("no ACL %q: one of %s, or grants such as read=USER", text, strings.Join(CannedACLs(), ", "))
		}
		return acl, nil
	}
	var acl NewACL
	for _, part := range strings.Split(text, ",") {
		word, who, _ := strings.Cut(part, "=")
		i := slices.IndexFunc(aclWords[:], func(w struct{ word, permission string }) bool { return w.word == word })
		if i < 0 || who == "" {
			return NewACL{}, fmt.Errorf("%q is no grant: read=USER, write=USER, read-acl=USER, write-acl=USER or full=USER", part)
		}
		for _, w := range aclGroups {
			if w.word == who {
				who = w.uri
			}
		}
		acl.Grants = append(acl.Grants, Grant{Grantee: who, Permission: aclWords[i].permission})
	}
	return acl, acl.check()
}
