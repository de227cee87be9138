package main

import (
	"github.com/spf13/pflag"

	"rgwfs/s3backend"
)

// serverFlags adds the flags that say which server to talk to, and as whom.
// Every command that talks to one has them, and their RGWFS_ variables.
func serverFlags(f *pflag.FlagSet, c *s3backend.Config) {
	f.StringVar(&c.Endpoint, "endpoint", c.Endpoint, "`URL` of the server, such as https://rgw.example.org; else AWS_ENDPOINT_URL_S3, AWS_ENDPOINT_URL, or endpoint_url of the profile")
	f.StringVar(&c.Region, "region", c.Region, "`NAME` that requests are signed for; RGW takes any")
	f.BoolVar(&c.VirtualHost, "virtual-host", c.VirtualHost, "address buckets as BUCKET.HOST instead of HOST/BUCKET")
	f.StringVar(&c.Profile, "profile", c.Profile, "`NAME` of a profile in ~/.aws (default AWS_PROFILE, else \"default\")")
	f.BoolVar(&c.NoSignRequest, "no-sign-request", c.NoSignRequest, "send no credentials: for public buckets")
	signingFlags(f, c)
	f.StringVar(&c.CAFile, "ca-file", c.CAFile, "PEM `FILE` of certificates to trust, beside the system's and AWS_CA_BUNDLE's")
	encryptionFlags(f, c)
}
