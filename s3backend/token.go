package s3backend

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
)

// An RGW with LDAP takes, as access key, base64 of a JSON document with the
// user's name and password, {"RGW_TOKEN":{"version":1,"type":"ldap","id":...,
// "key":...}} (rgw_token.h, radosgw-token(8)), and never looks at the secret key
// or the signature. It asks the LDAP server at every request.

// carriable gives a token that holds a slash another spelling of the same JSON
// that has none, since version 4 ends the access key at its first slash. A token
// of another sort, or with no such spelling, stays as it is, for version 2.
type carriable struct{ aws.CredentialsProvider }

func (p carriable) Retrieve(ctx context.Context) (aws.Credentials, error) {
	c, err := p.CredentialsProvider.Retrieve(ctx)
	if err == nil {
		c.AccessKeyID = withoutSlash(c.AccessKeyID)
	}
	return c, err
}

// withoutSlash returns an access key that RGW reads as the one given, without a
// slash if there is a way.
func withoutSlash(accessKey string) string {
	if !strings.Contains(accessKey, "/") || !holdsPassword(accessKey) {
		return accessKey
	}
	raw, err := base64.RawStdEncoding.DecodeString(strings.TrimRight(accessKey, "="))
	if err != nil {
		return accessKey // holdsPassword has decoded it: unreachable
	}
	if respelt, ok := respell(raw); ok {
		return base64.StdEncoding.EncodeToString(respelt)
	}
	return accessKey
}

// respell writes a JSON document in such a way that its base64 has no slash.
// Which characters six bits fall together as depends on where in a group of
// three bytes they stand: up to two blanks before a value or name shift it to a
// better place. Where a string needs different shifts in itself, "?", which is
// what makes slashes of ASCII, is written as an escape.
func respell(document []byte) ([]byte, bool) {
	var out []byte
	for _, piece := range pieces(document) {
		next, ok := shifted(out, piece)
		if !ok {
			next, ok = shifted(out, []byte(strings.ReplaceAll(string(piece), "?", `\u003f`)))
		}
		if !ok {
			return nil, false
		}
		out = next
	}
	return out, json.Valid(out)
}

// shifted appends piece to out after as few blanks as keep slashes out.
func shifted(out, piece []byte) ([]byte, bool) {
	for blanks := range 3 {
		next := append(append(append([]byte(nil), out...), "   "[:blanks]...), piece...)
		// Blanks fill up the last group, so that all that is there is seen.
		if !strings.Contains(base64.StdEncoding.EncodeToString(append(next[:len(next):len(next)], "  "...)), "/") {
			return next, true
		}
	}
	return nil, false
}

// pieces cuts a JSON document where blanks are of no meaning: before each
// string, and before all else that follows one.
func pieces(document []byte) [][]byte {
	var cut [][]byte
	start, inString := 0, false
	for i := 0; i < len(document); i++ {
		switch {
		case inString && document[i] == '\\':
			i++ // what is escaped ends no string
		case document[i] == '"' && inString:
			inString = false
			cut = append(cut, document[start:i+1])
			start = i + 1
		case document[i] == '"':
			inString = true
			cut = append(cut, document[start:i])
			start = i
		}
	}
	return append(cut, document[start:])
}
