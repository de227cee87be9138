package main

import (
	"errors"
	"os"
	"path/filepath"

	"github.com/spf13/pflag"

	"rgwfs/s3backend"
)

// signingFlags adds the flags that say as whom, and how, requests are signed.
func signingFlags(f *pflag.FlagSet, c *s3backend.Config) {
	f.StringVar(&c.CredentialsFile, "credentials-file", c.CredentialsFile, "`FILE` of keys or a token, of mode 0600, as aws, s3cmd (~/.s3cfg), rclone (rclone.conf) or s3fs (passwd) keep it")
	f.StringVar(&c.CredentialsSection, "credentials-section", c.CredentialsSection, "`NAME` of the section of that file, if it has several")
	f.BoolVar(&c.ExchangeToken, "exchange-token", c.ExchangeToken, "fetch temporary keys for the token (GetSessionToken), so that the server asks LDAP once an hour only")
	f.Var(choiceValue{&c.Signature, s3backend.Signatures()}, "signature", "version of signatures; hybrid: v4 for listings and HEAD, v2 for all else; auto finds out")
	f.BoolVar(&c.UnsignedPayload, "unsigned-payload", c.UnsignedPayload, "leave the hash of the body out of every signature")
	f.StringVar(&c.Tenant, "tenant", c.Tenant, "`NAME` of the tenant of the bucket, if it is not your own")
	f.BoolVar(&c.RequesterPays, "requester-pays", c.RequesterPays, "consent to pay for requests to a bucket whose owner does not")
}

// explainCredentials explains why there is nothing to sign with, "" if err is
// not of that sort.
func explainCredentials(err error) string {
	var unusable *s3backend.UnusableError
	if errors.As(err, &unusable) {
		return unusable.Error()
	}
	var exchange *s3backend.ExchangeError
	if errors.As(err, &exchange) && exchange.Refused {
		return exchange.Error() + ": have its administrator set rgw_s3_auth_use_sts and allow you sts:GetSessionToken, or drop --exchange-token"
	}
	var none *s3backend.CredentialsError
	if errors.As(err, &none) {
		return "no credentials found: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or give --profile, --credentials-file" +
			otherFile() + ", or --no-sign-request for a public bucket (" + none.Err.Error() + ")"
	}
	return ""
}

// otherFile names a file of another program's that has credentials perhaps.
func otherFile() string {
	home, err := os.UserHomeDir()
	if err != nil {
		return ""
	}
	for _, path := range []string{
		filepath.Join(home, ".s3cfg"), filepath.Join(home, ".config/rclone/rclone.conf"),
		filepath.Join(home, ".passwd-s3fs"), "/etc/passwd-s3fs",
	} {
		if _, err := os.Stat(path); err == nil {
			return " " + path
		}
	}
	return ""
}
