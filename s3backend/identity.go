package s3backend

import (
	"context"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
)

// How a Client signs in.
const (
	IdentityNone      = "none"              // requests are not signed
	IdentityKeys      = "keys"              // access key and secret key
	IdentityTemporary = "temporary keys"    // with a session token
	IdentityLDAP      = "token (RGW_TOKEN)" // user and password as access key
	IdentityOpaque    = "opaque token"      // an access key with an empty secret
)

// Identity says as whom a Client signs, without giving anything away.
type Identity struct {
	Kind string // one of the constants above
	// Shown is the beginning of the access key, at most four characters; "" for
	// a token, or a key so short that they would be much of it.
	Shown   string
	Expires time.Time // zero = never, or unknown
	Slash   bool      // the access key has a slash: only version 2 carries it
}

// Identity returns as whom the Client signs.
func (c *Client) Identity(ctx context.Context) (Identity, error) {
	if c.cfg.NoSignRequest {
		return Identity{Kind: IdentityNone}, nil
	}
	creds, err := c.options.Credentials.Retrieve(ctx)
	if err != nil {
		return Identity{}, err
	}
	id := Identity{Kind: IdentityKeys, Slash: strings.Contains(creds.AccessKeyID, "/")}
	if creds.CanExpire {
		id.Expires = creds.Expires
	}
	switch {
	case holdsPassword(creds.AccessKeyID):
		id.Kind = IdentityLDAP
		return id, nil
	case creds.SecretAccessKey == "":
		id.Kind = IdentityOpaque
		return id, nil
	case creds.SessionToken != "":
		id.Kind = IdentityTemporary
	}
	const shown, least = 4, 12
	if len(creds.AccessKeyID) >= least {
		id.Shown = creds.AccessKeyID[:shown]
	}
	return id, nil
}

// Redact takes whatever the Client signs with out of a text: a server's or
// library's message may quote it.
func (c *Client) Redact(ctx context.Context, text string) string {
	if c.cfg.NoSignRequest {
		return text
	}
	var creds aws.Credentials
	creds, err := c.options.Credentials.Retrieve(ctx)
	if err != nil {
		// Without them there is nothing that could have been quoted.
		return text
	}
	for _, secret := range []string{creds.SecretAccessKey, creds.SessionToken, creds.AccessKeyID} {
		if secret != "" {
			text = strings.ReplaceAll(text, secret, "(hidden)")
		}
	}
	return text
}
