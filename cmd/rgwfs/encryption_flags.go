package main

import (
	"context"
	"errors"
	"strings"

	"github.com/spf13/pflag"

	"rgwfs/s3backend"
)

// encryptionFlags adds the flags that say how objects are encrypted.
func encryptionFlags(f *pflag.FlagSet, c *s3backend.Config) {
	f.Var(&keyFileValue{keys: &c.SSEKeys}, "sse-c-key-file", "encrypt and decrypt by SSE-C with the keys in `FILE`, over https only; may be given again: the first key encrypts, all decrypt (see rgwfs keygen)")
	f.Var((*sseValue)(&c.SSE), "sse", "have the server encrypt what is written, with keys of its own: `AES256`, aws:kms or aws:kms:KEYID")
	f.BoolVar(&c.SSEHeaderAlso, "sse-c-header-also", c.SSEHeaderAlso, "send x-amz-server-side-encryption beside the SSE-C key, for bucket policies that ask for it; without: only where a write is denied")
}

// verifyEncryption finds out whether the server encrypts as asked for.
func verifyEncryption(ctx context.Context, client *s3backend.Client, s *settings) error {
	if s.source.bucket == "" {
		return nil // found out by the first use of each bucket
	}
	if err := warnOfWrongKey(ctx, client, s); err != nil {
		return explain(s, err)
	}
	if s.fs.ReadOnly {
		return nil
	}
	err := client.CheckEncryption(ctx, s.source.bucket, s.source.prefix)
	if err == nil {
		return nil
	}
	var answer *s3backend.Error
	if errors.As(err, &answer) && answer.Status == 400 {
		if len(s.backend.SSEKeys) > 0 {
			return fail("%s refuses SSE-C (%s): if a proxy ends TLS before it, its administrator has to set rgw_trust_forwarded_https, and the proxy X-Forwarded-Proto%s", s.backend.Endpoint, answer.Code, requestNote(answer))
		}
		return fail("%s refuses --sse %s (%s): ask its administrator which keys it has%s", s.backend.Endpoint, s.backend.SSE, answer.Code, requestNote(answer))
	}
	if errors.As(err, &answer) && answer.Kind == s3backend.KindUnsupported {
		return fail("%s does not encrypt as --sse-c-key-file or --sse ask for, and nothing is written to it in the clear: drop the flag, or use another server", s.backend.Endpoint)
	}
	return explain(s, err)
}

// keyFileValue is a flag that may be given again: each file's keys are added.
// They are read at once, before a daemon leaves the working directory.
type keyFileValue struct {
	keys  *[]s3backend.Key
	files []string
}

func (v *keyFileValue) Set(path string) error {
	keys, err := s3backend.ReadKeyFile(path)
	if err != nil {
		return err
	}
	*v.keys = append(*v.keys, keys...)
	v.files = append(v.files, path)
	return nil
}

func (v *keyFileValue) String() string { return strings.Join(v.files, ", ") }

func (v *keyFileValue) Type() string { return "FILE" }

// sseValue is a flag that names encryption by the server's own keys.
type sseValue s3backend.Encryption

func (v *sseValue) Set(text string) error {
	e, err := s3backend.ParseEncryption(text)
	*v = sseValue(e)
	return err
}

func (v *sseValue) String() string { return s3backend.Encryption(*v).String() }

func (v *sseValue) Type() string { return "AES256|aws:kms[:KEYID]" }

// warnOfWrongKey says so if the first object is encrypted with a key that was
// not given. It may be meant: a bucket can hold objects of several keys.
func warnOfWrongKey(ctx context.Context, client *s3backend.Client, s *settings) error {
	if len(s.backend.SSEKeys) == 0 || s.backend.Logger == nil {
		return nil
	}
	page, err := client.Bucket(s.source.bucket).List(ctx, s3backend.ListRequest{Prefix: s.source.prefix, MaxKeys: 1})
	if err != nil || len(page.Objects) == 0 {
		return err
	}
	key := page.Objects[0].Key
	e, err := client.EncryptionOf(ctx, s.source.bucket, key)
	if err != nil {
		// Somebody else's object, or gone meanwhile: the mount works all the same.
		return nil
	}
	if e.Method == s3backend.SSEC && e.Key == "" {
		s.backend.Logger.Warn("the first object is encrypted with a key that is not among those of --sse-c-key-file: is it the right file?", "key", key)
	}
	return nil
}
